import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { getPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { TaskPool, type TaskPoolOptions } from '../../src/task-pool.ts'
import { workerUrl } from '../../src/worker-url.ts'

const task = (name: string) => new URL(`./tasks/${name}.ts`, import.meta.url)

function startPool(options: TaskPoolOptions = { threadsMax: 1 }): TaskPool {
  const pool = new TaskPool(options)
  onTestFinished(() => pool.close())
  return pool
}

/** Starts a task that never ends by itself. */
function startHanging(pool: TaskPool, signal?: AbortSignal) {
  const shared = new SharedArrayBuffer(4)
  const outcome = pool.run(task('fail'), { how: 'hang', running: shared }, { signal }).then(
    () => 'finished',
    () => 'rejected',
  )
  const waited = Atomics.waitAsync(new Int32Array(shared), 0, 0)
  return { outcome, running: waited.async ? waited.value : Promise.resolve() }
}

type Squared = { square: number; threadId: number }

describe('task pool', () => {
  test('nothing is loaded before the first task', async () => {
    const pool = startPool()
    expect(pool.started).toBe(false)
    expect(await pool.run<Squared>(task('square'), { n: 12 })).toMatchObject({ square: 144 })
    expect(pool.started).toBe(true)
  })

  test.skipIf(process.platform !== 'linux')(
    'what makes itself less urgent in the background takes nobody along',
    async () => {
      const pool = startPool()
      const usual = await pool.run<number>(task('niceness'), { yields: false })
      const background = { isBackground: true }
      const nicer = await pool.run<number>(task('niceness'), { yields: true }, background)
      expect(nicer).toBeGreaterThan(usual)
      expect(await pool.run(task('niceness'), { yields: false }, background)).toBe(nicer)
      expect(await pool.run(task('niceness'), { yields: false })).toBe(usual)
      expect(getPriority()).toBe(usual)
    },
  )

  test('closing a pool that never ran loads nothing, and a closed pool refuses tasks', async () => {
    const pool = new TaskPool()
    await pool.close()
    expect(pool.started).toBe(false)
    await expect(pool.run(task('square'), { n: 1 })).rejects.toThrow('closed')
  })

  test('tasks run in other threads, and shared memory stays shared', async () => {
    const pool = startPool({ threadsMax: 2 })
    const shared = new SharedArrayBuffer(4)
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, i) => pool.run<Squared>(task('square'), { n: i + 1, shared })),
    )
    expect(answers.map(answer => answer.square)).toEqual(answers.map((_, i) => (i + 1) ** 2))
    expect(new Set(answers.map(answer => answer.threadId)).has(0)).toBe(false)
    expect(new Int32Array(shared)[0]).toBeGreaterThan(0)
  })

  test('an idle thread does not block its timers', async () => {
    const pool = startPool({ threadsMax: 1, idleTimeoutMs: 60_000 })
    const shared = new SharedArrayBuffer(4)
    await pool.run(task('tick'), shared)
    const ticks = new Int32Array(shared)
    // Returns 'timed-out' for a thread that sleeps in Atomics.wait between tasks.
    for (let seen = Atomics.load(ticks, 0); seen < 5; seen = Atomics.load(ticks, 0)) {
      const waited = Atomics.waitAsync(ticks, 0, seen, 20_000)
      if (waited.async) expect(await waited.value).toBe('ok')
    }
  })

  test.for(['throw', 'exit', 'heap', 'later'] as const)(
    'a task that fails (%s) rejects, and the pool goes on',
    async how => {
      const pool = startPool({ threadsMax: 1, heapMbMax: 64 })
      const failed = pool.run(task('fail'), { how })
      const expected = {
        throw: 'thrown by the task',
        exit: /exit/,
        heap: /memory/,
        later: 'thrown outside of the task',
      }
      await expect(failed).rejects.toThrow(expected[how])
      expect(await pool.run<Squared>(task('square'), { n: 3 })).toMatchObject({ square: 9 })
    },
  )

  test('a crash takes only its own task: others of the same pool finish', async () => {
    const pool = startPool({ threadsMax: 2 })
    const crash = pool.run(task('fail'), { how: 'exit' }).then(
      () => 'finished',
      () => 'rejected',
    )
    const others = Array.from({ length: 10 }, (_, n) => pool.run<Squared>(task('square'), { n }))
    expect((await Promise.all(others)).map(answer => answer.square)).toEqual(
      others.map((_, n) => n * n),
    )
    expect(await crash).toBe('rejected')
  })

  test('close() ends tasks that run and tasks that wait; they reject', async () => {
    const pool = startPool({ threadsMax: 1 })
    const { outcome, running } = startHanging(pool)
    await running
    const waiting = pool.run(task('square'), { n: 1 }).then(
      () => 'finished',
      () => 'rejected',
    )
    await pool.close()
    expect([await outcome, await waiting]).toEqual(['rejected', 'rejected'])
  })

  test('a run can be aborted while it runs, and the pool goes on', async () => {
    const pool = startPool()
    const aborter = new AbortController()
    const { outcome, running } = startHanging(pool, aborter.signal)
    await running
    aborter.abort()
    expect(await outcome).toBe('rejected')
    expect(await pool.run<Squared>(task('square'), { n: 4 })).toMatchObject({ square: 16 })
  })

  test('an idle pool does not keep the process alive', () => {
    const script = `
      const { TaskPool } = await import(${JSON.stringify(new URL('../../src/task-pool.ts', import.meta.url))})
      const pool = new TaskPool({ threadsMax: 1, idleTimeoutMs: 3_600_000 })
      const { square } = await pool.run(new URL(${JSON.stringify(task('square'))}), { n: 5 })
      console.log(square)`
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 50_000,
    })
    expect([child.stdout.trim(), child.status, child.stderr]).toEqual(['25', 0, ''])
  })
})

describe('worker files', () => {
  test('they are found beside src, with the extension of the code that asks', () => {
    const owner = workerUrl('partition-owner')
    expect(owner.href).toBe(new URL('../../workers/partition-owner.ts', import.meta.url).href)
  })

  test.for(['partition-owner', 'tasks/recover-segment', 'tasks/find-record'] as const)(
    '%s exists',
    name => {
      expect(existsSync(fileURLToPath(workerUrl(name)))).toBe(true)
    },
  )
})
