/**
 * Topic metadata against a model, with a crash before or after any write: what was acknowledged holds, what was under
 * way is done or not done, never half, and directories and topics agree after every start.
 */

import { readdir } from 'node:fs/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FileTopicStore, type TopicRecord } from '../../src/topics/topic-store.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'
import { type AdminFixture, startAdmin, topicRequest } from './admin-fixture.ts'

type Operation = readonly [kind: 'create' | 'delete' | 'grow' | 'alter', name: string]
interface Step {
  readonly operation: Operation
  /** The process dies around so many writes from here; null = it lives. */
  readonly crashAfter: number | null
}
interface ModelTopic {
  readonly partitions: number
  /** Config flush.ms, 0 until it is altered. */
  readonly flushMs: number
}
/** By topic name. */
type Model = Map<string, ModelTopic>

const newTopic: ModelTopic = { partitions: 2, flushMs: 0 }
const never = new Promise<never>(() => {})

/**
 * Counts writes down; at zero nothing more happens, as after kill -9. Even counts die before a write, odd ones after.
 */
class Fuse {
  left = Number.POSITIVE_INFINITY
  async burn<T>(write: () => Promise<T>): Promise<T> {
    if (this.left-- <= 0) return await never
    const result = await write()
    if (this.left-- <= 0) return await never
    return result
  }
}

async function start(directory: string, fuse: Fuse): Promise<AdminFixture> {
  const files = new FileTopicStore(directory)
  const fixture = await startAdmin(directory, [], {
    load: () => files.load(),
    save: (records: readonly TopicRecord[]) => fuse.burn(() => files.save(records)),
  })
  const { host } = fixture
  const [open, remove] = [host.open.bind(host), host.delete.bind(host)]
  const applyConfig = host.applyConfig.bind(host)
  host.open = (...args) => fuse.burn(() => open(...args))
  host.delete = (...args) => fuse.burn(() => remove(...args))
  host.applyConfig = (...args) => fuse.burn(() => applyConfig(...args))
  return fixture
}

function apply({ admin }: AdminFixture, [kind, name]: Operation, model: Model): Promise<unknown> {
  if (kind === 'create') return admin.createTopic(topicRequest(name, { partitions: 2 }))
  if (kind === 'delete') return admin.deleteTopic({ name })
  const { partitions, flushMs } = model.get(name) ?? newTopic
  if (kind === 'grow')
    return admin.createPartitions({ name, count: partitions + 1, assignments: null })
  const step = { operation: 'set', name: 'flush.ms', text: `${flushMs + 1}` } as const
  return admin.alterTopicConfigs(name, { steps: [step] })
}

/** What the model says an operation makes of the topics; null when it is refused. */
function predict([kind, name]: Operation, before: Model): Model | null {
  const present = before.get(name)
  if ((present === undefined) !== (kind === 'create')) return null
  const after = new Map(before)
  if (kind === 'delete') after.delete(name)
  else if (present === undefined) after.set(name, newTopic)
  else if (kind === 'grow') after.set(name, { ...present, partitions: present.partitions + 1 })
  else after.set(name, { ...present, flushMs: present.flushMs + 1 })
  return after
}

const observed = ({ topics }: AdminFixture): Model =>
  new Map(
    Array.from(topics.all(), ({ name, partitions, configs }) => [
      name,
      { partitions: partitions.length, flushMs: Number(configs.get('flush.ms') ?? 0) },
    ]),
  )

const sorted = (model: Model) => [...model].sort(([a], [b]) => (a < b ? -1 : 1))

async function expectDirectories(directory: string, model: Model): Promise<void> {
  const wanted = [...model].flatMap(([name, { partitions }]) =>
    Array.from({ length: partitions }, (_, index) => `${name}-${index}`),
  )
  const found = (await readdir(directory)).filter(name => /-\d+$/.test(name))
  expect(found.sort()).toEqual(wanted.sort())
}

async function run(steps: readonly Step[]): Promise<void> {
  await using directory = await makeTempDirectory()
  const fuse = new Fuse()
  let fixture = await start(directory.path, fuse)
  let model: Model = new Map()
  for (const { operation, crashAfter } of steps) {
    fuse.left = crashAfter ?? Number.POSITIVE_INFINITY
    const predicted = predict(operation, model)
    const done = apply(fixture, operation, model).then(
      () => 'done',
      () => 'refused',
    )
    const crashed = new Promise<string>(resolve => {
      const watch = setInterval(() => {
        if (fuse.left >= 0) return
        clearInterval(watch)
        resolve('crashed')
      }, 1)
      void done.finally(() => clearInterval(watch))
    })
    const outcome = await Promise.race([done, crashed])
    fuse.left = Number.POSITIVE_INFINITY
    if (outcome === 'crashed') {
      fixture = await start(directory.path, fuse)
      const found = observed(fixture)
      const possible = [model, predicted ?? model].map(sorted)
      expect(possible).toContainEqual(sorted(found))
      model = found
      await expectDirectories(directory.path, model)
      continue
    }
    expect(outcome).toBe(predicted === null ? 'refused' : 'done')
    model = predicted ?? model
    expect(sorted(observed(fixture))).toEqual(sorted(model))
    await expectDirectories(directory.path, model)
  }
  const restarted = await start(directory.path, fuse)
  expect(sorted(observed(restarted))).toEqual(sorted(model))
  expect([...observed(restarted).keys()]).toEqual([...observed(fixture).keys()])
}

test('acknowledged topics survive a crash at any write, unacknowledged ones are whole or absent', async () => {
  const step = fc.record({
    operation: fc.tuple(
      fc.constantFrom('create', 'create', 'delete', 'grow', 'alter'),
      fc.constantFrom('a', 'b', 'c'),
    ) as fc.Arbitrary<Operation>,
    crashAfter: fc.option(fc.integer({ min: 0, max: 6 }), { freq: 3 }),
  })
  await fc.assert(fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 10 }), run), {
    numRuns: 60,
  })
})

test('each operation is crashed around each of its writes', async () => {
  const live = (operation: Operation): Step => ({ operation, crashAfter: null })
  for (const kind of ['create', 'delete', 'grow', 'alter'] as const)
    for (let crashAfter = 0; crashAfter <= 6; crashAfter++) {
      const before = kind === 'create' ? [] : [live(['create', 'a'])]
      await run([...before, { operation: [kind, 'a'], crashAfter }, live(['create', 'b'])])
    }
})
