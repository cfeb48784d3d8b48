/**
 * What recovery takes over from the index files of a large segment, so that it need not walk all of it. Owner threads
 * and recovery tasks.
 *
 *   .index      | entry | entry | entry | entry | ...
 *                                   ^ the last one below the proven offset; the scan starts at its batch, once checked
 *
 * An index is a cache and may be anything: entries out of order, or a batch that is not what its entry says, and the
 * segment is walked from its start. The files were not synced, and only their last entry is held against a batch, so:
 *
 *   torn by a power cut   sectors are as they were or zeros; a zero in a key is out of order, and nothing is taken over
 *   wrong otherwise       a read that an offset entry led astray finds another last offset there than the entry says:
 *                         the index is built anew (log-reader.ts), no answer is wrong. Of a time entry nobody can tell:
 *                         a look-up by time is as good as the file, as it is for sealed segments
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { BatchCursor } from './batch-cursor.ts'
import { logFilePath, replaceFile, temporaryPath } from './files.ts'
import type { SegmentIndexes } from './segment-indexes.ts'

/** Walking less than this is not worth a thought. */
const SKIPPED_BYTES_MIN = 256 * 1024
const OFFSET_ENTRY_BYTES = 8
const TIME_ENTRY_BYTES = 12

/** Fills `into` (new, temporary) with the entries below; returns where the scan begins, or null for the start. */
export function seedIndexes(
  disk: Disk,
  directory: string,
  baseOffset: number,
  belowOffset: number,
  into: SegmentIndexes,
): { readonly position: number; readonly offset: number } | null {
  try {
    const entries = disk.readFile(logFilePath(directory, baseOffset, 'index'))
    const relativeMax = belowOffset - 1 - baseOffset
    const count = countBelow(entries, offsetEntries, relativeMax)
    if (count <= 0) return null
    const at = (count - 1) * OFFSET_ENTRY_BYTES
    const lastRelative = entries.readInt32BE(at)
    const position = entries.readInt32BE(at + 4)
    if (position < SKIPPED_BYTES_MIN) return null
    const times = disk.readFile(logFilePath(directory, baseOffset, 'timeindex'))
    const timeCount = countBelow(times, timeEntries, lastRelative)
    const lastOffset = baseOffset + lastRelative
    const path = logFilePath(directory, baseOffset, 'log')
    const offset = timeCount < 0 ? -1 : baseOffsetOf(disk, path, position, lastOffset)
    if (offset < baseOffset) return null
    const timeBytes = times.subarray(0, timeCount * TIME_ENTRY_BYTES)
    replaceFile(
      disk,
      temporaryPath(directory, baseOffset, 'index'),
      entries.subarray(0, at + OFFSET_ENTRY_BYTES),
    )
    replaceFile(disk, temporaryPath(directory, baseOffset, 'timeindex'), timeBytes)
    if (into.load(Number.MAX_SAFE_INTEGER)) return { position, offset }
  } catch {
    // Then the whole segment is walked.
  }
  into.clear()
  return null
}

/**
 * Where a walk towards `belowOffset` may begin: the batch of the index's last entry below, once checked; null for the
 * start of the segment.
 */
export function scanStart(
  disk: Disk,
  directory: string,
  baseOffset: number,
  belowOffset: number,
): { readonly position: number; readonly offset: number } | null {
  try {
    const entries = disk.readFile(logFilePath(directory, baseOffset, 'index'))
    const count = countBelow(entries, offsetEntries, belowOffset - 1 - baseOffset)
    if (count <= 0) return null
    const at = (count - 1) * OFFSET_ENTRY_BYTES
    const position = entries.readInt32BE(at + 4)
    const path = logFilePath(directory, baseOffset, 'log')
    const offset = baseOffsetOf(disk, path, position, baseOffset + entries.readInt32BE(at))
    return offset < baseOffset ? null : { position, offset }
  } catch {
    // The walk meets a disk that cannot read, and says so.
    return null
  }
}

/** Where an entry has its offset, and its other key: both rise from one entry to the next. */
interface EntryLayout {
  readonly bytes: number
  readonly offsetAt: number
  keyAt(entries: Buffer, at: number): number
}

const offsetEntries: EntryLayout = {
  bytes: OFFSET_ENTRY_BYTES,
  offsetAt: 0,
  keyAt: (entries, at) => entries.readInt32BE(at + 4),
}

const timeEntries: EntryLayout = {
  bytes: TIME_ENTRY_BYTES,
  offsetAt: 8,
  keyAt: (entries, at) => entries.readInt32BE(at) * 2 ** 32 + entries.readUInt32BE(at + 4),
}

/** How many entries have an offset of at most `relativeMax`; -1 when those are not in order. */
function countBelow(entries: Buffer, layout: EntryLayout, relativeMax: number): number {
  let before = -1
  let keyBefore = -1
  let count = 0
  for (let at = 0; at + layout.bytes <= entries.length; at += layout.bytes) {
    const relative = entries.readInt32BE(at + layout.offsetAt)
    if (relative > relativeMax) break
    const key = layout.keyAt(entries, at)
    if (relative <= before || key <= keyBefore) return -1
    before = relative
    keyBefore = key
    count++
  }
  return count
}

/** Base offset of the batch at `position`, if it is whole and ends with `lastOffset`; else -1. */
function baseOffsetOf(disk: Disk, path: string, position: number, lastOffset: number): number {
  const file = disk.open(path, 'r')
  try {
    const cursor = new BatchCursor(64 * 1024).start(file, position, file.sizeBytes())
    const isRight = cursor.look() === 'batch' && cursor.lastOffset === lastOffset
    return isRight && cursor.crcMatches() ? cursor.baseOffset : -1
  } finally {
    file.close()
  }
}
