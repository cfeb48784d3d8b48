/**
 * odradek serves directories that Apache Kafka wrote: a real node writes them, odradek takes them over with --adopt,
 * and kcat, our own client and Kafka's DumpLogSegments say whether anything changed. Compared is what kcat read from
 * Kafka itself: offsets, timestamps, keys, values, headers, byte for byte.
 */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import { Admin } from '../../src/client/admin.ts'
import { Consumer } from '../../src/client/consumer.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { DeleteRecords } from '../../src/protocol/messages/delete-records.ts'
import { kcat } from '../clients/kcat.ts'
import { requireCommand } from '../support/requires.ts'
import { failedStart, type SpawnedBroker, spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { WireClient } from '../support/wire-client.ts'
import { complaintsIn, dumpLogs, KafkaNode, requireKafka } from './kafka-tools.ts'

beforeEach(context => {
  requireKafka(context)
  requireCommand(context, 'kcat')
})

const compacted = {
  'cleanup.policy': 'compact',
  'segment.bytes': '5000',
  'min.cleanable.dirty.ratio': '0.01',
  'index.interval.bytes': '100',
}
const rolling = { 'segment.bytes': '20000' }
const codecs = ['gzip', 'snappy', 'lz4', 'zstd'] as const
/** Topics with their configs; what the file of --adopt says, too. */
const topics: Record<string, Record<string, string>> = {
  plain: rolling,
  'with-dash.and_dot': {},
  compacted,
  transactional: {},
  trimmed: rolling,
  ...Object.fromEntries(codecs.map(codec => [codec, rolling])),
}
const partitions = (topic: string): number => (topic === 'plain' ? 3 : 1)
const shape = '%p %o %T %K:%k %S:%s %h\n'

const lines = (count: number, text: (line: number) => string): string =>
  Array.from({ length: count }, (_, line) => `${text(line)}\n`).join('')

async function startKafka(directory: string): Promise<KafkaNode> {
  const kafka = await KafkaNode.start(directory)
  onTestFinished(() => kafka.kill9())
  return kafka
}

/** Everything of a topic as kcat shows it, a partition after another. */
async function contentOf(bootstrap: string, topic: string): Promise<string> {
  let content = ''
  for (let partition = 0; partition < partitions(topic); partition++) {
    const where = ['-C', '-t', topic, '-p', `${partition}`, '-o', 'beginning', '-e', '-q']
    // Aborted records are in the log; Kafka would leave them out otherwise.
    const settings = ['-X', 'isolation.level=read_uncommitted', '-X', 'fetch.wait.max.ms=10']
    const bytes = await kcat(bootstrap, [...where, ...settings, '-f', shape])
    content += bytes.toString('latin1')
  }
  return content
}

/** The same as our own client sees it. */
async function ownContentOf(bootstrap: string, topic: string): Promise<string> {
  await using consumer = new Consumer({ bootstrap, from: 'smallest' })
  const [stream] = await consumer.createMessageStreams(topic, 1, { untilEnd: true })
  const byPartition: string[] = Array.from({ length: partitions(topic) }, () => '')
  const text = (bytes: Uint8Array | null) => Buffer.from(bytes ?? '').toString('latin1')
  for await (const { partition, offset, timestampMs, key, value, headers } of stream) {
    const pairs = headers.map(([name, bytes]) => `${name}=${text(bytes)}`).join(',')
    const sizes = [key?.length ?? -1, value?.length ?? -1]
    byPartition[partition] +=
      `${partition} ${offset} ${timestampMs} ${sizes[0]}:${text(key)} ${sizes[1]}:${text(value)} ${pairs}\n`
  }
  return byPartition.join('')
}

async function contents(bootstrap: string): Promise<Map<string, string>> {
  const names = Object.keys(topics)
  const all = await Promise.all(names.map(name => contentOf(bootstrap, name)))
  return new Map(names.map((name, at) => [name, all[at]]))
}

async function fill({ bootstrap }: KafkaNode): Promise<void> {
  const produce = (topic: string, more: string[], input: string) =>
    kcat(bootstrap, ['-P', '-t', topic, '-X', 'batch.num.messages=20', ...more], input)
  await produce(
    'plain',
    ['-H', 'a=b', '-H', 'c='],
    lines(2000, line => `record ${line}`),
  )
  await produce(
    'with-dash.and_dot',
    ['-K', ':'],
    lines(50, line => `k${line}:v${line}`),
  )
  await produce(
    'trimmed',
    [],
    lines(1500, line => `record ${line} ${'x'.repeat(50)}`),
  )
  for (const codec of codecs)
    await produce(
      codec,
      ['-z', codec],
      lines(600, line => `record ${line} ${'again '.repeat(9)}`),
    )
  const overwritten = (run: number) => (line: number) => `key ${line % 10}:${run} ${line}`
  for (const run of [1, 2, 3]) {
    const idempotent = run === 2 ? ['-X', 'enable.idempotence=true'] : []
    await produce('compacted', ['-K', ':', ...idempotent], lines(500, overwritten(run)))
  }
}

/** Committed and aborted transactions, so that there are control batches and an index of aborted ones. */
async function runTransactions({ bootstrap }: KafkaNode): Promise<void> {
  const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING })
  const settings = { transactionalId: 'tx', idempotent: true, maxInFlightRequests: 1 }
  const producer = kafka.producer(settings)
  await producer.connect()
  for (let round = 0; round < 6; round++) {
    const transaction = await producer.transaction()
    const messages = [{ key: `${round}`, value: `a${round}` }, { value: `b${round}` }]
    await transaction.send({ topic: 'transactional', messages })
    if (round % 2 === 0) await transaction.commit()
    else await transaction.abort()
  }
  await producer.disconnect()
}

