/**
 * Sparse time index of one segment, in Kafka's format. Owner threads and recovery tasks.
 * File = 12-byte entries, oldest first, big-endian, timestamps strictly rising:
 *
 *   | largest timestamp so far i64 | relative offset i32: LAST offset of the first batch that reached it |
 *
 * Every record before that batch is older than the entry's timestamp.
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { EntryFile, found } from './entry-file.ts'

const ENTRY_BYTES = 12
const timestampAt = (bytes: Buffer, at: number): number =>
  bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
const relativeOffsetAt = (bytes: Buffer, at: number): number => bytes.readInt32BE(at + 8)

export class TimeIndex {
  readonly baseOffset: number
  readonly #entries: EntryFile
  #lastTimestampMs = -1
  /** Of the entry the last look-up found. */
  foundTimestampMs = -1
  foundOffset = -1

  constructor(disk: Disk, path: string, baseOffset: number) {
    this.baseOffset = baseOffset
    this.#entries = new EntryFile(disk, path, ENTRY_BYTES)
  }

  get sizeBytes(): number {
    return this.#entries.sizeBytes
  }

  get count(): number {
    return this.#entries.count
  }

  /** Takes over the file; false when it cannot be a time index (Kafka's sanity check). */
  load(): boolean {
    if (!this.#entries.load()) return false
    this.#lastTimestampMs = -1
    if (this.#entries.count === 0) return true
    this.#entries.entry(0)
    const firstMs = timestampAt(found, 0)
    if (!this.last() || this.foundTimestampMs < firstMs || this.foundOffset < this.baseOffset) {
      this.#entries.clear()
      return false
    }
    this.#lastTimestampMs = this.foundTimestampMs
    return true
  }

  /** Appends unless the time has not grown since the last entry. */
  maybeAppend(timestampMs: number, lastOffset: number): void {
    if (timestampMs <= this.#lastTimestampMs) return
    const at = this.#entries.append()
    const { tail } = this.#entries
    tail.writeInt32BE(Math.floor(timestampMs / 2 ** 32), at)
    tail.writeUInt32BE(timestampMs % 2 ** 32, at + 4)
    tail.writeInt32BE(lastOffset - this.baseOffset, at + 8)
    this.#lastTimestampMs = timestampMs
  }

  /** Greatest entry at or below `timestampMs`, into `found…`. */
  floorByTime(timestampMs: number): boolean {
    return this.#report(this.#entries.floor(timestampMs, timestampAt) >= 0)
  }

  /** Greatest entry at or below `offset`, into `found…`. */
  floorByOffset(offset: number): boolean {
    return this.#report(this.#entries.floor(offset - this.baseOffset, relativeOffsetAt) >= 0)
  }

  /** Newest entry, into `found…`: the largest timestamp of a sealed segment. */
  last(): boolean {
    if (this.#entries.count === 0) return this.#report(false)
    this.#entries.entry(this.#entries.count - 1)
    return this.#report(true)
  }

  #report(isFound: boolean): boolean {
    this.foundTimestampMs = isFound ? timestampAt(found, 0) : -1
    this.foundOffset = isFound ? this.baseOffset + relativeOffsetAt(found, 0) : -1
    return isFound
  }

  /** A file that lacks its last entry, the largest timestamp, would hide records: none is left then. */
  save(): void {
    if (this.#entries.save()) return
    this.#entries.remove()
    this.#lastTimestampMs = -1
  }

  clear(): void {
    this.#entries.clear()
    this.#lastTimestampMs = -1
  }

  movedTo(path: string): void {
    this.#entries.movedTo(path)
  }
}
