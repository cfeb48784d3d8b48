/**
 * The models are made from the shipped text; here both run the same calls, one after another, over the same
 * memory: every answer and every word must agree. So what the model checker proves about the generators
 * holds for the shipped classes.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { emptyOffsetView, OffsetTable } from '../../src/partitions/offset-table.ts'
import { fromWords, highWord, lowWord } from '../../src/ring/commands.ts'
import { Doorbell } from '../../src/ring/doorbell.ts'
import { HEAD_WORD, Ring, TAIL_WORD } from '../../src/ring/ring.ts'
import { type ModelStep, runAlone } from './mini-loom.ts'
import { ModelMemory } from './model-memory.ts'
import { parts } from './model-scripts.ts'
import { type Modelled, modelClass } from './model-source.ts'

type Call<R> = Generator<ModelStep, R, unknown>

function values(memory: ModelMemory): number[] {
  return memory.cells.map(cell => cell.value)
}

const positions = fc.constantFrom(0, 5, 0x7ffffffe, 0x7fffffff, -2, -1)

describe('shipped and modelled code agree', () => {
  test('Ring, both sides', () => {
    const { RingModel } = parts()
    const names = ['claim', 'publish', 'freeSlots', 'peek', 'next', 'release', 'depth'] as const
    const calls = fc.array(fc.constantFrom(...names), { maxLength: 80 })
    const property = fc.property(fc.constantFrom(1, 2, 4), positions, calls, (size, first, run) => {
      const sab = new SharedArrayBuffer(Ring.bytesFor(size))
      const words = new Int32Array(sab)
      words[TAIL_WORD] = words[HEAD_WORD] = first
      const memory = new ModelMemory(sab.byteLength)
      memory.cells[TAIL_WORD].value = memory.cells[HEAD_WORD].value = first
      const shipped = [new Ring(sab, size), new Ring(sab, size)]
      const model = [new RingModel(memory, size), new RingModel(memory, size)]
      for (const name of run) {
        const side = name === 'peek' || name === 'next' || name === 'release' ? 1 : 0
        const given = attempt(() => shipped[side][name]())
        const modelled = attempt(() => runAlone(model[side][name]() as Call<number>))
        expect(modelled).toEqual(given)
        expect(values(memory)).toEqual([...words])
      }
    })
    fc.assert(property, { numRuns: 300 })
  })

  test('Doorbell', () => {
    const { BellModel } = parts()
    const names = ['ring', 'prepareSleep', 'cancelSleep'] as const
    const property = fc.property(fc.array(fc.constantFrom(...names)), run => {
      const sab = new SharedArrayBuffer(Doorbell.bytesFor(2))
      const memory = new ModelMemory(sab.byteLength)
      const shipped = new Doorbell(sab, 1)
      const model = new BellModel(memory, 1)
      for (const name of run) {
        expect(runAlone(model[name]() as Call<unknown>)).toEqual(shipped[name]())
        expect(values(memory)).toEqual([...new Int32Array(sab)])
      }
    })
    fc.assert(property)
  })

  test('OffsetTable', () => {
    const file = new URL('../../src/partitions/offset-table.ts', import.meta.url)
    type TableClass = new (memory: ModelMemory, slots: number, of: number) => Modelled<OffsetTable>
    const TableModel = modelClass<TableClass>(file, 'OffsetTable', { fromWords, highWord, lowWord })
    const offset = fc.integer({ min: 0, max: 2 ** 51 })
    const call = fc.record({
      name: fc.constantFrom('publish', 'reset', 'read', 'highWatermark', 'watch', 'takeWatch'),
      slot: fc.integer({ min: 0, max: 1 }),
      generation: fc.integer({ min: -1, max: 1 }),
      dispatcher: fc.integer({ min: 0, max: 1 }),
      offsets: fc.tuple(offset, offset, offset),
    })
    const property = fc.property(fc.array(call), run => {
      const sab = new SharedArrayBuffer(OffsetTable.bytesFor(2, 2))
      const memory = new ModelMemory(sab.byteLength)
      const shipped = new OffsetTable(sab, 2, 2)
      const model = new TableModel(memory, 2, 2)
      for (const { name, slot, generation, dispatcher, offsets } of run) {
        const into = emptyOffsetView()
        const intoModel = emptyOffsetView()
        const [logStart, more, most] = offsets
        const row = [
          slot,
          generation,
          1,
          logStart,
          logStart + more,
          logStart + more + most,
        ] as const
        const given = {
          publish: () => [shipped.publish(...row), model.publish(...row)],
          reset: () => [shipped.reset(slot, generation), model.reset(slot, generation)],
          read: () => [
            shipped.read(slot, generation, into),
            model.read(slot, generation, intoModel),
          ],
          highWatermark: () => [shipped.highWatermark(slot), model.highWatermark(slot)],
          watch: () => [shipped.watch(slot, dispatcher), model.watch(slot, dispatcher)],
          takeWatch: () => [shipped.takeWatch(slot, dispatcher), model.takeWatch(slot, dispatcher)],
        }[name]?.() as [unknown, Call<unknown>]
        expect(runAlone(given[1])).toEqual(given[0])
        expect(intoModel).toEqual(into)
        expect(values(memory)).toEqual([...new Int32Array(sab)])
      }
    })
    fc.assert(property, { numRuns: 200 })
  })
})

/** The answer, or that the call refused: next() without a slot is an assertion on both sides. */
function attempt(call: () => unknown): unknown {
  try {
    return { answer: call() }
  } catch {
    return 'refused'
  }
}
