/**
 * Work of tails in small pieces, between which the event loop serves everybody else: producers must not notice how many
 * tails there are. After a slice of work it rests for a multiple of the time it took, unless that was next to nothing;
 * what comes meanwhile gathers, so that with many tails each is written to less often, and more at a time.
 * Dispatcher thread.
 */

export interface PacedWork {
  /** One piece, a fraction of a millisecond. */
  step(): void
}

const sliceMs = 0.5
/** Rest for so many times the time worked: tails take at most a fifth of the thread. */
const restFactor = 4
/** Timers count in whole milliseconds: a shorter rest is none. */
const restMsMin = 1
/** Entries of the queue that are done and not dropped yet. */
const doneMax = 1024

export class Pacer {
  #queue: PacedWork[] = []
  #next = 0
  #isScheduled = false
  #restUntilMs = 0

  /** Does `work.step()` once, after all that was asked for before. */
  add(work: PacedWork): void {
    this.#queue.push(work)
    this.#schedule()
  }

  /** Does `piece` when it is its turn. @returns what it returned */
  run<T>(piece: () => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const step = (): void => {
      try {
        resolve(piece())
      } catch (error) {
        reject(error)
      }
    }
    this.add({ step })
    return promise
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    const restMs = this.#restUntilMs - performance.now()
    if (restMs < restMsMin) setImmediate(this.#slice)
    else setTimeout(this.#slice, restMs)
  }

  readonly #slice = (): void => {
    this.#isScheduled = false
    // What a step added may have been done in that step's slice already.
    if (this.#next === this.#queue.length) return
    const startMs = performance.now()
    let nowMs = startMs
    do {
      const work = this.#queue[this.#next++]
      if (this.#next === this.#queue.length || this.#next > doneMax) {
        this.#queue = this.#queue.slice(this.#next)
        this.#next = 0
      }
      work.step()
      nowMs = performance.now()
    } while (this.#next < this.#queue.length && nowMs - startMs < sliceMs)
    this.#restUntilMs = nowMs + (nowMs - startMs) * restFactor
    if (this.#next < this.#queue.length) this.#schedule()
  }
}
