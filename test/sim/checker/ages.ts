/**
 * Nothing goes by age before its time (RELIABILITY P13): where age alone lets records go, each must have been in the
 * log for `retention.ms` by the monotonic clock, and by the wall clock where nobody sets that.
 */
import type { LogConfig } from '../../../src/contracts/log-config.ts'
import { demand } from './anomaly.ts'
import type { Entry } from './model.ts'

interface Times {
  readonly wallMs: number
  readonly monotonicMs: number
}

export class AgeRule {
  /** What was appended since the log was opened; of the rest, only files know. */
  readonly #appended = new Map<Entry, Times>()
  /** Null when records may go for another reason. */
  #retentionMsMin: number | null = Number.POSITIVE_INFINITY

  /** The log was opened. */
  reset(): void {
    this.#appended.clear()
    this.#retentionMsMin = Number.POSITIVE_INFINITY
  }

  appended(entry: Entry, now: Times): void {
    this.#appended.set(entry, now)
  }

  /** Called at every step, before what is gone is looked at. */
  applies({ retentionMs, retentionBytes }: LogConfig): void {
    if (retentionBytes !== Number.POSITIVE_INFINITY) this.#retentionMsMin = null
    if (this.#retentionMsMin === null) return
    this.#retentionMsMin = Math.min(this.#retentionMsMin, retentionMs)
  }

  gone(name: string, entry: Entry, now: Times, isWallSteady: boolean): void {
    const before = this.#appended.get(entry)
    this.#appended.delete(entry)
    const least = this.#retentionMsMin
    if (before === undefined || least === null) return
    const byWall = isWallSteady ? now.wallMs - before.wallMs : Number.POSITIVE_INFINITY
    const ageMs = Math.min(byWall, now.monotonicMs - before.monotonicMs)
    demand(ageMs + 1 >= least, 'wrong-deletion', () => {
      return `${name}: the batch at ${entry.base} goes after ${ageMs} ms, retention.ms is ${least}`
    })
  }
}
