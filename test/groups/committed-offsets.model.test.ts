/**
 * Random commits, deletions, deleted topics, time and restarts, with a store that is slow or refuses, against a map:
 * what is answered is what the store has taken, and nothing that was acknowledged is lost.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { minuteMs, OffsetsScene, retentionMs } from './committed-offsets-kit.ts'
import { settle } from './scene.ts'

interface ModelOffset {
  readonly key: string
  readonly offset: number
  readonly goneAtMs: number
}

/** Offsets of a deleted topic; what the store did not take is tried again. */
interface Doom {
  readonly offsets: ReadonlySet<ModelOffset>
  readonly againAtMs: number
}

type Step =
  | { readonly kind: 'commit'; group: number; topic: number; partition: number; keepMs: number }
  | { readonly kind: 'delete'; group: number; topic: number; partition: number }
  | { readonly kind: 'topicDeleted'; topic: number }
  | { readonly kind: 'removeGroup'; group: number }
  | { readonly kind: 'pass'; ms: number }
  | { readonly kind: 'hold' | 'refuse' | 'restart' }

const group = fc.integer({ min: 0, max: 2 })
const topic = fc.integer({ min: 0, max: 1 })
const partition = fc.integer({ min: 0, max: 2 })
const keepMs = fc.constantFrom(-1, -1, 0, minuteMs, 3 * retentionMs)
const commit = fc.record({ kind: fc.constant('commit' as const), group, topic, partition, keepMs })
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: commit },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('delete' as const), group, topic, partition }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('topicDeleted' as const), topic }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('removeGroup' as const), group }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('pass' as const),
      ms: fc.constantFrom(1, minuteMs, retentionMs / 2, retentionMs),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('hold', 'refuse', 'restart'),
    }) as fc.Arbitrary<Step>,
  },
)

/** The same as a map; changes of a store that is held wait in a list. */
class Model {
  readonly offsets = new Map<string, ModelOffset>()
  readonly offsetsScene = new OffsetsScene()
  #waiting: (() => void)[] = []
  /** Commits that the store is held up with. */
  #coming: ModelOffset[] = []
  #dooms: Doom[] = []
  #count = 0

  async step(step: Step): Promise<void> {
    const { committed, scene, store } = this.offsetsScene
    const topics = ['a', 'b']
    switch (step.kind) {
      case 'commit':
        return await this.#commit(`g${step.group}`, topics[step.topic], step)
      case 'delete': {
        const [groupId, name] = [`g${step.group}`, topics[step.topic]]
        const key = `${groupId} ${name}-${step.partition}`
        const exists = [...this.offsets.keys()].some(one => one.startsWith(`${groupId} `))
        const answer = committed.remove(groupId, [{ topic: name, partition: step.partition }])
        // What is on its way is not there yet for who asks, but it goes with the others.
        if (exists) this.#change(() => this.offsets.delete(key))
        if (!exists) expect(await answer).toBe(Errors.GROUP_ID_NOT_FOUND)
        return
      }
      case 'topicDeleted': {
        const mark = ` ${topics[step.topic]}-`
        committed.topicDeleted(topics[step.topic])
        const all = [...this.offsets.values(), ...this.#coming]
        const offsets = new Set(all.filter(({ key }) => key.includes(mark)))
        this.#dooms.push({ offsets, againAtMs: scene.clock.monotonicMs() + 1000 })
        return this.#change(() => this.#forget(offsets))
      }
      case 'removeGroup': {
        const mark = `g${step.group} `
        void committed.removeGroup(`g${step.group}`)
        return this.#change(() => {
          for (const key of this.offsets.keys()) if (key.startsWith(mark)) this.offsets.delete(key)
        })
      }
      case 'pass':
        this.release()
        await settle()
        await this.offsetsScene.pass(step.ms)
        for (const { offsets, againAtMs } of this.#dooms)
          if (againAtMs <= scene.clock.monotonicMs()) this.#forget(offsets)
        for (const [key, { goneAtMs }] of this.offsets)
          if (goneAtMs <= scene.clock.wallMs()) this.offsets.delete(key)
        return
      case 'hold':
        store.isHeld = true
        return
      case 'refuse':
        this.release()
        store.code = Errors.NOT_COORDINATOR
        return
      default:
        this.release()
        await settle()
        this.#dooms = []
        this.offsetsScene.restart()
    }
  }

  release(): void {
    const { store } = this.offsetsScene
    store.release()
    const waiting = this.#waiting.splice(0)
    this.#coming = []
    if (store.code === Errors.NONE) for (const change of waiting) change()
    store.code = Errors.NONE
  }

  async #commit(groupId: string, topic: string, step: Step & { kind: 'commit' }): Promise<void> {
    const { scene, store } = this.offsetsScene
    const offset = ++this.#count
    const nowMs = scene.clock.wallMs()
    const expireTimestampMs = step.keepMs === -1 ? -1 : nowMs + step.keepMs
    const goneAtMs = step.keepMs === -1 ? nowMs + retentionMs : expireTimestampMs
    const key = `${groupId} ${topic}-${step.partition}`
    const { isHeld } = store
    const more = { expireTimestampMs }
    const answer = this.offsetsScene.commit(groupId, topic, step.partition, offset, more)
    const entry = { key, offset, goneAtMs }
    if (isHeld) this.#coming.push(entry)
    this.#change(() => this.offsets.set(key, entry))
    if (!isHeld) expect(await answer).toBe(store.code)
  }

  #forget(doomed: ReadonlySet<ModelOffset>): void {
    for (const [key, entry] of this.offsets) if (doomed.has(entry)) this.offsets.delete(key)
  }

  #change(change: () => void): void {
    const { store } = this.offsetsScene
    if (store.isHeld) this.#waiting.push(change)
    else if (store.code === Errors.NONE) change()
  }
}

const effort = Number(process.env.ODRADEK_FUZZ ?? 1)

test('memory is what the store has taken, through everything', async () => {
  const script = fc.array(steps, { minLength: 10, maxLength: 60 })
  await fc.assert(
    fc.asyncProperty(script, async all => {
      const model = new Model()
      for (const step of all) {
        await model.step(step)
        await settle()
        const wanted = [...model.offsets].map(([key, { offset }]) => [key, offset])
        expect(model.offsetsScene.all()).toEqual(Object.fromEntries(wanted))
      }
    }),
    { numRuns: 300 * effort },
  )
})
