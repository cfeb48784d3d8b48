/**
 * The watchdog (RELIABILITY C8, A19): an owner that burns CPU and gets nowhere is ended and replaced, one that waits
 * for a slow disk is left alone.
 */
import { setEnvironmentData } from 'node:worker_threads'
import { afterAll, expect, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { encodeBatch } from '../../src/protocol/record-batch.ts'
import { Break, breakWords } from './break-owner.ts'
import { diskFaults, faultyOwners } from './disk-faults.ts'
import { batchOf, connect, createTopic, produce, readAll, store, testBroker } from './fixture.ts'

const setFaults = diskFaults()
const words = new Int32Array(new SharedArrayBuffer(8))
setEnvironmentData(breakWords, words.buffer)
afterAll(() => setEnvironmentData(breakWords, undefined))

/** Looks a quarter of a second apart: a stuck thread is ended after some 1.5 s. */
const watchdogMs = 250
const preload = ['--import', new URL('./break-owner.ts', import.meta.url).href]
const ownerThreads = { execArgv: [...preload, ...faultyOwners.execArgv] }
const patience = { timeout: 30_000, interval: 10 }

function restarts(broker: Broker): number {
  return broker.parts.host.owners[0]?.crashes.length ?? 0
}

test.each(['spin', 'spinInRound'] as const)(
  'an owner that is stuck (%s) is replaced',
  async how => {
    const broker = await testBroker({ ownerThreads, watchdogMs, workers: 1, http: true })
    const client = await connect(broker)
    const topic = await createTopic(client)
    await store(client, topic, batchOf(['before']))
    Atomics.store(words, 0, Break[how])
    await expect.poll(() => Atomics.load(words, 0), patience).toBe(Break.none)
    // Whether it was sent to the old thread or the new one: it is answered.
    const row = await produce(client, topic, batchOf(['during']), { timeoutMs: 60_000 })
    expect([Errors.NONE, Errors.NOT_LEADER_OR_FOLLOWER]).toContain(row.errorCode)
    await expect.poll(() => restarts(broker), patience).toBe(1)
    const text = await (await fetch(`${broker.httpUrl}/metrics`)).text()
    expect(text).toContain('odradek_watchdog_terminations_total 1\n')
    const online = () =>
      [...broker.parts.host.partitions()].every(({ state }) => state === 'online')
    await expect.poll(online, patience).toBe(true)
    await store(client, topic, batchOf(['after']))
    const values = (await readAll(client, topic)).map(({ value }) => String(value))
    expect([values[0], values.at(-1)]).toEqual(['before', 'after'])
  },
)

test('an owner inside a system call is left alone, however long that takes', async () => {
  const broker = await testBroker({ ownerThreads, watchdogMs, workers: 1 })
  const client = await connect(broker)
  const topic = await createTopic(client)
  await store(client, topic, batchOf(['before']))
  setFaults([{ call: 'write', path: `${topic}-0/`, blockMs: 12 * watchdogMs }])
  // Slower, not wrong.
  expect(await store(client, topic, batchOf(['slow']), { timeoutMs: 60_000 })).toBe(1)
  expect(restarts(broker)).toBe(0)
})

test('an owner that sleeps is left alone', async () => {
  const broker = await testBroker({ ownerThreads, watchdogMs: 100, workers: 1 })
  const client = await connect(broker)
  const topic = await createTopic(client)
  await new Promise(resolve => setTimeout(resolve, 1500))
  await store(client, topic, batchOf(['awake']))
  expect(restarts(broker)).toBe(0)
})

test('batches that swell when they are looked into make rounds short, not the thread stuck', async () => {
  const broker = await testBroker({ watchdogMs, workers: 1 })
  const client = await connect(broker)
  const partitions = 80
  const topic = await createTopic(client, { partitions, configs: { 'cleanup.policy': 'compact' } })
  const value = Buffer.alloc(15 * 1024 * 1024)
  const records = encodeBatch({ records: [{ key: Buffer.from('k'), value }], codec: 'zstd' })
  const { responses } = await client.request(Produce, 11, {
    transactionalId: null,
    acks: 1,
    timeoutMs: 60_000,
    topicData: [
      {
        name: topic,
        partitionData: Array.from({ length: partitions }, (_, index) => ({ index, records })),
      },
    ],
  })
  const codes = responses[0].partitionResponses.map(({ errorCode }) => errorCode)
  expect(new Set(codes)).toEqual(new Set([Errors.NONE]))
  expect(restarts(broker)).toBe(0)
}, 60_000)
