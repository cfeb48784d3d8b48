/**
 * A file of fixed-size sorted entries, the base of both sparse indexes. Owner threads and recovery tasks.
 *
 *   on disk [0, saved)                             in memory [saved, count)
 *   | entry | entry | ... | entry |                | tail: at most one page |
 *
 * Only the unsaved tail costs memory, and no descriptor stays open: a thousand logs hold a few hundred bytes each.
 * Appends fill the tail and write it out one page at a time; a look-up on disk is a binary search over the first entry
 * of each page, then one page read, all out of the page cache. Sequential readers do not come here (read-hints.ts).
 *
 * An index is a cache: it has no checksum, recovery rebuilds it, and entries that cannot be written are dropped (the
 * index gets sparser, look-ups scan further).
 */
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import { createEmpty, readFully, unlinkIfThere, writeFully } from './files.ts'

/** Entries of a page: what one look-up reads and the most the tail holds. */
const PAGE_ENTRIES = 512
const FIRST_TAIL_ENTRIES = 16

const ENTRY_BYTES_MAX = 12

/** Look-ups on disk read into this; one per thread is enough, nothing keeps it across calls. */
const scratch = Buffer.allocUnsafeSlow(PAGE_ENTRIES * ENTRY_BYTES_MAX)
/** The entry that the last look-up of any index found: callers take it out at once. */
export const found = Buffer.allocUnsafeSlow(ENTRY_BYTES_MAX)

/** The key of the entry at byte `at`; keys never fall from one entry to the next. */
export type KeyAt = (bytes: Buffer, at: number) => number

export class EntryFile {
  readonly #disk: Disk
  #path: string
  readonly #entryBytes: number
  #count = 0
  #saved = 0
  #tail: Buffer | null = null
  /** True when the file does not hold exactly `count` entries. */
  #dirty: boolean
  /** A new index: the file appears when it is first written. */
  constructor(disk: Disk, path: string, entryBytes: number) {
    this.#disk = disk
    this.#path = path
    this.#entryBytes = entryBytes
    this.#dirty = true
  }

  get count(): number {
    return this.#count
  }

  get sizeBytes(): number {
    return this.#count * this.#entryBytes
  }

  /**
   * Takes over the file at the path. Returns false, and stays empty, when its size is no whole number of entries; what
   * the entries say is for the caller to check.
   */
  load(): boolean {
    const file = this.#disk.open(this.#path, 'r')
    try {
      const sizeBytes = file.sizeBytes()
      if (sizeBytes % this.#entryBytes !== 0) return false
      this.#count = sizeBytes / this.#entryBytes
      this.#saved = this.#count
      this.#dirty = false
      return true
    } finally {
      file.close()
    }
  }

  /** Makes room for one more entry; the caller writes it into `tail` at the returned byte. */
  append(): number {
    let tail = this.#tail
    const used = (this.#count - this.#saved) * this.#entryBytes
    if (tail === null) {
      tail = Buffer.allocUnsafeSlow(FIRST_TAIL_ENTRIES * this.#entryBytes)
      this.#tail = tail
    } else if (used === tail.length) {
      if (used === PAGE_ENTRIES * this.#entryBytes) {
        this.#saveTail()
        this.#count++
        this.#dirty = true
        return 0
      }
      const larger = Buffer.allocUnsafeSlow(tail.length * 2)
      tail.copy(larger)
      this.#tail = larger
    }
    this.#count++
    this.#dirty = true
    return used
  }

  /** Where `append` makes room. */
  get tail(): Buffer {
    return this.#tail!
  }

  /** Copies entry `index` into `found`. */
  entry(index: number): void {
    if (index >= this.#saved) {
      const at = (index - this.#saved) * this.#entryBytes
      this.#tail!.copy(found, 0, at, at + this.#entryBytes)
      return
    }
    const file = this.#disk.open(this.#path, 'r')
    try {
      this.#readEntry(file, index)
    } finally {
      file.close()
    }
  }

  /** Index of the greatest entry whose key is at or below `target`, which is copied into `found`; -1 without one. */
  floor(target: number, keyAt: KeyAt): number {
    const inTail = this.#count - this.#saved
    if (inTail > 0 && keyAt(this.#tail!, 0) <= target) {
      return this.#saved + this.#floorIn(this.#tail!, inTail, target, keyAt)
    }
    if (this.#saved === 0) return -1
    const file = this.#disk.open(this.#path, 'r')
    try {
      return this.#floorOnDisk(file, target, keyAt)
    } finally {
      file.close()
    }
  }

  #floorOnDisk(file: DiskFile, target: number, keyAt: KeyAt): number {
    let low = 0
    let high = Math.ceil(this.#saved / PAGE_ENTRIES) - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      this.#readEntry(file, middle * PAGE_ENTRIES)
      if (keyAt(found, 0) <= target) low = middle
      else high = middle - 1
    }
    const first = low * PAGE_ENTRIES
    const entries = Math.min(PAGE_ENTRIES, this.#saved - first)
    const page = scratch.subarray(0, entries * this.#entryBytes)
    const got = readFully(file, page, first * this.#entryBytes)
    const whole = Math.floor(got / this.#entryBytes)
    if (whole === 0 || keyAt(page, 0) > target) return -1
    return first + this.#floorIn(page, whole, target, keyAt)
  }

  #floorIn(page: Buffer, entries: number, target: number, keyAt: KeyAt): number {
    let low = 0
    let high = entries - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (keyAt(page, middle * this.#entryBytes) <= target) low = middle
      else high = middle - 1
    }
    page.copy(found, 0, low * this.#entryBytes, (low + 1) * this.#entryBytes)
    return low
  }

  #readEntry(file: DiskFile, index: number): void {
    readFully(file, found.subarray(0, this.#entryBytes), index * this.#entryBytes)
  }

  /** Writes the tail out. When that fails its entries are dropped. Returns false then. */
  #saveTail(): boolean {
    const tail = this.#tail
    if (tail === null || this.#count === this.#saved) return true
    try {
      const file = this.#openForWriting()
      try {
        const bytes = tail.subarray(0, (this.#count - this.#saved) * this.#entryBytes)
        writeFully(file, bytes, this.#saved * this.#entryBytes)
      } finally {
        file.close()
      }
    } catch {
      this.#count = this.#saved
      return false
    }
    this.#saved = this.#count
    return true
  }

  #openForWriting(): DiskFile {
    if (this.#saved === 0) return createEmpty(this.#disk, this.#path)
    return this.#disk.open(this.#path, 'r+')
  }

  /**
   * Makes the file hold exactly these entries and gives the tail's memory back. False when some could not be written
   * and were dropped, or when not even the file could be brought into shape.
   */
  save(): boolean {
    if (!this.#dirty) return true
    const isWhole = this.#saveTail()
    this.#tail = null
    try {
      const file = this.#openForWriting()
      try {
        file.truncate(this.sizeBytes)
      } finally {
        file.close()
      }
      this.#dirty = false
      return isWhole
    } catch {
      return false
    }
  }

  /** Forgets everything and takes the file away, so that the next run builds it anew. */
  remove(): void {
    this.clear()
    try {
      unlinkIfThere(this.#disk, this.#path)
    } catch {
      // Then the next run believes what there is.
    }
  }

  /** Forgets everything: the file is rebuilt from here on. */
  clear(): void {
    this.#count = 0
    this.#saved = 0
    this.#tail = null
    this.#dirty = true
  }

  /** The file was renamed (recovery builds indexes under temporary names). */
  movedTo(path: string): void {
    this.#path = path
  }
}
