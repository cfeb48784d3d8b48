/**
 * Which pages of an arena are taken: one bit a page, 32 pages a word, 1 = taken. Dispatcher thread, private memory.
 *
 *   word 0: bit 0 = page 0 ... bit 31 = page 31 | word 1: page 32 ... | bits beyond the last page: 1 for ever
 *
 * A search takes 32 pages at a time, gaps that are too small included: 8,192 pages (64 MiB of 8 KiB) are 256 words.
 */
import { ensure } from './ensure.ts'

export class PageMap {
  readonly pageCount: number
  readonly #taken: Int32Array
  #usedCount = 0
  /** No page below is free. */
  #lowest = 0

  constructor(pageCount: number) {
    this.pageCount = pageCount
    this.#taken = new Int32Array((pageCount + 31) >>> 5)
    if ((pageCount & 31) !== 0) this.#taken[this.#taken.length - 1] = -1 << (pageCount & 31)
  }

  get usedCount(): number {
    return this.#usedCount
  }

  /** Takes the lowest run of `count` free pages; returns its first page or -1. */
  takeLowest(count: number): number {
    if (count > this.pageCount - this.#usedCount) return -1
    const lowest = this.#nextStart(this.#lowest, 1)
    this.#lowest = lowest
    let from = this.#nextStart(lowest, count)
    while (from + count <= this.pageCount) {
      const end = this.#nextTaken(from, from + count)
      if (end === from + count) {
        this.#set(from, end)
        if (from === lowest) this.#lowest = end
        return from
      }
      from = this.#nextStart(end, count)
    }
    return -1
  }

  /** Takes the highest run of `count` free pages; returns its first page or -1. */
  takeHighest(count: number): number {
    if (count > this.pageCount - this.#usedCount) return -1
    let end = this.#freeEnd(this.pageCount)
    while (end >= count) {
      const from = this.#takenEnd(end, end - count)
      if (from === end - count) {
        this.#set(from, end)
        return from
      }
      end = this.#freeEnd(from)
    }
    return -1
  }

  /** Gives `count` taken pages back, from `page` on. */
  give(page: number, count: number): void {
    this.#clear(page, page + count)
    if (page < this.#lowest) this.#lowest = page
  }

  /** The first page at or above `page` where a run of `count` free pages may start: its own word says nothing against
   *  it, the words behind are not looked at. pageCount when there is none. */
  #nextStart(page: number, count: number): number {
    let word = page >>> 5
    let mask = -1 << (page & 31)
    for (; word < this.#taken.length; word++, mask = -1) {
      const starts = runStarts(~this.#taken[word] & mask, count)
      if (starts !== 0) return (word << 5) + lowestBit(starts)
    }
    return this.pageCount
  }

  /** The first taken page in [page, end), or `end`. */
  #nextTaken(page: number, end: number): number {
    let word = page >>> 5
    let taken = this.#taken[word] & (-1 << (page & 31))
    while (taken === 0) {
      if (++word << 5 >= end) return end
      taken = this.#taken[word]
    }
    return Math.min(end, (word << 5) + lowestBit(taken))
  }

  /** One past the highest free page below `end`; 0 when there is none. */
  #freeEnd(end: number): number {
    if (end === 0) return 0
    let word = (end - 1) >>> 5
    let free = ~this.#taken[word] & (-1 >>> (31 - ((end - 1) & 31)))
    while (free === 0) {
      if (--word < 0) return 0
      free = ~this.#taken[word]
    }
    return (word << 5) + 32 - Math.clz32(free)
  }

  /** One past the highest taken page in [from, end), or `from`. */
  #takenEnd(end: number, from: number): number {
    let word = (end - 1) >>> 5
    let taken = this.#taken[word] & (-1 >>> (31 - ((end - 1) & 31)))
    while (taken === 0) {
      if (word-- << 5 <= from) return from
      taken = this.#taken[word]
    }
    return Math.max(from, (word << 5) + 32 - Math.clz32(taken))
  }

  #set(from: number, end: number): void {
    for (let page = from; page < end; page = ((page >>> 5) + 1) << 5) {
      const mask = bitsOfWord(page, end)
      this.#taken[page >>> 5] |= mask
    }
    this.#usedCount += end - from
  }

  #clear(from: number, end: number): void {
    for (let page = from; page < end; page = ((page >>> 5) + 1) << 5) {
      const mask = bitsOfWord(page, end)
      ensure((this.#taken[page >>> 5] & mask) === mask, 'these pages are free already')
      this.#taken[page >>> 5] &= ~mask
    }
    this.#usedCount -= end - from
  }
}

/** Mask of the pages [page, end) that lie in page's word. */
function bitsOfWord(page: number, end: number): number {
  const first = page & 31
  const count = Math.min(32 - first, end - page)
  return (-1 >>> (32 - count)) << first
}

/** The bits of `free` that begin a run of `count` ones, as far as this word goes: what lies beyond counts as ones. */
function runStarts(free: number, count: number): number {
  const wanted = Math.min(count, 32)
  let starts = free
  for (let length = 1; length < wanted && starts !== 0; ) {
    const step = Math.min(length, wanted - length)
    starts &= (starts >>> step) | ~(-1 >>> step)
    length += step
  }
  return starts
}

function lowestBit(word: number): number {
  return 31 - Math.clz32(word & -word)
}
