/**
 * Writes the file that will stand for a range of segments (`<base>-<end>.log.cleaned`, see swap.ts) and, under
 * temporary names, its indexes. Compaction tasks. Nothing else sees the files before the owner has renamed them.
 */
import type { Disk, DiskFile } from '../../../src/contracts/disk.ts'
import { lastOffsetAt, maxTimestampAt, recordCountAt } from '../../../src/protocol/record-batch.ts'
import { codedError, syncFile, unlinkIfThere, writeFully } from '../files.ts'
import { SegmentIndexes } from '../segment-indexes.ts'
import { cleanedPath, type SwapRange } from '../swap.ts'

const CHUNK_BYTES = 256 * 1024
/** Written between two syncs: the flushes of producers wait behind what is under way to the disk. */
const SYNC_BYTES = 2 * 1024 * 1024
/** Positions in an index are signed 32-bit numbers. */
const POSITION_MAX = 2 ** 31 - 1

/** Where a task leaves the indexes of a range; removed on open as everything with this ending is. */
export function cleanedIndexPath(
  directory: string,
  range: SwapRange,
  kind: 'index' | 'timeindex',
): string {
  return cleanedPath(directory, range).replace(/log\.cleaned$/, `${kind}.tmp`)
}

/** Removes what a task has made for the range, as far as it is there. */
export function dropCleaned(disk: Disk, directory: string, range: SwapRange): void {
  unlinkIfThere(disk, cleanedPath(directory, range))
  unlinkIfThere(disk, cleanedIndexPath(directory, range, 'index'))
  unlinkIfThere(disk, cleanedIndexPath(directory, range, 'timeindex'))
}

export class CleanedFile {
  readonly #file: DiskFile
  readonly #disk: Disk
  readonly #indexPaths: readonly [index: string, timeindex: string]
  readonly #indexes: SegmentIndexes
  readonly #pace: (bytes: number) => void
  readonly #pending = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  #pendingBytes = 0
  #position = 0
  #unsyncedBytes = 0

  /** Throws EEXIST when the file is there: somebody else is at work on the same range. */
  constructor(
    disk: Disk,
    directory: string,
    range: SwapRange,
    indexIntervalBytes: number,
    pace: (bytes: number) => void,
  ) {
    this.#pace = pace
    this.#disk = disk
    this.#file = disk.open(cleanedPath(directory, range), 'wx')
    this.#indexPaths = [
      cleanedIndexPath(directory, range, 'index'),
      cleanedIndexPath(directory, range, 'timeindex'),
    ]
    const { baseOffset } = range
    this.#indexes = new SegmentIndexes(disk, baseOffset, ...this.#indexPaths, indexIntervalBytes)
  }

  add(batch: Buffer): void {
    if (this.sizeBytes + batch.length > POSITION_MAX) {
      throw codedError('EFBIG', `${this.#file.path} would not fit its index`)
    }
    // Nobody finds a record by the time of a batch that holds none.
    const timestampMs = recordCountAt(batch, 0) === 0 ? -1 : maxTimestampAt(batch, 0)
    this.#indexes.add(this.sizeBytes, batch.length, lastOffsetAt(batch, 0), timestampMs)
    if (this.#pendingBytes + batch.length > CHUNK_BYTES) this.#flush()
    if (batch.length > CHUNK_BYTES) {
      this.#write(batch)
    } else {
      batch.copy(this.#pending, this.#pendingBytes)
      this.#pendingBytes += batch.length
    }
  }

  get sizeBytes(): number {
    return this.#position + this.#pendingBytes
  }

  #flush(): void {
    this.#write(this.#pending.subarray(0, this.#pendingBytes))
    this.#pendingBytes = 0
  }

  #write(bytes: Buffer): void {
    if (bytes.length === 0) return
    writeFully(this.#file, bytes, this.#position)
    this.#position += bytes.length
    this.#unsyncedBytes += bytes.length
    if (this.#unsyncedBytes >= SYNC_BYTES) {
      this.#file.sync()
      this.#unsyncedBytes = 0
    }
    this.#pace(bytes.length)
  }

  /** Makes the records durable, and the indexes: those of a sealed segment are believed after a crash. */
  finish(): void {
    this.#flush()
    this.#file.sync()
    this.#indexes.save()
    for (const path of this.#indexPaths) syncFile(this.#disk, path)
    this.close()
  }

  close(): void {
    this.#file.close()
  }
}
