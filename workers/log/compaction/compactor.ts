/**
 * Compacts the logs of one owner thread, one at a time, the dirtiest first. Owner thread only: decides, has a task of
 * the pool do the reading and writing, and puts the result in place if the log is still the one it was made of.
 *
 *   plan -> reserve -> task writes .cleaned -> still the same log? -> log-marks: gaps below -> swap, swap, ... -> note
 *
 * Swaps go in oldest first: a tombstone must not go before what it deletes. Whatever fails leaves the log as it was, or
 * partly compacted, which is right as well; the next pass begins where the last complete one ended. A log that fails is
 * left alone for longer each time.
 */
import type { Clock } from '../../../src/contracts/clock.ts'
import type { Disk } from '../../../src/contracts/disk.ts'
import type { TaskRunner } from '../../../src/contracts/tasks.ts'
import type { Marks } from '../marks.ts'
import type { SwapRange } from '../swap.ts'
import type { Swapper } from '../swapper.ts'
import type { CompactionOutput, CompactTaskInput } from './compact-segments.ts'
import { type Compactable, type CompactionPlan, planCompaction } from './plan.ts'
import { dropUndecided, readDirtyStart, writeDirtyStart } from './progress.ts'

/** From so many failures in a row on, a log counts as uncleanable. */
const uncleanableFrom = 3
const RETRY_MS_MAX = 60 * 60_000
/** A look at the logs pauses after so much time, for so long. */
const SLICE_MS = 3
const PAUSE_MS = 1

export interface CompactedLog extends Compactable {
  readonly marks: Marks
  readonly swapper: Swapper
  /** Base offsets of the batches by which producers are recognised. */
  windowOffsets(endOffset: number): Float64Array
}

export interface CompactorOptions<Log extends CompactedLog> {
  readonly disk: Disk
  readonly clock: Clock
  readonly tasks: TaskRunner
  /** By slot; holes are slots of other owners. */
  readonly logs: readonly (Log | undefined)[]
  readonly backoffMs: number
  readonly mapBytes: number
  /** Of one batch; without it the default of decompressed.max.bytes. */
  readonly decompressedBytesMax?: number
  readonly bytesPerSecondMax: number
  /** What of the disk is to stay free; default nothing. Throws as the disk does. */
  readonly reserveBytes?: () => number
  /** False while the wall clock is not believed: it says when tombstones go. */
  readonly isClockTrusted: () => boolean
  /** The task is done and its result is in place. */
  readonly onPass: (log: Log, output: CompactionOutput) => void
  /** The log is left alone for `retryMs`. */
  readonly onFailure: (log: Log, error: Error, retryMs: number) => void
  /** At each look: the largest dirty share of a compacted log, and how many logs have failed too often. */
  readonly onLook: (dirtyRatioMax: number, uncleanableCount: number) => void
}

interface Progress {
  /** -1: not read yet. */
  dirtyStart: number
  /** At the last look. */
  dirtyRatio: number
  failures: number
  /** On the monotonic clock. */
  notBeforeMs: number
}

interface Candidate<Log> {
  readonly log: Log
  readonly plan: CompactionPlan
}

/** The log was closed, moved, configured or changed meanwhile: no failure. */
class Outdated extends Error {}

export class Compactor<Log extends CompactedLog> {
  readonly #options: CompactorOptions<Log>
  readonly #progress = new WeakMap<Log, Progress>()
  #isStopped = false

  constructor(options: CompactorOptions<Log>) {
    this.#options = options
  }

  /** Compacts until no log is worth it. Resolves when nothing of it is under way; never rejects for a log's reasons. */
  async pass(): Promise<void> {
    while (!this.#isStopped) {
      const found = this.#options.isClockTrusted() ? await this.#dirtiest() : null
      if (found === null || !(await this.#compact(found))) return
    }
  }

  /** The owner goes down: what a task still finds out is not wanted any more. */
  stop(): void {
    this.#isStopped = true
  }

  /** Looks at all logs, a few milliseconds at a time: requests come first. */
  async #dirtiest(): Promise<Candidate<Log> | null> {
    const { logs, clock, onLook } = this.#options
    let best: Log | null = null
    let [bestRatio, ratioMax, uncleanable] = [-1, 0, 0]
    let sliceStartMs = clock.monotonicMs()
    for (const log of logs) {
      if (log === undefined || !this.#isCompacted(log)) continue
      if (clock.monotonicMs() - sliceStartMs >= SLICE_MS) {
        await new Promise<void>(resolve => clock.after(PAUSE_MS, resolve))
        sliceStartMs = clock.monotonicMs()
      }
      const isDue = this.#look(log)?.isDue === true
      const { dirtyRatio, failures } = this.#progressOf(log)
      if (failures >= uncleanableFrom) uncleanable++
      ratioMax = Math.max(ratioMax, dirtyRatio)
      if (!isDue || dirtyRatio <= bestRatio) continue
      best = log
      bestRatio = dirtyRatio
    }
    onLook(ratioMax, uncleanable)
    // Much may have changed since that log was looked at.
    const plan = best !== null && this.#isCompacted(best) ? this.#look(best) : null
    return best !== null && plan?.isDue === true ? { log: best, plan } : null
  }

  #isCompacted(log: Log): boolean {
    return this.#isServed(log) && log.config.cleanupCompact && log.state !== 'offline'
  }

  /** Null when there is nothing to do in the log, or nothing shall be tried yet. */
  #look(log: Log): CompactionPlan | null {
    const { disk, clock } = this.#options
    const progress = this.#progressOf(log)
    if (progress.notBeforeMs > clock.monotonicMs()) return null
    try {
      if (progress.dirtyStart < 0) progress.dirtyStart = readDirtyStart(disk, log.directory)
      const plan = planCompaction(log, progress.dirtyStart, clock)
      progress.dirtyRatio = plan?.dirtyRatio ?? 0
      return plan
    } catch (error) {
      this.#failed(log, error as Error)
      return null
    }
  }

