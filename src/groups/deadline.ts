/**
 * A time by which somebody must have been heard. Dispatcher thread. Two properties that a bare timer lacks:
 *
 * - Moving it is cheap: it is moved at every heartbeat, and the timer below it is only armed anew when it fires early.
 * - It is never believed at first sight. When the process stood still (a stopped process, a swapped out machine, a long
 *   garbage collection) timers come before the sockets, in which the heartbeats of everybody lie unread. So what is due
 *   gets a second look: after a moment, and after as long as the timer was late, within the span it was set to.
 *   Time in which nobody could be heard does not count.
 */
import type { Clock } from '../contracts/clock.ts'

/** Enough for a turn of the event loop that reads all sockets. */
export const secondLookMs = 100
/** A process that is always late must not keep the dead alive for ever. */
const looksMax = 8

export class Deadline {
  readonly #clock: Clock
  readonly #onDue: () => void
  #cancel: (() => void) | null = null
  #armedMs = 0
  #dueMs = Infinity
  #spanMs = 0
  #looks = 0

  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  get isSet(): boolean {
    return this.#dueMs !== Infinity
  }

  /** Due in `spanMs` from now, whatever was set before. */
  set(spanMs: number): void {
    const dueMs = this.#clock.monotonicMs() + spanMs
    this.#dueMs = dueMs
    this.#spanMs = spanMs
    this.#looks = 0
    if (this.#cancel !== null && this.#armedMs <= dueMs) return
    this.#arm(dueMs)
  }

  clear(): void {
    this.#dueMs = Infinity
    this.#cancel?.()
    this.#cancel = null
  }

  #arm(atMs: number): void {
    this.#cancel?.()
    this.#armedMs = atMs
    this.#cancel = this.#clock.after(Math.max(0, atMs - this.#clock.monotonicMs()), this.#fired)
  }

  readonly #fired = (): void => {
    this.#cancel = null
    const nowMs = this.#clock.monotonicMs()
    const lateMs = nowMs - this.#armedMs
    if (nowMs < this.#dueMs) this.#arm(this.#dueMs)
    else if (this.#looks > 0 && (lateMs < secondLookMs || this.#looks >= looksMax)) {
      this.#dueMs = Infinity
      this.#onDue()
    } else {
      this.#looks++
      this.#arm(nowMs + Math.max(secondLookMs, Math.min(lateMs, this.#spanMs)))
    }
  }
}