async function prepare(kafka: KafkaNode): Promise<void> {
  await using admin = new Admin({ bootstrap: kafka.bootstrap })
  for (const [name, configs] of Object.entries(topics))
    await admin.createTopic({
      name,
      partitions: partitions(name),
      replicationFactor: 1,
      configs: new Map(Object.entries(configs)),
    })
  await fill(kafka)
  await runTransactions(kafka)
  const isCompacted = async () => (await contentOf(kafka.bootstrap, 'compacted')).split('\n').length
  await expect.poll(isCompacted).toBeLessThan(1400)
}

/** DeleteRecords: the log start is in a checkpoint of Kafka, not in the log. */
async function trim(kafka: KafkaNode): Promise<void> {
  const client = await WireClient.connect(kafka.bootstrap)
  const answer = await client.request(DeleteRecords, 2, {
    topics: [{ name: 'trimmed', partitions: [{ partitionIndex: 0, offset: 700 }] }],
    timeoutMs: 30_000,
  })
  client.close()
  expect(answer.topics[0].partitions[0].errorCode).toBe(Errors.NONE)
}

function logDirectories(data: string, only: readonly string[] = Object.keys(topics)): string[] {
  const isOurs = (name: string) => only.some(topic => name.replace(/-\d+$/, '') === topic)
  return readdirSync(data)
    .filter(isOurs)
    .map(name => join(data, name))
}

async function adopt(data: string, configs: string): Promise<SpawnedBroker> {
  writeFileSync(configs, JSON.stringify(topics))
  const args = ['--adopt', configs, '--broker-id', '1', '--workers', '2']
  const broker = await spawnBroker({ dataDirectory: data, args })
  onTestFinished(async () => void (await broker.stop()))
  return broker
}

/** Produces to every topic, idempotently: what was there stays as it was, what is new follows it. */
async function appendAndCompare(
  { bootstrap }: SpawnedBroker,
  before: ReadonlyMap<string, string>,
): Promise<void> {
  for (const name of Object.keys(topics)) {
    const settings = ['-K', ':', '-X', 'enable.idempotence=true', '-p', '0']
    await kcat(
      bootstrap,
      ['-P', '-t', name, ...settings],
      lines(30, line => `new:${line}`),
    )
    const after = await contentOf(bootstrap, name)
    const added = after.split('\n').filter(line => / 3:new \d+:\d+ /.test(line))
    expect(added, name).toHaveLength(30)
    const kept = after.split('\n').filter(line => !added.includes(line))
    expect(kept.join('\n'), name).toBe(before.get(name))
  }
}

/** What DumpLogSegments complains about. Kafka's own cleaner leaves time indexes that its own tool does not like. */
async function kafkaComplaints(data: string): Promise<string[]> {
  const sparse = await dumpLogs(logDirectories(data, ['compacted']))
  const dense = Object.keys(topics).filter(name => name !== 'compacted')
  const complaints = complaintsIn(await dumpLogs(logDirectories(data, dense)))
  return [...complaints, ...complaintsIn(sparse, { mayHaveGaps: true })]
}

