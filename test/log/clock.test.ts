import { expect, test, vi } from 'vitest'
import { systemClock } from '../../src/clock.ts'

test('wall time is the time of day, monotonic time never goes back', () => {
  const before = Date.now()
  expect(systemClock.wallMs()).toBeGreaterThanOrEqual(before)
  const readings = Array.from({ length: 100 }, () => systemClock.monotonicMs())
  expect(readings).toEqual(readings.toSorted((a, b) => a - b))
})

test('a timer fires once, a cancelled one never, and a very long one not at once', () => {
  vi.useFakeTimers()
  try {
    const fired: string[] = []
    systemClock.after(10, () => fired.push('short'))
    systemClock.after(5, () => fired.push('cancelled'))()
    const month = 2 ** 31 + 1_000
    systemClock.after(month, () => fired.push('month'))
    systemClock.after(Number.MAX_SAFE_INTEGER, () => fired.push('never'))
    vi.advanceTimersByTime(1_000)
    expect(fired).toEqual(['short'])
    vi.advanceTimersByTime(month - 1_001)
    expect(fired).toEqual(['short'])
    vi.advanceTimersByTime(1)
    expect(fired).toEqual(['short', 'month'])
  } finally {
    vi.useRealTimers()
  }
})
