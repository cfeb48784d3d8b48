/**
 * Makes record batches (magic 2) as a producer does. Any thread. Layout of the header: record-batch.ts; a record is
 *
 *   | length varint | attributes i8 = 0 | timestamp delta varlong | offset delta varint |
 *   | key length varint, -1 null | key | value length varint, -1 null | value | header count varint | headers |
 *   header: | key length varint | key | value length varint, -1 null | value |        all varints zigzag
 */
import assert from 'node:assert/strict'
import { type CodecName, codecNumber, compress } from './compression.ts'
import { crc32c } from './crc32c.ts'

export interface RecordToEncode {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers?: readonly (readonly [key: string, value: Uint8Array | null])[]
  /** Default: the batch's. */
  readonly timestampMs?: number
}
export interface BatchToEncode {
  /** At least one. */
  readonly records: readonly RecordToEncode[]
  readonly codec?: CodecName
  /** -1, the default: not idempotent. */
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  /** Of records without their own; default now. */
  readonly timestampMs?: number
}

const headerBytes = 61

/** One batch with base offset 0 and leader epoch -1, as Produce wants it. */
export function encodeBatch(batch: BatchToEncode): Buffer {
  const { records, codec = 'none', timestampMs = Date.now() } = batch
  assert(records.length > 0, 'a batch has at least one record')
  const baseTimestamp = records[0].timestampMs ?? timestampMs
  let maxTimestamp = baseTimestamp
  const bodySizes = new Int32Array(records.length)
  let recordsBytes = 0
  for (let i = 0; i < records.length; i++) {
    const timestamp = records[i].timestampMs ?? timestampMs
    if (timestamp > maxTimestamp) maxTimestamp = timestamp
    const bodyBytes = recordBodyBytes(records[i], timestamp - baseTimestamp, i)
    bodySizes[i] = bodyBytes
    recordsBytes += varintBytes(bodyBytes) + bodyBytes
  }
  const plain = Buffer.allocUnsafe(headerBytes + recordsBytes)
  let pos = headerBytes
  for (let i = 0; i < records.length; i++) {
    const delta = (records[i].timestampMs ?? timestampMs) - baseTimestamp
    pos = putRecord(plain, pos, records[i], bodySizes[i], delta, i)
  }
  assert(pos === plain.length)
  const bytes = codec === 'none' ? plain : compressed(plain, codec)
  const { producerId, producerEpoch, baseSequence } = batch
  const recordCount = records.length
  const times = { baseTimestampMs: baseTimestamp, maxTimestampMs: maxTimestamp }
  putBatchHeader(bytes, { recordCount, codec, ...times, producerId, producerEpoch, baseSequence })
  return bytes
}

function compressed(plain: Buffer, codec: CodecName): Buffer {
  const body = compress(codec, plain.subarray(headerBytes))
  const bytes = Buffer.allocUnsafe(headerBytes + body.length)
  bytes.set(body, headerBytes)
  return bytes
}

export interface BatchHeader {
  readonly recordCount: number
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
  readonly codec?: CodecName
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
}

/** Writes the header of the batch that fills `bytes`, with base offset 0 and leader epoch -1; the CRC comes last. */
export function putBatchHeader(bytes: Buffer, header: BatchHeader): void {
  putLong(bytes, 0, 0)
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt32BE(-1, 12)
  bytes[16] = 2
  bytes.writeInt16BE(codecNumber(header.codec ?? 'none'), 21)
  bytes.writeInt32BE(header.recordCount - 1, 23)
  putLong(bytes, 27, header.baseTimestampMs)
  putLong(bytes, 35, header.maxTimestampMs)
  putLong(bytes, 43, header.producerId ?? -1)
  bytes.writeInt16BE(header.producerEpoch ?? -1, 51)
  bytes.writeInt32BE(header.baseSequence ?? -1, 53)
  bytes.writeInt32BE(header.recordCount, 57)
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17)
}

function putLong(bytes: Buffer, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000)
  bytes.writeInt32BE(high, at)
  bytes.writeUInt32BE(value - high * 0x1_0000_0000, at + 4)
}

/** Bytes of everything of a record but its length: what that length says. */
export function recordBodyBytes(
  record: RecordToEncode,
  timestampDelta: number,
  index: number,
): number {
  const { key, value, headers } = record
  let bytes = 1 + varlongBytes(timestampDelta) + varintBytes(index)
  bytes += blobBytes(key) + blobBytes(value) + varintBytes(headers?.length ?? 0)
  if (headers === undefined) return bytes
  for (const [name, content] of headers) {
    const nameBytes = Buffer.byteLength(name)
    bytes += varintBytes(nameBytes) + nameBytes + blobBytes(content)
  }
  return bytes
}

function blobBytes(blob: Uint8Array | null): number {
  return blob === null ? 1 : varintBytes(blob.length) + blob.length
}

/** Writes one record; `bodyBytes` as `recordBodyBytes` counts it. Returns where it ends. */
export function putRecord(
  into: Buffer,
  start: number,
  record: RecordToEncode,
  bodyBytes: number,
  timestampDelta: number,
  index: number,
): number {
  let pos = putVarint(into, start, bodyBytes)
  into[pos++] = 0
  pos = putVarlong(into, pos, timestampDelta)
  pos = putVarint(into, pos, index)
  pos = putBlob(into, pos, record.key)
  pos = putBlob(into, pos, record.value)
  const headers = record.headers ?? []
  pos = putVarint(into, pos, headers.length)
  for (const [name, content] of headers) {
    pos = putBlob(into, pos, Buffer.from(name))
    pos = putBlob(into, pos, content)
  }
  return pos
}

function putBlob(into: Buffer, start: number, blob: Uint8Array | null): number {
  if (blob === null) return putVarint(into, start, -1)
  const pos = putVarint(into, start, blob.length)
  into.set(blob, pos)
  return pos + blob.length
}

/** Zigzag of a 32-bit value. */
export function putVarint(into: Buffer, start: number, value: number): number {
  let pos = start
  let rest = ((value << 1) ^ (value >> 31)) >>> 0
  while (rest > 0x7f) {
    into[pos++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  into[pos++] = rest
  return pos
}

export function varintBytes(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0
  // 7 bits a byte; 32 - clz32 is the number of significant bits.
  return zigzag === 0 ? 1 : Math.ceil((32 - Math.clz32(zigzag)) / 7)
}

/** Zigzag of a whole number within ±2^52, by arithmetic: bit operators stop at 32 bits. */
function zigzagLong(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1
}

export function putVarlong(into: Buffer, start: number, value: number): number {
  let pos = start
  let rest = zigzagLong(value)
  while (rest > 0x7f) {
    into[pos++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  into[pos++] = rest
  return pos
}

export function varlongBytes(value: number): number {
  let bytes = 1
  for (let rest = zigzagLong(value); rest > 0x7f; rest = Math.floor(rest / 128)) bytes++
  return bytes
}
