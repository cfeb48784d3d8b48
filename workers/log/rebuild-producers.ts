/**
 * Producer state as of some offset, from the newest files and the batches behind them, checked. Reads only. Owner
 * threads and recovery tasks.
 *
 *   .window W              offset
 *      |---- batches ------->|        windows are whole, so five batches are known at any point behind W
 *
 * Without a window file (a directory that Apache Kafka wrote) Kafka's snapshot gives one batch per producer, and the
 * batches of the segments before it fill the windows up.
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { baseSequenceAt, producerIdAt } from '../../src/protocol/record-batch.ts'
import type { BatchCursor } from './batch-cursor.ts'
import { type Listing, logFilePath } from './files.ts'
import { decodeSnapshot, type ProducersAt } from './producer-files.ts'
import { ProducerState } from './producer-state.ts'
import { scanSegment } from './scan-segment.ts'

/** Without a window file this much log, in whole segments, is looked through for the last five batches of each. */
const REPLAY_BYTES_MIN = 256 * 1024 * 1024

/**
 * The state as of `offset`, or as of `window`, the newest window file, if that lies behind it. `nowMs` counts as the
 * time of last use where none is known, so that nobody is forgotten too early.
 */
export function rebuildProducers(
  disk: Disk,
  directory: string,
  listing: Listing,
  window: ProducersAt | null,
  offset: number,
  nowMs: number,
): ProducersAt {
  if (window !== null) {
    if (window.offset >= offset) return window
    replayHeaders(disk, directory, listing.log, window.offset, offset, window.producers, nowMs)
    return { producers: window.producers, offset }
  }
  const producers = new ProducerState()
  const snapshot = newestSnapshot(disk, directory, listing.snapshot, offset, nowMs)
  const start = snapshot === null ? 0 : replayStart(disk, directory, listing.log, snapshot.offset)
  replayHeaders(disk, directory, listing.log, start, offset, producers, nowMs)
  for (const [producerId, entry] of snapshot?.producers.entries ?? []) {
    const replayed = producers.entries.get(producerId)
    const isNewer = replayed === undefined || replayed.epoch < entry.epoch
    if (isNewer) producers.entries.set(producerId, entry)
  }
  return { producers, offset }
}

/** Base offset of the segment to begin with, so that a fair stretch of log before `offset` is replayed. */
function replayStart(
  disk: Disk,
  directory: string,
  baseOffsets: readonly number[],
  offset: number,
): number {
  let start = offset
  let bytes = 0
  for (const baseOffset of baseOffsets.toReversed()) {
    if (baseOffset > offset) continue
    start = baseOffset
    const file = disk.open(logFilePath(directory, baseOffset, 'log'), 'r')
    bytes += file.sizeBytes()
    file.close()
    if (bytes >= REPLAY_BYTES_MIN) break
  }
  return start
}

function newestSnapshot(
  disk: Disk,
  directory: string,
  offsets: readonly number[],
  offsetMax: number,
  nowMs: number,
): ProducersAt | null {
  for (const offset of offsets.toReversed()) {
    if (offset > offsetMax) continue
    try {
      const bytes = disk.readFile(logFilePath(directory, offset, 'snapshot'))
      const producers = decodeSnapshot(bytes, nowMs)
      if (producers !== null) return { producers, offset }
    } catch {
      // A cache: the one before, or the log itself, will do.
    }
  }
  return null
}

/** Adds the producers' batches with a base offset in [from, to). */
function replayHeaders(
  disk: Disk,
  directory: string,
  baseOffsets: readonly number[],
  from: number,
  to: number,
  producers: ProducerState,
  nowMs: number,
): void {
  for (const [index, baseOffset] of baseOffsets.entries()) {
    // What a segment holds beyond the start of the next one is not part of the log.
    const endOffset = baseOffsets[index + 1] ?? Number.POSITIVE_INFINITY
    if (endOffset <= from || baseOffset >= to) continue
    scanSegment({
      disk,
      path: logFilePath(directory, baseOffset, 'log'),
      firstOffset: baseOffset,
      endOffset: Math.min(to, endOffset),
      // Rot must neither end the walk nor invent a producer; offsets may be missing anywhere, by compaction.
      provenOffset: Number.MAX_SAFE_INTEGER,
      checkFromOffset: from,
      gapsBelowOffset: Number.MAX_SAFE_INTEGER,
      onBatch(cursor) {
        if (cursor.baseOffset >= from) replayBatch(cursor, producers, nowMs)
      },
    })
  }
  producers.confirm()
}

/** Adds the batch under the cursor if a producer with an id sent it. */
export function replayBatch(cursor: BatchCursor, producers: ProducerState, nowMs: number): void {
  const { bytes, headerAt } = cursor
  if (producerIdAt(bytes, headerAt) < 0 || baseSequenceAt(bytes, headerAt) < 0) return
  producers.append(bytes, headerAt, cursor.baseOffset, nowMs)
}
