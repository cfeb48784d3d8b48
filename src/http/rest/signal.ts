/** Something that happens again and again, and those who wait for the next time. Dispatcher thread. */
import type { Clock } from '../../contracts/clock.ts'

export class Signal {
  #waiters = new Set<() => void>()

  fire(): void {
    const waiters = this.#waiters
    this.#waiters = new Set()
    for (const wake of waiters) wake()
  }

  /** @returns takes `wake` back */
  once(wake: () => void): () => void {
    this.#waiters.add(wake)
    return () => this.#waiters.delete(wake)
  }

  /** Resolves at the next time, at the latest in `waitMs`. */
  wait(waitMs: number, clock: Clock): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        cancel()
        forget()
        resolve()
      }
      const forget = this.once(wake)
      const cancel = clock.after(waitMs, wake)
    })
  }
}
