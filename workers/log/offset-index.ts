/**
 * Sparse offset index of one segment, in Kafka's format. Owner threads and recovery tasks.
 * File = 8-byte entries, oldest first, big-endian:
 *
 *   | relative offset i32: LAST offset of a batch, minus the segment's base | position i32 of that batch |
 *
 * About one entry per `indexIntervalBytes`. A look-up gives the greatest entry at or below the target: the batch that
 * holds the target starts there or later.
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { EntryFile, found } from './entry-file.ts'

const ENTRY_BYTES = 8
const relativeOffsetAt = (bytes: Buffer, at: number): number => bytes.readInt32BE(at)
const positionAt = (bytes: Buffer, at: number): number => bytes.readInt32BE(at + 4)

export class OffsetIndex {
  readonly baseOffset: number
  readonly #entries: EntryFile

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

  /** Takes over the file; false when it cannot be an index of a log file of `logBytes` bytes (Kafka's sanity check). */
  load(logBytes: number): boolean {
    if (!this.#entries.load()) return false
    if (this.#entries.count === 0) return true
    this.#entries.entry(this.#entries.count - 1)
    const position = positionAt(found, 0)
    const sane = relativeOffsetAt(found, 0) >= 0 && position >= 0 && position < logBytes
    if (!sane) this.#entries.clear()
    return sane
  }

  append(lastOffset: number, position: number): void {
    const at = this.#entries.append()
    this.#entries.tail.writeInt32BE(lastOffset - this.baseOffset, at)
    this.#entries.tail.writeInt32BE(position, at + 4)
  }

  /** Last offset of the batch that the last look-up found. */
  get foundLastOffset(): number {
    return this.baseOffset + relativeOffsetAt(found, 0)
  }

  /** Position of a batch at or before the one that holds `offset`. */
  positionFor(offset: number): number {
    const index = this.#entries.floor(offset - this.baseOffset, relativeOffsetAt)
    return index < 0 ? 0 : positionAt(found, 0)
  }

  /** Position of the first indexed batch that ends at or behind `offset`; -1 when there is none. */
  positionBehind(offset: number): number {
    const index = this.#entries.floor(offset - 1 - this.baseOffset, relativeOffsetAt) + 1
    if (index >= this.#entries.count) return -1
    this.#entries.entry(index)
    return positionAt(found, 0)
  }

  /** Last offset of the newest indexed batch; -1 without entries. */
  lastOffset(): number {
    if (this.#entries.count === 0) return -1
    this.#entries.entry(this.#entries.count - 1)
    return this.baseOffset + relativeOffsetAt(found, 0)
  }

  /** Position of the newest indexed batch; 0 without entries. */
  lastPosition(): number {
    if (this.#entries.count === 0) return 0
    this.#entries.entry(this.#entries.count - 1)
    return positionAt(found, 0)
  }

  /** Last offset of the newest indexed batch that starts below `position`; -1 when there is none. */
  lastOffsetBelow(position: number): number {
    const index = this.#entries.floor(position - 1, positionAt)
    return index < 0 ? -1 : this.baseOffset + relativeOffsetAt(found, 0)
  }

  save(): boolean {
    return this.#entries.save()
  }

  clear(): void {
    this.#entries.clear()
  }

  movedTo(path: string): void {
    this.#entries.movedTo(path)
  }
}
