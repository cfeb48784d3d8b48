/**
 * The offset table, as shipped, in every order of its Atomics calls: a reader always gets one whole row,
 * also while the owner publishes, after it died half-way, and across a reset for a new generation; and a
 * watched advance is never missed.
 */
import assert from 'node:assert'
import { describe, expect, test } from 'vitest'
import { type OffsetTable, PartitionState } from '../../src/partitions/offset-table.ts'
import { fromWords, highWord, lowWord } from '../../src/ring/commands.ts'
import { explore, type Model, runAlone, type Script } from './mini-loom.ts'
import { ModelMemory } from './model-memory.ts'
import { type ModelBell, type PlantedBug, parts, sleepOn } from './model-scripts.ts'
import { type Modelled, type Mutation, modelClass } from './model-source.ts'

const tableFile = new URL('../../src/partitions/offset-table.ts', import.meta.url)

type ModelTable = Modelled<OffsetTable>
type TableClass = new (memory: ModelMemory, slots: number, dispatchers: number) => ModelTable

function tableClass(plant: readonly Mutation[] = []): TableClass {
  const imports = { fromWords, highWord, lowWord }
  return modelClass<TableClass>(tableFile, 'OffsetTable', imports, plant)
}

const tableBytes = 32 * 4

/** Row number n of the runs below. Both words of the high watermark change and the low one of the end, so a torn row
 *  cannot look like another one; what never changes is never stored, which keeps the runs short. */
function row(n: number) {
  const highWatermark = n * (2 ** 32 + 1)
  return { logStart: 0, highWatermark, logEnd: 9 * 2 ** 32 + n }
}

function* publishRow(table: ModelTable, generation: number, n: number) {
  const { logStart, highWatermark, logEnd } = row(n)
  yield* table.publish(0, generation, PartitionState.online, logStart, highWatermark, logEnd)
}

function* owner(table: ModelTable, generation: number, from: number, to: number): Script {
  for (let n = from; n <= to; n++) yield* publishRow(table, generation, n)
}

/** Reads `times` rows: each must be whole, none older than the one before. */
function* reader(table: ModelTable, generation: number, times: number): Script {
  let last = 0
  for (let time = 0; time < times; time++) {
    const into = { state: -1, logStart: -1, highWatermark: -1, logEnd: -1 }
    if (!(yield* table.read(0, generation, into))) continue
    if (into.state === PartitionState.closed) {
      assert.deepStrictEqual(into, { state: 0, logStart: 0, highWatermark: 0, logEnd: 0 })
      continue
    }
    const n = Math.floor(into.highWatermark / 2 ** 32)
    assert.deepStrictEqual(into, { state: PartitionState.online, ...row(n) }, 'a torn row')
    assert(n >= last, 'an older row came back')
    last = n
  }
}

function* highWatermarkReader(table: ModelTable, times: number): Script {
  for (let time = 0; time < times; time++) {
    const highWatermark = yield* table.highWatermark(0)
    const n = Math.floor(highWatermark / 2 ** 32)
    assert(highWatermark === 0 || highWatermark === row(n).highWatermark, 'a torn row')
  }
}

/** A table of one row in which both views hold row 0, as after two publishes. */
function openTable(TableModel: TableClass, generation: number): () => ModelTable {
  const memory = new ModelMemory(tableBytes)
  const table = new TableModel(memory, 1, 1)
  runAlone(publishRow(table, generation, 0))
  runAlone(publishRow(table, generation, 0))
  return () => new TableModel(memory, 1, 1)
}

function published(
  TableModel: TableClass,
  publishes: number,
  read: (table: ModelTable) => Script,
): Model {
  const table = openTable(TableModel, 0)
  return { threads: [owner(table(), 0, 1, publishes), read(table())], killable: [0] }
}

/** The owner may die; once it is gone the dispatcher resets the row and the next owner publishes. */
function* successor(table: ModelTable): Script {
  yield { op: 'joinThread', thread: 0 }
  yield* table.reset(0, 2)
  yield* publishRow(table, 2, 1)
}

/** After all that, the row is the new generation's and whole, whatever the dead owner left. */
function* succeedAndLook(table: ModelTable): Script {
  yield* successor(table)
  const into = { state: -1, logStart: -1, highWatermark: -1, logEnd: -1 }
  assert(yield* table.read(0, 2, into), 'the new generation is not there')
  assert.deepStrictEqual(into, { state: PartitionState.online, ...row(1) }, 'a torn row')
  assert(!(yield* table.read(0, 1, into)), 'the old generation is still there')
}

function succeeded(TableModel: TableClass): Model {
  const table = openTable(TableModel, 1)
  return { threads: [owner(table(), 1, 1, 3), succeedAndLook(table())], killable: [0] }
}

function succeededUnderReader(TableModel: TableClass): Model {
  const table = openTable(TableModel, 1)
  return {
    threads: [owner(table(), 1, 1, 1), successor(table()), reader(table(), 2, 1)],
    killable: [0],
  }
}

/** The owner: publishes, then rings each dispatcher that watches. */
function* advancingOwner(table: ModelTable, bell: ModelBell, to: number): Script {
  for (let n = 1; n <= to; n++) {
    yield* publishRow(table, 0, n)
    if (yield* table.takeWatch(0, 0)) yield* bell.ring()
  }
}

