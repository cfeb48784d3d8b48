/**
 * What a log directory holds after an unclean stop: a scan that changes no file of the log and leaves rebuilt indexes
 * in temporary ones. Runs on an owner thread for small tails and as a task (workers/tasks/recover-segment.ts) for large
 * ones; repair.ts then acts on the verdict.
 *
 *   segments    | proven, not looked at | proven ... | unproven, CRC checked | unproven ... |
 *   proven: the newest window file, and what this process has seen flushed. What was noted as flushed is checked all
 *   the same, but bad bytes there are rot
 *
 * Everything is judged against one rule: the log is dense, but for what compaction took out. A batch that does not
 * continue it is not part of it, however good its checksum (RELIABILITY A16).
 */
import type { RecoveryVerdict, SegmentVerdict } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import { type Listing, listLog, logFilePath } from './files.ts'
import { readMarks } from './marks.ts'
import { newestWindow } from './producer-files.ts'
import type { ProducerState } from './producer-state.ts'
import { rebuildProducers } from './rebuild-producers.ts'
import { type ScanContext, SegmentRecovery } from './recover-segment.ts'
import { scanSegment } from './scan-segment.ts'

export interface RecoveryInput {
  readonly directory: string
  /** Was synced once, see PartitionSpec; 0 when unknown. */
  readonly recoveryPoint: number
  /** Known to be synced, see PartitionSpec; -1 when unknown. */
  readonly flushedOffset: number
  /** See PartitionSpec. */
  readonly isJournaled?: boolean
  /** Unproven bytes will become segments of their own: their indexes are made for that. */
  readonly copyForward: boolean
  /** Kafka's index.interval.bytes. */
  readonly indexIntervalBytes: number
  /** Wall time, for the expiry of producers. */
  readonly nowMs: number
}

export interface Recovered {
  readonly verdict: RecoveryVerdict
  /** As of the verdict's `nextOffset`. */
  readonly producers: ProducerState
}

/** First word of a verdict's `error`: what repair.ts does about it. */
export type Damage = 'torn' | 'suspect' | 'overlap' | 'left-out' | 'rot'

export function damageOf(verdict: SegmentVerdict): Damage | null {
  return verdict.error === null ? null : (verdict.error.split(':', 1)[0] as Damage)
}

/** Below this offset, offsets may be missing; a file of marks that cannot be read allows it everywhere. */
export function gapsBelow(marks: ReturnType<typeof readMarks>): number {
  if (marks === 'missing') return 0
  return marks === 'bad' ? Number.MAX_SAFE_INTEGER : marks.cleanedEnd
}

/** Scans the segments that reach beyond the proven offset. Throws as the disk does. */
export function recoverLog(disk: Disk, input: RecoveryInput): Recovered {
  return new LogRecovery(disk, input).run()
}

class LogRecovery {
  readonly #disk: Disk
  readonly #input: RecoveryInput
  readonly #listing: Listing
  /** Everything below is proven; the window's name alone is the proof, what is in it may be damaged. */
  readonly #provenEnd: number
  /** Below, a bad batch is rot. */
  readonly #rotBelow: number
  /** The log ends here at least, even if its records are gone. */
  readonly #endMin: number
  readonly #gapsBelow: number
  readonly #kept: SegmentVerdict[] = []
  readonly #leftOut: SegmentVerdict[] = []

  constructor(disk: Disk, input: RecoveryInput) {
    this.#disk = disk
    this.#input = input
    this.#listing = listLog(disk, input.directory)
    const marks = readMarks(disk, input.directory)
    this.#gapsBelow = gapsBelow(marks)
    const { flushedOffset, recoveryPoint, isJournaled = false } = input
    this.#provenEnd = Math.max(this.#listing.window.at(-1) ?? 0, isJournaled ? 0 : flushedOffset)
    this.#rotBelow = Math.max(recoveryPoint, this.#provenEnd, flushedOffset)
    const logStart = typeof marks === 'string' ? 0 : marks.logStart
    this.#endMin = Math.max(this.#rotBelow, logStart)
  }

