/**
 * Compaction of a real broker: keyed updates over the wire, owner thread, task pool and disk as they are. What a
 * consumer gets in the end is the last value of every key, before and after a restart.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import { expect, onTestFinished, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { encodeBatch } from '../../src/protocol/record-batch.ts'
import { kcat } from '../clients/kcat.ts'
import { requireCommand } from '../support/requires.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'
import { connect, createTopic, launchBroker, lookUp, readAll, store } from './fixture.ts'

const topicConfigs = {
  'cleanup.policy': 'compact',
  'segment.bytes': '4096',
  'min.cleanable.dirty.ratio': '0.01',
  'delete.retention.ms': '0',
}
const keys = 40
const rounds = 30

async function start(dataDirectory: string): Promise<Broker> {
  const broker = await launchBroker({ dataDirectory, set: { 'log.cleaner.backoff.ms': 50 } })
  onTestFinished(() => broker.close())
  return broker
}

/** The record of each key that counts, by key: every third key ends deleted. */
function expected(): Map<string, string> {
  const last = new Map<string, string>()
  for (let key = 0; key < keys; key++) {
    if (key % 3 !== 0) last.set(`key-${key}`, `round ${rounds - 1} of ${key}`)
  }
  return last
}

async function produceRounds(broker: Broker, topic: string): Promise<void> {
  const kafka = new Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING })
  const producer = kafka.producer({ idempotent: true })
  await producer.connect()
  for (let round = 0; round < rounds; round++) {
    const messages = Array.from({ length: keys }, (_, key) => ({
      key: `key-${key}`,
      value: key % 3 === 0 && round === rounds - 1 ? null : `round ${round} of ${key}`,
    }))
    const compression = round % 2 === 0 ? CompressionTypes.GZIP : CompressionTypes.None
    await producer.send({ topic, messages, compression })
  }
  await producer.disconnect()
}

/**
 * Reads until nothing of the old is left. What is compacted is sealed, and tombstones go with a later pass than the one
 * that first met them: another key fills segments meanwhile.
 */
async function untilCompacted(broker: Broker, topic: string): Promise<Map<string, string>> {
  const client = await connect(broker)
  for (;;) {
    const records = await readAll(client, topic)
    const found = records.filter(({ key }) => String(key) !== 'filler')
    const byKey = new Map(found.map(({ key, value }) => [String(key), String(value)]))
    if (found.length === expected().size) return byKey
    const value = Buffer.alloc(2_000, 'x')
    await store(client, topic, encodeBatch({ records: [{ key: Buffer.from('filler'), value }] }))
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

test('the last value of each key is left, also after a restart', async context => {
  requireCommand(context, 'kcat')
  await using directory = await makeTempDirectory()
  const dataDirectory = directory.path
  const broker = await start(dataDirectory)
  const client = await connect(broker)
  const topic = await createTopic(client, { configs: topicConfigs })
  await produceRounds(broker, topic)
  expect(await untilCompacted(broker, topic)).toEqual(expected())
  expect((await lookUp(client, topic, -1)).offset).toBeGreaterThan(keys * rounds)
  expect(await withKcat(broker, topic)).toEqual(expected())
  await broker.close()
  const names = await readdir(join(dataDirectory, `${topic}-0`))
  expect(names.filter(name => /cleaned|swap|tmp/.test(name))).toEqual([])

  const again = await start(dataDirectory)
  expect(await untilCompacted(again, topic)).toEqual(expected())
  expect(await withKcat(again, topic)).toEqual(expected())
  await again.close()

  await rm(join(dataDirectory, '.kafka_cleanshutdown'))
  const recovered = await start(dataDirectory)
  expect(await withKcat(recovered, topic)).toEqual(expected())
  await recovered.close()
})

/** To the end of the partition, which lies behind the gaps. */
async function withKcat(broker: Broker, topic: string): Promise<Map<string, string>> {
  const args = ['-C', '-t', topic, '-o', 'beginning', '-e', '-q', '-f', '%k\t%s\n']
  const lines = String(await kcat(broker.bootstrap, args))
    .trimEnd()
    .split('\n')
  const pairs = lines.map(line => line.split('\t') as [string, string])
  return new Map(pairs.filter(([key]) => key !== 'filler'))
}

test('a look-up by time answers with records that are left, and their own times', async () => {
  await using directory = await makeTempDirectory()
  const broker = await start(directory.path)
  const client = await connect(broker)
  const configs = { ...topicConfigs, 'delete.retention.ms': '3600000' }
  const topic = await createTopic(client, { configs })
  const record = (key: string, value: string | null, timestampMs: number) => ({
    key: Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    timestampMs,
  })
  const first = [record('a', '1', 1_000), record('b', null, 2_000), record('c', '1', 3_000)]
  await store(client, topic, encodeBatch({ records: first }))
  await store(client, topic, encodeBatch({ records: [record('a', '2', 4_000)] }))
  const filler = record('filler', 'x'.repeat(2_000), 1_500)
  for (;;) {
    const [oldest] = await readAll(client, topic)
    if (oldest.offset === 1) break
    await store(client, topic, encodeBatch({ records: [filler] }))
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  expect(await lookUp(client, topic, 500)).toMatchObject({ offset: 1, timestamp: 2_000 })
  expect(await lookUp(client, topic, 2_500)).toMatchObject({ offset: 2, timestamp: 3_000 })
  expect(await lookUp(client, topic, 3_500)).toMatchObject({ offset: 3, timestamp: 4_000 })
  expect(await lookUp(client, topic, 4_500)).toMatchObject({ offset: -1 })
  expect(await lookUp(client, topic, -3)).toMatchObject({ offset: 3, timestamp: 4_000 })
  await broker.close()
})
