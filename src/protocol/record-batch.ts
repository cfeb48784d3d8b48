/**
 * The header of a record batch (magic 2, KIP-98) by byte position; records are never decoded here. Any thread. No
 * object is made per batch: every function takes the bytes and where the batch begins.
 *
 *    0 baseOffset i64 | 8 batchLength i32, of what follows | 12 partitionLeaderEpoch i32 | 16 magic i8 = 2 | 17 crc u32
 *   21 attributes i16 | 23 lastOffsetDelta i32 | 27 baseTimestamp i64 | 35 maxTimestamp i64
 *   43 producerId i64 | 51 producerEpoch i16 | 53 baseSequence i32 | 57 recordCount i32 | 61 records
 *
 *   attributes: 0-2 codec, 3 log append time, 4 transactional, 5 control, 6 delete horizon
 *   crc: CRC-32C from byte 21 to the end; base offset and leader epoch lie outside, so the broker may set them.
 */
import { crc32c } from './crc32c.ts'
import { Errors } from './errors.ts'

export { type BatchToEncode, encodeBatch, type RecordToEncode } from './encode-batch.ts'

export const BATCH_HEADER_BYTES = 61
/** Base offset and length: what must be there to know where a batch ends. */
export const LOG_OVERHEAD_BYTES = 12
/** One record takes at least: length, attributes, two deltas, key length, value length, header count. */
export const RECORD_BYTES_MIN = 7

const crcStart = 21
const codecMask = 0x07
const logAppendTimeBit = 0x08
const transactionalBit = 0x10
const controlBit = 0x20
const deleteHorizonBit = 0x40
const codecZstd = 4

/** Exact within ±2^53, which is what analyzeBatch lets in. */
function int64At(bytes: Uint8Array, at: number): number {
  return int32At(bytes, at) * 0x1_0000_0000 + (int32At(bytes, at + 4) >>> 0)
}
function int32At(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]
}
function int16At(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) >> 16) | bytes[at + 1]
}
function putInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}
function putInt64(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 0x1_0000_0000)
  putInt32(bytes, at, high)
  putInt32(bytes, at + 4, (value - high * 0x1_0000_0000) | 0)
}

export function baseOffsetAt(bytes: Uint8Array, pos: number): number {
  return int64At(bytes, pos)
}
/** Bytes of the whole batch, its 12-byte prefix included. As untrusted as the bytes are: may be below 12. */
export function batchBytesAt(bytes: Uint8Array, pos: number): number {
  return LOG_OVERHEAD_BYTES + int32At(bytes, pos + 8)
}
export function leaderEpochAt(bytes: Uint8Array, pos: number): number {
  return int32At(bytes, pos + 12)
}
export function magicAt(bytes: Uint8Array, pos: number): number {
  return (bytes[pos + 16] << 24) >> 24
}
/** Unsigned, as crc32c() gives it. */
export function crcAt(bytes: Uint8Array, pos: number): number {
  return int32At(bytes, pos + 17) >>> 0
}
export function attributesAt(bytes: Uint8Array, pos: number): number {
  return int16At(bytes, pos + 21)
}
export function lastOffsetDeltaAt(bytes: Uint8Array, pos: number): number {
  return int32At(bytes, pos + 23)
}
export function lastOffsetAt(bytes: Uint8Array, pos: number): number {
  return baseOffsetAt(bytes, pos) + lastOffsetDeltaAt(bytes, pos)
}
export function baseTimestampAt(bytes: Uint8Array, pos: number): number {
  return int64At(bytes, pos + 27)
}
export function maxTimestampAt(bytes: Uint8Array, pos: number): number {
  return int64At(bytes, pos + 35)
}
export function producerIdAt(bytes: Uint8Array, pos: number): number {
  return int64At(bytes, pos + 43)
}
export function producerEpochAt(bytes: Uint8Array, pos: number): number {
  return int16At(bytes, pos + 51)
}
export function baseSequenceAt(bytes: Uint8Array, pos: number): number {
  return int32At(bytes, pos + 53)
}
export function recordCountAt(bytes: Uint8Array, pos: number): number {
  return int32At(bytes, pos + 57)
}
/** 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; 5 to 7 do not exist. */
export function codecAt(bytes: Uint8Array, pos: number): number {
  return bytes[pos + 22] & codecMask
}
export function isLogAppendTime(attributes: number): boolean {
  return (attributes & logAppendTimeBit) !== 0
}
export function isTransactional(attributes: number): boolean {
  return (attributes & transactionalBit) !== 0
}
export function isControl(attributes: number): boolean {
  return (attributes & controlBit) !== 0
}
export function hasDeleteHorizon(attributes: number): boolean {
  return (attributes & deleteHorizonBit) !== 0
}

/** Whether the stored CRC fits the bytes. The batch must lie whole in `bytes`. */
export function isCrcValid(bytes: Uint8Array, pos: number, batchBytes: number): boolean {
  return crc32c(bytes.subarray(pos + crcStart, pos + batchBytes)) === crcAt(bytes, pos)
}

export interface BatchLimits {
  /** Kafka's max.message.bytes: the whole batch with its prefix. */
  readonly batchBytesMax: number
  /** Version of the Produce request: zstd needs 7. */
  readonly apiVersion: number
}

/**
 * Checks what a producer sent for one partition: exactly one batch of magic 2 that fills `bytes` (PROTOCOL.md 3.2 point
 * 2, in Kafka's order). Changes nothing; returns Errors.NONE or the code of the answer.
 */
