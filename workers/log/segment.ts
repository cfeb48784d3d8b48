/**
 * The files of one base offset: records, sparse offset index, sparse time index. Owner thread only.
 *
 *   position 0                                            sizeBytes
 *   | batch | batch | ... | batch | batch | batch | batch |  bytes of a round not yet counted  |
 *
 * Bytes are written first (`write`) and counted when the whole round is in (`addBatch`), so a round that fails leaves
 * nothing but bytes to cut off. Of a sealed segment nothing is known until somebody asks: a thousand logs open fast.
 */
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import { CheckedRanges } from './checked-ranges.ts'
import { codedError, logFilePath, unlinkIfThere, writeFully, writeGatheredFully } from './files.ts'
import { type Closable, sealedFiles } from './open-files.ts'
import { scanSegment } from './scan-segment.ts'
import { SegmentIndexes } from './segment-indexes.ts'
import { type Steps, synced } from './steps.ts'

const UNKNOWN = -1
/** The default of segment.index.bytes; entries behind it are read when they are needed. */
const INDEX_BYTES_MAX = 10 * 1024 * 1024

/** Where the three files of a segment are. */
export interface SegmentPaths {
  readonly log: string
  readonly index: string
  readonly timeindex: string
}

export function segmentPaths(directory: string, baseOffset: number): SegmentPaths {
  return {
    log: logFilePath(directory, baseOffset, 'log'),
    index: logFilePath(directory, baseOffset, 'index'),
    timeindex: logFilePath(directory, baseOffset, 'timeindex'),
  }
}

export class Segment implements Closable {
  readonly baseOffset: number
  readonly #disk: Disk
  #paths: SegmentPaths
  readonly #indexIntervalBytes: number
  /** Offsets may be missing in here below this one: compaction. */
  readonly #gapsBelowOffset: number
  /** What has been checked since this process knows the file. */
  readonly checked = new CheckedRanges()
  /** Reads that the disk failed. */
  readFailures = 0
  /** Null until somebody looks something up. */
  #indexes: SegmentIndexes | null = null
  /** No look-up was led astray by them: they lie in files, which rot, whoever wrote them. */
  #areIndexesTrusted = true
  /** They lie under temporary names: what was built anew while the log serves is not synced. */
  #areIndexesTemporary = false
  #file: DiskFile | null = null
  /** Pinned: the active segment and those that await a sync. The thread's limit does not close their files. */
  #pinned = false
  #sizeBytes = UNKNOWN
  /** Building the indexes anew met bytes that hold no batch of this log. */
  hasRot = false
  /** On the monotonic clock, as far as known: for rolling by age. */
  bornMs = 0
  /** When this process appended to it last, on both clocks; -1 when only an earlier one did. */
  lastAppendWallMs = -1
  lastAppendMonotonicMs = -1
  #modifiedMs: number | null = null
  /** Bytes that a finished sync covers, and those that the sync in flight covers. */
  syncedBytes = 0
  syncingBytes = 0
  /** Size that the index files stood for when they were synced for a clean stop. */
  #keptBytes = -1
  /** The last round that synced it has synced its index files as well. */
  isSyncedSealed = false

  /** Touches no file. `paths`: where the files are until `movedTo`, when they have other names than usual. */
  constructor(
    disk: Disk,
    directory: string,
    baseOffset: number,
    indexIntervalBytes: number,
    gapsBelowOffset = 0,
    paths = segmentPaths(directory, baseOffset),
  ) {
    this.#gapsBelowOffset = gapsBelowOffset
    this.#disk = disk
    this.baseOffset = baseOffset
    this.#paths = paths
    this.#indexIntervalBytes = indexIntervalBytes
  }

  get path(): string {
    return this.#paths.log
  }

