/** Retention and DeleteRecords of a running broker, with segments and times so small that tests see them at work. */
import { readdir, readFile, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { setEnvironmentData } from 'node:worker_threads'
import kafkajs from 'kafkajs'
import { afterAll, expect, onTestFinished, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { DeleteRecords } from '../../src/protocol/messages/delete-records.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { IncrementalAlterConfigs } from '../../src/protocol/messages/incremental-alter-configs.ts'
import { spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import { Break, breakWords } from './break-owner.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRequest,
  fetchRow,
  lookUp,
  readAll,
  sharedBroker,
  store,
  testBroker,
  timedBatch,
} from './fixture.ts'

/** A bound for what a pass every 100 ms does; nothing is expected to take that long. */
const soon = { timeout: 20_000 }
const set = { 'log.retention.check.interval.ms': 100 }
const broker = sharedBroker({ set, http: true })

const words = new Int32Array(new SharedArrayBuffer(8))
setEnvironmentData(breakWords, words.buffer)
afterAll(() => setEnvironmentData(breakWords, undefined))
const preload = ['--import', new URL('./break-owner.ts', import.meta.url).href]

/** Three records and a bit more than 500 bytes each; three of them fill a segment of 1,800 bytes. */
async function fill(client: WireClient, topic: string, batches: number): Promise<void> {
  for (let i = 0; i < batches; i++)
    await store(client, topic, batchOf([`${2 * i}`, `${2 * i + 1}`, 'x'.repeat(500)]))
}

const startOf = async (client: WireClient, topic: string) =>
  (await lookUp(client, topic, -2)).offset

async function segmentsOf(dataDirectory: string, topic: string): Promise<number[]> {
  const files = await readdir(join(dataDirectory, `${topic}-0`))
  return files
    .filter(file => file.endsWith('.log'))
    .map(file => Number.parseInt(file, 10))
    .toSorted((a, b) => a - b)
}

async function deleteBefore(client: WireClient, topic: string, offset: number): Promise<number> {
  const answer = await client.request(DeleteRecords, 2, {
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset }] }],
    timeoutMs: 30_000,
  })
  const [{ errorCode, lowWatermark }] = answer.topics[0].partitions
  expect(errorCode).toBe(Errors.NONE)
  return lowWatermark
}

async function metric(name: string, of: { httpUrl: string | null } = broker()): Promise<number> {
  const text = await (await fetch(`${of.httpUrl}/metrics`)).text()
  return Number(new RegExp(`^odradek_${name} (\\S+)$`, 'm').exec(text)?.[1])
}

test('by size: the oldest segments leave, the rest is as it was', async () => {
  const client = await connect(broker())
  const before = await metric('segments_deleted_total')
  const configs = { 'segment.bytes': '1800', 'retention.bytes': '4000' }
  const topic = await createTopic(client, { configs })
  await fill(client, topic, 30)
  await expect.poll(() => startOf(client, topic), soon).toBeGreaterThanOrEqual(63)
  const start = await startOf(client, topic)
  expect((await readAll(client, topic, { offset: start })).map(({ offset }) => offset)).toEqual(
    Array.from({ length: 90 - start }, (_, index) => start + index),
  )
  const below = await fetchRow(client, topic, { offset: start - 1 })
  expect(below.errorCode).toBe(Errors.OFFSET_OUT_OF_RANGE)
  await expect
    .poll(() => segmentsOf(broker().dataDirectory, topic), soon)
    .toEqual(expect.not.arrayContaining([0, 9, 54]))
  expect((await segmentsOf(broker().dataDirectory, topic))[0]).toBe(start)
  expect(await metric('segments_deleted_total')).toBeGreaterThanOrEqual(before + 7)
  expect(await metric('segment_bytes_deleted_total')).toBeGreaterThan(10_000)
  expect(await metric('log_start_moves_total')).toBeGreaterThan(0)
  expect(await metric('retention_paused')).toBe(0)
})

test('by age: a quiet topic empties, its offsets go on', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client, { configs: { 'retention.ms': '200' } })
  // Its producer's clock is half an hour ahead, which is nothing to the broker.
  await store(client, topic, timedBatch([Date.now() + 1_800_000]))
  await expect.poll(() => startOf(client, topic), soon).toBe(1)
  await expect.poll(() => segmentsOf(broker().dataDirectory, topic), soon).toEqual([1])
  expect(await readAll(client, topic, { offset: 1 })).toEqual([])
  expect(await store(client, topic, batchOf(['next']))).toBe(1)
})

test('a shorter retention, set live, acts at the next pass', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client, { configs: { 'segment.bytes': '1800' } })
  await fill(client, topic, 12)
  expect(await startOf(client, topic)).toBe(0)
  const configs = [{ name: 'retention.bytes', configOperation: 0, value: '2000' }]
  await client.request(IncrementalAlterConfigs, 1, {
    resources: [{ resourceType: 2, resourceName: topic, configs }],
    validateOnly: false,
  })
  await expect.poll(() => startOf(client, topic), soon).toBeGreaterThanOrEqual(18)
})

test('a fetch that waits below the new log start is answered at once', async () => {
  const client = await connect(broker())
  const other = await connect(broker())
  const topic = await createTopic(client)
  await store(client, topic, batchOf(['a', 'b', 'c']))
  const options = { offset: 1, minBytes: 1_000_000, maxWaitMs: 3_600_000 }
  const waiting = client.request(Fetch, 12, fetchRequest(topic, options))
  await expect.poll(() => metric('purgatory_size'), soon).toBe(1)
  expect(await deleteBefore(other, topic, 1)).toBe(1)
  await expect.poll(() => metric('purgatory_size'), soon).toBe(1)
  expect(await deleteBefore(other, topic, 2)).toBe(2)
  const answer = await waiting
  expect(answer.responses[0].partitions[0].errorCode).toBe(Errors.OFFSET_OUT_OF_RANGE)
})