/** The dispatcher: sleeps until the high watermark is that of row `to`, woken only through its watch. */
function* watchingDispatcher(table: ModelTable, bell: ModelBell, to: number): Script {
  for (;;) {
    yield* bell.prepareSleep()
    yield* table.watch(0, 0)
    const highWatermark = yield* table.highWatermark(0)
    if (highWatermark >= row(to).highWatermark) return
    yield* sleepOn(bell)
  }
}

function* lateWatcher(table: ModelTable, bell: ModelBell, to: number): Script {
  for (;;) {
    yield* bell.prepareSleep()
    if ((yield* table.highWatermark(0)) >= row(to).highWatermark) return
    yield* table.watch(0, 0)
    yield* sleepOn(bell)
  }
}

function* earlyTester(table: ModelTable, bell: ModelBell): Script {
  const watched = yield* table.takeWatch(0, 0)
  yield* publishRow(table, 0, 1)
  if (watched) yield* bell.ring()
}

function watched(
  TableModel: TableClass,
  own: (table: ModelTable, bell: ModelBell) => Script,
  watch: (table: ModelTable, bell: ModelBell) => Script,
): Model {
  const table = openTable(TableModel, 0)
  const bells = new ModelMemory(128)
  const { BellModel } = parts()
  return {
    threads: [own(table(), new BellModel(bells, 0)), watch(table(), new BellModel(bells, 0))],
  }
}

describe('the shipped offset table', () => {
  test('a reader gets whole rows, whenever the owner dies', () => {
    const TableModel = tableClass()
    const once = explore(() => published(TableModel, 3, table => reader(table, 0, 1)))
    expect(once.ends).toBeGreaterThan(10)
    const twice = explore(() => published(TableModel, 2, table => reader(table, 0, 2)))
    expect(twice.ends).toBeGreaterThan(10)
  })

  test('the high watermark alone is whole too', () => {
    const TableModel = tableClass()
    const explored = explore(() => published(TableModel, 3, table => highWatermarkReader(table, 2)))
    expect(explored.ends).toBeGreaterThan(10)
  })

  test('a row is taken over by a new generation wherever the old owner died', () => {
    const TableModel = tableClass()
    expect(explore(() => succeeded(TableModel)).ends).toBeGreaterThan(10)
    expect(explore(() => succeededUnderReader(TableModel)).ends).toBeGreaterThan(10)
  })

  test('a watched advance wakes the dispatcher', () => {
    const TableModel = tableClass()
    const explored = explore(() =>
      watched(
        TableModel,
        (table, bell) => advancingOwner(table, bell, 2),
        (table, bell) => watchingDispatcher(table, bell, 2),
      ),
    )
    expect(explored.ends).toBeGreaterThan(10)
  })
})

const publishSequence = 'Atomics.store(this.#words, row + SEQUENCE, sequence)'
const firstChange = 'this.#change(view + GENERATION, generation)'

const plantedBugs: PlantedBug[] = [
  {
    bug: 'sequence raised before the row is written',
    plant: [
      { from: publishSequence, to: '' },
      { from: firstChange, to: `${publishSequence}; ${firstChange}` },
    ],
    noticed: /torn row|older row/,
  },
  {
    bug: 'the view that readers read is written',
    plant: [
      {
        from: `const view = row + VIEW_0 + (sequence & 1) * VIEW_WORDS\n    ${firstChange}`,
        to: `const view = row + VIEW_0 + (~sequence & 1) * VIEW_WORDS\n    ${firstChange}`,
      },
    ],
    noticed: /torn row|older row/,
  },
  {
    bug: 'a reader that does not look again',
    plant: [
      {
        from: 'if (again === sequence) return found === generation',
        to: 'return found === generation',
      },
    ],
    noticed: /torn row|older row/,
  },
  {
    bug: 'a reader that reads the other view',
    plant: [
      {
        from: '(sequence & 1) * VIEW_WORDS\n      const found',
        to: '(~sequence & 1) * VIEW_WORDS\n      const found',
      },
    ],
    noticed: /torn row|older row/,
  },
  {
    bug: 'words stored plainly',
    plant: [
      {
        from: 'if (this.#words[word] !== value) Atomics.store(this.#words, word, value)',
        to: 'this.#words[word] = value',
      },
    ],
    noticed: /data race/,
  },
]

describe('planted offset table bugs are found', () => {
  test.each(plantedBugs)('$bug', ({ plant, noticed }) => {
    const TableModel = tableClass(plant)
    expect(() => {
      explore(() => published(TableModel, 2, table => reader(table, 0, 2)))
    }).toThrow(noticed)
  })

  test('a dispatcher that reads before it watches', () => {
    const TableModel = tableClass()
    const model = () =>
      watched(
        TableModel,
        (table, bell) => advancingOwner(table, bell, 1),
        (table, bell) => lateWatcher(table, bell, 1),
      )
    expect(() => explore(model)).toThrow(/lost wake-up/)
  })

  test('an owner that tests the watch before it publishes', () => {
    const TableModel = tableClass()
    const model = () =>
      watched(TableModel, earlyTester, (table, bell) => watchingDispatcher(table, bell, 1))
    expect(() => explore(model)).toThrow(/lost wake-up/)
  })
})