test('a directory of Apache Kafka, after a clean stop and after kill -9', {
  timeout: 170_000,
}, async () => {
  const directory = await tempDirectory()
  const [data, killed] = [join(directory, 'data'), join(directory, 'killed')]
  const first = await startKafka(directory)
  await prepare(first)
  const before = await contents(first.bootstrap)
  await first.kill9()
  cpSync(data, killed, { recursive: true, preserveTimestamps: true })

  // Started again it writes under another leader epoch.
  const second = await startKafka(directory)
  await kcat(
    second.bootstrap,
    ['-P', '-t', 'plain', '-p', '1'],
    lines(40, line => `later ${line}`),
  )
  await trim(second)
  const later = await contents(second.bootstrap)
  expect(later.get('plain')).not.toBe(before.get('plain'))
  await second.stop()
  const ofItself = await kafkaComplaints(data)
  expect(ofItself.filter(line => !line.includes('/compacted-0/'))).toEqual([])

  const file = join(directory, 'adopt.json')
  await using broker = await adopt(data, file)
  expect(await contents(broker.bootstrap)).toEqual(later)
  for (const name of Object.keys(topics))
    expect(await ownContentOf(broker.bootstrap, name), name).toBe(later.get(name))
  expect(broker.stderr()).toContain('took over 9 topics with 11 partitions from Apache Kafka')
  expect(broker.stderr()).toMatch(/left as they are, .*__cluster_metadata-0/)
  expect(broker.stderr()).toContain('aborted transactions are in transactional-0')
  await appendAndCompare(broker, later)
  expect(await broker.stop()).toBe(0)
  expect(ofItself).toEqual(expect.arrayContaining(await kafkaComplaints(data)))
  // Ours now: --adopt is neither needed nor harmful.
  const appended = await again(data, [])
  expect(await again(data, ['--adopt', file])).toEqual(appended)

  await compactFurther(data)
  expect(ofItself).toEqual(expect.arrayContaining(await kafkaComplaints(data)))

  await using recovered = await adopt(killed, file)
  const found = await contents(recovered.bootstrap)
  // Compaction may have gone on between the look and the kill.
  const { compacted: _, ...rest } = topics
  for (const name of Object.keys(rest)) expect(found.get(name), name).toBe(before.get(name))
  await appendAndCompare(recovered, found)
  expect(await recovered.stop()).toBe(0)
  expect(ofItself).toEqual(expect.arrayContaining(await kafkaComplaints(killed)))
})

async function again(data: string, more: string[]): Promise<Map<string, string>> {
  const args = ['--broker-id', '1', ...more]
  await using broker = await spawnBroker({ dataDirectory: data, args })
  const found = await contents(broker.bootstrap)
  const own = new Admin({ bootstrap: broker.bootstrap })
  const trimmed = await own.describeTopic('trimmed')
  expect(trimmed.partitions[0]).toMatchObject({ startOffset: 700, endOffset: 1530 })
  await own.close()
  expect(await broker.stop()).toBe(0)
  return found
}

/** Compaction goes on where Kafka's cleaner stopped. */
async function compactFurther(data: string): Promise<void> {
  const progress = () =>
    readdirSync(join(data, 'compacted-0')).find(name => name.endsWith('.compacted'))
  const before = progress()
  expect(before).toMatch(/[1-9]\d*\.compacted$/)
  const args = ['--broker-id', '1', '--set', 'log.cleaner.backoff.ms=100']
  await using broker = await spawnBroker({ dataDirectory: data, args })
  const input = lines(300, line => `key ${line % 10}:4 ${line}`)
  const settings = ['-K', ':', '-X', 'batch.num.messages=20']
  await kcat(broker.bootstrap, ['-P', '-t', 'compacted', ...settings], input)
  await expect.poll(progress).not.toBe(before)
  const content = await contentOf(broker.bootstrap, 'compacted')
  const values = new Map<string, string>()
  for (const [, key, value] of content.matchAll(/ \d+:(.*?) \d+:(.*?) $/gm)) values.set(key, value)
  const expected = lines(10, key => `key ${key}:4 ${290 + key}`)
  for (const pair of expected.trimEnd().split('\n')) {
    const [key, value] = pair.split(':')
    expect(values.get(key)).toBe(value)
  }
  expect(values.size).toBe(11)
  expect(await broker.stop()).toBe(0)
}

test('refused without --adopt, with another node id, and when the file leaves out a topic', async () => {
  const directory = await tempDirectory()
  const data = join(directory, 'data')
  const kafka = await startKafka(directory)
  await using admin = new Admin({ bootstrap: kafka.bootstrap })
  for (const name of ['one', 'two'])
    await admin.createTopic({ name, partitions: 1, replicationFactor: 1 })
  await kafka.stop()
  const meta = readFileSync(join(data, 'meta.properties'), 'latin1')
  const file = join(directory, 'adopt.yaml')
  writeFileSync(file, 'one: {}\n')
  const refusal = async (...args: string[]) => {
    const { code, stderr } = await failedStart({ dataDirectory: data, args })
    expect(readFileSync(join(data, 'meta.properties'), 'latin1')).toBe(meta)
    return { code, stderr }
  }
  const own = ['--broker-id', '1']
  expect(await refusal(...own)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/--adopt FILE/),
  })
  expect(await refusal('--adopt', file)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/--broker-id 1/),
  })
  expect(await refusal(...own, '--adopt', file)).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/lacks topic two/),
  })
})
