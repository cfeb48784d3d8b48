/** Which segments may go, as a pure function: sealed, flushed, oldest first, no more than the settings ask for. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { planLogStart, type RetentionFacts } from '../../workers/log/retention.ts'

describe('the plan', () => {
  /** Sealed segments of these sizes with ten records each, and an active one of 100 bytes. */
  function plan(
    sizes: readonly number[],
    facts: Partial<RetentionFacts> & { readonly aged?: number } = {},
  ): number {
    return planLogStart({
      baseOffsets: [...sizes, 100].map((_, index) => index * 10),
      logStart: 0,
      recoveryPoint: Number.POSITIVE_INFINITY,
      retentionBytes: Number.POSITIVE_INFINITY,
      reserved: null,
      sizeBytes: index => [...sizes, 100][index],
      isAged: index => index < (facts.aged ?? 0),
      ...facts,
    })
  }

  test('by size: as long as what is left is not below the limit', () => {
    expect(plan([100, 100, 100], { retentionBytes: 400 })).toBe(0)
    expect(plan([100, 100, 100], { retentionBytes: 301 })).toBe(0)
    expect(plan([100, 100, 100], { retentionBytes: 300 })).toBe(10)
    expect(plan([100, 100, 100], { retentionBytes: 100 })).toBe(30)
    expect(plan([100, 100, 100], { retentionBytes: 0 })).toBe(30)
  })

  test('by age: a tenth of the bytes at a time, but one segment at least', () => {
    expect(plan(Array(3).fill(100), { aged: 3 })).toBe(10)
    expect(plan(Array(39).fill(100), { aged: 39 })).toBe(40)
    expect(plan(Array(39).fill(100), { aged: 2 })).toBe(20)
    expect(plan(Array(39).fill(100))).toBe(0)
  })

  test('both: size is not bound by the tenth', () => {
    expect(plan(Array(9).fill(100), { aged: 9, retentionBytes: 500 })).toBe(60)
  })

  test('only what is flushed, not what compaction holds, not twice', () => {
    const all = { aged: 9, retentionBytes: 0 }
    expect(plan([1, 1, 1], { ...all, recoveryPoint: 19 })).toBe(10)
    expect(plan([1, 1, 1], { ...all, recoveryPoint: 9 })).toBe(0)
    expect(plan([1, 1, 1], { ...all, reserved: { baseOffset: 10, endOffset: 20 } })).toBe(10)
    expect(plan([1, 1, 1], { ...all, reserved: { baseOffset: 5, endOffset: 20 } })).toBe(0)
    expect(plan([100, 100, 100], { retentionBytes: 300, logStart: 10 })).toBe(10)
    expect(plan([100, 100, 100], { retentionBytes: 200, logStart: 15 })).toBe(20)
    expect(plan([100, 100, 100], { retentionBytes: 0, logStart: 35 })).toBe(35)
  })

  test('any log: sealed segments only, oldest first, no more than the limits ask for', () => {
    const size = fc.integer({ min: 1, max: 1000 })
    fc.assert(
      fc.property(
        fc.array(size, { maxLength: 30 }),
        fc.nat(30),
        fc.oneof(fc.nat(20_000), fc.constant(Number.POSITIVE_INFINITY)),
        fc.nat(310),
        (sizes, aged, retentionBytes, recoveryPoint) => {
          const logStart = plan(sizes, { aged, retentionBytes, recoveryPoint })
          expect(logStart % 10).toBe(0)
          expect(logStart).toBeLessThanOrEqual(Math.min(sizes.length * 10, recoveryPoint))
          const gone = sizes.slice(0, logStart / 10)
          const total = sizes.reduce((sum, bytes) => sum + bytes, 100)
          let left = total
          let agedBytes = 0
          for (const [index, bytes] of gone.entries()) {
            const isOver = left - bytes >= retentionBytes
            if (!isOver) {
              expect(index).toBeLessThan(aged)
              agedBytes += bytes
            }
            left -= bytes
          }
          expect(agedBytes).toBeLessThanOrEqual(Math.max(total / 10, 1000))
        },
      ),
    )
  })
})
