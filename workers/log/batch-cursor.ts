/**
 * Walks the batches of a log file through a small window, without an object per batch. Owner threads and recovery
 * tasks.
 *
 *      file   ...| batch | batch |      batch      | batch |...
 *      window          [-----------------)               re-read at `position` when a header is not in it
 *
 * A walk looks at headers only; `crcMatches` reads the whole batch, through the window when it is larger.
 */
import type { DiskFile } from '../../src/contracts/disk.ts'
import { crc32c } from '../../src/protocol/crc32c.ts'
import {
  BATCH_HEADER_BYTES,
  baseOffsetAt,
  batchBytesAt,
  crcAt,
  lastOffsetDeltaAt,
  leaderEpochAt,
  magicAt,
  maxTimestampAt,
  recordCountAt,
} from '../../src/protocol/record-batch.ts'
import { readFully } from './files.ts'

/** The CRC covers attributes to the end: PROTOCOL.md 3.2. */
const CRC_START = 21

export type Step = 'batch' | 'end' | 'bad'

export class BatchCursor {
  readonly #window: Buffer
  #file: DiskFile | null = null
  #windowStart = 0
  #windowEnd = 0
  #limit = 0
  /** Where in the file the current batch starts. */
  position = 0
  /** Size of the current batch, prefix included. */
  batchBytes = 0
  baseOffset = 0
  lastOffset = 0
  /** -Infinity in a batch that compaction has left without records: nobody finds one there by its time. */
  maxTimestampMs = 0

  constructor(windowBytes: number) {
    this.#window = Buffer.allocUnsafeSlow(windowBytes)
  }

  /** Starts a walk over file[position, limit). */
  start(file: DiskFile, position: number, limit: number): this {
    this.#file = file
    this.#windowStart = 0
    this.#windowEnd = 0
    this.#limit = limit
    this.position = position
    this.batchBytes = 0
    return this
  }

  /** Moves behind the current batch. */
  next(): Step {
    this.position += this.batchBytes
    return this.look()
  }

  /** Reads the header at `position`. `bad`: nothing that could be a whole batch starts here. */
  look(): Step {
    this.batchBytes = 0
    const left = this.#limit - this.position
    if (left <= 0) return 'end'
    if (left < BATCH_HEADER_BYTES || !this.#hold(BATCH_HEADER_BYTES)) return 'bad'
    const bytes = this.#window
    const at = this.position - this.#windowStart
    const batchBytes = batchBytesAt(bytes, at)
    const delta = lastOffsetDeltaAt(bytes, at)
    if (batchBytes < BATCH_HEADER_BYTES || batchBytes > left || magicAt(bytes, at) !== 2)
      return 'bad'
    const count = recordCountAt(bytes, at)
    if (delta < 0 || count < 0 || count > delta + 1) return 'bad'
    const baseOffset = baseOffsetAt(bytes, at)
    if (baseOffset < 0) return 'bad'
    this.batchBytes = batchBytes
    this.baseOffset = baseOffset
    this.lastOffset = baseOffset + delta
    this.maxTimestampMs = count === 0 ? Number.NEGATIVE_INFINITY : maxTimestampAt(bytes, at)
    return 'batch'
  }

  /** The window; the current batch's header lies at `headerAt`. */
  get bytes(): Buffer {
    return this.#window
  }

  get headerAt(): number {
    return this.position - this.#windowStart
  }

  /** Moves to any byte of the file: recovery searches for batches behind a bad one. */
  moveTo(position: number): void {
    this.position = position
    this.batchBytes = 0
  }

  /** Records the current batch holds: fewer than its offsets span where compaction took some out. */
  get recordCount(): number {
    return recordCountAt(this.#window, this.headerAt)
  }

  get leaderEpoch(): number {
    return leaderEpochAt(this.#window, this.headerAt)
  }

  /** Reads the whole current batch into `into`, which has its size; false when the file ends before. */
  copyBatch(into: Uint8Array): boolean {
    return readFully(this.#file!, into, this.position) === into.length
  }

  crcMatches(): boolean {
    this.#hold(BATCH_HEADER_BYTES)
    const stored = crcAt(this.#window, this.headerAt)
    const end = this.position + this.batchBytes
    let crc = 0
    let from = this.position + CRC_START
    while (from < end) {
      if (!this.#holdFrom(from, Math.min(end - from, this.#window.length))) return false
      const to = Math.min(end, this.#windowEnd)
      crc = crc32c(this.#window.subarray(from - this.#windowStart, to - this.#windowStart), crc)
      from = to
    }
    return crc === stored
  }

  #hold(bytes: number): boolean {
    return this.#holdFrom(this.position, bytes)
  }

  /** Makes sure the window holds file[from, from + bytes); false when the file ends before. */
  #holdFrom(from: number, bytes: number): boolean {
    if (from >= this.#windowStart && from + bytes <= this.#windowEnd) return true
    const want = Math.min(this.#window.length, this.#limit - from)
    const got = readFully(this.#file!, this.#window.subarray(0, Math.max(0, want)), from)
    this.#windowStart = from
    this.#windowEnd = from + got
    return got >= bytes
  }
}

let shared: BatchCursor | null = null

/** The thread's own cursor with a 64 KiB window, for short walks that end before anybody else can start one. */
export function sharedCursor(): BatchCursor {
  shared ??= new BatchCursor(64 * 1024)
  return shared
}
