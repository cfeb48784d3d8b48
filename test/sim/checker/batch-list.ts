/** Cuts stored bytes into batches by their headers, without the product's walkers. */

export interface StoredBatch {
  readonly base: number
  readonly last: number
  /** View of what was given. */
  readonly bytes: Buffer
}

const HEADER_BYTES = 61

/** The batch that begins there; null when none can. */
export function batchAt(bytes: Buffer, at: number): StoredBatch | null {
  if (at + HEADER_BYTES > bytes.length) return null
  const size = bytes.readInt32BE(at + 8) + 12
  if (size < HEADER_BYTES || at + size > bytes.length) return null
  const base = Number(bytes.readBigInt64BE(at))
  return { base, last: base + bytes.readInt32BE(at + 23), bytes: bytes.subarray(at, at + size) }
}

/** Whole batches from the start of `bytes`; stops at the first that cannot be one. */
export function* storedBatches(bytes: Buffer): Generator<StoredBatch, void, undefined> {
  for (let at = 0; ; ) {
    const batch = batchAt(bytes, at)
    if (batch === null) return
    yield batch
    at += batch.bytes.length
  }
}
