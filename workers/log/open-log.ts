/**
 * Brings a log's directory into memory: creates it, or trusts it after a clean stop (sizes, last index entries, a walk
 * of at most an index interval), or recovers it. Owner thread only, in steps: a repair waits for syncs.
 *
 *   no segments -> first segment
 *   clean       -> last segment's tail walks to the end of its file?  yes: done    no: recover
 *   unclean     -> verdict (from the task, or scanned here) -> repair -> done
 */
import { dirname } from 'node:path'
import type { Clock } from '../../src/contracts/clock.ts'
import type { PartitionSpec, SegmentVerdict } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import { sharedCursor } from './batch-cursor.ts'
import { type Listing, listLog, logFilePath, temporaryPath, unlinkIfThere } from './files.ts'
import { type MarkOffsets, readMarks, removeUnfinishedMarks } from './marks.ts'
import { ensurePartitionMetadata } from './partition-metadata.ts'
import { newestWindow, readWindow } from './producer-files.ts'
import type { ProducerState } from './producer-state.ts'
import type { LostRange } from './quarantine.ts'
import { rebuildProducers } from './rebuild-producers.ts'
import { damageOf, gapsBelow, type Recovered, recoverLog } from './recovery.ts'
import { isCurrent, repairLog } from './repair.ts'
import { continues } from './scan-segment.ts'
import { Segment } from './segment.ts'
import { type Steps, synced } from './steps.ts'
import { finishSwaps } from './swap.ts'

type Env = { readonly disk: Disk; readonly clock: Clock }

export interface LoadedLog {
  /** At least one; the last one is open for appending. */
  readonly segments: Segment[]
  readonly logEndOffset: number
  /** As the file says, or as far as it can be told without; the log start is not below the first segment. */
  readonly marks: MarkOffsets
  /** The file is there and cannot be read, or says more than there is: it is to be written anew. */
  readonly areMarksBad: boolean
  readonly producers: ProducerState
  /** Of the window files, ascending. */
  readonly windowOffsets: readonly number[]
  /** Of Kafka's snapshot files. */
  readonly snapshotOffsets: readonly number[]
  /** Everything below is proven to be on disk by the segments. */
  readonly recoveryPoint: number
  /** The same by the journal of an owner that died; not below the recovery point. */
  readonly flushedEnd: number
  /** Where that is; null for the end of the log. */
  readonly flushedPlace: { readonly segment: Segment; readonly position: number } | null
  /** Segments that hold bytes which are not. */
  readonly unsynced: readonly Segment[]
  /** Sealed segments, proven, whose index files were made anew and are not synced. */
  readonly reindexed: readonly Segment[]
  /** Offsets that were synced once and are gone. */
  readonly rotten: readonly LostRange[]
  /** The active segment's name is not synced yet. */
  readonly isActiveNew: boolean
  /** Where the directory's own name is not synced yet. */
  readonly newParent: string | null
  /** Everything is proven up to the log end and no window file says so. */
  readonly isCheckpointDue: boolean
  /** Not proven, and checked; of these, cut off. */
  readonly recoveredBytes: number
  readonly truncatedBytes: number
}

/** Throws an Error with `code`: the file system's, or EBADTOPIC. */
export function* loadLog(spec: PartitionSpec, env: Env): Steps<LoadedLog> {
  const { disk } = env
  const { directory } = spec
  if (!disk.exists(directory)) disk.mkdir(directory)
  ensurePartitionMetadata(disk, directory, spec.topicId)
  const marks = readMarks(disk, directory)
  removeUnfinishedMarks(disk, directory)
  yield* finishSwaps(disk, directory)
  const listing = listLog(disk, directory)
  const noted = spec.logStart ?? 0
  const marked = {
    logStart: typeof marks === 'string' ? noted : Math.max(marks.logStart, noted),
    gapsBelow: gapsBelow(marks),
  }
  // The rename of the marks may be known to this process only: nothing goes or is served before it is durable.
  if (spec.recover && marks !== 'missing') {
    // Nothing says that a log without windows was ever flushed, and its own name with it.
    const isNew = listing.window.length === 0
    yield* synced(isNew ? [directory, dirname(directory)] : [directory])
  }
  removeBelow(disk, directory, listing, marked.logStart)
  const loaded = listing.log.length === 0 ? createLog(spec, env, listing, marked) : null
  const trusted = loaded ?? (spec.recover ? null : loadClean(spec, env, listing, marked))
  if (trusted !== null) removeTemporary(disk, directory, listing)
  const log = trusted ?? (yield* loadRecovered(spec.recover ? spec : suspicious(spec), env, marked))
  const [first] = log.segments
  const isMarkLost = marks === 'missing' && noted > first.baseOffset
  return {
    ...log,
    marks: {
      logStart: Math.max(marked.logStart, first.baseOffset),
      // Unknown, any gap may be of compaction's making.
      cleanedEnd: Math.min(marked.gapsBelow, log.logEndOffset),
    },
    // Beyond the end it stands where a log was adopted: whoever wrote it did not know the end.
    areMarksBad:
      marks === 'bad' || isMarkLost || (marks !== 'missing' && marks.cleanedEnd > log.logEndOffset),
  }
}

