/**
 * The real clock: wall time stamps records, monotonic time drives time-outs, timers never keep the process alive.
 * Any thread. Everything that takes time into account gets a `Clock`, so that tests can own it.
 */
import type { Clock } from './contracts/clock.ts'

/** setTimeout fires at once beyond this (a signed 32-bit count of milliseconds), so longer waits go in hops. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** Calls `fire` once after `delayMs` (any length; Infinity never fires); the returned function cancels. */
function after(delayMs: number, fire: () => void): () => void {
  const dueMs = performance.now() + delayMs
  let timer: NodeJS.Timeout
  const hop = (): void => {
    const leftMs = dueMs - performance.now()
    if (leftMs > TIMER_MS_MAX) arm(TIMER_MS_MAX, hop)
    else arm(Math.max(0, leftMs), fire)
  }
  const arm = (ms: number, next: () => void): void => {
    timer = setTimeout(next, ms)
    timer.unref()
  }
  hop()
  return () => clearTimeout(timer)
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after,
}
