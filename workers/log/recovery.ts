/**
 * What a log directory holds after an unclean stop: a pure scan that changes no file of the log and leaves its findings
 * in temporary ones. Runs on an owner thread for small tails and as a task (workers/tasks/recover-segment.ts) for large
 * ones; repair.ts then acts on the verdict.
 *
 *   segments    | proven, not looked at | proven ... | tail, CRC checked | empty? |
 *   proven: the newest window file, and what the caller knows
 *
 * Everything is judged against one rule: the log is dense. A batch that does not continue it is not part of it, however
 * good its checksum (RELIABILITY A16).
 */
import type { RecoveryVerdict, SegmentVerdict } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import { listLog, logFilePath, replaceFile, temporaryPath } from './files.ts'
import { encodeWindow, newestWindow, type ProducersAt } from './producer-files.ts'
import { rebuildProducers, replayBatch } from './rebuild-producers.ts'
import { type SegmentScan, scanSegment } from './scan-segment.ts'
import { SegmentIndexes } from './segment-indexes.ts'

export interface RecoveryInput {
  readonly directory: string
  /** Everything below is known to be synced; 0 when unknown. */
  readonly recoveryPoint: number
  /** For the rebuilt indexes; on the same file system as the log. */
  readonly temporaryDirectory: string
  /** Kafka's index.interval.bytes. */
  readonly indexIntervalBytes: number
  /** Wall time, for the expiry of producers. */
  readonly nowMs: number
}

/** First word of a verdict's `error`: what repair.ts does about it. */
export type Damage = 'torn' | 'suspect' | 'left-out' | 'rot'

export function damageOf(verdict: SegmentVerdict): Damage | null {
  return verdict.error === null ? null : (verdict.error.split(':', 1)[0] as Damage)
}

/**
 * What is known to have been synced. The window files lie in the log's directory and belong to it for sure; the
 * caller's recovery point comes from a file that names partitions only, so it never moves the log's end.
 */
interface Proven {
  /** Below, a bad batch is rot. */
  readonly offset: number
  /** The log ends here at least, even if its records are gone; from here on checksums are computed. */
  readonly endOffset: number
}

/** A verdict with what only repair.ts needs to know. */
export interface Finding extends SegmentVerdict {
  /** From here on the file's bytes were never proven to be on disk. */
  readonly unprovenPosition: number
}

/** Scans the segments that reach beyond the proven offset. Throws as the disk does. */
export function recoverLog(disk: Disk, input: RecoveryInput): RecoveryVerdict {
  const { directory } = input
  const listing = listLog(disk, directory)
  const window = newestWindow(disk, directory, listing.window)
  // The name alone is the proof, it appeared after the sync; what is in the file may be damaged.
  const endOffset = listing.window.at(-1) ?? 0
  const proven: Proven = { offset: Math.max(input.recoveryPoint, endOffset), endOffset }
  const first = listing.log.findLastIndex(base => base <= proven.offset)
  const tail = listing.log.slice(Math.max(0, first))
  if (tail.length === 0) return { segments: [] }
  const producersAt = rebuildProducers(disk, directory, listing, window, tail[0], input.nowMs)
  const kept: Finding[] = []
  const leftOut: Finding[] = []
  let expected = tail[0]
  let isCut = false
  for (const baseOffset of tail) {
    // A hole below the proven offset is rot and stays; above it the log ends where it stops being dense. What was cut
    // off a segment matters only if offsets are missing then.
    isCut ||= baseOffset < expected || (baseOffset > expected && baseOffset > proven.offset)
    if (isCut) {
      leftOut.push(leaveOut(disk, directory, baseOffset, expected))
      continue
    }
    const verdict = recoverSegment(disk, input, baseOffset, proven, producersAt)
    kept.push(verdict)
    expected = verdict.nextOffset
  }
  kept.push(finish(kept.pop()!, proven))
  const { nextOffset } = kept.at(-1)!
  const path = temporaryPath(input.temporaryDirectory, nextOffset, 'window')
  replaceFile(disk, path, encodeWindow(producersAt.producers, nextOffset))
  return { segments: [...kept, ...leftOut] }
}

