/** Model threads that the ring and doorbell models share: what dispatchers and owners do, cut down to a few
 *  pushes. */
import assert from 'node:assert'
import type { Doorbell } from '../../src/ring/doorbell.ts'
import { HEAD_WORD, HEADER_WORDS, type Ring, SLOT_WORDS, TAIL_WORD } from '../../src/ring/ring.ts'
import type { ModelStep, Script } from './mini-loom.ts'
import { ModelMemory, type ModelPromise } from './model-memory.ts'
import { type Modelled, type Mutation, modelClass } from './model-source.ts'

const ringFile = new URL('../../src/ring/ring.ts', import.meta.url)
const doorbellFile = new URL('../../src/ring/doorbell.ts', import.meta.url)

export type ModelRing = Modelled<Ring>
export type ModelBell = Modelled<Doorbell>
export type RingClass = new (memory: ModelMemory, capacity: number) => ModelRing
export type BellClass = new (memory: ModelMemory, sleeper: number) => ModelBell

export interface Parts {
  readonly RingModel: RingClass
  readonly BellModel: BellClass
}

/** A bug put into the shipped text, and how the model must notice it. */
export interface PlantedBug {
  readonly bug: string
  readonly plant: readonly Mutation[]
  readonly noticed: RegExp
}

/** The shipped ring and doorbell as models, with bugs planted on demand. */
export function parts(ringBugs: readonly Mutation[] = [], bellBugs: readonly Mutation[] = []) {
  return {
    RingModel: modelClass<RingClass>(ringFile, 'Ring', {}, ringBugs),
    BellModel: modelClass<BellClass>(doorbellFile, 'Doorbell', {}, bellBugs),
  }
}

/** Memory of an empty ring whose positions start at `firstPosition`. */
export function ringMemory(capacity: number, firstPosition = 0): ModelMemory {
  const memory = new ModelMemory((HEADER_WORDS + capacity * SLOT_WORDS) * 4)
  memory.cells[TAIL_WORD].value = firstPosition | 0
  memory.cells[HEAD_WORD].value = firstPosition | 0
  return memory
}

function fill(ring: ModelRing, slot: number, value: number): void {
  // First and last word of the slot: a slot seen half-written would differ.
  ring.words[slot] = 100 + value
  ring.words[slot + SLOT_WORDS - 1] = 100 + value
}

/** Pushes value after value, `batch` slots to a publish, giving up after `tries` claims. */
export function* producer(ring: ModelRing, values: number, batch: number, tries: number): Script {
  let value = 0
  for (let tried = 0; tried < tries && value < values; tried++) {
    const slot = yield* ring.claim()
    if (slot < 0) continue
    fill(ring, slot, value++)
    if (value % batch === 0) yield* ring.publish()
  }
  yield* ring.publish()
}

/** Pushes into a ring with room, and rings for each value. */
export function* ringingProducer(ring: ModelRing, bell: ModelBell, values: number): Script {
  for (let value = 0; value < values; value++) {
    const slot = yield* ring.claim()
    assert(slot >= 0, 'no room')
    fill(ring, slot, value)
    yield* ring.publish()
    yield* bell.ring()
  }
}

/** Takes all there is, reading the slots only just before release(); `got` collects the values. */
export function* drain(ring: ModelRing, got: number[]): Generator<ModelStep, void, unknown> {
  const slots: number[] = []
  for (let slot = yield* ring.peek(); slot >= 0; slot = yield* ring.peek()) {
    slots.push(slot)
    yield* ring.next()
  }
  for (const slot of slots) {
    const value = ring.words[slot]
    assert.strictEqual(ring.words[slot + SLOT_WORDS - 1], value, 'a torn slot')
    got.push(value)
  }
  yield* ring.release()
}

/** What arrived must be the first values pushed, each once, in order. */
export function assertInOrder(got: readonly number[]): void {
  const expected = got.map((_, at) => 100 + at)
  assert.deepStrictEqual(got, expected, 'lost, doubled or reordered')
}

/** The event loop of a thread that serves rings and sleeps on one doorbell, until `total` values came. */
export function* sleeper(
  rings: readonly ModelRing[],
  bell: ModelBell,
  got: number[][],
  total: number,
): Script {
  for (;;) {
    for (const [at, ring] of rings.entries()) yield* drain(ring, got[at])
    if (got.flat().length === total) return
    yield* bell.prepareSleep()
    let found = false
    for (const ring of rings) found ||= (yield* ring.peek()) >= 0
    if (found) yield* bell.cancelSleep()
    else yield* sleepOn(bell)
  }
}

export function* sleepOn(bell: ModelBell): Generator<ModelStep, void, unknown> {
  yield { op: 'await', promise: (yield* bell.wait()) as unknown as ModelPromise }
}