test('look-ups by time find no record below the log start', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client)
  await store(client, topic, timedBatch([10, 90, 20, 30]))
  await store(client, topic, timedBatch([50, 60]))
  await deleteBefore(client, topic, 2)
  expect(await lookUp(client, topic, 15)).toMatchObject({ offset: 2, timestamp: 20 })
  expect(await lookUp(client, topic, 30)).toMatchObject({ offset: 3, timestamp: 30 })
  expect(await lookUp(client, topic, 40)).toMatchObject({ offset: 4, timestamp: 50 })
  expect(await lookUp(client, topic, 80)).toMatchObject({ offset: -1 })
  expect(await lookUp(client, topic, -3)).toMatchObject({ offset: 5, timestamp: 60 })
})

test('kafkajs reads on at the new log start', async () => {
  const client = await connect(broker())
  const configs = { 'segment.bytes': '1800', 'retention.bytes': '4000' }
  const topic = await createTopic(client, { configs })
  await fill(client, topic, 20)
  await expect.poll(() => startOf(client, topic), soon).toBeGreaterThan(30)
  const kafka = new kafkajs.Kafka({
    brokers: [broker().bootstrap],
    logLevel: kafkajs.logLevel.NOTHING,
  })
  const admin = kafka.admin()
  await admin.connect()
  onTestFinished(() => admin.disconnect())
  const low = await startOf(client, topic)
  expect(await admin.fetchTopicOffsets(topic)).toMatchObject([{ low: `${low}`, high: '60' }])
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '58' }] })
  expect(await admin.fetchTopicOffsets(topic)).toMatchObject([{ low: '58', high: '60' }])
})

test('killed and started again: the log start stands, nothing comes back', async () => {
  const dataDirectory = await tempDirectory()
  const start = () =>
    spawnBroker({ dataDirectory, args: ['--set', 'log.retention.check.interval.ms=100'] })
  await using first = await start()
  const client = await connect(first)
  const configs = { 'segment.bytes': '1800', 'retention.bytes': '4000' }
  const topic = await createTopic(client, { configs })
  await fill(client, topic, 30)
  await expect.poll(() => startOf(client, topic), soon).toBeGreaterThanOrEqual(63)
  const low = await startOf(client, topic)
  expect(await deleteBefore(client, topic, 80)).toBe(80)
  await first.kill9()
  await using second = await start()
  const again = await connect(second)
  expect(await startOf(again, topic)).toBe(80)
  expect(low).toBeLessThan(80)
  const rest = await readAll(again, topic, { offset: 80 })
  expect(rest.map(({ offset }) => offset)).toEqual([80, 81, 82, 83, 84, 85, 86, 87, 88, 89])
  expect((await segmentsOf(dataDirectory, topic))[0]).toBeGreaterThanOrEqual(63)
  await second.stop()
  const text = await readFile(join(dataDirectory, 'log-start-offset-checkpoint'), 'latin1')
  expect(text).toBe(`0\n1\n${topic} 0 80\n`)
})

test('started two days after the last sign of life: nothing goes by age, and one line says so', async () => {
  const dataDirectory = await tempDirectory()
  const args = ['--workers', '2', '--set', 'log.retention.check.interval.ms=100']
  await using first = await spawnBroker({ dataDirectory, args })
  const client = await connect(first)
  const topic = await createTopic(client, { configs: { 'retention.ms': '3600000' } })
  await fill(client, topic, 3)
  expect(await first.stop()).toBe(0)
  expect(first.stderr()).not.toContain('by age')
  const longAgo = new Date(Date.now() - 2 * 86_400_000)
  await utimes(join(dataDirectory, 'flushed-ends'), longAgo, longAgo)
  await utimes(join(dataDirectory, `${topic}-0`, '00000000000000000000.log'), longAgo, longAgo)
  await using second = await spawnBroker({ dataDirectory, args })
  await expect.poll(() => metric('retention_paused', second), soon).toBe(2)
  const lines = second
    .stderr()
    .split('\n')
    .filter(line => line.includes('deleted by age'))
  expect(lines.map(line => JSON.parse(line))).toEqual([
    expect.objectContaining({
      level: 'warn',
      msg: expect.stringMatching(
        /^no records are deleted by age for 10 minutes: .*more than a day/,
      ),
    }),
  ])
  expect(await startOf(await connect(second), topic)).toBe(0)
})

test('an owner thread that dies in between brings back nothing either', async () => {
  const mine = await testBroker({ workers: 1, set, ownerThreads: { execArgv: preload } })
  const client = await connect(mine)
  const configs = { 'segment.bytes': '1800', 'retention.bytes': '4000' }
  const topic = await createTopic(client, { configs })
  await fill(client, topic, 30)
  await expect.poll(() => startOf(client, topic), soon).toBeGreaterThanOrEqual(63)
  const low = await deleteBefore(client, topic, 80)
  Atomics.store(words, 0, Break.throw)
  await expect.poll(() => Atomics.load(words, 0), soon).toBe(Break.none)
  await expect.poll(() => startOf(client, topic), soon).toBe(low)
  await expect
    .poll(async () => (await fetchRow(client, topic, { offset: low })).errorCode, soon)
    .toBe(Errors.NONE)
  expect(await readAll(client, topic, { offset: low })).toHaveLength(90 - low)
})
