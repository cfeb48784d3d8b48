/** A clock that stands still until it is told to move. */
import type { Clock } from '../../src/contracts/clock.ts'

interface Timer {
  readonly dueMs: number
  readonly fire: () => void
}

export class FakeClock implements Clock {
  wall = 1_700_000_000_000
  monotonic = 1_000
  #timers: Timer[] = []

  wallMs(): number {
    return this.wall
  }

  monotonicMs(): number {
    return this.monotonic
  }

  after(delayMs: number, fire: () => void): () => void {
    const timer = { dueMs: this.monotonic + delayMs, fire }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter(other => other !== timer)
    }
  }

  get timerCount(): number {
    return this.#timers.length
  }

  /** Moves both clocks and fires what is due, earliest first. */
  advance(ms: number): void {
    const endMs = this.monotonic + ms
    for (;;) {
      const due = this.#timers.filter(timer => timer.dueMs <= endMs)
      if (due.length === 0) break
      const next = due.reduce((a, b) => (b.dueMs < a.dueMs ? b : a))
      this.#timers = this.#timers.filter(timer => timer !== next)
      const stepMs = Math.max(0, next.dueMs - this.monotonic)
      this.monotonic += stepMs
      this.wall += stepMs
      next.fire()
    }
    this.wall += endMs - this.monotonic
    this.monotonic = endMs
  }
}
