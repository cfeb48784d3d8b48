/**
 * What an owner does by itself with its logs, between requests: lets old records go, forgets idle producers, and starts
 * whatever else has been handed to it (compaction, scrub). One per owner thread; only timers, never within a round.
 *
 *   retention pass   log 0, log 1, log 2 | log 3, log 4 | ...        every retentionCheckMs, in slices of some ms
 *   sweep                                                 log 1      soon after, for logs that were left with work
 *   compaction pass  ---- backoff ---- | pass ... | ---- backoff ----
 *
 * The logs are looked up at each step: what was opened, closed or configured meanwhile counts at once. A log that fails
 * is told about and skipped. Clock and logs come from outside, so the simulation runs the same code.
 */
import type { Clock } from '../src/contracts/clock.ts'
import type { OwnerSettings } from '../src/contracts/owner-boot.ts'
import type { ClockTrust } from './clock-trust.ts'

/** A slice ends after so many logs or so much time. */
const SLICE_LOGS_MAX = 64
const SLICE_MS = 3
/** Between two slices: requests come first. */
const PAUSE_MS = 1
/**
 * After a log that has something synced or unlinked: each of these may hold up one flush of a producer, so that they
 * must be rare. A thousand such logs take two minutes.
 */
const SYNC_PAUSE_MS = 100
const SWEEP_MS = 50
/** The first pass does not wait for as long as the others. */
const FIRST_PASS_MS_MAX = 30_000

/** A log as housekeeping sees it: PartitionLog. */
export interface KeptLog {
  readonly slot: number
  /** See Retention. */
  readonly retention: {
    pass(isClockTrusted: boolean): boolean
    sweep(): boolean
    expireProducers(idleMsMax: number): void
    /** Syncs of its are in flight. */
    readonly isBusy: boolean
  }
}

/** A chore with a pace of its own, as the scrub. */
export interface Chore {
  start(): void
  stop(): void
}

export interface HousekeepingOptions<Log extends KeptLog> {
  readonly clock: Clock
  readonly settings: Pick<
    OwnerSettings,
    'retentionCheckMs' | 'cleanerBackoffMs' | 'producerIdleMsMax'
  >
  /** By slot; holes are slots of other owners. */
  readonly logs: readonly (Log | undefined)[]
  readonly trust: ClockTrust
  /** Deleting by age is paused, or goes on. */
  readonly onTrust: (isTrusted: boolean) => void
  /** Retention of one log failed, or (log null) a compaction pass did. It is tried again at the next pass. */
  readonly onError: (log: Log | null, error: Error) => void
  /** Compacts what is most worth it, if anything is. The next one comes `cleanerBackoffMs` after its end. */
  readonly compactPass?: () => Promise<void>
  readonly chores?: readonly Chore[]
}

export class Housekeeping<Log extends KeptLog> {
  readonly #options: HousekeepingOptions<Log>
  /** By what they are for, so that each is armed once. */
  readonly #timers = new Map<'retention' | 'sweep' | 'compaction', () => void>()
  #slot = 0
  #unswept: Log[] = []
  #isStopped = false

  constructor(options: HousekeepingOptions<Log>) {
    this.#options = options
  }

  start(): void {
    const { settings, compactPass, chores } = this.#options
    const firstMs = Math.min(settings.retentionCheckMs, FIRST_PASS_MS_MAX)
    this.#arm('retention', firstMs, this.#beginPass)
    if (compactPass !== undefined) {
      this.#arm('compaction', settings.cleanerBackoffMs, this.#compact)
    }
    for (const chore of chores ?? []) chore.start()
  }

  /** Nothing new is begun; a compaction pass under way ends by itself. */
  stop(): void {
    this.#isStopped = true
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
    for (const chore of this.#options.chores ?? []) chore.stop()
  }

  #arm(what: 'retention' | 'sweep' | 'compaction', delayMs: number, fire: () => void): void {
    if (this.#isStopped) return
    this.#timers.get(what)?.()
    this.#timers.set(what, this.#options.clock.after(delayMs, fire))
  }

  readonly #beginPass = (): void => {
    this.#slot = 0
    this.#unswept = []
    this.#slice()
  }

  readonly #slice = (): void => {
    const { clock, logs, trust, settings, onTrust } = this.#options
    const isTrusted = trust.look()
    onTrust(isTrusted)
    const startMs = clock.monotonicMs()
    let count = 0
    let pauseMs = PAUSE_MS
    while (this.#slot < logs.length) {
      const log = logs[this.#slot++]
      if (log === undefined) continue
      this.#retain(log, isTrusted)
      if (log.retention.isBusy) {
        pauseMs = SYNC_PAUSE_MS
        break
      }
      if (++count >= SLICE_LOGS_MAX || clock.monotonicMs() - startMs >= SLICE_MS) break
    }
    if (this.#unswept.length > 0) this.#arm('sweep', SWEEP_MS, this.#sweep)
    if (this.#slot < logs.length) this.#arm('retention', pauseMs, this.#slice)
    else this.#arm('retention', settings.retentionCheckMs, this.#beginPass)
  }

  #retain(log: Log, isTrusted: boolean): void {
    const { settings, onError } = this.#options
    try {
      if (log.retention.pass(isTrusted)) this.#unswept.push(log)
      log.retention.expireProducers(settings.producerIdleMsMax)
    } catch (error) {
      onError(log, error as Error)
    }
  }

  readonly #sweep = (): void => {
    const { clock, logs, onError } = this.#options
    const startMs = clock.monotonicMs()
    const left: Log[] = []
    let isBusy = false
    for (const [index, log] of this.#unswept.entries()) {
      if (isBusy || clock.monotonicMs() - startMs >= SLICE_MS) {
        left.unshift(...this.#unswept.slice(index))
        break
      }
      if (logs[log.slot] !== log) continue
      try {
        if (log.retention.sweep()) left.push(log)
        isBusy = log.retention.isBusy
      } catch (error) {
        onError(log, error as Error)
      }
    }
    this.#unswept = left
    if (left.length > 0) this.#arm('sweep', SWEEP_MS, this.#sweep)
  }

  readonly #compact = (): void => {
    void this.#compactOnce()
  }

  async #compactOnce(): Promise<void> {
    const { compactPass, settings, onError } = this.#options
    try {
      await compactPass!()
    } catch (error) {
      onError(null, error as Error)
    }
    this.#arm('compaction', settings.cleanerBackoffMs, this.#compact)
  }
}
