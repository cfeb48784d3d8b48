/** `startBroker({ thread: true })`: the dispatcher on a thread of its own. */
import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import { type RunningBroker, startBroker } from '../../src/index.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { batchOf, connect, createTopic, readAll, store } from './fixture.ts'

const busyMs = 2000

/** Round trips of a client on another thread while this one does not rest. */
async function tripsWhileBusy(broker: RunningBroker): Promise<number> {
  const counter = new SharedArrayBuffer(4)
  const count = new Int32Array(counter)
  const url = new URL('./thread-client.ts', import.meta.url)
  const client = new Worker(url, { workerData: { bootstrap: broker.bootstrap, counter } })
  const ended = new Promise((resolve, reject) => client.once('exit', resolve).once('error', reject))
  while (Atomics.load(count, 0) === 0) {
    const { value } = Atomics.waitAsync(count, 0, 0, 60_000)
    if ((await value) === 'timed-out') throw new Error('the client does not begin')
  }
  const before = Atomics.load(count, 0)
  const untilMs = performance.now() + busyMs
  while (performance.now() < untilMs);
  const trips = Atomics.load(count, 0) - before
  client.postMessage('stop')
  await ended
  return trips
}

test('a busy program does not stall the broker', async () => {
  await using broker = await startBroker({ thread: true })
  expect(await tripsWhileBusy(broker)).toBeGreaterThan(10)
})

test('it does stall one that shares its thread', async () => {
  await using broker = await startBroker()
  // One request can be under way already.
  expect(await tripsWhileBusy(broker)).toBeLessThanOrEqual(1)
})

test('records, HTTP and the directory are as without a thread', async () => {
  const dataDirectory = await tempDirectory()
  const first = await startBroker({ thread: true, dataDirectory, set: { 'num.partitions': 3 } })
  expect(first).toMatchObject({ dataDirectory, workers: expect.any(Number) })
  const ready = await fetch(`${first.httpUrl}/readyz`)
  expect(ready.status).toBe(200)
  const client = await connect(first)
  const topic = await createTopic(client)
  await store(client, topic, batchOf(['a', 'b']))
  await expect(startBroker({ thread: true, dataDirectory })).rejects.toThrow(dataDirectory)
  await expect(startBroker({ dataDirectory })).rejects.toThrow(dataDirectory)
  await first.close()
  expect(await first.exited).toBeNull()
  await first.close()
  await using second = await startBroker({ thread: true, dataDirectory })
  const again = await connect(second)
  expect((await readAll(again, topic)).map(({ value }) => String(value))).toEqual(['a', 'b'])
})

test('its own directory goes when it closes', async () => {
  const broker = await startBroker({ thread: true, http: false })
  expect(broker.httpUrl).toBeNull()
  expect(existsSync(broker.dataDirectory)).toBe(true)
  await broker.close()
  expect(existsSync(broker.dataDirectory)).toBe(false)
})

test('what is wrong with the options is said as without a thread', async () => {
  const wrong = { set: { 'num.partitionz': 3 } }
  const without = await startBroker(wrong).catch((error: Error) => error.message)
  expect(without).toContain('num.partitionz')
  await expect(startBroker({ ...wrong, thread: true })).rejects.toThrow(without as string)
})