  #progressOf(log: Log): Progress {
    let progress = this.#progress.get(log)
    if (progress === undefined) {
      const notBeforeMs = Number.NEGATIVE_INFINITY
      progress = { dirtyStart: -1, dirtyRatio: 0, failures: 0, notBeforeMs }
      this.#progress.set(log, progress)
    }
    return progress
  }

  /** False when it is better to wait before the next look. */
  async #compact({ log, plan }: Candidate<Log>): Promise<boolean> {
    const { disk, onPass } = this.#options
    const progress = this.#progressOf(log)
    log.reserved = plan.range
    try {
      dropUndecided(disk, log.directory)
      const output = await this.#runTask(log, plan, progress.dirtyStart)
      await this.#putInPlace(log, plan, output)
      progress.dirtyStart = output.mapEnd
      progress.failures = 0
      writeDirtyStart(disk, log.directory, output.mapEnd)
      onPass(log, output)
      return true
    } catch (error) {
      this.#drop(log)
      const isOutdated = error instanceof Outdated || !this.#isServed(log)
      if (!isOutdated) this.#failed(log, error as Error)
      return !isOutdated
    } finally {
      log.reserved = null
    }
  }

  async #runTask(log: Log, plan: CompactionPlan, dirtyStart: number): Promise<CompactionOutput> {
    const { clock, tasks, mapBytes, bytesPerSecondMax, reserveBytes } = this.#options
    const { decompressedBytesMax } = this.#options
    const { directory, config } = log
    const input: CompactTaskInput = {
      directory,
      sources: plan.sources,
      dirtyStart,
      mapBytes,
      nowMs: clock.wallMs(),
      deleteRetentionMs: config.deleteRetentionMs,
      segmentBytesMax: config.segmentBytesMax,
      indexBytesMax: config.indexBytesMax,
      indexIntervalBytes: config.indexIntervalBytes,
      remembered: log.windowOffsets(plan.range.endOffset),
      reserveBytes: reserveBytes?.() ?? 0,
      bytesPerSecondMax,
      decompressedBytesMax,
    }
    return (await tasks.run('compact-segments', input)) as CompactionOutput
  }

  async #putInPlace(log: Log, plan: CompactionPlan, output: CompactionOutput): Promise<void> {
    const { cleaned, mapEnd } = output
    this.#ensureCurrent(log, plan, plan.range)
    if (cleaned.length === 0) return
    const gapsEnd = Math.max(mapEnd, cleaned.at(-1)!.endOffset)
    await settledBy(done => log.marks.moveCleanedEnd(gapsEnd, done))
    for (const range of cleaned) {
      this.#ensureCurrent(log, plan, range)
      const { indexIntervalBytes } = log.config
      await settledBy(done => log.swapper.start(range, indexIntervalBytes, done))
    }
  }

  /** Throws unless the log is served as it was when the plan was made, and its segments in the range are the same. */
  #ensureCurrent(log: Log, plan: CompactionPlan, { baseOffset, endOffset }: SwapRange): void {
    const isInRange = (segment: { readonly baseOffset: number }): boolean =>
      segment.baseOffset >= baseOffset && segment.baseOffset < endOffset
    const now = log.segments.filter(isInRange)
    const planned = plan.segments.filter(isInRange)
    const isSame =
      this.#isServed(log) &&
      log.state !== 'offline' &&
      log.config === plan.config &&
      now.length === planned.length &&
      now.every((segment, index) => segment === planned[index])
    if (!isSame) throw new Outdated()
  }

  #isServed(log: Log): boolean {
    return !this.#isStopped && this.#options.logs[log.slot] === log
  }

  #drop(log: Log): void {
    // What went wrong with the disk is for the next open to sort out.
    if (log.state === 'offline') return
    try {
      dropUndecided(this.#options.disk, log.directory)
    } catch {
      // The log was deleted; or the next pass, or the next open, drops it.
    }
  }

  #failed(log: Log, error: Error): void {
    const { clock, backoffMs, onFailure } = this.#options
    const progress = this.#progressOf(log)
    const retryMs = Math.min(backoffMs * 2 ** progress.failures, RETRY_MS_MAX)
    progress.failures++
    progress.notBeforeMs = clock.monotonicMs() + retryMs
    onFailure(log, error, retryMs)
  }
}

function settledBy(start: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start(error => (error === null ? resolve() : reject(error)))
  })
}
