/**
 * Iterators over batches and their records, for HTTP, tools, consumers, tests and look-up by time. Any thread, but not
 * on the dispatcher for batches from outside: they may be compressed. Nothing in a batch is trusted: whatever does not
 * add up throws ProtocolError. Layout: record-batch.ts and encode-batch.ts.
 */
import { codecNames, decompress } from './compression.ts'
import { ProtocolError, Reader } from './reader.ts'
import {
  attributesAt,
  BATCH_HEADER_BYTES,
  baseOffsetAt,
  baseTimestampAt,
  batchBytesAt,
  codecAt,
  isLogAppendTime,
  lastOffsetDeltaAt,
  magicAt,
  maxTimestampAt,
  RECORD_BYTES_MIN,
  recordCountAt,
} from './record-batch.ts'

export interface LogRecord {
  readonly offset: number
  readonly timestampMs: number
  /** Key, value and header values are views of the batch, or of what it was decompressed into. */
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly (readonly [key: string, value: Uint8Array | null])[]
}

export const decompressedBytesMaxDefault = 16 * 1024 * 1024
const noHeaders: LogRecord['headers'] = []

/** The whole batches of a records blob, as views; a batch cut short at the end is left out (PROTOCOL.md 3.3.3). */
export function* batches(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
  for (let pos = 0; pos + BATCH_HEADER_BYTES <= bytes.length; ) {
    const batchBytes = batchBytesAt(bytes, pos)
    if (magicAt(bytes, pos) !== 2) throw new ProtocolError(`magic ${magicAt(bytes, pos)}`)
    if (batchBytes < BATCH_HEADER_BYTES) throw new ProtocolError('batch shorter than its header')
    if (pos + batchBytes > bytes.length) return
    yield bytes.subarray(pos, pos + batchBytes)
    pos += batchBytes
  }
}

/** The records of one whole batch, control batches included (tell them by the attributes). Does not check the CRC. */
export function* records(
  batch: Uint8Array,
  { decompressedBytesMax = decompressedBytesMaxDefault } = {},
): Generator<LogRecord, void, undefined> {
  const count = checkedCount(batch)
  const codec = codecNames[codecAt(batch, 0)]
  if (codec === undefined) throw new ProtocolError(`codec ${codecAt(batch, 0)} does not exist`)
  const body = batch.subarray(BATCH_HEADER_BYTES)
  const plain = codec === 'none' ? body : decompress(codec, body, decompressedBytesMax)
  if (count * RECORD_BYTES_MIN > plain.length) throw new ProtocolError('record count too large')
  const r = new Reader(plain)
  const baseOffset = baseOffsetAt(batch, 0)
  const lastDelta = lastOffsetDeltaAt(batch, 0)
  const baseTimestamp = baseTimestampAt(batch, 0)
  const appendTime = isLogAppendTime(attributesAt(batch, 0)) ? maxTimestampAt(batch, 0) : null
  for (let i = 0; i < count; i++) {
    const end = recordEnd(r)
    r.int8()
    const timestampMs = appendTime ?? baseTimestamp + r.varlong()
    if (appendTime !== null) r.varlong()
    const delta = r.varint()
    if (delta < 0 || delta > lastDelta) throw new ProtocolError('offset delta out of bounds')
    const key = blob(r, end)
    const value = blob(r, end)
    const headers = recordHeaders(r, end)
    if (r.pos !== end) throw new ProtocolError('record length does not match its fields')
    yield { offset: baseOffset + delta, timestampMs, key, value, headers }
  }
}

/** Compaction leaves gaps, so a stored batch may hold fewer records than its offsets span; never more. */
function checkedCount(batch: Uint8Array): number {
  if (batch.length < BATCH_HEADER_BYTES || batchBytesAt(batch, 0) !== batch.length) {
    throw new ProtocolError('not one whole batch')
  }
  if (magicAt(batch, 0) !== 2) throw new ProtocolError(`magic ${magicAt(batch, 0)}`)
  const count = recordCountAt(batch, 0)
  if (count < 0 || count - 1 > lastOffsetDeltaAt(batch, 0)) {
    throw new ProtocolError('record count does not match the offsets')
  }
  return count
}

function recordEnd(r: Reader): number {
  const bytes = r.varint()
  if (bytes < RECORD_BYTES_MIN - 1 || bytes > r.remaining) throw new ProtocolError('record length')
  return r.pos + bytes
}

function blob(r: Reader, end: number): Uint8Array | null {
  const bytes = r.varint()
  if (bytes === -1) return null
  const start = r.pos
  if (bytes < 0 || bytes > end - start) throw new ProtocolError('field longer than its record')
  r.pos = start + bytes
  return r.bytes.subarray(start, r.pos)
}

function recordHeaders(r: Reader, end: number): LogRecord['headers'] {
  const count = r.varint()
  if (count === 0) return noHeaders
  // Two bytes each at least: the lengths.
  if (count < 0 || count * 2 > end - r.pos) throw new ProtocolError('header count')
  const headers: [key: string, value: Uint8Array | null][] = []
  for (let i = 0; i < count; i++) {
    const name = blob(r, end)
    if (name === null) throw new ProtocolError('header without a key')
    headers.push([Buffer.from(name).toString(), blob(r, end)])
  }
  return headers
}
