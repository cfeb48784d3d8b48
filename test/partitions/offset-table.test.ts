/** The offset table seen from one thread: rows keep apart, 64-bit values are exact, generations and order
 *  are checked. */
import { AssertionError } from 'node:assert'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  emptyOffsetView,
  OffsetTable,
  type OffsetView,
  PartitionState,
} from '../../src/partitions/offset-table.ts'

const slots = 5
const dispatchers = 3

function table(): OffsetTable {
  const sab = new SharedArrayBuffer(OffsetTable.bytesFor(slots, dispatchers))
  return new OffsetTable(sab, slots, dispatchers)
}

const offset = fc.oneof(
  fc.integer({ min: 0, max: 2 ** 51 }),
  fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 51),
)
const publish = fc.record({
  slot: fc.nat({ max: slots - 1 }),
  generation: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  state: fc.constantFrom(...Object.values(PartitionState)),
  steps: fc.tuple(offset, offset, offset),
})

test('every row reads as last published, whatever happened to the others', () => {
  const property = fc.property(fc.array(publish), publishes => {
    const offsets = table()
    const naive = new Map<number, { generation: number; view: OffsetView }>()
    for (const { slot, generation, state, steps } of publishes) {
      const logStart = steps[0]
      const highWatermark = logStart + steps[1]
      const logEnd = highWatermark + steps[2]
      offsets.publish(slot, generation, state, logStart, highWatermark, logEnd)
      naive.set(slot, { generation, view: { state, logStart, highWatermark, logEnd } })
      for (const [other, { generation: itsGeneration, view }] of naive) {
        const into = emptyOffsetView()
        expect(offsets.read(other, itsGeneration, into)).toBe(true)
        expect(into).toEqual(view)
        expect(offsets.highWatermark(other)).toBe(view.highWatermark)
        expect(offsets.read(other, (itsGeneration + 1) | 0, into)).toBe(false)
      }
    }
  })
  fc.assert(property)
})

test('offsets out of order, unknown slots and dispatchers are assertions', () => {
  const offsets = table()
  expect(() => offsets.publish(0, 1, PartitionState.online, 2, 1, 3)).toThrow(AssertionError)
  expect(() => offsets.publish(0, 1, PartitionState.online, 0, 4, 3)).toThrow(AssertionError)
  expect(() => offsets.publish(0, 1, PartitionState.online, -1, 4, 4)).toThrow(AssertionError)
  expect(() => offsets.publish(slots, 1, PartitionState.online, 0, 0, 0)).toThrow(AssertionError)
  expect(() => offsets.highWatermark(-1)).toThrow(AssertionError)
  expect(() => offsets.watch(0, dispatchers)).toThrow(AssertionError)
  expect(() => offsets.takeWatch(slots, 0)).toThrow(AssertionError)
  expect(offsets.highWatermark(0)).toBe(0)
})

test('reset empties and closes a row under its new generation and keeps the watches', () => {
  const offsets = table()
  offsets.publish(1, 7, PartitionState.online, 5, 6, 7)
  offsets.watch(1, 2)
  offsets.reset(1, 8)
  const into = emptyOffsetView()
  expect(offsets.read(1, 7, into)).toBe(false)
  expect(offsets.read(1, 8, into)).toBe(true)
  expect(into).toEqual({ state: PartitionState.closed, logStart: 0, highWatermark: 0, logEnd: 0 })
  expect(offsets.takeWatch(1, 2)).toBe(true)
})

test('a watch is taken once, by slot and dispatcher', () => {
  const pair = fc.record({
    take: fc.boolean(),
    slot: fc.nat({ max: slots - 1 }),
    dispatcher: fc.nat({ max: dispatchers - 1 }),
  })
  const property = fc.property(fc.array(pair), calls => {
    const offsets = table()
    const naive = new Set<string>()
    for (const { take, slot, dispatcher } of calls) {
      const name = `${slot}/${dispatcher}`
      if (take) expect(offsets.takeWatch(slot, dispatcher)).toBe(naive.delete(name))
      else {
        offsets.watch(slot, dispatcher)
        naive.add(name)
      }
    }
  })
  fc.assert(property)
})
