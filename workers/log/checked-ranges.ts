/**
 * Which bytes of one segment have had their checksums looked at in this process: appended here, recovered, scrubbed or
 * read once. Nothing else is served unseen (RELIABILITY P12). Owner thread only.
 *
 *   file   |===checked===|.......|==checked==|      few ranges, apart: readers and the scrub go forward and join them
 */

/** Readers at more places than this are checked again when they come back. */
const RANGES_MAX = 8

export class CheckedRanges {
  readonly #starts: number[] = []
  readonly #ends: number[] = []

  /** Whether file[start, end) has been looked at. */
  has(start: number, end: number): boolean {
    // The newest bytes are asked for most.
    for (let index = this.#starts.length - 1; index >= 0; index--) {
      if (this.#starts[index] <= start) return end <= this.#ends[index]
    }
    return false
  }

  add(start: number, end: number): void {
    if (end <= start) return
    const last = this.#ends.length - 1
    // The usual case: appended bytes, or a reader that goes on.
    if (last >= 0 && this.#starts[last] <= start && start <= this.#ends[last]) {
      if (end > this.#ends[last]) this.#ends[last] = end
      return
    }
    let index = 0
    while (index < this.#ends.length && this.#ends[index] < start) index++
    let [from, to, joined] = [start, end, 0]
    while (index + joined < this.#starts.length && this.#starts[index + joined] <= end) {
      from = Math.min(from, this.#starts[index + joined])
      to = Math.max(to, this.#ends[index + joined])
      joined++
    }
    this.#starts.splice(index, joined, from)
    this.#ends.splice(index, joined, to)
    if (this.#starts.length > RANGES_MAX) this.#dropSmallest()
  }

  clear(): void {
    this.#starts.length = 0
    this.#ends.length = 0
  }

  /** Never the last one: it is the busiest. */
  #dropSmallest(): void {
    let smallest = 0
    for (let index = 1; index < this.#starts.length - 1; index++) {
      const bytes = this.#ends[index] - this.#starts[index]
      if (bytes < this.#ends[smallest] - this.#starts[smallest]) smallest = index
    }
    this.#starts.splice(smallest, 1)
    this.#ends.splice(smallest, 1)
  }
}
