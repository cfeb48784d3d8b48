import { describe, expect, test } from 'vitest'
import { StallWatch } from '../../src/net/stall-watch.ts'

const stallMs = 30_000

/** Looks once a second while `bytesAt(second)` of the frame have arrived; the second at which it counts as stalled. */
function stalledAfter(bytesAt: (second: number) => number, seconds = 600): number | null {
  const watch = new StallWatch(0)
  let last = 0
  for (let second = 1; second <= seconds; second++) {
    const nowMs = second * 1000
    const bytes = bytesAt(second)
    if (bytes > last) watch.lastReadMs = nowMs
    last = bytes
    if (watch.isFrameStalled(nowMs, bytes, stallMs)) return second
  }
  return null
}

describe('a frame in the making', () => {
  test('that is silent is stalled when the time is over, however much has arrived', () => {
    expect(stalledAfter(second => Math.min(second, 2) * 10)).toBe(30)
    expect(stalledAfter(second => Math.min(second, 2) * 10_000_000)).toBe(33)
  })

  test('that trickles is stalled too, also after a good start', () => {
    expect(stalledAfter(second => second)).toBe(30)
    expect(stalledAfter(second => 5_000_000 + second)).toBe(60)
  })

  test('that comes slowly but steadily is not', () => {
    expect(stalledAfter(second => second * 2000)).toBe(null)
  })

  test('is another one as soon as a frame was taken: many small ones are no stall', () => {
    const watch = new StallWatch(0)
    for (let second = 1; second <= 600; second++) {
      watch.lastReadMs = second * 1000
      if (second % 20 === 0) watch.frames++
      expect(watch.isFrameStalled(second * 1000, 3, stallMs)).toBe(false)
    }
  })

  test('does not age while nobody reads it', () => {
    const watch = new StallWatch(0)
    for (let second = 1; second <= 600; second++) {
      expect(watch.isFrameStalled(second * 1000, 0, stallMs)).toBe(false)
    }
    expect(watch.isFrameStalled(601_000, 100, stallMs)).toBe(true)
    watch.lastReadMs = 601_000
    expect(watch.isFrameStalled(602_000, 100, stallMs)).toBe(false)
  })
})

describe('answers', () => {
  test('nobody takes are noticed when the time is over', () => {
    const watch = new StallWatch(0)
    expect(watch.isTakingNothing(1000, 0, 500, stallMs)).toBe(false)
    for (let second = 2; second <= 31; second++) {
      expect(watch.isTakingNothing(second * 1000, 1_000_000, 500, stallMs)).toBe(false)
    }
    expect(watch.isTakingNothing(32_000, 1_000_000, 500, stallMs)).toBe(true)
  })

  test('that leave byte by byte are taken', () => {
    const watch = new StallWatch(0)
    for (let second = 1; second <= 600; second++) {
      expect(watch.isTakingNothing(second * 1000, 1_000_000, second, stallMs)).toBe(false)
    }
  })
})
