/** Numbers that are always the same for a seed: everything a simulated life decides comes from here. */

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** In [0, 1). Mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number in [0, count). */
  int(count: number): number {
    return Math.floor(this.next() * count)
  }

  /** A whole number in [from, to]. */
  range(from: number, to: number): number {
    return from + this.int(to - from + 1)
  }

  /** In [from, to], small ones as likely as large ones: uniform in its logarithm. */
  logRange(from: number, to: number): number {
    return Math.min(to, Math.round(from * (to / from) ** this.next()))
  }

  chance(probability: number): boolean {
    return this.next() < probability
  }

  pick<T>(items: readonly T[]): T {
    return items[this.int(items.length)] as T
  }

  /** A stream of its own, so that what one part draws does not change what another one gets. */
  fork(): Random {
    return new Random(Math.floor(this.next() * 2 ** 32))
  }
}
