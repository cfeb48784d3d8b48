/**
 * Apache Kafka's DumpLogSegments over directories that odradek wrote: every batch, record, index entry and producer
 * snapshot, by a reader that shares nothing with the writer. The directories are looked at after a clean stop.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { DeleteRecords } from '../../src/protocol/messages/delete-records.ts'
import {
  batchOf,
  connect,
  createTopic,
  launchBroker,
  lookUp,
  store,
  type TestBrokerOptions,
} from '../broker/fixture.ts'
import { kcat } from '../clients/kcat.ts'
import { requireCommand } from '../support/requires.ts'
import { spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import { complaintsIn, dumpLogs, requireKafka } from './kafka-tools.ts'

beforeEach(context => {
  requireKafka(context)
  requireCommand(context, 'kcat')
})

const lines = (count: number, text: (line: number) => string): string =>
  Array.from({ length: count }, (_, line) => `${text(line)}\n`).join('')

async function open(dataDirectory: string, set: TestBrokerOptions['set'] = {}): Promise<Broker> {
  const broker = await launchBroker({ dataDirectory, set })
  onTestFinished(() => broker.close())
  return broker
}

/** Payloads of a dump with --print-data-log, in order. */
const payloadsOf = (dump: string): string[] =>
  [...dump.matchAll(/^\| offset: \d+ .* payload: (.*)$/gm)].map(match => match[1])

test('plain records: every payload, offset and index entry', async () => {
  const data = await tempDirectory()
  const broker = await open(data)
  const topic = await createTopic(await connect(broker), {
    configs: { 'index.interval.bytes': '0' },
  })
  const text = lines(3000, line => `record ${line}`)
  await kcat(broker.bootstrap, ['-P', '-t', topic, '-X', 'batch.num.messages=50'], text)
  await broker.close()
  const dump = await dumpLogs([join(data, `${topic}-0`)], ['--print-data-log'])
  expect(complaintsIn(dump)).toEqual([])
  expect(payloadsOf(dump)).toEqual(text.trimEnd().split('\n'))
  // The time index has entries, the offset index one a batch.
  expect(dump).toMatch(/^timestamp: \d+ offset: \d+$/m)
  expect(dump.match(/^offset: \d+ position: \d+$/gm)!.length).toBeGreaterThan(20)
})

test('every codec, idempotent producers and their snapshots, headers, keys, rolled segments', async () => {
  const data = await tempDirectory()
  const broker = await open(data)
  const client = await connect(broker)
  const topic = await createTopic(client, {
    partitions: 2,
    configs: { 'segment.bytes': '20000', 'index.interval.bytes': '100' },
  })
  const produce = (more: string[], input: string) =>
    kcat(broker.bootstrap, ['-P', '-t', topic, '-X', 'batch.num.messages=20', ...more], input)
  for (const [at, codec] of ['none', 'gzip', 'snappy', 'lz4', 'zstd'].entries()) {
    const input = lines(400, line => `k${line % 7}:${codec} ${line} ${'repeat '.repeat(line % 9)}`)
    const idempotent = at % 2 === 0 ? ['-X', 'enable.idempotence=true'] : []
    await produce(['-z', codec, '-K', ':', '-H', 'a=b', '-H', 'empty=', ...idempotent], input)
  }
  await broker.close()
  const directories = [0, 1].map(partition => join(data, `${topic}-${partition}`))
  const dump = await dumpLogs(directories)
  expect(complaintsIn(dump)).toEqual([])
  for (const codec of ['none', 'gzip', 'snappy', 'lz4', 'zstd'])
    expect(dump).toContain(`compresscodec: ${codec} `)
  expect(dump.match(/^\| offset: /gm)).toHaveLength(2000)
  expect(dump).toMatch(/^producerId: \d+ producerEpoch: 0 .* lastOffset: \d+ /m)
  const segments = directories.map(path => readdirSync(path).filter(name => name.endsWith('.log')))
  for (const names of segments) expect(names.length).toBeGreaterThan(1)
})

test('recovered after kill -9, and appended to since', async () => {
  const data = await tempDirectory()
  const args = ['--set', 'log.segment.bytes=50000', '--workers', '1']
  await using first = await spawnBroker({ dataDirectory: data, args })
  const input = lines(2000, line => `before ${line} ${'x'.repeat(line % 100)}`)
  const settings = ['-X', 'enable.idempotence=true', '-X', 'batch.num.messages=20']
  await kcat(first.bootstrap, ['-P', '-t', 'events', ...settings], input)
  // Killed in the middle of this one.
  const cut = kcat(first.bootstrap, ['-P', '-t', 'events', '-X', 'message.timeout.ms=2000'], input)
  await Promise.race([cut.catch(() => undefined), new Promise(done => setTimeout(done, 30))])
  await first.kill9()
  await cut.catch(() => undefined)
  await using second = await spawnBroker({ dataDirectory: data, args })
  await kcat(
    second.bootstrap,
    ['-P', '-t', 'events', ...settings],
    lines(100, line => `after ${line}`),
  )
  expect(await second.stop()).toBe(0)
  const dump = await dumpLogs([join(data, 'events-0')], ['--print-data-log'])
  expect(complaintsIn(dump)).toEqual([])
  const payloads = payloadsOf(dump)
  expect(payloads.slice(0, 2000).join('\n')).toBe(input.trimEnd())
  expect(payloads.at(-1)).toBe('after 99')
})

