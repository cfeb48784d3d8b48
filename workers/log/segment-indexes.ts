/**
 * The two sparse indexes of one segment and the rule for when an entry is due (Kafka's LogSegment): before a batch is
 * counted, if more than `intervalBytes` lie behind the last entry, the offset index gets (last offset, position) of
 * that batch and the time index the largest timestamp so far. Owner threads and recovery tasks.
 */
import type { Disk } from '../../src/contracts/disk.ts'
import type { BatchCursor } from './batch-cursor.ts'
import { OffsetIndex } from './offset-index.ts'
import { TimeIndex } from './time-index.ts'

export class SegmentIndexes {
  readonly offsets: OffsetIndex
  readonly times: TimeIndex
  intervalBytes: number
  /** Bytes behind the last entry; Infinity makes the next batch get one. */
  bytesSinceEntry = 0
  maxTimestampMs = -1
  /** Last offset of the first batch with `maxTimestampMs`. */
  maxTimestampOffset = -1

  constructor(
    disk: Disk,
    baseOffset: number,
    offsetIndexPath: string,
    timeIndexPath: string,
    intervalBytes: number,
  ) {
    this.offsets = new OffsetIndex(disk, offsetIndexPath, baseOffset)
    this.times = new TimeIndex(disk, timeIndexPath, baseOffset)
    this.intervalBytes = intervalBytes
  }

  add(position: number, batchBytes: number, lastOffset: number, maxTimestampMs: number): void {
    this.noteTimestamp(maxTimestampMs, lastOffset)
    if (this.bytesSinceEntry > this.intervalBytes) {
      this.offsets.append(lastOffset, position)
      this.times.maybeAppend(this.maxTimestampMs, this.maxTimestampOffset)
      this.bytesSinceEntry = 0
    }
    this.bytesSinceEntry += batchBytes
  }

  /** The same for a scan. The first batch behind a bad range gets an entry, so that readers can skip the range. */
  addAtCursor(cursor: BatchCursor, isBehindRot: boolean): void {
    if (isBehindRot) this.bytesSinceEntry = Number.POSITIVE_INFINITY
    this.add(cursor.position, cursor.batchBytes, cursor.lastOffset, cursor.maxTimestampMs)
  }

  noteTimestamp(maxTimestampMs: number, lastOffset: number): void {
    if (maxTimestampMs <= this.maxTimestampMs) return
    this.maxTimestampMs = maxTimestampMs
    this.maxTimestampOffset = lastOffset
  }

  /** True when either index has reached Kafka's segment.index.bytes. */
  isFull(indexBytesMax: number): boolean {
    return (
      (this.offsets.count > 0 && this.offsets.sizeBytes + 8 > indexBytesMax) ||
      (this.times.count > 0 && this.times.sizeBytes + 12 > indexBytesMax)
    )
  }

  /** Takes over both files; false when one is missing or cannot belong to a log file of `logBytes` bytes. */
  load(logBytes: number): boolean {
    try {
      if (!this.offsets.load(logBytes) || !this.times.load()) return false
    } catch {
      return false
    }
    if (this.times.last()) this.noteTimestamp(this.times.foundTimestampMs, this.times.foundOffset)
    return true
  }

  /** Writes both files whole, with a last time entry as Kafka does when a segment is sealed. */
  save(): void {
    if (this.maxTimestampMs >= 0) {
      this.times.maybeAppend(this.maxTimestampMs, this.maxTimestampOffset)
    }
    this.offsets.save()
    this.times.save()
  }

  /** The files were renamed. */
  movedTo(offsetIndexPath: string, timeIndexPath: string): void {
    this.offsets.movedTo(offsetIndexPath)
    this.times.movedTo(timeIndexPath)
  }

  clear(): void {
    this.offsets.clear()
    this.times.clear()
    this.bytesSinceEntry = 0
    this.maxTimestampMs = -1
    this.maxTimestampOffset = -1
  }
}
