/**
 * Walks the records of a fetched blob of batches in place: one object for any number of records, no slice before
 * somebody asks for one. What the stream iterates with, and what bulk readers (the command line, benches) use.
 *
 *   blob   | batch | batch | ... | perhaps a cut batch, ignored |
 *   record | length | attributes | timestamp delta | offset delta | key length, key | value length, value | headers |
 *
 * The bytes come from a broker and are not trusted: every length is checked against the batch it stands in.
 */
import { type CodecName, codecNames, decompress } from '../protocol/compression.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import {
  attributesAt,
  BATCH_HEADER_BYTES,
  baseOffsetAt,
  baseTimestampAt,
  batchBytesAt,
  codecAt,
  isControl,
  isCrcValid,
  isLogAppendTime,
  lastOffsetAt,
  magicAt,
  maxTimestampAt,
  RECORD_BYTES_MIN,
  recordCountAt,
} from '../protocol/record-batch.ts'

export interface RecordCursorOptions {
  /** Check each batch's CRC-32C. Default true. */
  readonly checkCrc?: boolean
  /** Largest batch after decompression. Default 16 MiB. */
  readonly decompressedBytesMax?: number
}

export type RecordHeader = readonly [name: string, value: Buffer | null]

const noHeaders: readonly RecordHeader[] = Object.freeze([])
const empty = Buffer.alloc(0)

export class RecordCursor {
  readonly #checkCrc: boolean
  readonly #decompressedBytesMax: number
  #blob: Buffer = empty
  /** Where the next batch of the blob begins. */
  #nextBatch = 0
  /** Records left in the batch at hand, and where the next one begins in `bytes`. */
  #recordsLeft = 0
  #pos = 0
  #end = 0
  #baseOffset = 0
  #baseTimestampMs = 0
  /** Of the whole batch, when the broker stamped it (LogAppendTime); else -1. */
  #appendTimeMs = -1
  #fromOffset = 0
  #untilOffset = Number.MAX_SAFE_INTEGER
  #headerCount = 0
  #headersStart = 0

  /** What all positions below count in: the blob itself, or a decompressed batch. */
  bytes: Buffer = empty
  offset = -1
  timestampMs = -1
  /** -1 when there is no key. */
  keyStart = -1
  keyEnd = -1
  /** -1 when the value is null (a tombstone). */
  valueStart = -1
  valueEnd = -1

  constructor(options: RecordCursorOptions = {}) {
    this.#checkCrc = options.checkCrc ?? true
    this.#decompressedBytesMax = options.decompressedBytesMax ?? 16 * 1024 * 1024
  }

  /** Starts over with the records `fromOffset` <= offset < `untilOffset` of a blob. */
  reset(blob: Buffer, fromOffset = 0, untilOffset = Number.MAX_SAFE_INTEGER): this {
    this.#blob = blob
    this.#nextBatch = 0
    this.#recordsLeft = 0
    this.#fromOffset = fromOffset
    this.#untilOffset = untilOffset
    return this
  }

