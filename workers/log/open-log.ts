/**
 * Brings a log's directory into memory: creates it, or trusts it after a clean stop (sizes, last index entries, a walk
 * of at most an index interval), or recovers it. Owner thread only; blocks.
 *
 *   no segments -> first segment
 *   clean       -> last segment's tail walks to the end of its file?  yes: done    no: recover
 *   unclean     -> verdict (from the task, or scanned here) -> repair -> done
 */
import { dirname } from 'node:path'
import type { Clock } from '../../src/contracts/clock.ts'
import type { PartitionSpec, RecoveryVerdict } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import { sharedCursor } from './batch-cursor.ts'
import { type Listing, listLog, temporaryPath, unlinkIfThere } from './files.ts'
import { ensurePartitionMetadata } from './partition-metadata.ts'
import { newestWindow, readWindow } from './producer-files.ts'
import type { ProducerState } from './producer-state.ts'
import { rebuildProducers } from './rebuild-producers.ts'
import { damageOf, recoverLog } from './recovery.ts'
import { isCurrent, repairLog } from './repair.ts'
import { Segment } from './segment.ts'

type Env = { readonly disk: Disk; readonly clock: Clock }

export interface LoadedLog {
  /** At least one; the last one is open for appending. */
  readonly segments: Segment[]
  readonly logEndOffset: number
  readonly producers: ProducerState
  /** Of the window files, ascending. */
  readonly windowOffsets: readonly number[]
  /** Of Kafka's snapshot files. */
  readonly snapshotOffsets: readonly number[]
  /** The active segment's name is not synced yet. */
  readonly isActiveNew: boolean
  /** Where the directory's own name is not synced yet. */
  readonly newParent: string | null
  /** Everything is proven up to the log end and no window file says so. */
  readonly isCheckpointDue: boolean
  /** Scanned again, and cut off. */
  readonly recoveredBytes: number
  readonly truncatedBytes: number
}

/** Throws an Error with `code`: the file system's, or EBADTOPIC. */
export function loadLog(spec: PartitionSpec, env: Env): LoadedLog {
  const { disk } = env
  const { directory } = spec
  if (!disk.exists(directory)) disk.mkdir(directory)
  ensurePartitionMetadata(disk, directory, spec.topicId)
  const listing = listLog(disk, directory)
  const loaded = listing.log.length === 0 ? createLog(spec, env, listing) : null
  const trusted = loaded ?? (spec.recover ? null : loadClean(spec, env, listing))
  if (trusted === null) return loadRecovered(spec, env)
  removeTemporary(disk, directory, listing)
  return trusted
}

/** What a recovery that never came to its end left. */
function removeTemporary(disk: Disk, directory: string, listing: Listing): void {
  for (const name of listing.temporary) unlinkIfThere(disk, `${directory}/${name}`)
}

function newSegment({ disk }: Env, spec: PartitionSpec, baseOffset: number): Segment {
  return new Segment(disk, spec.directory, baseOffset, spec.config.indexIntervalBytes)
}