  /** The files were renamed; an open descriptor stays good. */
  movedTo(paths: SegmentPaths): void {
    this.#paths = paths
    if (!this.#areIndexesTemporary) this.#indexes?.movedTo(paths.index, paths.timeindex)
  }

  /** Creates the log file, or takes over an empty one that a crash or a failed roll left. */
  create(): void {
    if (this.#disk.exists(this.path)) {
      const file = this.#disk.open(this.path, 'r+')
      if (file.sizeBytes() !== 0) {
        file.close()
        throw codedError('EEXIST', `${this.path} is in the way of a new segment`)
      }
      this.#file = file
    } else {
      this.#file = this.#disk.open(this.path, 'wx')
    }
    this.#pinned = true
    this.#sizeBytes = 0
    this.#indexes = this.#newIndexes()
  }

  /** Opens the file for appending; all of its bytes are taken for synced. */
  openActive(): void {
    this.closeFile()
    this.#file = this.#disk.open(this.path, 'r+')
    this.#pinned = true
    this.#sizeBytes = this.#file.sizeBytes()
    this.syncedBytes = this.#sizeBytes
  }

  /** The records' file, opened when needed. */
  file(): DiskFile {
    if (this.#pinned) return this.#file!
    sealedFiles.used(this)
    this.#file ??= this.#disk.open(this.path, 'r')
    return this.#file
  }

  /** Nothing is appended and nothing awaits a sync any more: the descriptor may go when others need it. */
  unpin(): void {
    if (!this.#pinned) return
    this.#pinned = false
    if (this.#file !== null) sealedFiles.used(this)
  }

  closeFile(): void {
    sealedFiles.forget(this)
    this.#pinned = false
    this.#file?.close()
    this.#file = null
  }

  /** Counted bytes. */
  get sizeBytes(): number {
    if (this.#sizeBytes === UNKNOWN) this.#sizeBytes = this.file().sizeBytes()
    return this.#sizeBytes
  }

  /** Of a segment that is not written any more: when its file was, on the wall clock. */
  get modifiedMs(): number {
    this.#modifiedMs ??= this.#disk.modifiedMs(this.path)
    return this.#modifiedMs
  }

  /** Writes without counting; throws as the disk does, with some of the bytes perhaps written. */
  write(bytes: Uint8Array, position: number): number {
    writeFully(this.#file!, bytes, position)
    return bytes.length
  }

  /** As `write` of all views behind each other, in one call. Returns their bytes. */
  writeGathered(views: readonly Uint8Array[], position: number): number {
    return writeGatheredFully(this.#file!, views, position)
  }

  /** Counts one written batch and indexes it when an entry is due. */
  addBatch(batchBytes: number, lastOffset: number, maxTimestampMs: number): void {
    const position = this.#sizeBytes
    this.indexes.add(position, batchBytes, lastOffset, maxTimestampMs)
    this.#sizeBytes = position + batchBytes
    this.checked.add(position, this.#sizeBytes)
  }

  /** The last of some batches was added at these times. */
  appended(wallMs: number, monotonicMs: number): void {
    this.lastAppendWallMs = wallMs
    this.lastAppendMonotonicMs = monotonicMs
  }

  /** Cuts off what a failed round wrote. */
  truncateToCounted(): void {
    this.#file!.truncate(this.#sizeBytes)
  }

  /** The indexes, read from their files on first use; built anew when those are missing or cannot be right. */
  get indexes(): SegmentIndexes {
    if (this.#indexes !== null) return this.#indexes
    const indexes = this.#newIndexes()
    const isLoaded = indexes.load(this.sizeBytes)
    // Kept only once it is whole: the disk may fail on the way, and who asks next begins anew.
    this.#indexes = isLoaded ? indexes : this.#rebuildIndexes()
    return this.#indexes
  }

  /** They may say anything, and nobody has found out. */
  get areIndexesTrusted(): boolean {
    return this.#areIndexesTrusted
  }

  /** Whether they are there is known, and the largest timestamp. */
  get hasIndexes(): boolean {
    return this.#indexes !== null
  }

  /** Brings what a look-up reads into memory, so that it does not wait for the disk. `done` is called once, later. */
  startTouchIndexes(done: () => void): void {
    const disk = this.#disk
    const { log, index, timeindex } = this.#paths
    disk.startTouchFile(log, 0, () => {
      disk.startTouchFile(index, INDEX_BYTES_MAX, () => {
        disk.startTouchFile(timeindex, INDEX_BYTES_MAX, done)
      })
    })
  }

  /** A look-up led astray: builds the indexes anew, unless that has been done. Returns whether it was worth a try. */
  distrustIndexes(): boolean {
    if (!this.#areIndexesTrusted) return false
    this.#areIndexesTrusted = false
    this.#indexes = null
    this.#indexes = this.#rebuildIndexes()
    return true
  }

  /** Built anew, they led to what was looked for: it was their fault, and not that of the records. */
  trustIndexes(): void {
    this.#areIndexesTrusted = true
  }

  #newIndexes(ending = ''): SegmentIndexes {
    const { index, timeindex } = this.#paths
    return new SegmentIndexes(
      this.#disk,
      this.baseOffset,
      index + ending,
      timeindex + ending,
      this.#indexIntervalBytes,
    )
  }

  /**
   * Walks the headers and writes both indexes anew. Those of a sealed segment get names that the next start drops: it
   * would believe what a power cut left of them.
   */
  #rebuildIndexes(): SegmentIndexes {
    for (const path of this.#indexPaths) unlinkIfThere(this.#disk, path)
    this.#keptBytes = -1
    this.#areIndexesTemporary = !this.#pinned
    const indexes = this.#newIndexes(this.#areIndexesTemporary ? '.tmp' : '')
    const { rottenBytes } = scanSegment({
      disk: this.#disk,
      path: this.path,
      firstOffset: this.baseOffset,
      provenOffset: Number.MAX_SAFE_INTEGER,
      checkFromOffset: Number.MAX_SAFE_INTEGER,
      gapsBelowOffset: this.#gapsBelowOffset,
      onBatch: (cursor, isBehindRot) => indexes.addAtCursor(cursor, isBehindRot),
    })
    indexes.save()
    this.hasRot = rottenBytes > 0
    if (this.hasRot) indexes.bytesSinceEntry = Number.POSITIVE_INFINITY
    return indexes
  }

  /** Saves the indexes if anything was added; they are caches, so a failure costs a rebuild, no data. */
  saveIndexes(): void {
    this.#indexes?.save()
  }

  /**
   * Its index files, to be synced once it is sealed: they are believed after a crash. A file that does not open now is
   * removed instead, and built anew by whoever needs it. Throws as the disk does.
   */
  openIndexFiles(): DiskFile[] {
    const files: DiskFile[] = []
    for (const path of this.#indexPaths) {
      if (!this.#disk.exists(path)) continue
      try {
        files.push(this.#disk.open(path, 'r'))
      } catch {
        this.#disk.unlink(path)
        this.#indexes = null
      }
    }
    return files
  }

  /** Blocks; before a clean stop. */
  syncIndexes(): void {
    for (const file of this.openIndexFiles()) {
      try {
        file.sync()
      } finally {
        file.close()
      }
    }
  }

  /** At a clean stop: the next start believes them. Those of a log that was only read are as they were. */
  *keepIndexes(isRecovered: boolean): Steps<boolean> {
    this.saveIndexes()
    if (this.lastAppendWallMs < 0 && !isRecovered) return true
    if (this.#keptBytes === this.sizeBytes) return true
    const files: DiskFile[] = []
    try {
      files.push(...this.openIndexFiles())
      yield* synced(files)
      this.#keptBytes = this.sizeBytes
      return true
    } catch {
      return false
    } finally {
      for (const file of files) file.close()
    }
  }

  /** Gives the room of its index files back, which are caches. False when there was none. Throws as the disk does. */
  dropIndexes(): boolean {
    const paths = this.#indexPaths.filter(path => this.#disk.exists(path))
    if (paths.length > 0) this.#indexes = null
    for (const path of paths) this.#disk.unlink(path)
    return paths.length > 0
  }

  get #indexPaths(): readonly string[] {
    return [this.#paths.index, this.#paths.timeindex]
  }

  /** Last offset of the batch at the position that `positionFor` gave; -1 when nothing is known of it. */
  foundLastOffset = -1

  /** Position of a batch at or before the one that holds `offset`. */
  positionFor(offset: number): number {
    this.foundLastOffset = -1
    if (offset <= this.baseOffset) return 0
    const position = this.indexes.offsets.positionFor(offset)
    if (position > 0) this.foundLastOffset = this.indexes.offsets.foundLastOffset
    return position
  }

  /** Closes it. Its files, the records last: what is left half-way is a segment, not an orphaned index. */
  leave(): string[] {
    this.closeFile()
    const indexes = this.#indexPaths
    const temporary = this.#areIndexesTemporary ? indexes.map(path => `${path}.tmp`) : []
    return [...temporary, ...indexes, this.path]
  }

  /** Removes it at once: a new one that is not wanted. */
  remove(): void {
    for (const path of this.leave()) unlinkIfThere(this.#disk, path)
  }
}
