/**
 * Ring and doorbell together, as shipped, in every order of their Atomics calls: whatever is pushed wakes a
 * sleeper, also when a timer or message disturbed its sleep, with one ringer or two, in one direction or
 * both. Then with planted bugs, in the doorbell's text and in how callers use it.
 */
import assert from 'node:assert'
import { describe, expect, test } from 'vitest'
import { explore, type Model, type Script } from './mini-loom.ts'
import { ModelMemory } from './model-memory.ts'
import {
  assertInOrder,
  type ModelBell,
  type ModelRing,
  type Parts,
  type PlantedBug,
  parts,
  producer,
  ringingProducer,
  ringMemory,
  sleeper,
  sleepOn,
} from './model-scripts.ts'

interface Run {
  readonly producers: number
  readonly valuesEach: number
  /** Another event turns the sleeper's loop once, at any time. */
  readonly disturbed: boolean
  readonly firstPosition: number
}

const runs: Run[] = [
  { producers: 1, valuesEach: 2, disturbed: false, firstPosition: 0x7fffffff },
  { producers: 1, valuesEach: 2, disturbed: true, firstPosition: 0 },
  { producers: 2, valuesEach: 1, disturbed: false, firstPosition: -1 },
  { producers: 2, valuesEach: 1, disturbed: true, firstPosition: 0 },
]

function* disturb(thread: number): Script {
  yield { op: 'event', thread }
}

function slept(run: Run, { RingModel, BellModel }: Parts): Model {
  const bells = new ModelMemory(128)
  const memories = Array.from({ length: run.producers }, () => ringMemory(2, run.firstPosition))
  const got = memories.map((): number[] => [])
  const total = run.producers * run.valuesEach
  const theirs = memories.map(memory => new RingModel(memory, 2))
  const threads = memories.map(memory => {
    return ringingProducer(new RingModel(memory, 2), new BellModel(bells, 0), run.valuesEach)
  })
  threads.push(sleeper(theirs, new BellModel(bells, 0), got, total))
  if (run.disturbed) threads.push(disturb(run.producers))
  return {
    threads,
    killable: run.disturbed ? [] : [run.producers],
    check: killed => {
      for (const values of got) assertInOrder(values)
      if (killed < 0) assert.strictEqual(got.flat().length, total)
    },
  }
}

/** A dispatcher that sends a command and sleeps until its reply. */
function* asker(out: ModelRing, back: ModelRing, theirs: ModelBell, mine: ModelBell): Script {
  yield* ringingProducer(out, theirs, 1)
  const got: number[][] = [[]]
  yield* sleeper([back], mine, got, 1)
  assertInOrder(got[0])
}

/** An owner that sleeps until a command comes, and replies. */
function* answerer(from: ModelRing, back: ModelRing, mine: ModelBell, theirs: ModelBell): Script {
  const got: number[][] = [[]]
  yield* sleeper([from], mine, got, 1)
  assertInOrder(got[0])
  yield* ringingProducer(back, theirs, 1)
}

function roundTrip({ RingModel, BellModel }: Parts): Model {
  const commands = ringMemory(1)
  const replies = ringMemory(1)
  const bells = new ModelMemory(256)
  const bell = (sleeperIndex: number) => new BellModel(bells, sleeperIndex)
  const ring = (memory: ModelMemory) => new RingModel(memory, 1)
  return {
    threads: [
      asker(ring(commands), ring(replies), bell(0), bell(1)),
      answerer(ring(commands), ring(replies), bell(0), bell(1)),
    ],
    killable: [0, 1],
  }
}

describe('the shipped doorbell', () => {
  test.each(runs)('wakes for every push: $producers producers, disturbed $disturbed', run => {
    const shipped = parts()
    expect(explore(() => slept(run, shipped)).ends).toBeGreaterThan(10)
  })

  test('wakes both sides for a command and its reply', () => {
    const shipped = parts()
    expect(explore(() => roundTrip(shipped)).ends).toBeGreaterThan(10)
  })
})

const announce = 'Atomics.store(this.#words, this.#word, ASLEEP)'
const notify = 'Atomics.notify(this.#words, this.#word, 1)'
const disarm = 'if (Atomics.exchange(this.#words, this.#word, AWAKE) === AWAKE) return false'

const plantedBugs: PlantedBug[] = [
  { bug: 'no notify', plant: [{ from: notify, to: '' }], noticed: /lost wake-up/ },
  {
    bug: 'notify before the word changes',
    plant: [{ from: `${disarm}\n    ${notify}`, to: `${notify}\n    ${disarm}` }],
    noticed: /lost wake-up/,
  },
  {
    bug: 'a sleep that is not announced spins instead',
    plant: [{ from: announce, to: '' }],
    noticed: /does not end/,
  },
  {
    bug: 'a second sleep forgets the first, which takes the notify',
    plant: [{ from: 'if (this.#sleep === null) {', to: '{' }],
    noticed: /lost wake-up/,
  },
  {
    bug: 'a woken sleep is kept for the next one',
    plant: [{ from: 'this.#sleep = null\n  }', to: '}' }],
    noticed: /does not end/,
  },
  {
    bug: 'a plain announcement',
    plant: [{ from: announce, to: 'this.#words[this.#word] = ASLEEP' }],
    noticed: /data race/,
  },
  {
    bug: 'the wait does not look whether it was rung already',
    plant: [
      {
        from: 'Atomics.waitAsync(this.#words, this.#word, ASLEEP)',
        to: 'Atomics.waitAsync(this.#words, this.#word, Atomics.load(this.#words, this.#word))',
      },
    ],
    noticed: /lost wake-up/,
  },
]

describe('planted doorbell bugs are found', () => {
  test.each(plantedBugs)('$bug', ({ plant, noticed }) => {
    const broken = parts([], plant)
    expect(() => {
      explore(() => slept(runs[0], broken))
      explore(() => roundTrip(broken))
      explore(() => slept(runs[1], broken))
    }).toThrow(noticed)
  })

  test('a sleeper that looks before it announces sleep', () => {
    const shipped = parts()
    expect(() => explore(() => lookThenSleep(shipped))).toThrow(/lost wake-up/)
  })

  test('a ringer that rings before it publishes', () => {
    const shipped = parts()
    expect(() => explore(() => ringThenPublish(shipped))).toThrow(/lost wake-up/)
  })
})

function oneWay({ RingModel, BellModel }: Parts) {
  const memory = ringMemory(1)
  const bells = new ModelMemory(128)
  return {
    out: new RingModel(memory, 1),
    into: new RingModel(memory, 1),
    ringer: new BellModel(bells, 0),
    bell: new BellModel(bells, 0),
  }
}

function lookThenSleep(shipped: Parts): Model {
  const { out, into, ringer, bell } = oneWay(shipped)
  function* careless(): Script {
    while ((yield* into.peek()) < 0) {
      yield* bell.prepareSleep()
      yield* sleepOn(bell)
    }
  }
  return { threads: [ringingProducer(out, ringer, 1), careless()] }
}

function ringThenPublish(shipped: Parts): Model {
  const { out, into, ringer, bell } = oneWay(shipped)
  function* hasty(): Script {
    yield* ringer.ring()
    yield* producer(out, 1, 1, 1)
  }
  return { threads: [hasty(), sleeper([into], bell, [[]], 1)] }
}
