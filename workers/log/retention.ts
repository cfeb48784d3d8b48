/**
 * Lets the oldest records of one log go: by age, by size, and because a client deleted them. Owner thread only.
 *
 *   base 0      base 500     base 1000    base 1500
 *   | sealed    | sealed     | sealed     | active        only whole sealed segments below F, oldest first
 *          planLogStart = 1000 ^
 *
 *   log-marks durable -> offsets.logStart published -> files unlinked, oldest first, directory synced,
 *   all in the background
 *
 * Whoever crashes in between finds segments below the log start at open and drops them. Ages count from the broker's
 * append, never from what clients stamp, and a segment is old only when the wall clock and the monotonic clock agree
 * (RELIABILITY P13, 2.4): a clock that jumps deletes nothing.
 */
import type { DeletedRecords } from '../../src/contracts/control.ts'
import { Errors } from '../../src/protocol/errors.ts'
import type { Appender } from './appender.ts'
import type { Checkpoints } from './checkpoints.ts'
import { isFull, logFilePath } from './files.ts'
import type { Flusher } from './flush-policy.ts'
import type { PartitionLog } from './log.ts'
import type { OpenLogOptions } from './log-options.ts'
import type { MarkDone, Marks } from './marks.ts'
import type { ProducerState } from './producer-state.ts'
import type { Segment } from './segment.ts'
import type { SwapRange } from './swap.ts'

/** Of a log's bytes, per pass, by age. Even when all clocks lie there is time to notice. */
const AGED_SHARE_MAX = 0.1
/** Segments unlinked in one go. */
const SWEEP_MAX = 16

export interface RetentionFacts {
  /** Of all segments, ascending; the last one is the active segment. */
  readonly baseOffsets: readonly number[]
  readonly logStart: number
  /** Everything below is synced. */
  readonly recoveryPoint: number
  /** Infinity for no limit. */
  readonly retentionBytes: number
  /** Offsets that compaction is about to replace. */
  readonly reserved: SwapRange | null
  sizeBytes(index: number): number
  /** Asked for the oldest segments only, until one is not. */
  isAged(index: number): boolean
}

/** Where the log shall start, so that segments too old or too many for its settings lie below. Changes nothing. */
export function planLogStart(facts: RetentionFacts): number {
  const { baseOffsets, recoveryPoint, retentionBytes, reserved } = facts
  const sealedCount = baseOffsets.length - 1
  let first = 0
  while (first < sealedCount && baseOffsets[first + 1] <= facts.logStart) first++
  if (first === sealedCount) return facts.logStart
  if (retentionBytes === Number.POSITIVE_INFINITY && !facts.isAged(first)) return facts.logStart
  let totalBytes = 0
  for (let index = first; index <= sealedCount; index++) totalBytes += facts.sizeBytes(index)
  let excessBytes = totalBytes - retentionBytes
  let agedBytes = 0
  let logStart = facts.logStart
  for (let index = first; index < sealedCount; index++) {
    const endOffset = baseOffsets[index + 1]
    if (endOffset > recoveryPoint) break
    if (reserved !== null && endOffset > reserved.baseOffset) break
    const bytes = facts.sizeBytes(index)
    if (excessBytes < bytes) {
      const fits = agedBytes === 0 || agedBytes + bytes <= totalBytes * AGED_SHARE_MAX
      if (!fits || !facts.isAged(index)) break
      agedBytes += bytes
    }
    excessBytes -= bytes
    logStart = endOffset
  }
  return logStart
}

/** Parts of the log that its retention works with. */
export interface RetentionParts {
  readonly marks: Marks
  readonly producers: ProducerState
  readonly checkpoints: Checkpoints
  readonly flusher: Flusher
  readonly appender: Appender
}

export class Retention {
  readonly #log: PartitionLog
  readonly #events: OpenLogOptions
  readonly #parts: RetentionParts
  readonly #openedWallMs: number
  readonly #openedMonotonicMs: number
  /** Not the log's any more; their files are there until `#unlink` is through. */
  #doomed: Segment[] = []
  #isUnlinking = false
  #unlinkFailure: Error | null = null
  readonly #settling: (() => void)[] = []

