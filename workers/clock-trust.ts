/**
 * Whether the wall clock is good enough to delete records by their age. One per owner thread; no I/O.
 *
 *   wall       ----|------|------------------|==>      both clocks are looked at together; when they have moved apart
 *   monotonic  ----|------|------|                     by more than 60 s since, somebody set the wall clock, or the
 *                                                      machine slept: no record is deleted by age for ten minutes
 *
 * What it knows is kept outside of the thread: one that takes the place of a dead one goes on with the pause, and
 * notices what moved meanwhile. The pause gives people and NTP time; what comes after it is taken for the truth. It
 * only ever delays: ages are measured on both clocks as well (log/retention.ts), and the size limit goes on working
 * (RELIABILITY 2.4).
 */
import type { Clock } from '../src/contracts/clock.ts'

const DRIFT_MS_MAX = 60_000
const PAUSE_MS = 10 * 60_000
/** Drift is counted within this time: a clock that is steered slowly is a good clock. */
const WINDOW_MS = 60 * 60_000
/** At start: so much later than the last sign of life is a long holiday, or a wrong clock. */
const AHEAD_MS_MAX = 24 * 60 * 60_000

/** What one owner thread knew of the clocks; outlives it. Times are those of the reader's clocks. */
export interface ClockMemory {
  /** Null for the first thread of the process. */
  read(): ClockLook | null
  write(look: ClockLook): void
}

export interface ClockLook {
  readonly wallMs: number
  readonly monotonicMs: number
  /** Monotonic; -Infinity for no pause. */
  readonly pausedUntilMs: number
}

export interface ClockTrustOptions {
  readonly clock: Clock
  /** Newest wall time that an earlier run of the broker is known to have seen; null when there is none. */
  readonly lastSeenWallMs: number | null
  readonly memory?: ClockMemory
  /** Deleting by age pauses, or is paused anew. */
  readonly onPause: (reason: string, pauseMs: number) => void
}

export class ClockTrust {
  readonly #clock: Clock
  readonly #onPause: ClockTrustOptions['onPause']
  readonly #memory: ClockMemory | undefined
  #wallMs: number
  #monotonicMs: number
  /** On the monotonic clock. */
  #pausedUntilMs = Number.NEGATIVE_INFINITY

  constructor({ clock, lastSeenWallMs, memory, onPause }: ClockTrustOptions) {
    this.#clock = clock
    this.#onPause = onPause
    this.#memory = memory
    const before = memory?.read() ?? null
    this.#wallMs = before?.wallMs ?? clock.wallMs()
    this.#monotonicMs = before?.monotonicMs ?? clock.monotonicMs()
    if (before !== null) {
      this.#pausedUntilMs = before.pausedUntilMs
      if (this.isPaused) this.#tell('so it was before the owner thread died')
      return
    }
    this.#remember()
    if (lastSeenWallMs === null) return
    const sinceMs = this.#wallMs - lastSeenWallMs
    const last = `the last sign of life, ${iso(lastSeenWallMs)}`
    if (sinceMs < -DRIFT_MS_MAX) this.#pause(`the clock, ${iso(this.#wallMs)}, is behind ${last}`)
    if (sinceMs > AHEAD_MS_MAX) {
      this.#pause(`the clock, ${iso(this.#wallMs)}, is more than a day ahead of ${last}`)
    }
  }

  /** Compares the clocks; false while nothing may be deleted by age. */
  look(): boolean {
    const wallMs = this.#clock.wallMs()
    const monotonicMs = this.#clock.monotonicMs()
    const driftMs = wallMs - this.#wallMs - (monotonicMs - this.#monotonicMs)
    const isDrift = Math.abs(driftMs) > DRIFT_MS_MAX
    if (isDrift || monotonicMs - this.#monotonicMs > WINDOW_MS) {
      this.#wallMs = wallMs
      this.#monotonicMs = monotonicMs
      this.#remember()
    }
    if (isDrift) {
      const seconds = Math.round(driftMs / 1000)
      const which = seconds > 0 ? 'ahead of' : 'behind'
      this.#pause(`the wall clock moved ${Math.abs(seconds)} s ${which} the monotonic clock`)
    }
    return !this.isPaused
  }

  get isPaused(): boolean {
    return this.#clock.monotonicMs() < this.#pausedUntilMs
  }

  #pause(reason: string): void {
    this.#pausedUntilMs = this.#monotonicMs + PAUSE_MS
    this.#remember()
    this.#tell(reason)
  }

  #tell(reason: string): void {
    this.#onPause(reason, this.#pausedUntilMs - this.#clock.monotonicMs())
  }

  #remember(): void {
    const [wallMs, monotonicMs] = [this.#wallMs, this.#monotonicMs]
    this.#memory?.write({ wallMs, monotonicMs, pausedUntilMs: this.#pausedUntilMs })
  }
}

/** A wall clock may say anything, also what no date can hold. */
function iso(wallMs: number): string {
  const date = new Date(wallMs)
  return Number.isNaN(date.getTime()) ? `${wallMs} ms since 1970` : date.toISOString()
}