/** The directory is new, or lost all of its segments: offsets that were given out are not given out again. */
function createLog(spec: PartitionSpec, env: Env, listing: Listing): LoadedLog {
  const { disk, clock } = env
  const { directory } = spec
  const window = newestWindow(disk, directory, listing.window)
  const logEndOffset = listing.window.at(-1) ?? 0
  const segment = newSegment(env, spec, logEndOffset)
  segment.create()
  const nowMs = clock.wallMs()
  const { producers } = rebuildProducers(disk, directory, listing, window, logEndOffset, nowMs)
  return {
    segments: [segment],
    logEndOffset,
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
function loadClean(spec: PartitionSpec, env: Env, listing: Listing): LoadedLog | null {
  const { disk, clock } = env
  const { directory } = spec
  const segments = listing.log.map(baseOffset => newSegment(env, spec, baseOffset))
  const active = segments.at(-1)!
  active.openActive()
  const logEndOffset = walkTail(active)
  const window = newestWindow(disk, directory, listing.window)
  // A clean stop leaves a window file of the very end (a directory that Apache Kafka wrote has none at all).
  const provenOffset = listing.window.at(-1) ?? logEndOffset
  if (logEndOffset < 0 || logEndOffset !== provenOffset || active.hasRot) {
    active.closeFile()
    return null
  }
  noteBirth(active, clock)
  const nowMs = clock.wallMs()
  const { producers } = rebuildProducers(disk, directory, listing, window, logEndOffset, nowMs)
  return {
    segments,
    logEndOffset,
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
function walkTail(segment: Segment): number {
  const { indexes, sizeBytes, baseOffset } = segment
  const start = indexes.offsets.lastPosition()
  const cursor = sharedCursor().start(segment.file(), start, sizeBytes)
  const indexedOffset = indexes.offsets.lastOffset()
  let nextOffset = baseOffset
  let step = cursor.next()
  while (step === 'batch') {
    const isIndexed = indexedOffset >= 0 && cursor.position === start
    if (isIndexed ? cursor.lastOffset !== indexedOffset : cursor.baseOffset !== nextOffset)
      return -1
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

function loadRecovered(spec: PartitionSpec, env: Env): LoadedLog {
  const { disk, clock } = env
  const { directory } = spec
  const verdict = usableVerdict(spec, env)
  const truncatedBytes = repairLog(disk, directory, verdict)
  const kept = verdict.segments.filter(segment => damageOf(segment) !== 'left-out')
  const last = kept.at(-1)!
  const listing = listLog(disk, directory)
  const segments = listing.log.map(baseOffset => newSegment(env, spec, baseOffset))
  const logEndOffset = last.nextOffset
  // Nothing is appended behind rot: what lies there could swallow the next batch.
  const isActiveNew = damageOf(last) === 'rot'
  if (isActiveNew) segments.push(newSegment(env, spec, logEndOffset))
  const active = segments.at(-1)!
  if (isActiveNew) active.create()
  else active.openActive()
  active.indexes.bytesSinceEntry = active.sizeBytes - active.indexes.offsets.lastPosition()
  noteBirth(active, clock)
  const producers =
    recoveredProducers(disk, verdict, logEndOffset) ??
    rebuildProducers(
      disk,
      directory,
      listing,
      newestWindow(disk, directory, listing.window),
      logEndOffset,
      clock.wallMs(),
    ).producers
  removeTemporary(disk, directory, listing)
  return {
    segments,
    logEndOffset,
    producers,
    windowOffsets: listing.window,
    snapshotOffsets: listing.snapshot,
    isActiveNew,
    newParent: null,
    isCheckpointDue: true,
    recoveredBytes: verdict.segments.reduce((sum, segment) => sum + segment.fileBytes, 0),
    truncatedBytes,
  }
}

/** The task's verdict, if the files are still as it saw them; else one of our own. */
function usableVerdict(spec: PartitionSpec, { disk, clock }: Env): RecoveryVerdict {
  const { directory, verdict, recoveryPoint, config } = spec
  if (verdict !== null && verdict.segments.length > 0 && isCurrent(disk, directory, verdict)) {
    return verdict
  }
  return recoverLog(disk, {
    directory,
    recoveryPoint,
    temporaryDirectory: directory,
    indexIntervalBytes: config.indexIntervalBytes,
    nowMs: clock.wallMs(),
  })
}

/** The scan left the producers' state beside its indexes. */
function recoveredProducers(
  disk: Disk,
  verdict: RecoveryVerdict,
  logEndOffset: number,
): ProducerState | null {
  const indexPath = verdict.segments.findLast(segment => segment.offsetIndexPath !== null)
  if (indexPath?.offsetIndexPath == null) return null
  const path = temporaryPath(dirname(indexPath.offsetIndexPath), logEndOffset, 'window')
  const producers = readWindow(disk, path, logEndOffset)
  unlinkIfThere(disk, path)
  return producers
}
