/** The arena against a list of pages: same places, same counts, never two regions on one page; misuse is an
 *  assertion. */
import { AssertionError } from 'node:assert'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Arena, type Region } from '../../src/ring/arena.ts'

/** The naive truth: one entry a page, the number of the region on it or -1. */
class NaiveArena {
  readonly pages: number[]
  readonly largePages: number

  constructor(pageCount: number) {
    this.pages = Array.from({ length: pageCount }, () => -1)
    this.largePages = Math.max(2, Math.ceil(pageCount / 8))
  }

  alloc(count: number, name: number): number {
    const places = this.pages
      .map((_, at) => at)
      .filter(at => at + count <= this.pages.length && this.isFree(at, count))
    const at = count < this.largePages ? places[0] : places[places.length - 1]
    if (at === undefined) return -1
    this.pages.fill(name, at, at + count)
    return at
  }

  isFree(at: number, count: number): boolean {
    return this.pages.slice(at, at + count).every(page => page === -1)
  }

  free(name: number, fromPage = 0): void {
    for (let at = fromPage; at < this.pages.length; at++) {
      if (this.pages[at] === name) this.pages[at] = -1
    }
  }

  get used(): number {
    return this.pages.filter(page => page !== -1).length
  }
}

const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('alloc' as const),
      size: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('free' as const), pick: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('trim' as const),
      pick: fc.nat(),
      keep: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
  },
)

const pageBytes = 16

describe('arena', () => {
  test('puts every region where the naive model does', () => {
    const pageCounts = fc.constantFrom(1, 5, 31, 32, 33, 64, 100, 200)
    const property = fc.property(pageCounts, fc.array(step, { maxLength: 200 }), (pages, steps) => {
      const arena = new Arena(pages * pageBytes + 7, pageBytes)
      const naive = new NaiveArena(pages)
      const live: { region: Region; name: number }[] = []
      const generations = new Set<number>()
      for (const [name, now] of steps.entries()) {
        if (now.do === 'alloc') {
          // Mostly small sizes, at times more than there is.
          const sizeBytes = 1 + Math.floor(now.size ** 3 * (pages + 1) * pageBytes)
          const region = arena.alloc(sizeBytes)
          const page = naive.alloc(Math.ceil(sizeBytes / pageBytes), name)
          expect(region === null ? -1 : region.offset / pageBytes).toBe(page)
          if (region === null) continue
          expect(region.sizeBytes).toBe(Math.ceil(sizeBytes / pageBytes) * pageBytes)
          expect(generations.has(region.generation) || region.generation === 0).toBe(false)
          generations.add(region.generation)
          live.push({ region, name })
        } else if (live.length > 0) {
          const at = now.pick % live.length
          const { region, name } = live[at]
          if (now.do === 'free') {
            live.splice(at, 1)
            arena.free(region)
            naive.free(name)
          } else {
            const keepBytes = Math.floor(now.keep * region.sizeBytes)
            const keepPages = Math.max(1, Math.ceil(keepBytes / pageBytes))
            naive.free(name, region.offset / pageBytes + keepPages)
            arena.trim(region, keepBytes)
            expect(region.sizeBytes).toBe(keepPages * pageBytes)
          }
        }
        expect(arena.usedBytes).toBe(naive.used * pageBytes)
        expect(arena.freeBytes).toBe((pages - naive.used) * pageBytes)
      }
      // Each page that is taken belongs to exactly the region that says so.
      for (const { region, name } of live) {
        const first = region.offset / pageBytes
        const own = naive.pages.flatMap((page, at) => (page === name ? [at] : []))
        expect(own).toEqual(
          Array.from({ length: region.sizeBytes / pageBytes }, (_, i) => first + i),
        )
      }
    })
    fc.assert(property, { numRuns: 500 })
  })

  test('a full arena gives null and takes regions again once they are free', () => {
    const arena = new Arena(4 * pageBytes, pageBytes)
    const regions = [1, 1, 1, 1].map(size => arena.alloc(size))
    expect(arena.alloc(1)).toBeNull()
    expect(arena.freeBytes).toBe(0)
    for (const region of regions) arena.free(region as Region)
    expect(arena.alloc(4 * pageBytes)?.offset).toBe(0)
    expect(arena.alloc(5 * pageBytes)).toBeNull()
  })

  test('a region freed twice is an assertion, also when its place and others were used again', () => {
    const arena = new Arena(8 * pageBytes, pageBytes)
    const first = arena.alloc(1) as Region
    arena.free(first)
    expect(() => arena.free(first)).toThrow(AssertionError)
    for (let round = 0; round < 200; round++) arena.free(arena.alloc(1) as Region)
    const again = arena.alloc(1) as Region
    expect(again.offset).toBe(0)
    expect(() => arena.free(first)).toThrow(AssertionError)
    expect(() => arena.trim(first, 1)).toThrow(AssertionError)
    arena.free(again)
  })

  test("a region of another arena, or a copy of one's own, is an assertion", () => {
    const arena = new Arena(8 * pageBytes, pageBytes)
    const other = new Arena(8 * pageBytes, pageBytes)
    const region = arena.alloc(1) as Region
    other.alloc(1)
    expect(() => other.free(region)).toThrow(AssertionError)
    expect(() => arena.free({ ...region })).toThrow(AssertionError)
    arena.free(region)
  })

  test('a region cannot grow, and sizes below one are ours to prevent', () => {
    const arena = new Arena(8 * pageBytes, pageBytes)
    const region = arena.alloc(pageBytes) as Region
    expect(() => arena.trim(region, pageBytes + 1)).toThrow(AssertionError)
    expect(() => arena.alloc(0)).toThrow(AssertionError)
    expect(() => arena.alloc(Number.NaN)).toThrow(AssertionError)
  })

  test('a region object is used again, but only after a rest and with a new generation', () => {
    const arena = new Arena(4 * pageBytes, pageBytes)
    const last = new Map<Region, { round: number; generation: number }>()
    for (let round = 0; round < 2_000; round++) {
      const region = arena.alloc(1) as Region
      const before = last.get(region)
      if (before !== undefined) {
        expect(round - before.round).toBeGreaterThan(200)
        expect(region.generation).not.toBe(before.generation)
      }
      last.set(region, { round, generation: region.generation })
      arena.free(region)
    }
    expect(last.size).toBeLessThan(300)
  })

  test('bytes of a region are those of the shared buffer', () => {
    const arena = new Arena(4 * pageBytes, pageBytes)
    arena.alloc(1)
    const { offset, sizeBytes } = arena.alloc(2 * pageBytes) as Region
    arena.bytes.fill(7, offset, offset + sizeBytes)
    const seen = [...new Uint8Array(arena.sab)]
    const expected = seen.map((_, at) => (at >= offset && at < offset + sizeBytes ? 7 : 0))
    expect(seen).toEqual(expected)
  })
})
