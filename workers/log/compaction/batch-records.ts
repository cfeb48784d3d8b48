/**
 * Walks the records of one batch by their places in its plain bytes, so that records can be taken out and the others
 * moved without being decoded and encoded again. Compaction tasks. No object per record.
 *
 *   | length | attributes | timestamp delta | offset delta | key length | key | value length | value | headers |
 *                         ^ deltaStart      ^ deltaEnd                                                         end ^
 */
import { codecNames, decompress } from '../../../src/protocol/compression.ts'
import { ProtocolError, Reader } from '../../../src/protocol/reader.ts'
import {
  BATCH_HEADER_BYTES,
  baseOffsetAt,
  codecAt,
  lastOffsetDeltaAt,
  RECORD_BYTES_MIN,
  recordCountAt,
} from '../../../src/protocol/record-batch.ts'
import { decompressedBytesMaxDefault } from '../../../src/protocol/records.ts'

export class BatchRecords {
  readonly #reader = new Reader()
  readonly #decompressedBytesMax: number
  #baseOffset = 0
  #lastDelta = 0
  #left = 0
  /** The records, decompressed. */
  plain: Buffer = Buffer.alloc(0)
  deltaStart = 0
  deltaEnd = 0
  end = 0
  offset = 0
  /** As written: to be added to the batch's base timestamp. */
  timestampDelta = 0
  /** A view of `plain`. */
  key: Uint8Array | null = null
  isTombstone = false

  constructor(decompressedBytesMax: number = decompressedBytesMaxDefault) {
    this.#decompressedBytesMax = decompressedBytesMax
  }

  /**
   * Starts on a batch whose checksum is right. False when its records cannot be read: too large, or not as the format
   * has it.
   */
  open(batch: Buffer): boolean {
    const codec = codecNames[codecAt(batch, 0)]
    if (codec === undefined) return false
    const body = batch.subarray(BATCH_HEADER_BYTES)
    try {
      this.plain = codec === 'none' ? body : decompress(codec, body, this.#decompressedBytesMax)
    } catch (error) {
      if (error instanceof ProtocolError) return false
      throw error
    }
    this.#baseOffset = baseOffsetAt(batch, 0)
    this.#lastDelta = lastOffsetDeltaAt(batch, 0)
    return this.#isWhole(batch)
  }

  #isWhole(batch: Buffer): boolean {
    const count = recordCountAt(batch, 0)
    if (count * RECORD_BYTES_MIN > this.plain.length) return false
    try {
      this.#rewind(batch)
      while (this.next());
      return this.#reader.remaining === 0
    } catch (error) {
      if (error instanceof ProtocolError) return false
      throw error
    } finally {
      this.#rewind(batch)
    }
  }

  #rewind(batch: Buffer): void {
    this.#reader.reset(this.plain)
    this.#left = recordCountAt(batch, 0)
    this.end = 0
  }

  /** Moves to the next record; false behind the last. Throws ProtocolError, though not on a batch that `open` took. */
  next(): boolean {
    if (this.#left === 0) return false
    this.#left--
    const reader = this.#reader
    const bytes = reader.varint()
    if (bytes < RECORD_BYTES_MIN - 1 || bytes > reader.remaining) {
      throw new ProtocolError('record length')
    }
    this.end = reader.pos + bytes
    reader.int8()
    this.deltaStart = reader.pos
    this.timestampDelta = reader.varlong()
    this.deltaEnd = reader.pos
    const delta = reader.varint()
    if (delta < 0 || delta > this.#lastDelta) throw new ProtocolError('offset delta')
    this.offset = this.#baseOffset + delta
    this.key = this.#blob()
    this.isTombstone = this.#blob() === null
    if (reader.pos >= this.end) throw new ProtocolError('record length')
    // Headers stay as they are.
    reader.pos = this.end
    return true
  }

  #blob(): Uint8Array | null {
    const reader = this.#reader
    const bytes = reader.varint()
    if (bytes === -1) return null
    const start = reader.pos
    if (bytes < 0 || bytes > this.end - start) throw new ProtocolError('field length')
    reader.pos = start + bytes
    return this.plain.subarray(start, reader.pos)
  }
}
