/** Tasks of owner threads: when they may begin, how many at once, what becomes of those whose owner died. */
import { setEnvironmentData } from 'node:worker_threads'
import { afterAll, expect, test } from 'vitest'
import { OwnerTasks } from '../../src/partitions/owner-tasks.ts'
import { testBroker } from '../broker/fixture.ts'
import { Answer, answersOf } from './call-task.ts'

/** A pool that runs nothing until it is told to, and ends what is aborted as piscina does. */
class SlowPool {
  readonly threadsMax = 3
  readonly running: { input: unknown; end: () => void }[] = []

  run<T>(_task: unknown, input: unknown, { signal }: { signal?: AbortSignal } = {}): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.running.push({ input, end: () => resolve(input as T) })
    signal?.addEventListener('abort', () => reject(new Error('aborted')))
    return promise
  }
}

const settled = () => new Promise(resolve => setImmediate(resolve))

test('none begins before the logs are open, and one thread is always left for others', async () => {
  const pool = new SlowPool()
  const tasks = new OwnerTasks(pool)
  const runner = tasks.runnerFor(new AbortController().signal)
  const all = [1, 2, 3, 4].map(input => runner.run('scrub-segment', input))
  await settled()
  expect(pool.running).toEqual([])
  tasks.open()
  await settled()
  expect(pool.running.map(({ input }) => input)).toEqual([1, 2])
  pool.running[0]?.end()
  expect(await all[0]).toBe(1)
  await settled()
  expect(pool.running.map(({ input }) => input)).toEqual([1, 2, 3])
  for (const { end } of pool.running) end()
  await settled()
  pool.running[3]?.end()
  expect(await Promise.all(all)).toEqual([1, 2, 3, 4])
})

test('what a dead owner asked for is ended, or never begins; others get the turn', async () => {
  const pool = new SlowPool()
  const tasks = new OwnerTasks(pool)
  tasks.open()
  const life = new AbortController()
  const doomed = [1, 2, 3].map(input => tasks.runnerFor(life.signal).run('scrub-segment', input))
  const other = tasks.runnerFor(new AbortController().signal).run('scrub-segment', 'other')
  await settled()
  life.abort()
  const ends = await Promise.allSettled(doomed)
  expect(ends.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
  await settled()
  expect(pool.running.map(({ input }) => input)).toEqual([1, 2, 'other'])
  pool.running[2]?.end()
  expect(await other).toBe('other')
})

test('an owner thread gets answers and errors of real tasks, again after it was replaced', async () => {
  const memory = new SharedArrayBuffer(16)
  const counts = new Int32Array(memory)
  setEnvironmentData(answersOf, memory)
  afterAll(() => setEnvironmentData(answersOf, undefined))
  const execArgv = ['--import', new URL('./call-task.ts', import.meta.url).href]
  const broker = await testBroker({ workers: 1, ownerThreads: { execArgv } })
  const told = () => [counts[Answer.found], counts[Answer.failed], counts[Answer.unexpected]]
  const patience = { timeout: 30_000 }
  await expect.poll(told, patience).toEqual([1, 1, 0])
  await broker.parts.host.owners[0]?.terminate()
  await expect.poll(told, patience).toEqual([2, 2, 0])
})
