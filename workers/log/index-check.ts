/**
 * Holds the two index files of a segment against its batches, entry by entry, while somebody walks them. Pool threads.
 *
 *   .index      (last offset, position)   a batch starts at that position and ends with that offset
 *   .timeindex  (timestamp, offset)       the batch with that offset has that largest timestamp, none before a larger
 *
 * Apache Kafka fills the files of an active segment with zeros: entries of zeros behind the first end the file.
 */
import type { Disk } from '../../src/contracts/disk.ts'
import type { BatchCursor } from './batch-cursor.ts'
import { fileName, logFilePath } from './files.ts'

const OFFSET_ENTRY_BYTES = 8
const TIME_ENTRY_BYTES = 12

export class IndexCheck {
  readonly #baseOffset: number
  readonly #offsets: Buffer | null
  readonly #times: Buffer | null
  #offsetAt = 0
  #timeAt = 0
  #maxTimestampMs = -1
  readonly #problems: string[] = []

  constructor(disk: Disk, directory: string, baseOffset: number) {
    this.#baseOffset = baseOffset
    this.#offsets = this.#load(disk, directory, 'index', OFFSET_ENTRY_BYTES)
    this.#times = this.#load(disk, directory, 'timeindex', TIME_ENTRY_BYTES)
  }

  /** The walk has met this batch. */
  batch({ position, baseOffset, lastOffset, maxTimestampMs }: BatchCursor): void {
    this.#maxTimestampMs = Math.max(this.#maxTimestampMs, maxTimestampMs)
    const offsets = this.#offsets
    if (offsets !== null && this.#offsetAt < offsets.length) {
      const isHere = offsets.readInt32BE(this.#offsetAt + 4) === position
      if (isHere && offsets.readInt32BE(this.#offsetAt) + this.#baseOffset === lastOffset) {
        this.#offsetAt += OFFSET_ENTRY_BYTES
      }
    }
    const times = this.#times
    while (times !== null && this.#timeAt < times.length) {
      const offset = times.readInt32BE(this.#timeAt + 8) + this.#baseOffset
      if (offset < baseOffset || offset > lastOffset) break
      if (Number(times.readBigInt64BE(this.#timeAt)) !== this.#maxTimestampMs) break
      this.#timeAt += TIME_ENTRY_BYTES
    }
  }

  /** All batches have been met: what does not fit, a line each. */
  finish(): string[] {
    this.#unmatched(this.#offsets, this.#offsetAt, OFFSET_ENTRY_BYTES, 'index')
    this.#unmatched(this.#times, this.#timeAt, TIME_ENTRY_BYTES, 'timeindex')
    return this.#problems
  }

  #unmatched(
    entries: Buffer | null,
    at: number,
    entryBytes: number,
    suffix: 'index' | 'timeindex',
  ): void {
    if (entries === null || at >= entries.length) return
    const isFill = entries.subarray(at).every(byte => byte === 0)
    if (isFill) return
    const name = fileName(this.#baseOffset, suffix)
    this.#problems.push(
      `${name}: entry ${at / entryBytes} fits no batch; it is rebuilt when it is next used`,
    )
  }

  #load(
    disk: Disk,
    directory: string,
    suffix: 'index' | 'timeindex',
    entryBytes: number,
  ): Buffer | null {
    const path = logFilePath(directory, this.#baseOffset, suffix)
    if (!disk.exists(path)) {
      this.#problems.push(
        `${fileName(this.#baseOffset, suffix)} is missing; it is rebuilt when it is needed`,
      )
      return null
    }
    const bytes = disk.readFile(path)
    if (bytes.length % entryBytes === 0) return bytes
    this.#problems.push(
      `${fileName(this.#baseOffset, suffix)} has ${bytes.length} bytes, no whole entries; it is rebuilt`,
    )
    return null
  }
}