/** The last segment of the log decides where it goes on. */
function finish(last: Finding, { endOffset }: Proven): Finding {
  const { baseOffset, nextOffset, error } = last
  if (nextOffset < endOffset) {
    // What was acknowledged once is never given out again, even if it is gone.
    const gone = `rot: offsets ${nextOffset} to ${endOffset - 1} were synced and are gone`
    return { ...last, nextOffset: endOffset, error: error ?? gone }
  }
  if (nextOffset > baseOffset || last.validBytes === 0) return last
  // Nothing of the log is in here, and the next segment will have the same name: the file has to go.
  const useless = 'suspect: holds nothing of this log'
  return { ...last, validBytes: 0, unprovenPosition: 0, error: useless }
}

function recoverSegment(
  disk: Disk,
  input: RecoveryInput,
  baseOffset: number,
  proven: Proven,
  { producers, offset: producersOffset }: ProducersAt,
): Finding {
  const offsetIndexPath = temporaryPath(input.temporaryDirectory, baseOffset, 'index')
  const timeIndexPath = temporaryPath(input.temporaryDirectory, baseOffset, 'timeindex')
  const { indexIntervalBytes: interval } = input
  const indexes = new SegmentIndexes(disk, baseOffset, offsetIndexPath, timeIndexPath, interval)
  let batches = 0
  let unprovenPosition = Number.MAX_SAFE_INTEGER
  const scan = scanSegment({
    disk,
    path: logFilePath(input.directory, baseOffset, 'log'),
    firstOffset: baseOffset,
    provenOffset: proven.offset,
    checkFromOffset: proven.endOffset,
    onBatch(cursor, isBehindRot) {
      batches++
      indexes.addAtCursor(cursor, isBehindRot)
      if (cursor.lastOffset >= proven.endOffset) {
        unprovenPosition = Math.min(unprovenPosition, cursor.position)
      }
      if (cursor.baseOffset >= producersOffset) replayBatch(cursor, producers, input.nowMs)
    },
  })
  producers.confirm()
  if (batches > 0) indexes.save()
  return {
    baseOffset,
    validBytes: scan.validBytes,
    unprovenPosition: Math.min(unprovenPosition, scan.validBytes),
    fileBytes: scan.fileBytes,
    nextOffset: scan.nextOffset,
    maxTimestampMs: indexes.maxTimestampMs,
    offsetIndexPath: batches > 0 ? offsetIndexPath : null,
    timeIndexPath: batches > 0 ? timeIndexPath : null,
    error: describe(scan),
  }
}

function describe(scan: SegmentScan): string | null {
  const cutBytes = scan.fileBytes - scan.validBytes
  if (scan.ending === 'torn') {
    return `torn: ${cutBytes} bytes from position ${scan.validBytes} on hold no whole batch`
  }
  if (scan.ending === 'suspect') {
    return `suspect: a bad batch at position ${scan.validBytes}, valid ones behind it`
  }
  if (scan.rottenBytes > 0) return `rot: ${scan.rottenBytes} bytes below the synced end are bad`
  return null
}

/** A segment behind the end of the log. */
function leaveOut(disk: Disk, directory: string, baseOffset: number, expected: number): Finding {
  const file = disk.open(logFilePath(directory, baseOffset, 'log'), 'r')
  const fileBytes = file.sizeBytes()
  file.close()
  return {
    baseOffset,
    validBytes: 0,
    unprovenPosition: 0,
    fileBytes,
    nextOffset: expected,
    maxTimestampMs: -1,
    offsetIndexPath: null,
    timeIndexPath: null,
    error: `left-out: begins at offset ${baseOffset}, the log ends at ${expected}`,
  }
}
