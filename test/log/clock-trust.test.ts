/** When records may be deleted by age although clocks jump, drift and sleep (RELIABILITY 2.4, E1, E2). */
import { beforeEach, describe, expect, test } from 'vitest'
import { clockMemoryBytes } from '../../src/contracts/owner-boot.ts'
import { sharedClockMemory } from '../../workers/clock-memory.ts'
import { ClockTrust } from '../../workers/clock-trust.ts'
import { FakeClock } from '../support/fake-clock.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const TEN_YEARS = 3_652 * DAY

let clock: FakeClock
let pauses: string[]

beforeEach(() => {
  clock = new FakeClock()
  pauses = []
})

function start(lastSeenWallMs: number | null = null): ClockTrust {
  return new ClockTrust({ clock, lastSeenWallMs, onPause: reason => pauses.push(reason) })
}

describe('while running', () => {
  test('clocks that go on together are trusted', () => {
    const trust = start()
    for (let minute = 0; minute < 10_000; minute++) {
      clock.advance(MINUTE)
      expect(trust.look()).toBe(true)
    }
    expect(pauses).toEqual([])
  })

  test.each([
    ['ten years ahead', TEN_YEARS],
    ['ten years back', -TEN_YEARS],
    ['61 s ahead', 61_000],
    ['61 s back', -61_000],
  ])('the wall clock set %s: ten minutes without deleting, told once', (_, jumpMs) => {
    const trust = start()
    clock.advance(5 * MINUTE)
    expect(trust.look()).toBe(true)
    clock.wall += jumpMs
    expect(trust.look()).toBe(false)
    for (let minute = 1; minute < 10; minute++) {
      clock.advance(MINUTE)
      expect(trust.look(), `minute ${minute}`).toBe(false)
    }
    clock.advance(MINUTE)
    expect(trust.look()).toBe(true)
    expect(pauses).toHaveLength(1)
    expect(pauses[0]).toContain(`${Math.abs(jumpMs / 1000)} s ${jumpMs > 0 ? 'ahead' : 'behind'}`)
  })

  test('a step that NTP makes, under a minute, is nothing', () => {
    const trust = start()
    clock.wall += 59_000
    expect(trust.look()).toBe(true)
    expect(pauses).toEqual([])
  })

  test('a clock that jitters by an hour is never trusted, and again once it stands still', () => {
    const trust = start()
    for (let round = 0; round < 50; round++) {
      clock.wall += round % 2 === 0 ? HOUR : -HOUR
      clock.advance(5 * MINUTE)
      expect(trust.look()).toBe(false)
    }
    expect(pauses).toHaveLength(50)
    clock.advance(10 * MINUTE)
    expect(trust.look()).toBe(true)
  })

  test('a clock steered slowly, half a millisecond a second, is good however long it takes', () => {
    const trust = start()
    for (let minute = 0; minute < 100 * 24 * 60; minute++) {
      clock.advance(MINUTE)
      clock.wall += 30
      expect(trust.look()).toBe(true)
    }
    expect(pauses).toEqual([])
  })

  test('a clock that runs two per cent fast is not', () => {
    const trust = start()
    let isTrusted = true
    for (let minute = 0; minute < 120; minute++) {
      clock.advance(MINUTE)
      clock.wall += 1_200
      isTrusted = trust.look() && isTrusted
    }
    expect(isTrusted).toBe(false)
  })

  test('a machine that slept: only the wall clock went on', () => {
    const trust = start()
    clock.wall += 8 * HOUR
    expect(trust.look()).toBe(false)
    clock.advance(10 * MINUTE)
    expect(trust.look()).toBe(true)
  })

  test('a monotonic clock that jumps', () => {
    const trust = start()
    clock.monotonic += 8 * HOUR
    expect(trust.look()).toBe(false)
    clock.advance(10 * MINUTE)
    expect(trust.look()).toBe(true)
  })
})

describe('at start', () => {
  const lastSeen = (beforeMs: number): ClockTrust => start(clock.wallMs() - beforeMs)

  test('a directory never used, one used just now, one used yesterday', () => {
    expect(start().look()).toBe(true)
    expect(lastSeen(0).look()).toBe(true)
    expect(lastSeen(DAY).look()).toBe(true)
    expect(lastSeen(-30_000).look()).toBe(true)
    expect(pauses).toEqual([])
  })

  test.each([
    ['ten years ahead of', TEN_YEARS],
    ['a day and a second ahead of', DAY + 1_000],
    ['two minutes behind', -2 * MINUTE],
    ['ten years behind', -TEN_YEARS],
  ])('a clock %s the last sign of life waits ten minutes', (_, aheadMs) => {
    const trust = lastSeen(aheadMs)
    expect(pauses).toHaveLength(1)
    expect(trust.isPaused).toBe(true)
    clock.advance(10 * MINUTE - 1)
    expect(trust.look()).toBe(false)
    clock.advance(1)
    expect(trust.look()).toBe(true)
  })

  test('a sign of life from a time that no date can hold', () => {
    expect(start(9e15).look()).toBe(false)
    expect(pauses[0]).toContain('behind')
  })
})

describe('the thread dies over it', () => {
  test('the next one goes on with the pause, and notices what moved meanwhile', () => {
    const sab = new SharedArrayBuffer(clockMemoryBytes)
    const next = (lastSeenWallMs: number | null = null): ClockTrust => {
      // Each thread's own clock begins at 0.
      clock = Object.assign(new FakeClock(), { wall: clock.wall })
      const memory = sharedClockMemory(sab, clock)
      return new ClockTrust({ clock, lastSeenWallMs, memory, onPause: why => pauses.push(why) })
    }
    expect(next().look()).toBe(true)
    const steady = next(clock.wall - 2 * DAY)
    expect(steady.look(), 'the sign of life is of the start of the process').toBe(true)
    clock.wall += HOUR
    expect(steady.look()).toBe(false)
    const again = next()
    expect(pauses).toHaveLength(2)
    clock.advance(9 * MINUTE)
    expect(again.look()).toBe(false)
    clock.advance(MINUTE + 1_000)
    expect(again.look()).toBe(true)
    clock.wall += HOUR
    const last = next()
    expect(last.look()).toBe(false)
    expect(pauses.at(-1)).toContain('the wall clock moved')
  })
})
