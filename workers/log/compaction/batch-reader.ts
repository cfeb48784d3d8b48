/**
 * Reads the whole batches of a sealed segment, one after another, through a buffer that grows to the largest of them.
 * Compaction tasks. Nothing is believed that the checksum does not cover: compaction must not build on rot, nor carry
 * it on under a new checksum.
 *
 *   file     ...| batch | batch |  batch  | bat...
 *   buffer      [-------------------------)           refilled from the start of a batch that is cut
 */
import type { DiskFile } from '../../../src/contracts/disk.ts'
import {
  BATCH_HEADER_BYTES,
  baseOffsetAt,
  batchBytesAt,
  isCrcValid,
  lastOffsetDeltaAt,
  magicAt,
  recordCountAt,
} from '../../../src/protocol/record-batch.ts'
import { codedError, readFully } from '../files.ts'
import type { SwapRange } from '../swap.ts'

/** Also what is worked on between two looks at the pace: a few milliseconds. */
const CHUNK_BYTES = 256 * 1024
/** Far above what the broker takes (max.message.bytes is bounded by the size of a request). */
const BATCH_BYTES_MAX = 128 * 1024 * 1024

export class BatchReader {
  readonly #pace: (bytes: number) => void
  #bytes = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  readonly #header = Buffer.alloc(BATCH_HEADER_BYTES)
  #file: DiskFile | null = null
  #sizeBytes = 0
  /** Where in the file the buffer starts, and how much of it counts. */
  #start = 0
  #length = 0
  #position = 0
  #nextOffset = 0
  #endOffset = 0

  constructor(pace: (bytes: number) => void) {
    this.#pace = pace
  }

  /**
   * Starts on the batches of [baseOffset, endOffset) in file[0, sizeBytes). What lies behind is not the segment's: the
   * cut of a tail that was copied forward may have been lost in a power cut.
   */
  start(file: DiskFile, sizeBytes: number, { baseOffset, endOffset }: SwapRange): void {
    this.#file = file
    this.#sizeBytes = sizeBytes
    this.#start = 0
    this.#length = 0
    this.#position = 0
    this.#nextOffset = baseOffset
    this.#endOffset = endOffset
  }

  get isAtEnd(): boolean {
    return this.#position === this.#sizeBytes || this.#nextOffset >= this.#endOffset
  }

  /** The next batch, valid until the call after; null at the end. Throws EBADBATCH where there is no valid one. */
  next(): Buffer | null {
    if (this.isAtEnd) return null
    this.#hold(BATCH_HEADER_BYTES)
    if (this.#position === 0) this.#endAtForeign()
    if (this.isAtEnd) return null
    const batchBytes = batchBytesAt(this.#bytes, this.#position - this.#start)
    const isSane = batchBytes >= BATCH_HEADER_BYTES && batchBytes <= BATCH_BYTES_MAX
    if (!isSane) throw this.#bad(`a batch of ${batchBytes} bytes`)
    this.#hold(batchBytes)
    const at = this.#position - this.#start
    const batch = this.#bytes.subarray(at, at + batchBytes)
    this.#check(batch)
    this.#position += batchBytes
    this.#endAtForeign()
    return batch
  }

  /** Where compaction took the segment's last batches, only the next offset tells what lies behind its end. */
  #endAtForeign(): void {
    if (this.#sizeBytes - this.#position < BATCH_HEADER_BYTES) return
    const at = this.#position - this.#start
    const isHeld = at + BATCH_HEADER_BYTES <= this.#length
    if (!isHeld) readFully(this.#file!, this.#header, this.#position)
    const baseOffset = isHeld ? baseOffsetAt(this.#bytes, at) : baseOffsetAt(this.#header, 0)
    if (baseOffset >= this.#endOffset) this.#position = this.#sizeBytes
  }

  #check(batch: Buffer): void {
    const delta = lastOffsetDeltaAt(batch, 0)
    const count = recordCountAt(batch, 0)
    const baseOffset = baseOffsetAt(batch, 0)
    if (magicAt(batch, 0) !== 2) throw this.#bad(`magic ${magicAt(batch, 0)}`)
    if (!isCrcValid(batch, 0, batch.length)) throw this.#bad('a wrong checksum')
    if (delta < 0 || count < 0 || count > delta + 1) throw this.#bad('a record count that lies')
    if (baseOffset < this.#nextOffset) throw this.#bad(`offset ${baseOffset} again`)
    this.#nextOffset = baseOffset + delta + 1
  }

  /** Makes sure that the buffer holds `bytes` from the position on. */
  #hold(bytes: number): void {
    const at = this.#position - this.#start
    if (at + bytes <= this.#length) return
    if (bytes > this.#sizeBytes - this.#position) throw this.#bad('a batch cut short')
    const wanted = Math.min(Math.max(bytes, CHUNK_BYTES), this.#sizeBytes - this.#position)
    const kept = this.#length - at
    if (wanted > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(wanted)
      this.#bytes.copy(larger, 0, at, this.#length)
      this.#bytes = larger
    } else {
      this.#bytes.copyWithin(0, at, this.#length)
    }
    const into = this.#bytes.subarray(kept, wanted)
    const got = readFully(this.#file!, into, this.#position + kept)
    this.#pace(got)
    this.#start = this.#position
    this.#length = kept + got
    if (got < into.length) throw this.#bad('the end of the file')
  }

  #bad(what: string): Error {
    return codedError('EBADBATCH', `${this.#file!.path}: ${what} at position ${this.#position}`)
  }
}