  run(): Recovered {
    const { directory, nowMs, copyForward, indexIntervalBytes } = this.#input
    const { log, window } = this.#listing
    // One that ends just there was perhaps not sealed in time for its index files to be proven, too.
    const first = log.findLastIndex(base => base < this.#provenEnd)
    const tail = log.slice(Math.max(0, first))
    const producersAt = rebuildProducers(
      this.#disk,
      directory,
      this.#listing,
      newestWindow(this.#disk, directory, window),
      tail[0],
      nowMs,
    )
    const context: ScanContext = {
      disk: this.#disk,
      directory,
      provenEnd: this.#provenEnd,
      rotBelow: this.#rotBelow,
      gapsBelow: this.#gapsBelow,
      copyForward,
      indexIntervalBytes,
      producersAt,
      nowMs,
    }
    let expected = tail[0]
    let isCut = false
    for (let index = 0; index < tail.length; ) {
      // A hole below the proven offset is rot and stays; above it the log ends where it stops being dense.
      isCut ||= tail[index] > expected && tail[index] > Math.max(this.#rotBelow, this.#gapsBelow)
      if (isCut) {
        this.#leaveOut(tail[index++], `the log ends at ${expected}`)
        continue
      }
      const segment = new SegmentRecovery(context, tail[index++])
      segment.scan(tail[index])
      // Of two that hold the same offsets the one counts that goes on longer.
      while (index < tail.length && this.#covers(segment, tail[index])) {
        this.#leaveOut(tail[index++], `overlaps the one at ${segment.baseOffset}`)
        segment.scan(tail[index])
      }
      this.#kept.push(segment.finish())
      expected = segment.nextOffset
    }
    const last = this.#finish(this.#kept.pop()!)
    this.#kept.push(last)
    const verdict = {
      copyForward,
      nextOffset: last.nextOffset,
      provenOffset: this.#provenEnd,
      segments: [...this.#kept, ...this.#leftOut],
    }
    return { verdict, producers: producersAt.producers }
  }

  /** Whether `older` holds all that the segment at `baseOffset` does. */
  #covers(older: SegmentRecovery, baseOffset: number): boolean {
    if (older.nextOffset > baseOffset) return true
    if (!older.overlaps) return false
    const olderEnd = this.#endOf(older.baseOffset, older.end)
    older.isTailTorn = olderEnd === older.nextOffset
    return olderEnd > this.#endOf(baseOffset)
  }

  #endOf(baseOffset: number, from?: { position: number; offset: number }): number {
    const { nextOffset } = scanSegment({
      disk: this.#disk,
      path: logFilePath(this.#input.directory, baseOffset, 'log'),
      firstOffset: baseOffset,
      from,
      provenOffset: 0,
      checkFromOffset: 0,
      gapsBelowOffset: this.#gapsBelow,
      onBatch: () => {},
    })
    return nextOffset
  }

  /** The last segment of the log decides where it goes on. */
  #finish(last: SegmentVerdict): SegmentVerdict {
    const { baseOffset, nextOffset } = last
    if (nextOffset < this.#endMin) {
      // What was acknowledged once is never given out again, even if it is gone. Told as rot whatever else is wrong
      // with the segment: nothing may be appended to it any more.
      const error = `rot: offsets ${nextOffset} to ${this.#endMin - 1} were synced and are gone`
      const missing = { firstOffset: nextOffset, nextOffset: this.#endMin }
      const gone = { startPosition: last.fileBytes, endPosition: last.fileBytes, ...missing }
      return { ...last, nextOffset: this.#endMin, rotten: [...last.rotten, gone], error }
    }
    if (nextOffset > baseOffset || last.validBytes === 0) return last
    // Nothing of the log is in here, and the next segment will have the same name: the file has to go.
    const useless = 'suspect: holds nothing of this log'
    return { ...last, validBytes: 0, unprovenPosition: 0, rotten: [], error: useless }
  }

  /** A segment behind the end of the log, or one whose records another one holds. */
  #leaveOut(baseOffset: number, why: string): void {
    const file = this.#disk.open(logFilePath(this.#input.directory, baseOffset, 'log'), 'r')
    const fileBytes = file.sizeBytes()
    file.close()
    this.#leftOut.push({
      baseOffset,
      validBytes: 0,
      fileBytes,
      nextOffset: baseOffset,
      unprovenPosition: 0,
      unprovenOffset: baseOffset,
      indexedBases: [],
      rotten: [],
      error: `left-out: begins at offset ${baseOffset}, ${why}`,
    })
  }
}