/** A log that is not as the clean stop that was noted must have left it: nothing in it is believed unseen. */
function suspicious(spec: PartitionSpec): PartitionSpec {
  return { ...spec, copyForward: spec.config.flushPolicy !== 'os' }
}

/** What the file of marks says, or allows where there is none. */
interface Marked {
  readonly logStart: number
  readonly gapsBelow: number
}

/** Segments wholly below the log start, and what is left of such: a power cut brought them back (RELIABILITY A7). */
function removeBelow(disk: Disk, directory: string, listing: Listing, logStart: number): void {
  while (listing.log.length > 1 && listing.log[1] <= logStart) {
    unlinkIfThere(disk, logFilePath(directory, listing.log.shift()!, 'log'))
  }
  for (const suffix of ['index', 'timeindex', 'snapshot'] as const) {
    for (const offset of listing[suffix]) {
      const isOrphan = offset < logStart && !listing.log.includes(offset)
      if (isOrphan) unlinkIfThere(disk, logFilePath(directory, offset, suffix))
    }
  }
}

type Loaded = Omit<LoadedLog, 'marks' | 'areMarksBad'>

/** What a recovery that never came to its end left. */
function removeTemporary(disk: Disk, directory: string, listing: Listing): void {
  for (const name of listing.temporary) unlinkIfThere(disk, `${directory}/${name}`)
}

function newSegment(
  { disk }: Env,
  spec: PartitionSpec,
  baseOffset: number,
  gapsBelowOffset = 0,
): Segment {
  const { indexIntervalBytes } = spec.config
  return new Segment(disk, spec.directory, baseOffset, indexIntervalBytes, gapsBelowOffset)
}

/** The directory is new, or lost all of its segments: offsets that were given out are not given out again. */
function createLog(spec: PartitionSpec, env: Env, listing: Listing, marked: Marked): Loaded {
  const { disk, clock } = env
  const { directory } = spec
  const window = newestWindow(disk, directory, listing.window)
  const { recoveryPoint, flushedOffset } = spec
  const provenEnd = listing.window.at(-1) ?? 0
  const logEndOffset = Math.max(provenEnd, recoveryPoint, flushedOffset, marked.logStart)
  const segment = newSegment(env, spec, logEndOffset)
  segment.create()
  const nowMs = clock.wallMs()
  const { producers } = rebuildProducers(disk, directory, listing, window, logEndOffset, nowMs)
  return {
    segments: [segment],
    logEndOffset,
    recoveryPoint: logEndOffset,
    flushedEnd: logEndOffset,
    flushedPlace: null,
    unsynced: [],
    rotten: [],
    reindexed: [],
    producers,
    windowOffsets: listing.window,
    snapshotOffsets: listing.snapshot,
    isActiveNew: true,
    newParent: dirname(directory),
    isCheckpointDue: false,
    recoveredBytes: 0,
    truncatedBytes: 0,
  }
}

