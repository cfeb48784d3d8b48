/**
 * Memory that all requests of a kind may hold together. Who finds none left is told to come again; nobody waits here,
 * so that half-read bodies cannot block one another. Dispatcher thread.
 */

/** Of the whole budget: what only small ones may take, so that a few large ones do not shut everybody out. */
const reservedShare = 1 / 8
const smallBytesMax = 64 * 1024

export class ByteBudget {
  readonly bytesMax: number
  #used = 0

  constructor(bytesMax: number) {
    this.bytesMax = bytesMax
  }

  get used(): number {
    return this.#used
  }

  /**
   * Takes `bytes` more for one that holds `held` already.
   * @returns false when there is no room; nothing is taken then
   */
  take(bytes: number, held = 0): boolean {
    const isSmall = held + bytes <= smallBytesMax
    const limit = isSmall ? this.bytesMax : this.bytesMax * (1 - reservedShare)
    if (this.#used + bytes > limit) return false
    this.#used += bytes
    return true
  }

  give(bytes: number): void {
    this.#used -= bytes
  }
}
