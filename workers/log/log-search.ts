/**
 * Looks batches up by time (ListOffsets). Owner thread only. Only headers are read: what producers put there is
 * believed (PROTOCOL.md 3.2 point 4), and the caller decodes the one batch that is found.
 */
import { sharedCursor } from './batch-cursor.ts'
import { readFully } from './files.ts'
import { floorSegment, type Readable, type ReadPlace } from './log-reader.ts'
import type { BatchLocation } from './results.ts'
import type { Segment } from './segment.ts'

/**
 * The first readable batch that reaches `fromOffset` or beyond (with `wholly`: begins there or beyond) and has a
 * largest timestamp of `timestampMs` or later.
 */
export function findByTime(
  log: Readable,
  timestampMs: number,
  fromOffset: number,
  wholly: boolean,
): BatchLocation | null {
  const { segments } = log
  for (let index = floorSegment(segments, fromOffset); index < segments.length; index++) {
    const segment = segments[index]
    const limit = log.readableBytes(segment)
    if (limit === 0 || segment.indexes.maxTimestampMs < timestampMs) continue
    const endOffset = endOf(segments, index)
    const found = findInSegment(segment, limit, endOffset, timestampMs, fromOffset, wholly)
    if (found !== null) return found
  }
  return null
}

/** What a segment holds beyond the start of the next one is not part of the log. */
function endOf(segments: readonly Segment[], index: number): number {
  return segments[index + 1]?.baseOffset ?? Number.POSITIVE_INFINITY
}

function findInSegment(
  segment: Segment,
  limit: number,
  endOffset: number,
  timestampMs: number,
  fromOffset: number,
  wholly: boolean,
): BatchLocation | null {
  const position = startOfTime(segment, timestampMs, fromOffset)
  const cursor = sharedCursor().start(segment.file(), position, limit)
  while (cursor.next() === 'batch' && cursor.baseOffset < endOffset) {
    const offset = wholly ? cursor.baseOffset : cursor.lastOffset
    if (cursor.maxTimestampMs < timestampMs || offset < fromOffset) continue
    return {
      baseOffset: cursor.baseOffset,
      position: cursor.position,
      bytes: cursor.batchBytes,
      segment: segment.baseOffset,
    }
  }
  return null
}

function startOfTime(segment: Segment, timestampMs: number, fromOffset: number): number {
  const { times } = segment.indexes
  // Everything before that entry's batch is older than its timestamp, and that is at most what is looked for.
  const startOffset = times.floorByTime(timestampMs) ? times.foundOffset : segment.baseOffset
  return startOf(segment, Math.max(startOffset, fromOffset))
}

/** Of a batch at or before `offset`. An index that leads to another one is built anew: it is only a cache. */
function startOf(segment: Segment, offset: number): number {
  const position = segment.positionFor(offset)
  if (position === 0) return 0
  const lastOffset = segment.foundLastOffset
  const cursor = sharedCursor().start(segment.file(), position, segment.sizeBytes)
  if (cursor.look() === 'batch' && cursor.lastOffset === lastOffset) return position
  return segment.distrustIndexes() ? segment.positionFor(offset) : 0
}

/** Where `findByTime` reads first; null when that is nowhere. Throws as the disk does. */
export function placeOfTime(
  log: Readable,
  timestampMs: number,
  fromOffset: number,
): ReadPlace | null {
  const { segments } = log
  for (let index = floorSegment(segments, fromOffset); index < segments.length; index++) {
    const segment = segments[index]
    const isOlder = segment.indexes.maxTimestampMs < timestampMs
    if (isOlder || log.readableBytes(segment) === 0) continue
    const position = startOfTime(segment, timestampMs, fromOffset)
    return { segment, file: segment.file(), position }
  }
  return null
}

/** The first readable batch with the largest timestamp; `fromOffset` and `wholly` as in `findByTime`. */
export function findMaxTimestamp(
  log: Readable,
  fromOffset: number,
  wholly: boolean,
): BatchLocation | null {
  const { segments } = log
  let best: BatchLocation | null = null
  let bestMs = Number.NEGATIVE_INFINITY
  for (let index = floorSegment(segments, fromOffset); index < segments.length; index++) {
    const segment = segments[index]
    const limit = log.readableBytes(segment)
    if (limit === 0) continue
    const isWhole = limit === segment.sizeBytes
    if (isWhole && best !== null && segment.indexes.maxTimestampMs <= bestMs) continue
    const startOffset = Math.max(startOfMax(segment, limit), fromOffset)
    const cursor = sharedCursor().start(segment.file(), startOf(segment, startOffset), limit)
    const endOffset = endOf(segments, index)
    while (cursor.next() === 'batch' && cursor.baseOffset < endOffset) {
      const offset = wholly ? cursor.baseOffset : cursor.lastOffset
      if (cursor.maxTimestampMs <= bestMs || offset < fromOffset) continue
      bestMs = cursor.maxTimestampMs
      best = {
        baseOffset: cursor.baseOffset,
        position: cursor.position,
        bytes: cursor.batchBytes,
        segment: segment.baseOffset,
      }
      if (isWhole && bestMs === segment.indexes.maxTimestampMs) break
    }
  }
  return best
}

/** An offset before which no batch of file[0, limit) has the largest timestamp of that range. */
function startOfMax(segment: Segment, limit: number): number {
  const { indexes, baseOffset } = segment
  if (limit === segment.sizeBytes) return Math.max(indexes.maxTimestampOffset, baseOffset)
  // The newest time entry that speaks of readable batches only; newer batches can but exceed it.
  const lastIndexed = indexes.offsets.lastOffsetBelow(limit)
  if (lastIndexed < 0 || !indexes.times.floorByOffset(lastIndexed)) return baseOffset
  return indexes.times.foundOffset
}

/** Reads one whole batch into the start of `into`; returns its size, or 0 when it is gone or does not fit. */
export function readBatch(
  segments: readonly Segment[],
  location: BatchLocation,
  into: Uint8Array,
): number {
  const segment = segments[floorSegment(segments, location.segment)]
  if (segment.baseOffset !== location.segment || location.bytes > into.length) return 0
  const got = readFully(segment.file(), into.subarray(0, location.bytes), location.position)
  return got === location.bytes ? got : 0
}
