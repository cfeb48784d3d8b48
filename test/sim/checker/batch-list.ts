/** Cuts stored bytes into batches by their headers, without the product's walkers. */

export interface StoredBatch {
  readonly base: number
  readonly last: number
  /** View of what was given. */
  readonly bytes: Buffer
}

const HEADER_BYTES = 61

/** Whole batches from the start of `bytes`; stops at the first that cannot be one. */
export function* storedBatches(bytes: Buffer): Generator<StoredBatch, void, undefined> {
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const size = bytes.readInt32BE(at + 8) + 12
    if (size < HEADER_BYTES || at + size > bytes.length) return
    const base = Number(bytes.readBigInt64BE(at))
    yield { base, last: base + bytes.readInt32BE(at + 23), bytes: bytes.subarray(at, at + size) }
    at += size
  }
}