export function analyzeBatch(bytes: Uint8Array, limits: BatchLimits): number {
  if (bytes.length < LOG_OVERHEAD_BYTES + 5) return Errors.INVALID_RECORD
  const batchBytes = batchBytesAt(bytes, 0)
  if (batchBytes < 0 || magicAt(bytes, 0) !== 2) return Errors.INVALID_RECORD
  if (batchBytes < BATCH_HEADER_BYTES) return Errors.CORRUPT_MESSAGE
  // Shorter: no whole batch; longer: more than one.
  if (batchBytes !== bytes.length) return Errors.INVALID_RECORD
  const attributes = attributesAt(bytes, 0)
  const codec = attributes & codecMask
  if (codec > codecZstd || (codec === codecZstd && limits.apiVersion < 7)) {
    return Errors.UNSUPPORTED_COMPRESSION_TYPE
  }
  if (int32At(bytes, 0) !== 0 || int32At(bytes, 4) !== 0) return Errors.INVALID_RECORD
  if (batchBytes > limits.batchBytesMax) return Errors.MESSAGE_TOO_LARGE
  if (!isCrcValid(bytes, 0, batchBytes)) return Errors.CORRUPT_MESSAGE
  return analyzeHeader(bytes, attributes, limits.apiVersion)
}

/** The part of the header under the CRC. */
function analyzeHeader(bytes: Uint8Array, attributes: number, apiVersion: number): number {
  const count = recordCountAt(bytes, 0)
  if (count <= 0 || count - 1 !== lastOffsetDeltaAt(bytes, 0)) return Errors.INVALID_RECORD
  // How many records a compressed batch can hold is known only where it is decoded (records.ts).
  const isPlain = (attributes & codecMask) === 0
  if (isPlain && count * RECORD_BYTES_MIN > bytes.length - BATCH_HEADER_BYTES) {
    return Errors.INVALID_RECORD
  }
  if ((attributes & (controlBit | deleteHorizonBit)) !== 0) return Errors.INVALID_RECORD
  if (isTransactional(attributes)) {
    // No partition is ever part of a transaction yet (PROTOCOL.md 3.7 point 4).
    return apiVersion < 11 ? Errors.INVALID_TXN_STATE : Errors.TRANSACTION_ABORTABLE
  }
  if (isLogAppendTime(attributes)) return Errors.INVALID_TIMESTAMP
  if (!isSafeInt64(bytes, 27) || !isSafeInt64(bytes, 35)) return Errors.INVALID_TIMESTAMP
  return analyzeProducer(bytes)
}

/** Only the producer id tells whether a batch is idempotent: some clients stamp epoch 0 and sequence 0 without one. */
function analyzeProducer(bytes: Uint8Array): number {
  if (!isSafeInt64(bytes, 43)) return Errors.INVALID_RECORD
  const isIdempotent = int32At(bytes, 43) >= 0
  if (isIdempotent && (baseSequenceAt(bytes, 0) < 0 || producerEpochAt(bytes, 0) < 0)) {
    return Errors.INVALID_RECORD
  }
  return Errors.NONE
}

function isSafeInt64(bytes: Uint8Array, at: number): boolean {
  const high = int32At(bytes, at)
  return high <= 0x1f_ffff && high >= -0x20_0000
}

/** Sets the two fields outside the CRC, as a leader does when it appends. */
export function patchAppend(bytes: Uint8Array, baseOffset: number, leaderEpoch: number): void {
  putInt64(bytes, 0, baseOffset)
  putInt32(bytes, 12, leaderEpoch)
}

/** For topics with message.timestamp.type=LogAppendTime: every record then reads as `nowMs`. Computes the CRC anew. */
export function stampLogAppendTime(bytes: Uint8Array, nowMs: number): void {
  bytes[22] |= logAppendTimeBit
  putInt64(bytes, 35, nowMs)
  putInt32(bytes, 17, crc32c(bytes.subarray(crcStart, batchBytesAt(bytes, 0))))
}

export interface NewRecords {
  readonly recordCount: number
  /** The time of deletion when `hasDeleteHorizon`; the records' deltas count from it either way. */
  readonly baseTimestampMs: number
  readonly maxTimestampMs: number
  readonly hasDeleteHorizon: boolean
  /** Of `body`. */
  readonly codec: number
}

/** The batch with other records: offsets, producer and leader epoch stay. `body` is compressed already. */
export function withRecords(batch: Uint8Array, body: Uint8Array, records: NewRecords): Buffer {
  const bytes = Buffer.allocUnsafe(BATCH_HEADER_BYTES + body.length)
  bytes.set(batch.subarray(0, BATCH_HEADER_BYTES))
  bytes.set(body, BATCH_HEADER_BYTES)
  putInt32(bytes, 8, bytes.length - LOG_OVERHEAD_BYTES)
  bytes[22] = (bytes[22] & ~(codecMask | deleteHorizonBit)) | records.codec
  if (records.hasDeleteHorizon) bytes[22] |= deleteHorizonBit
  putInt64(bytes, 27, records.baseTimestampMs)
  putInt64(bytes, 35, records.maxTimestampMs)
  putInt32(bytes, 57, records.recordCount)
  putInt32(bytes, 17, crc32c(bytes.subarray(crcStart)))
  return bytes
}
