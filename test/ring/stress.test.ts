/**
 * Real threads on the real classes: what the model checker proves for short runs, here for long ones, with
 * true sleeps, true wake-ups and a thread that is terminated in mid-flight. A lost wake-up shows as a test
 * that never ends.
 */
import assert from 'node:assert'
import { once } from 'node:events'
import { setImmediate as turnLoop } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { emptyOffsetView, OffsetTable } from '../../src/partitions/offset-table.ts'
import { emptyCommand, readCommand } from '../../src/ring/commands.ts'
import { Doorbell } from '../../src/ring/doorbell.ts'
import { Ring } from '../../src/ring/ring.ts'
import { ask, checkCommand, newPair, OWNER } from './stress-sides.ts'
import type { Role } from './stress-worker.ts'

/** ODRADEK_STRESS_TIMES=1000 runs for an hour or so; once is enough for every day. */
const times = Number(process.env.ODRADEK_STRESS_TIMES ?? 1)
const timeoutMs = 60_000 * times

function startWorker(role: Role): { worker: Worker; done: Promise<unknown> } {
  const worker = new Worker(new URL('./stress-worker.ts', import.meta.url), { workerData: role })
  // once() rejects when the worker throws.
  return { worker, done: once(worker, 'message') }
}

function bellsFor(sleepers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(Doorbell.bytesFor(sleepers))
}

test.each([
  { capacity: 1, count: 10_000 * times },
  { capacity: 8, count: 100_000 * times },
  { capacity: 1024, count: 400_000 * times },
])(
  'dispatcher and owner, both sleeping: $count commands through $capacity slots',
  async run => {
    const pair = newPair(run.capacity, bellsFor(2), 1)
    const owner = startWorker({ role: 'answer', pairs: [pair], count: run.count })
    await Promise.all([ask(pair, run.count), owner.done])
  },
  timeoutMs,
)

test(
  'two dispatchers share one owner and its doorbell',
  async () => {
    const bells = bellsFor(3)
    const pairs = [newPair(4, bells, 1), newPair(16, bells, 2)]
    const count = 40_000 * times
    const owner = startWorker({ role: 'answer', pairs, count })
    const other = startWorker({ role: 'ask', pair: pairs[1], count })
    await Promise.all([ask(pairs[0], count), owner.done, other.done])
  },
  timeoutMs,
)

/** Reads commands from number `next` on; returns the next number. */
function drain(ring: Ring, next: number): number {
  const command = emptyCommand()
  for (let slot = ring.peek(); slot >= 0; slot = ring.peek()) {
    readCommand(ring.words, slot, command)
    checkCommand(command, next++)
    ring.next()
  }
  ring.release()
  return next
}

test.each([1, 1_000, 20_000, 50_000])(
  'a producer terminated after %i commands leaves whole ones',
  async atLeast => {
    const capacity = 64
    const sab = new SharedArrayBuffer(Ring.bytesFor(capacity))
    const { worker, done } = startWorker({ role: 'flood', ring: sab, capacity })
    let failure: unknown = null
    done.catch((error: unknown) => {
      failure = error
    })
    const ring = new Ring(sab, capacity)
    let next = 0
    while (next < atLeast && failure === null) {
      const before = next
      next = drain(ring, next)
      if (next === before) await turnLoop()
    }
    await worker.terminate()
    // Its exit event has come: nothing moves any more, and what it published is all there.
    const rest = ring.depth()
    const end = drain(ring, next)
    expect(failure).toBeNull()
    expect(end - next).toBe(rest)
    expect(ring.depth()).toBe(0)
  },
)

/** One run of an owner that publishes without pause. @returns how many different rows the reader met meanwhile */
async function readWhilePublished(count: number): Promise<number> {
  const sab = new SharedArrayBuffer(OffsetTable.bytesFor(2, 1))
  const table = new OffsetTable(sab, 2, 1)
  const { done } = startWorker({ role: 'publish', table: sab, count })
  let failure: unknown = null
  done.catch((error: unknown) => {
    failure = error
  })
  const view = emptyOffsetView()
  let last = 0
  let distinct = 0
  while (last < count && failure === null) {
    for (let time = 0; time < 10_000 && last < count; time++) {
      if (!table.read(1, 9, view)) continue
      const n = view.logStart / 3
      assert(n >= last, 'an older row came back')
      assert.strictEqual(view.highWatermark, n * 4_294_967)
      assert.strictEqual(view.logEnd, n * 8_589_934)
      if (n > last) distinct++
      last = n
    }
    await turnLoop()
  }
  await done
  return distinct
}

test(
  'a reader sees whole rows while the owner publishes without pause',
  async () => {
    // On a machine under load the owner may be through before the reader gets a turn: such a run shows nothing.
    let distinct = 0
    while (distinct <= 10) distinct += await readWhilePublished(1_000_000 * times)
  },
  timeoutMs,
)

test(
  'every watched advance wakes the dispatcher',
  async () => {
    const count = 20_000 * times
    const tableSab = new SharedArrayBuffer(OffsetTable.bytesFor(1, 1))
    const commandSab = new SharedArrayBuffer(Ring.bytesFor(1))
    const bells = bellsFor(2)
    const shared = { table: tableSab, commands: commandSab, bells, count }
    const owner = startWorker({ role: 'advance', ...shared })
    const table = new OffsetTable(tableSab, 1, 1)
    const commands = new Ring(commandSab, 1)
    const ownerBell = new Doorbell(bells, OWNER)
    const bell = new Doorbell(bells, 1)
    for (let round = 1; round <= count; round++) {
      // The reader frees the slot before it advances, so there is room now.
      assert(commands.claim() >= 0)
      commands.publish()
      ownerBell.ring()
      for (;;) {
        bell.prepareSleep()
        table.watch(0, 0)
        if (table.highWatermark(0) === round) break
        await bell.wait()
      }
      bell.cancelSleep()
    }
    await owner.done
  },
  timeoutMs,
)