  /**
   * Moves to the next record; false at the end of the blob.
   * @throws KafkaError CORRUPT_MESSAGE when the bytes are not what they claim to be
   */
  advance(): boolean {
    for (;;) {
      if (this.#recordsLeft === 0 && !this.#enterBatch()) return false
      this.#recordsLeft--
      this.#readRecord()
      if (this.offset < this.#fromOffset) continue
      if (this.offset < this.#untilOffset) return true
      this.#recordsLeft = 0
      this.#nextBatch = this.#blob.length
      return false
    }
  }

  /** A view of the key; copy it to keep it, or it keeps the whole fetched answer in memory. */
  key(): Buffer | null {
    return this.keyStart < 0 ? null : this.bytes.subarray(this.keyStart, this.keyEnd)
  }

  /** A view of the value, as `key()`. */
  value(): Buffer | null {
    return this.valueStart < 0 ? null : this.bytes.subarray(this.valueStart, this.valueEnd)
  }

  headers(): readonly RecordHeader[] {
    if (this.#headerCount === 0) return noHeaders
    const headers: RecordHeader[] = []
    const resume = this.#pos
    this.#pos = this.#headersStart
    for (let i = 0; i < this.#headerCount; i++) {
      const nameBytes = this.#length()
      if (nameBytes < 0) throw this.#corrupt('a header without a name')
      const name = this.bytes.toString('utf8', this.#pos, this.#skip(nameBytes))
      const valueBytes = this.#length()
      const start = this.#pos
      headers.push([
        name,
        valueBytes < 0 ? null : this.bytes.subarray(start, this.#skip(valueBytes)),
      ])
    }
    this.#pos = resume
    return headers
  }

  /** Goes to the next batch that holds records for the reader; false when no whole batch is left. */
  #enterBatch(): boolean {
    const blob = this.#blob
    for (;;) {
      const start = this.#nextBatch
      if (blob.length - start < BATCH_HEADER_BYTES) return false
      const batchBytes = batchBytesAt(blob, start)
      if (batchBytes < BATCH_HEADER_BYTES)
        throw this.#corrupt(`a batch of ${batchBytes} bytes`, start)
      if (start + batchBytes > blob.length) return false
      this.#nextBatch = start + batchBytes
      this.#baseOffset = baseOffsetAt(blob, start)
      if (lastOffsetAt(blob, start) < this.#fromOffset) continue
      if (isControl(attributesAt(blob, start)) || recordCountAt(blob, start) === 0) continue
      if (this.#baseOffset >= this.#untilOffset) return false
      this.#openBatch(start, batchBytes)
      return true
    }
  }

  #openBatch(start: number, batchBytes: number): void {
    const blob = this.#blob
    if (magicAt(blob, start) !== 2) throw this.#corrupt(`magic ${magicAt(blob, start)}`, start)
    if (this.#checkCrc && !isCrcValid(blob, start, batchBytes)) {
      throw this.#corrupt('CRC-32C does not match', start)
    }
    this.#baseTimestampMs = baseTimestampAt(blob, start)
    const isAppendTime = isLogAppendTime(attributesAt(blob, start))
    this.#appendTimeMs = isAppendTime ? maxTimestampAt(blob, start) : -1
    this.#recordsLeft = recordCountAt(blob, start)
    const codec = codecNames[codecAt(blob, start)]
    if (codec === undefined) throw this.#corrupt(`codec ${codecAt(blob, start)}`, start)
    if (codec === 'none') {
      this.bytes = blob
      this.#pos = start + BATCH_HEADER_BYTES
      this.#end = start + batchBytes
    } else {
      this.#unpack(codec, start, start + batchBytes)
    }
    if (this.#recordsLeft < 0 || this.#recordsLeft > (this.#end - this.#pos) / RECORD_BYTES_MIN) {
      throw this.#corrupt(`${this.#recordsLeft} records in ${batchBytes} bytes`, start)
    }
  }

  #unpack(codec: CodecName, start: number, end: number): void {
    const packed = this.#blob.subarray(start + BATCH_HEADER_BYTES, end)
    try {
      this.bytes = decompress(codec, packed, this.#decompressedBytesMax)
    } catch (error) {
      throw this.#corrupt((error as Error).message, start)
    }
    this.#pos = 0
    this.#end = this.bytes.length
  }

  #readRecord(): void {
    const length = this.#length()
    const end = this.#pos + length
    if (length < 0 || end > this.#end) throw this.#corrupt('a record longer than its batch')
    this.#pos++ // attributes, unused
    const timestampDelta = this.#varlong()
    this.offset = this.#baseOffset + this.#length()
    this.timestampMs =
      this.#appendTimeMs >= 0 ? this.#appendTimeMs : this.#baseTimestampMs + timestampDelta
    const keyBytes = this.#length()
    this.keyStart = keyBytes < 0 ? -1 : this.#pos
    this.keyEnd = keyBytes < 0 ? -1 : this.#skip(keyBytes)
    const valueBytes = this.#length()
    this.valueStart = valueBytes < 0 ? -1 : this.#pos
    this.valueEnd = valueBytes < 0 ? -1 : this.#skip(valueBytes)
    this.#headerCount = this.#length()
    this.#headersStart = this.#pos
    if (this.#pos > end || this.#headerCount < 0 || this.#headerCount > (end - this.#pos) / 2) {
      throw this.#corrupt('a record whose parts do not fit')
    }
    this.#pos = end
  }

  /** Steps over `count` bytes and gives where they end. */
  #skip(count: number): number {
    this.#pos += count
    if (this.#pos > this.#end) throw this.#corrupt('a field longer than its batch')
    return this.#pos
  }

  /** Zigzag varint of at most 32 bits. Lengths below 64, the common ones, take the first branch. */
  #length(): number {
    const bytes = this.bytes
    let byte = bytes[this.#pos++]
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
    let value = byte & 0x7f
    for (let shift = 7; shift < 35; shift += 7) {
      byte = bytes[this.#pos++]
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1)
    }
    throw this.#corrupt('a number without an end')
  }

  /** Zigzag varint of 64 bits as a number. */
  #varlong(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.bytes[this.#pos++]
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
      scale *= 128
    }
    throw this.#corrupt('a number without an end')
  }

  #corrupt(why: string, position?: number): KafkaError {
    const where = position === undefined ? `after offset ${this.offset}` : `at byte ${position}`
    return new KafkaError(
      Errors.CORRUPT_MESSAGE,
      `corrupt batch, base offset ${this.#baseOffset}, ${where}: ${why}`,
    )
  }
}

/** Offset after the last whole batch of a blob, or -1 when there is none. Looks at headers only. */
export function nextOffsetAfter(blob: Buffer): number {
  let nextOffset = -1
  let pos = 0
  while (blob.length - pos >= BATCH_HEADER_BYTES) {
    const batchBytes = batchBytesAt(blob, pos)
    if (batchBytes < BATCH_HEADER_BYTES || pos + batchBytes > blob.length) break
    nextOffset = lastOffsetAt(blob, pos) + 1
    pos += batchBytes
  }
  return nextOffset
}
