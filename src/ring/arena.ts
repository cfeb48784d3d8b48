/**
 * The bytes of requests or of responses: one SharedArrayBuffer that every thread sees, cut into pages. Only
 * one thread, the dispatcher that made the Arena, allocates and frees; others get (offset, length) in a
 * command and touch just those bytes.
 *
 *   | small regions, first fit from the bottom ->                 free                 <- large regions, from the top |
 *
 * Low pages are used again and again, so few pages are ever touched and those stay in the processor's
 * cache. Large ones (1/8 of the arena and more) start at the other end, so small ones do not break up the
 * room that large ones need. Which pages are taken is a bitmap in private memory. After a thread died its
 * regions are freed only after its exit event.
 */
import assert from 'node:assert'
import { ensure } from './ensure.ts'
import { PageMap } from './page-map.ts'

/** A run of whole pages, the caller's alone from alloc() to free(). The object is used again some time
 *  after free(). */
export interface Region {
  /** First byte in the arena; -1 once freed. */
  readonly offset: number
  /** Usable bytes: what was asked for, rounded up to whole pages. */
  readonly sizeBytes: number
  /** Differs from the one of every recent region, never 0: a reply that names another one is stale. Wraps at 2^32. */
  readonly generation: number
}

interface OwnedRegion extends Region {
  offset: number
  sizeBytes: number
  generation: number
}

/** A region at least this part of the arena is large. */
const LARGE_FRACTION = 8
/** Freed Region objects rest this many frees before they are used again, so that a late second free is
 *  still caught. */
const REST_FREES = 256

export class Arena {
  readonly sab: SharedArrayBuffer
  /** The arena as a Buffer; `bytes.subarray(offset, offset + length)` is a view that sockets and files accept. */
  readonly bytes: Buffer
  readonly pageBytes: number
  readonly #pages: PageMap
  readonly #largePages: number
  /** The region that starts at each page; null where none does. */
  readonly #starts: (OwnedRegion | null)[]
  /** Freed objects, oldest first, in a circle: at most one per page can be out at once, the others rest. */
  readonly #resting: OwnedRegion[] = []
  readonly #restingMax: number
  #restingFirst = 0
  #restingCount = 0
  #generation = 0

  /** `sizeBytes` is rounded down to whole pages. Untouched pages cost no memory. */
  constructor(sizeBytes: number, pageBytes = 8192) {
    assert(Number.isInteger(pageBytes) && pageBytes >= 1)
    const pageCount = Math.floor(sizeBytes / pageBytes)
    assert(pageCount >= 1, 'an arena holds at least one page')
    assert(pageCount * pageBytes <= 0x7fffffff, 'offsets travel as int32')
    this.sab = new SharedArrayBuffer(pageCount * pageBytes)
    this.bytes = Buffer.from(this.sab)
    this.pageBytes = pageBytes
    this.#pages = new PageMap(pageCount)
    this.#largePages = Math.max(2, Math.ceil(pageCount / LARGE_FRACTION))
    this.#restingMax = pageCount + REST_FREES + 1
    this.#starts = Array.from({ length: pageCount }, () => null)
  }

  get usedBytes(): number {
    return this.#pages.usedCount * this.pageBytes
  }

  get freeBytes(): number {
    return (this.#pages.pageCount - this.#pages.usedCount) * this.pageBytes
  }

  /** A contiguous region of at least `sizeBytes` (>= 1), or null when no free run is long enough. */
  alloc(sizeBytes: number): Region | null {
    ensure(sizeBytes >= 1, 'a region has at least one byte')
    const pageCount = Math.ceil(sizeBytes / this.pageBytes)
    const page =
      pageCount < this.#largePages
        ? this.#pages.takeLowest(pageCount)
        : this.#pages.takeHighest(pageCount)
    if (page < 0) return null
    const region = this.#restingCount > REST_FREES ? this.#wakeOldest() : freshRegion()
    this.#generation = (this.#generation + 1) | 0
    if (this.#generation === 0) this.#generation = 1
    region.offset = page * this.pageBytes
    region.sizeBytes = pageCount * this.pageBytes
    region.generation = this.#generation
    this.#starts[page] = region
    return region
  }

  /** Gives back the pages behind the first `keepBytes`; one page always stays. Same region, same generation. */
  trim(region: Region, keepBytes: number): void {
    const page = this.#pageOf(region)
    ensure(keepBytes >= 0 && keepBytes <= region.sizeBytes, 'a region cannot grow')
    const pageCount = region.sizeBytes / this.pageBytes
    const keepCount = Math.max(1, Math.ceil(keepBytes / this.pageBytes))
    if (keepCount === pageCount) return
    this.#pages.give(page + keepCount, pageCount - keepCount)
    ;(region as OwnedRegion).sizeBytes = keepCount * this.pageBytes
  }

  /** Gives the whole region back. A region freed before, or of another arena, is our mistake: an assertion. */
  free(region: Region): void {
    const page = this.#pageOf(region)
    this.#pages.give(page, region.sizeBytes / this.pageBytes)
    this.#starts[page] = null
    this.#rest(region as OwnedRegion)
  }

  #pageOf(region: Region): number {
    ensure(region.offset >= 0, 'this region is free already')
    const page = region.offset / this.pageBytes
    ensure(this.#starts[page] === region, 'this region is not of this arena')
    return page
  }

  #rest(region: OwnedRegion): void {
    region.offset = -1
    const at = (this.#restingFirst + this.#restingCount) % this.#restingMax
    this.#resting[at] = region
    this.#restingCount++
  }

  #wakeOldest(): OwnedRegion {
    const region = this.#resting[this.#restingFirst]
    this.#restingFirst = (this.#restingFirst + 1) % this.#restingMax
    this.#restingCount--
    return region
  }
}

function freshRegion(): OwnedRegion {
  return { offset: -1, sizeBytes: 0, generation: 0 }
}