/** Null when the last segment does not look as a clean stop leaves it. */
function loadClean(spec: PartitionSpec, env: Env, listing: Listing, marked: Marked): Loaded | null {
  const { disk, clock } = env
  const { directory } = spec
  const segments = listing.log.map(base => newSegment(env, spec, base, marked.gapsBelow))
  const active = segments.at(-1)!
  active.openActive()
  const logEndOffset = walkTail(active, marked.gapsBelow)
  const window = newestWindow(disk, directory, listing.window)
  // A clean stop leaves a window file of the very end (a directory that Apache Kafka wrote has none at all).
  const provenOffset = listing.window.at(-1) ?? logEndOffset
  const endMin = Math.max(marked.logStart, spec.recoveryPoint)
  const isWhole = logEndOffset >= endMin && logEndOffset === provenOffset
  if (!isWhole || active.hasRot) {
    active.closeFile()
    return null
  }
  noteBirth(active, clock)
  const nowMs = clock.wallMs()
  const { producers } = rebuildProducers(disk, directory, listing, window, logEndOffset, nowMs)
  return {
    segments,
    logEndOffset,
    recoveryPoint: logEndOffset,
    flushedEnd: logEndOffset,
    flushedPlace: null,
    unsynced: [],
    rotten: [],
    reindexed: [],
    producers,
    windowOffsets: listing.window,
    snapshotOffsets: listing.snapshot,
    isActiveNew: false,
    newParent: null,
    isCheckpointDue: window?.offset !== logEndOffset,
    recoveredBytes: 0,
    truncatedBytes: 0,
  }
}

/** Walks from the last index entry to the end of the file; returns the next offset, or -1 when the walk breaks off. */
function walkTail(segment: Segment, gapsBelowOffset: number): number {
  const { indexes, sizeBytes, baseOffset } = segment
  const start = indexes.offsets.lastPosition()
  const cursor = sharedCursor().start(segment.file(), start, sizeBytes)
  const indexedOffset = indexes.offsets.lastOffset()
  let nextOffset = baseOffset
  let step = cursor.next()
  while (step === 'batch') {
    const isIndexed = indexedOffset >= 0 && cursor.position === start
    const isRight = isIndexed
      ? cursor.lastOffset === indexedOffset
      : continues(cursor, nextOffset, gapsBelowOffset)
    if (!isRight) return -1
    nextOffset = cursor.lastOffset + 1
    indexes.noteTimestamp(cursor.maxTimestampMs, cursor.lastOffset)
    step = cursor.next()
  }
  indexes.bytesSinceEntry = sizeBytes - start
  return step === 'end' ? nextOffset : -1
}

/** The age of the segment, as far as its first batch tells. */
function noteBirth(segment: Segment, clock: Clock): void {
  segment.bornMs = clock.monotonicMs()
  const cursor = sharedCursor().start(segment.file(), 0, segment.sizeBytes)
  if (cursor.next() !== 'batch') return
  const ageMs = clock.wallMs() - cursor.maxTimestampMs
  if (cursor.maxTimestampMs >= 0 && ageMs > 0) segment.bornMs -= ageMs
}

function* loadRecovered(spec: PartitionSpec, env: Env, marked: Marked): Steps<Loaded> {
  const { disk, clock } = env
  const { directory } = spec
  const { verdict, producers } = recovered(spec, env)
  const isPoisoned = verdict.copyForward && spec.flushedOffset >= 0
  const kept = verdict.segments.filter(segment => damageOf(segment) !== 'left-out')
  const last = kept.at(-1)!
  // Offsets below the log start were given out, also where nothing of them is left.
  const logEndOffset = Math.max(last.nextOffset, marked.logStart)
  // Nothing is appended behind rot: what lies there could swallow the next batch.
  const isBehindRot = damageOf(last) === 'rot' || logEndOffset > last.nextOffset
  const { cutBytes } = yield* repairLog(disk, directory, verdict, isPoisoned, !isBehindRot)
  const listing = listLog(disk, directory)
  const segments = listing.log.map(base => newSegment(env, spec, base, marked.gapsBelow))
  const isActiveNew = isBehindRot && listing.log.at(-1) !== logEndOffset
  if (isActiveNew) segments.push(newSegment(env, spec, logEndOffset))
  const active = segments.at(-1)!
  if (isActiveNew) active.create()
  else active.openActive()
  active.indexes.bytesSinceEntry = active.sizeBytes - active.indexes.offsets.lastPosition()
  noteBirth(active, clock)
  removeTemporary(disk, directory, listing)
  const unsynced = noteProof(segments, kept, verdict.copyForward)
  const isReindexed = (segment: Segment): boolean =>
    segment !== active && segment.baseOffset >= kept[0].baseOffset && !unsynced.includes(segment)
  const isProven = unsynced.length === 0
  // Where the log starts there is nothing before to prove.
  const startOffset = Math.max(marked.logStart, segments[0].baseOffset)
  const recoveryPoint = isProven ? logEndOffset : Math.max(verdict.provenOffset, startOffset)
  const flushedEnd = Math.max(recoveryPoint, Math.min(spec.flushedOffset, logEndOffset))
  const isNew = verdict.provenOffset <= 0
  return {
    segments,
    logEndOffset,
    recoveryPoint,
    flushedEnd,
    flushedPlace: isProven ? null : placeOf(segments, unsynced[0], flushedEnd),
    unsynced,
    reindexed: verdict.copyForward ? [] : segments.filter(isReindexed),
    rotten: lostRanges(kept, logEndOffset, marked.gapsBelow),
    producers,
    windowOffsets: listing.window,
    snapshotOffsets: listing.snapshot,
    // An empty file may have been made just before the end, its name not synced.
    isActiveNew: isActiveNew || active.sizeBytes === 0,
    newParent: isNew ? dirname(directory) : null,
    isCheckpointDue: isProven && listing.window.at(-1) !== logEndOffset,
    recoveredBytes: verdict.segments.reduce(
      (sum, one) => sum + one.fileBytes - one.unprovenPosition,
      0,
    ),
    truncatedBytes: cutBytes,
  }
}

