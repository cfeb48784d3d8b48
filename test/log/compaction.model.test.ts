/**
 * Compaction of segments against a model that keeps every record: what survives is exactly the last value per key, and
 * tombstones for as long as they are owed; offsets, times, values and headers are what they were.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { codecNames } from '../../src/protocol/compression.ts'
import type { RecordToEncode } from '../../src/protocol/encode-batch.ts'
import { lastOffsetAt } from '../../src/protocol/record-batch.ts'
import { type BatchPlan, type PlainRecord, SegmentPile } from './compaction-kit.ts'

const deleteRetentionMs = 1_000

/** The same rules, record by record, with a map without bounds. */
class Model {
  all: PlainRecord[] = []
  /** When a tombstone may go, by offset. */
  readonly horizons = new Map<number, number>()

  /** `mapEnd` is what the pass says it got to. `horizonOf` is told by batch: Kafka notes one for all of it. */
  pass(dirtyStart: number, mapEnd: number, nowMs: number, batchEnds: readonly number[]): void {
    const newest = new Map<string | null, number>()
    for (const { key, offset } of this.all) {
      if (offset >= dirtyStart && offset < mapEnd) newest.set(key, offset)
    }
    const isSuperseded = ({ key, offset }: PlainRecord): boolean => (newest.get(key) ?? -1) > offset
    this.all = this.all.filter(record => {
      const { offset, value, key } = record
      if (offset >= mapEnd) return true
      const isGone = value === null && (this.horizons.get(offset) ?? Infinity) <= nowMs
      return key !== null && !isSuperseded(record) && !isGone
    })
    const starts = [0, ...batchEnds]
    for (const [index, end] of batchEnds.entries()) {
      const ours = this.all.filter(({ offset }) => offset >= starts[index] && offset < end)
      if (end > mapEnd || ours.every(({ value }) => value !== null)) continue
      for (const { offset } of ours) {
        if (!this.horizons.has(offset)) this.horizons.set(offset, nowMs + deleteRetentionMs)
      }
    }
  }
}

const bytes = (max: number) => fc.uint8Array({ maxLength: max }).map(array => Buffer.from(array))
const record: fc.Arbitrary<RecordToEncode> = fc.record({
  key: fc.oneof(
    { weight: 19, arbitrary: fc.integer({ min: 0, max: 11 }).map(n => Buffer.from(`key-${n}`)) },
    { weight: 1, arbitrary: fc.constant(null) },
  ),
  value: fc.option(bytes(40), { freq: 5, nil: null }),
  headers: fc.array(fc.tuple(fc.string({ maxLength: 4 }), fc.option(bytes(6), { nil: null })), {
    maxLength: 2,
  }),
  timestampMs: fc.integer({ min: -1, max: 2 ** 42 }),
})
const batch: fc.Arbitrary<BatchPlan> = fc.record({
  records: fc.array(record, { minLength: 1, maxLength: 6 }),
  codec: fc.constantFrom(...codecNames),
})
const segment = fc.array(batch, { minLength: 1, maxLength: 4 })
const step = fc.record({
  segments: fc.array(segment, { minLength: 1, maxLength: 4 }),
  keysMax: fc.constantFrom(1, 3, 100),
  segmentBytesMax: fc.constantFrom(1, 400, 100_000),
  waitMs: fc.constantFrom(0, 600, 2_000),
})

test('what is left is what the model says, over several passes', () => {
  let removed = 0
  let gone = 0
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 4 }), steps => {
      const pile = new SegmentPile()
      const model = new Model()
      const ends: number[] = []
      for (const { segments, keysMax, segmentBytesMax, waitMs } of steps) {
        for (const batches of segments) {
          const before = pile.endOffset
          pile.add(...batches)
          for (const { records } of batches) ends.push((ends.at(-1) ?? 0) + records.length)
          model.all.push(...pile.records().filter(({ offset }) => offset >= before))
        }
        pile.nowMs += waitMs
        const { dirtyStart } = pile
        const total = model.all.length
        const output = pile.compact({ mapBytes: keysMax * 32, segmentBytesMax, deleteRetentionMs })
        expect(output.mapEnd).toBeGreaterThan(dirtyStart)
        expect(output.mapEnd).toBeLessThanOrEqual(pile.endOffset)
        const tombstones = model.all.filter(({ value }) => value === null).length
        model.pass(dirtyStart, output.mapEnd, pile.nowMs, ends)
        expect(pile.records()).toEqual(model.all)
        expect(output.recordsRemoved).toBe(total - model.all.length)
        expect(output.unreadableBatches).toBe(0)
        // Whoever reads in the gap before it must be led to the end.
        expect(lastOffsetAt(pile.batches().at(-1)!, 0) + 1).toBe(pile.endOffset)
        removed += output.recordsRemoved
        gone += tombstones - model.all.filter(({ value }) => value === null).length
      }
    }),
    { numRuns: 300, seed: 7 },
  )
  expect(removed).toBeGreaterThan(1_000)
  expect(gone).toBeGreaterThan(100)
})
