/**
 * Turns of tails that are behind and read by themselves: few at a time, in the order in which they asked, a read each.
 * Dispatcher thread.
 */

export interface Reader {
  /** One read of its own. Never rejects. */
  readOwn(): Promise<void>
}

export class CatchUp {
  readonly #readsMax: number
  readonly #waiting = new Set<Reader>()
  #reading = 0

  constructor(readsMax: number) {
    this.#readsMax = readsMax
  }

  /** Tails that read, or wait for their turn to. */
  get size(): number {
    return this.#reading + this.#waiting.size
  }

  add(reader: Reader): void {
    this.#waiting.add(reader)
    this.#start()
  }

  delete(reader: Reader): void {
    this.#waiting.delete(reader)
  }

  #start(): void {
    for (const reader of this.#waiting) {
      if (this.#reading === this.#readsMax) return
      this.#waiting.delete(reader)
      this.#reading++
      void reader.readOwn().finally(() => {
        this.#reading--
        this.#start()
      })
    }
  }
}