  constructor(log: PartitionLog, options: OpenLogOptions, parts: RetentionParts) {
    const { clock } = options.env
    this.#log = log
    this.#events = options
    this.#parts = parts
    this.#openedWallMs = clock.wallMs()
    this.#openedMonotonicMs = clock.monotonicMs()
    for (const entry of parts.producers.entries.values()) entry.lastUsedMs = this.#openedMonotonicMs
  }

  /**
   * One look at the log. What is to go leaves in the background; true when `sweep` shall be called soon for the rest.
   * Throws as the disk does, or did since the last pass.
   */
  pass(isClockTrusted: boolean): boolean {
    const { offsets, state, config } = this.#log
    if (state === 'offline') return false
    const failure = this.#unlinkFailure
    this.#unlinkFailure = null
    if (failure !== null) throw failure
    this.#maybeRoll(isClockTrusted)
    if (config.cleanupDelete) {
      const logStart = this.#plan(isClockTrusted)
      if (logStart > offsets.logStart) {
        this.#moveLogStart(logStart, error => {
          if (error === null) this.#moved()
        })
      }
    }
    return this.sweep()
  }

  #plan(isClockTrusted: boolean): number {
    const { offsets, segments, config, reserved } = this.#log
    return planLogStart({
      baseOffsets: segments.map(({ baseOffset }) => baseOffset),
      logStart: offsets.logStart,
      recoveryPoint: offsets.recoveryPoint,
      retentionBytes: config.retentionBytes,
      reserved,
      sizeBytes: index => segments[index].sizeBytes,
      isAged: index => isClockTrusted && this.#isAged(segments[index]),
    })
  }

  #isAged(segment: Segment): boolean {
    const { retentionMs } = this.#log.config
    return retentionMs !== Number.POSITIVE_INFINITY && this.#ageMs(segment) >= retentionMs
  }

  /** Since the last append, by the clock that says less. */
  #ageMs(segment: Segment): number {
    const { clock } = this.#events.env
    const wallMs = clock.wallMs()
    const monotonicMs = clock.monotonicMs()
    if (segment.lastAppendWallMs >= 0) {
      return Math.min(
        wallMs - segment.lastAppendWallMs,
        monotonicMs - segment.lastAppendMonotonicMs,
      )
    }
    // Of an earlier process: the file's time, with the clock's word for it when the log was opened and since.
    return Math.min(wallMs, this.#steadyMs()) - segment.modifiedMs
  }

  /** The time by the wall clock as it was when the log was opened, however it was set since. */
  #steadyMs(): number {
    return this.#openedWallMs + this.#events.env.clock.monotonicMs() - this.#openedMonotonicMs
  }

  /**
   * Forgets producers that have been idle for longer than that since the log was opened. By the monotonic clock: a wall
   * clock that was wrong for a while would make a retry of a moment ago a new batch.
   */
  expireProducers(idleMsMax: number): void {
    const { producers, appender } = this.#parts
    if (appender.stagedCount > 0) return
    producers.expire(this.#events.env.clock.monotonicMs(), idleMsMax)
  }

  /** Records that nobody adds to any more grow old as well: their segment is sealed first. */
  #maybeRoll(isClockTrusted: boolean): void {
    const { active, config, offsets } = this.#log
    if (active.sizeBytes === 0) return
    const isDeleted = offsets.logStart === offsets.logEnd
    const ageMs = this.#events.env.clock.monotonicMs() - active.bornMs
    const isFull = ageMs >= config.segmentAgeMsMax
    const isAged = config.cleanupDelete && isClockTrusted && this.#isAged(active)
    if (!isDeleted && !isFull && !isAged) return
    try {
      if (this.#parts.appender.roll()) this.#events.onSegmentRolled?.(this.#log)
    } catch (error) {
      this.#log.roundFailed(error as Error)
    }
  }

  /**
   * Moves the log start up to `beforeOffset` (-1: the high watermark). `done` comes once that is durable, or at once
   * when there is nothing to do. Errors: OFFSET_OUT_OF_RANGE, POLICY_VIOLATION (a topic that is only compacted),
   * KAFKA_STORAGE_ERROR.
   */
  deleteRecords(beforeOffset: number, done: (result: DeletedRecords) => void): void {
    const { offsets, config, state } = this.#log
    const answer = (error: number): void => {
      done({ error, logStartOffset: error === Errors.NONE ? offsets.logStart : -1 })
    }
    const target = beforeOffset === -1 ? offsets.highWatermark : beforeOffset
    if (state === 'offline') answer(Errors.KAFKA_STORAGE_ERROR)
    else if (!config.cleanupDelete) answer(Errors.POLICY_VIOLATION)
    else if (target < 0 || target > offsets.highWatermark) answer(Errors.OFFSET_OUT_OF_RANGE)
    else if (target <= offsets.logStart) answer(Errors.NONE)
    else {
      this.#moveLogStart(target, error => {
        if (error === null) this.#moved()
        answer(error === null ? Errors.NONE : Errors.KAFKA_STORAGE_ERROR)
      })
    }
  }

  /** A disk without any room takes no new mark: the indexes of what is to go make some, and it is tried once more. */
  #moveLogStart(offset: number, done: MarkDone): void {
    const { marks } = this.#parts
    marks.moveLogStart(offset, error => {
      if (error !== null && isFull(error) && this.#dropIndexesBelow(offset)) {
        marks.moveLogStart(offset, done)
      } else done(error)
    })
  }

  #dropIndexesBelow(offset: number): boolean {
    const { segments } = this.#log
    let isRoomMade = false
    try {
      for (let next = 1; next < segments.length && segments[next].baseOffset <= offset; next++) {
        isRoomMade = segments[next - 1].dropIndexes() || isRoomMade
      }
    } catch {
      // What is left is rebuilt when somebody looks something up.
    }
    return isRoomMade
  }

  #moved(): void {
    const { offsets, state } = this.#log
    const { logStart } = this.#parts.marks
    if (logStart <= offsets.logStart) return
    offsets.logStartMoved(logStart)
    this.#log.lostRanges.dropBelow(logStart)
    this.#events.onAdvance(this.#log)
    if (state === 'offline') return
    try {
      this.sweep()
    } catch {
      // The next pass tries again, and says why if it fails as well.
    }
  }

  /**
   * Starts to remove segments that lie wholly below the log start. True when it shall be called again for others.
   * Throws as the disk does.
   */
  sweep(): boolean {
    if (this.#log.state === 'offline') return false
    if (this.#isUnlinking) return true
    const isMore = this.#doom()
    if (this.#doomed.length > 0) this.#unlink()
    return isMore
  }

  /** Takes segments that may go out of the log. True when there are others. */
  #doom(): boolean {
    const { segments, offsets, reserved } = this.#log
    while (segments.length > 1 && segments[1].baseOffset <= offsets.logStart) {
      const [segment] = segments
      const endOffset = segments[1].baseOffset
      if (this.#doomed.length >= SWEEP_MAX || !this.isExpendable(segment, endOffset)) return true
      if (reserved !== null && endOffset > reserved.baseOffset) return false
      // Its size is asked for while it can be opened.
      this.#events.onSegmentRemoved?.(this.#log, segment.sizeBytes)
      segments.shift()
      this.#doomed.push(segment)
    }
    return false
  }

  /** Its bytes and the next one's name are synced, and what its producers sent last is noted down elsewhere. */
  isExpendable(segment: Segment, endOffset: number): boolean {
    const { flusher, checkpoints } = this.#parts
    if (endOffset > this.#log.offsets.recoveryPoint || flusher.isHolding(segment)) return false
    return checkpoints.isCovered(endOffset)
  }

  #unlink(): void {
    const { env, spec } = this.#events
    const paths = this.#doomed.flatMap(segment => [
      logFilePath(spec.directory, segment.baseOffset, 'snapshot'),
      ...segment.leave(),
    ])
    this.#isUnlinking = true
    env.disk.startUnlink(paths, failure => {
      // The next pass tells, and the sweep after it tries again.
      this.#unlinkFailure = failure
      if (failure === null) this.#doomed = []
      env.disk.startSyncDirectory(spec.directory, error => {
        this.#isUnlinking = false
        if (error !== null) this.#log.roundFailed(error)
        for (const tell of this.#settling.splice(0)) tell()
      })
    })
  }

  /** Unlinks are in flight. */
  get isSyncing(): boolean {
    return this.#isUnlinking
  }

  /** Unlinks, or syncs of what it asked for, are in flight. */
  get isBusy(): boolean {
    return this.isSyncing || this.#parts.marks.isSyncing
  }

  /** Resolves when no unlink is in flight. */
  settled(): Promise<void> {
    if (!this.isSyncing) return Promise.resolve()
    return new Promise(resolve => this.#settling.push(resolve))
  }
}