/** Marks what has been checked, and what is not known to be synced; returns the segments that hold such bytes. */
function noteProof(
  segments: readonly Segment[],
  kept: readonly SegmentVerdict[],
  copyForward: boolean,
): Segment[] {
  const unsynced: Segment[] = []
  for (const { unprovenOffset, unprovenPosition, validBytes, baseOffset } of kept) {
    if (unprovenPosition === validBytes) continue
    const name = copyForward ? unprovenOffset : baseOffset
    const segment = segments.find(other => other.baseOffset === name)!
    if (copyForward) {
      segment.checked.add(0, validBytes - unprovenPosition)
      continue
    }
    segment.checked.add(unprovenPosition, validBytes)
    segment.syncedBytes = unprovenPosition
    unsynced.push(segment)
  }
  return unsynced
}

/** Where the batches below `offset` end, which is not before those of `from` that are synced. */
function placeOf(
  segments: readonly Segment[],
  from: Segment,
  offset: number,
): { readonly segment: Segment; readonly position: number } {
  let place = { segment: from, position: from.syncedBytes }
  for (const segment of segments.slice(segments.indexOf(from))) {
    if (segment !== from && segment.baseOffset >= offset) break
    const start = segment === from ? from.syncedBytes : 0
    const cursor = sharedCursor().start(segment.file(), start, segment.sizeBytes)
    while (cursor.look() === 'batch' && cursor.lastOffset < offset) {
      cursor.moveTo(cursor.position + cursor.batchBytes)
    }
    place = { segment, position: cursor.position }
  }
  return place
}

/** Offsets that were synced once and are gone. */
function lostRanges(
  kept: readonly SegmentVerdict[],
  logEndOffset: number,
  gapsBelowOffset: number,
): LostRange[] {
  const lost: LostRange[] = []
  for (const [index, { rotten, nextOffset, error }] of kept.entries()) {
    const endOffset = kept[index + 1]?.baseOffset ?? logEndOffset
    for (const range of rotten) {
      const behind = range.nextOffset < 0 ? endOffset : range.nextOffset
      if (behind > range.firstOffset)
        lost.push({ firstOffset: range.firstOffset, nextOffset: behind })
    }
    const isShort = nextOffset < endOffset && endOffset > gapsBelowOffset && error === null
    if (isShort) lost.push({ firstOffset: nextOffset, nextOffset: endOffset })
  }
  return lost
}

/** What the task found, if the files are still as it saw them; else a look of our own. */
function recovered(spec: PartitionSpec, { disk, clock }: Env): Recovered {
  const { directory, verdict, recoveryPoint, flushedOffset, copyForward, config } = spec
  const { isJournaled } = spec
  if (verdict !== null && verdict.copyForward === copyForward && verdict.segments.length > 0) {
    const path = temporaryPath(directory, verdict.nextOffset, 'window')
    const producers = readWindow(disk, path, verdict.nextOffset)
    if (producers !== null && isCurrent(disk, directory, verdict)) return { verdict, producers }
  }
  return recoverLog(disk, {
    directory,
    recoveryPoint,
    flushedOffset,
    isJournaled,
    copyForward,
    indexIntervalBytes: config.indexIntervalBytes,
    nowMs: clock.wallMs(),
  })
}
