/**
 * The ring, as shipped, in every order of its Atomics calls (RELIABILITY.md section 6, fault C9): payload
 * is never touched by two threads at once, nothing is lost, doubled or reordered, and a thread that dies
 * between any two steps leaves whole slots behind. Then the same with bugs planted: each must be found, for
 * the right reason.
 */
import assert from 'node:assert'
import { describe, expect, test } from 'vitest'
import { HEAD_WORD, HEADER_WORDS, SLOT_WORDS, TAIL_WORD } from '../../src/ring/ring.ts'
import { explore, type Model, type Script } from './mini-loom.ts'
import type { ModelMemory } from './model-memory.ts'
import {
  assertInOrder,
  drain,
  type ModelRing,
  type Parts,
  type PlantedBug,
  parts,
  producer,
  ringMemory,
} from './model-scripts.ts'

interface Run {
  readonly capacity: number
  readonly values: number
  /** Slots claimed before each publish(). */
  readonly batch: number
  readonly firstPosition: number
}

const runs: Run[] = [
  { capacity: 1, values: 3, batch: 1, firstPosition: 0 },
  { capacity: 2, values: 4, batch: 1, firstPosition: 0 },
  { capacity: 2, values: 4, batch: 2, firstPosition: 0 },
  { capacity: 4, values: 4, batch: 3, firstPosition: 0 },
  // The positions pass 2^31 - 1 (the largest int32) and 2^32 - 1 (which is -1).
  { capacity: 2, values: 4, batch: 1, firstPosition: 0x7fffffff },
  { capacity: 2, values: 4, batch: 1, firstPosition: 0x7ffffffe },
  { capacity: 2, values: 4, batch: 2, firstPosition: -1 },
  { capacity: 1, values: 3, batch: 1, firstPosition: -1 },
  { capacity: 4, values: 4, batch: 2, firstPosition: -3 },
]

function* poller(ring: ModelRing, got: number[], rounds: number): Script {
  for (let round = 0; round < rounds; round++) yield* drain(ring, got)
}

/** What was published and not released is whole and in order: the survivor of a death may still read it. */
function assertRestIsWhole(memory: ModelMemory, capacity: number, got: readonly number[]): void {
  const head = memory.cells[HEAD_WORD].value
  const depth = (memory.cells[TAIL_WORD].value - head) | 0
  assert(depth >= 0 && depth <= capacity, 'head and tail crossed')
  const rest: number[] = []
  for (let at = 0; at < depth; at++) {
    const slot = HEADER_WORDS + ((head + at) & (capacity - 1)) * SLOT_WORDS
    const { value } = memory.cells[slot]
    assert.strictEqual(memory.cells[slot + SLOT_WORDS - 1].value, value, 'a torn slot is left')
    rest.push(value)
  }
  // A consumer that died between reading and release() leaves slots it had read: they come once more.
  const first = rest.length === 0 ? 0 : got.indexOf(rest[0])
  assertInOrder([...got.slice(0, first < 0 ? got.length : first), ...rest])
}

function polled(run: Run, { RingModel }: Parts): Model {
  const memory = ringMemory(run.capacity, run.firstPosition)
  const got: number[] = []
  const mine = new RingModel(memory, run.capacity)
  const theirs = new RingModel(memory, run.capacity)
  return {
    threads: [producer(mine, run.values, run.batch, run.values + 2), poller(theirs, got, 3)],
    killable: [0, 1],
    check: () => {
      assertInOrder(got)
      assertRestIsWhole(memory, run.capacity, got)
    },
  }
}

describe('the shipped ring', () => {
  test.each(runs)(
    'hands over whole slots in order, whoever dies wherever: $capacity slots, $values values, $batch a publish, from $firstPosition',
    run => {
      const shipped = parts()
      expect(explore(() => polled(run, shipped)).ends).toBeGreaterThan(10)
    },
  )
})

const storeTail = 'Atomics.store(this.words, TAIL_WORD, this.#claimed)'
const storeHead = 'Atomics.store(this.words, HEAD_WORD, this.#read)'
const claimOne = 'this.#claimed = (this.#claimed + 1) | 0'
const readOne = 'this.#read = (this.#read + 1) | 0'
const isFull = 'if (((this.#claimed - this.#headSeen) | 0) === this.capacity) return -1'

const plantedBugs: PlantedBug[] = [
  {
    bug: 'publish before payload',
    plant: [{ from: claimOne, to: `${claimOne}; ${storeTail}` }],
    noticed: /data race/,
  },
  {
    bug: 'tail stored plainly',
    plant: [{ from: storeTail, to: 'this.words[TAIL_WORD] = this.#claimed' }],
    noticed: /data race/,
  },
  {
    bug: 'head stored plainly',
    plant: [{ from: storeHead, to: 'this.words[HEAD_WORD] = this.#read' }],
    noticed: /data race/,
  },
  {
    bug: 'one slot too many claimed',
    plant: [{ from: isFull, to: isFull.replace('capacity', 'capacity + 1') }],
    noticed: /data race|crossed|lost, doubled/,
  },
  {
    bug: 'fullness that does not wrap',
    plant: [{ from: isFull, to: isFull.replace(' | 0', '') }],
    noticed: /data race|crossed|lost, doubled/,
  },
  {
    bug: 'slot handed back by next()',
    plant: [{ from: readOne, to: `${readOne}; ${storeHead}` }],
    noticed: /data race|lost, doubled/,
  },
  {
    bug: 'one slot too many published',
    plant: [{ from: storeTail, to: storeTail.replace('this.#claimed', 'this.#claimed + 1') }],
    noticed: /lost, doubled|torn/,
  },
  {
    bug: 'a slot number that does not wrap',
    plant: [{ from: '(this.#read & this.#mask)', to: '(Math.abs(this.#read) & this.#mask)' }],
    noticed: /lost, doubled|torn|data race/,
  },
]

describe('planted ring bugs are found', () => {
  test.each(plantedBugs)('$bug', ({ plant, noticed }) => {
    const broken = parts(plant)
    expect(() => {
      for (const run of runs) explore(() => polled(run, broken))
    }).toThrow(noticed)
  })
})