async function deleteBefore(client: WireClient, topic: string, offset: number): Promise<void> {
  const answer = await client.request(DeleteRecords, 2, {
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset }] }],
    timeoutMs: 30_000,
  })
  expect(answer.topics[0].partitions[0]).toMatchObject({ errorCode: 0, lowWatermark: offset })
}

/** Twelve segments of about ten records each. */
async function fillSegments(client: WireClient, configs: Record<string, string>): Promise<string> {
  const topic = await createTopic(client, { configs: { 'segment.bytes': '10000', ...configs } })
  for (let batch = 0; batch < 120; batch++)
    await store(client, topic, batchOf([`${batch} ${'x'.repeat(1000)}`]))
  return topic
}

test('after DeleteRecords and after retention by size', async () => {
  const data = await tempDirectory()
  const broker = await open(data, { 'log.retention.check.interval.ms': 100 })
  const client = await connect(broker)
  const cut = await fillSegments(client, {})
  await deleteBefore(client, cut, 65)
  const kept = await fillSegments(client, { 'retention.bytes': '30000' })
  const startOf = async (topic: string) => (await lookUp(client, topic, -2)).offset
  await expect.poll(() => startOf(kept)).toBeGreaterThan(50)
  await expect
    .poll(() => readdirSync(join(data, `${cut}-0`)).includes(`${'0'.repeat(20)}.log`))
    .toBe(false)
  await broker.close()
  const dump = await dumpLogs([join(data, `${cut}-0`), join(data, `${kept}-0`)])
  expect(complaintsIn(dump)).toEqual([])
  expect(dump).toContain('| offset: 119 ')
})

test('compacted', async () => {
  const data = await tempDirectory()
  const broker = await open(data, { 'log.cleaner.backoff.ms': 100 })
  const configs = {
    'cleanup.policy': 'compact',
    'segment.bytes': '5000',
    'min.cleanable.dirty.ratio': '0.01',
    'index.interval.bytes': '100',
  }
  const topic = await createTopic(await connect(broker), { configs })
  const directory = join(data, `${topic}-0`)
  for (const codec of ['none', 'zstd', 'none']) {
    const input = lines(500, line => `key ${line % 10}:${codec} ${line} ${'x'.repeat(40)}`)
    const settings = ['-K', ':', '-z', codec, '-X', 'batch.num.messages=10']
    await kcat(broker.bootstrap, ['-P', '-t', topic, ...settings], input)
  }
  const isCompacted = () => readdirSync(directory).some(name => /[1-9]\d*\.compacted$/.test(name))
  await expect.poll(isCompacted).toBe(true)
  await broker.close()
  const dump = await dumpLogs([directory])
  expect(complaintsIn(dump, { mayHaveGaps: true })).toEqual([])
  const records = dump.match(/^\| offset: /gm)!.length
  expect(records).toBeLessThan(1500)
  expect(dump).toContain('| offset: 1499 ')
})

test('the reader sees damage: a flipped bit in the log, a wrong entry in the index', async () => {
  const data = await tempDirectory()
  const broker = await open(data)
  const topic = await createTopic(await connect(broker), {
    configs: { 'index.interval.bytes': '0' },
  })
  const input = lines(200, line => `record ${line}`)
  await kcat(broker.bootstrap, ['-P', '-t', topic, '-X', 'batch.num.messages=10'], input)
  await broker.close()
  const directory = join(data, `${topic}-0`)
  expect(complaintsIn(await dumpLogs([directory]))).toEqual([])
  const index = join(directory, `${'0'.repeat(20)}.index`)
  const entries = readFileSync(index)
  // It names the last offset of a batch: one less lies inside of it.
  entries.writeInt32BE(entries.readInt32BE(8) - 1, 8)
  writeFileSync(index, entries)
  expect(complaintsIn(await dumpLogs([directory])).length).toBeGreaterThan(0)
  const log = join(directory, `${'0'.repeat(20)}.log`)
  const bytes = readFileSync(log)
  bytes[bytes.length - 3]! ^= 1
  writeFileSync(log, bytes)
  const dump = await dumpLogs([directory]).catch((error: Error) => error.message)
  expect(complaintsIn(dump).join('\n')).toMatch(/isvalid: false|corrupt|exception/i)
})
