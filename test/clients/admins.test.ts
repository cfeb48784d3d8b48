/** kafkajs and @platformatic/kafka as administrators, and what their producers need beyond codecs. */
import kafkajs from 'kafkajs'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Consumer } from '../../src/client/consumer.ts'
import type { ConsumedMessage } from '../../src/client/message-stream.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { requireThat } from '../support/requires.ts'
import { kafkajsOf, platformatic, platformaticMissing } from './producers.ts'

let broker: Broker
beforeAll(async () => {
  broker = await startBroker({ workers: 2, logLevel: 'silent' })
})
afterAll(() => broker?.close())

let topics = 0
const newTopic = () => `administered-${++topics}`

async function readAll(topic: string): Promise<ConsumedMessage[]> {
  await using consumer = new Consumer({ bootstrap: broker.bootstrap })
  const [stream] = await consumer.createMessageStreams(topic, 1, { untilEnd: true })
  const found: ConsumedMessage[] = []
  for await (const message of stream) found.push(message)
  return found
}

const headersOf = ({ headers }: ConsumedMessage) =>
  headers.map(([name, value]) => [name, String(value)])

async function kafkajsAdmin() {
  const admin = kafkajsOf(broker.bootstrap).admin()
  await admin.connect()
  onTestFinished(() => admin.disconnect())
  return admin
}

async function kafkajsProducer(options: kafkajs.ProducerConfig = {}) {
  const createPartitioner = kafkajs.Partitioners.DefaultPartitioner
  const producer = kafkajsOf(broker.bootstrap).producer({ createPartitioner, ...options })
  await producer.connect()
  onTestFinished(() => producer.disconnect())
  return producer
}

describe('kafkajs', () => {
  test('creates, describes, grows and deletes topics', async () => {
    const admin = await kafkajsAdmin()
    const topic = newTopic()
    const configEntries = [{ name: 'retention.ms', value: '60000' }]
    expect(await admin.createTopics({ topics: [{ topic, configEntries }] })).toBe(true)
    // It reports a topic that exists as false, not as an error.
    expect(await admin.createTopics({ topics: [{ topic }] })).toBe(false)
    expect(await admin.listTopics()).toContain(topic)
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] })
    const metadata = await admin.fetchTopicMetadata({ topics: [topic] })
    const partitions = metadata.topics[0].partitions.toSorted(
      (a, b) => a.partitionId - b.partitionId,
    )
    expect(partitions.map(({ partitionId, leader }) => [partitionId, leader])).toEqual([
      [0, 0],
      [1, 0],
      [2, 0],
    ])
    await admin.deleteTopics({ topics: [topic] })
    expect(await admin.listTopics()).not.toContain(topic)
  })

  test('reads configs of topics and of the broker', async () => {
    const admin = await kafkajsAdmin()
    const topic = newTopic()
    const configEntries = [{ name: 'segment.bytes', value: '4096' }]
    await admin.createTopics({ topics: [{ topic, configEntries }] })
    const { TOPIC, BROKER } = kafkajs.ConfigResourceTypes
    const answer = await admin.describeConfigs({
      includeSynonyms: true,
      resources: [
        { type: TOPIC, name: topic },
        { type: BROKER, name: '0' },
      ],
    })
    const entries = answer.resources.map(
      resource => new Map(resource.configEntries.map(entry => [entry.configName, entry])),
    )
    expect(entries[0].get('segment.bytes')).toMatchObject({ configValue: '4096' })
    expect(entries[0].get('retention.ms')).toMatchObject({ configValue: '604800000' })
    expect(entries[1].get('num.partitions')).toMatchObject({ configValue: '1' })
  })

  test('knows the cluster, and the offsets of a topic by position and time', async () => {
    const admin = await kafkajsAdmin()
    const cluster = await admin.describeCluster()
    expect(cluster).toMatchObject({ controller: 0, brokers: [{ nodeId: 0, host: '127.0.0.1' }] })
    const topic = newTopic()
    await admin.createTopics({ topics: [{ topic, numPartitions: 2 }] })
    const producer = await kafkajsProducer()
    const messages = [1000, 2000, 3000].map(at => ({
      value: 'x',
      timestamp: `${at}`,
      partition: 1,
    }))
    await producer.send({ topic, messages })
    const offsets = await admin.fetchTopicOffsets(topic)
    expect(offsets.toSorted((a, b) => a.partition - b.partition)).toEqual([
      { partition: 0, offset: '0', high: '0', low: '0' },
      { partition: 1, offset: '3', high: '3', low: '0' },
    ])
    const byTime = await admin.fetchTopicOffsetsByTimestamp(topic, 1500)
    expect(byTime.toSorted((a, b) => a.partition - b.partition)).toEqual([
      { partition: 0, offset: '0' },
      { partition: 1, offset: '1' },
    ])
  })

  test('is told what it did wrong', async () => {
    const admin = await kafkajsAdmin()
    const bad = admin.createTopics({ topics: [{ topic: 'a/b' }] })
    await expect(bad).rejects.toMatchObject({
      errors: [{ type: 'INVALID_TOPIC_EXCEPTION', code: Errors.INVALID_TOPIC_EXCEPTION }],
    })
    const unknown = admin.deleteTopics({ topics: [newTopic()] })
    await expect(unknown).rejects.toMatchObject({
      cause: { type: 'UNKNOWN_TOPIC_OR_PARTITION' },
    })
  })

  test('produces keys, headers and tombstones; the topic is created by the first use', async () => {
    const producer = await kafkajsProducer({ allowAutoTopicCreation: true })
    const topic = newTopic()
    const messages = [
      { key: 'k', value: 'v', headers: { h: 'one', list: ['a', 'b'] }, timestamp: '42' },
      { key: null, value: Buffer.from([0, 0xff, 10]) },
      { key: 'gone', value: null },
    ]
    const [result] = await producer.send({ topic, acks: -1, messages })
    expect(result).toMatchObject({ topicName: topic, partition: 0, errorCode: 0, baseOffset: '0' })
    const found = await readAll(topic)
    expect(found.map(({ key, value }) => [key?.toString() ?? null, value])).toEqual([
      ['k', Buffer.from('v')],
      [null, Buffer.from([0, 0xff, 10])],
      ['gone', null],
    ])
    expect(found[0].timestampMs).toBe(42)
    expect(headersOf(found[0])).toEqual([
      ['h', 'one'],
      ['list', 'a'],
      ['list', 'b'],
    ])
  })

  test('idempotent, produces each record once', async () => {
    const producer = await kafkajsProducer({ idempotent: true, maxInFlightRequests: 1 })
    const topic = newTopic()
    for (let i = 0; i < 30; i++) {
      await producer.send({ topic, messages: [{ value: `${i}` }, { value: `${i} b` }] })
    }
    const values = (await readAll(topic)).map(({ value }) => String(value))
    expect(values).toEqual(Array.from({ length: 30 }, (_, i) => [`${i}`, `${i} b`]).flat())
  })

  test('acks=0 is stored too', async () => {
    const producer = await kafkajsProducer()
    const topic = newTopic()
    for (let i = 0; i < 10; i++) {
      await producer.send({ topic, acks: 0, messages: [{ value: `${i}` }] })
    }
    await producer.send({ topic, acks: -1, messages: [{ value: 'last' }] })
    const values = (await readAll(topic)).map(({ value }) => String(value))
    expect(values).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'last'])
  })

  test('asking for a transaction is refused at once, for good', async () => {
    const config = { transactionalId: 'tx', idempotent: true, maxInFlightRequests: 1 }
    const producer = await kafkajsProducer(config)
    // Any code that is not retriable ends its search for a coordinator.
    await expect(producer.transaction()).rejects.toThrow('Failed to find group coordinator')
  })
})

describe('@platformatic/kafka', () => {
  beforeEach(context => {
    if (platformaticMissing !== null) requireThat(context, false, ...platformaticMissing)
  })

  const options = () => ({ clientId: 'test', bootstrapBrokers: [broker.bootstrap], retries: 3 })

  function newAdmin() {
    const admin = new platformatic!.Admin(options())
    onTestFinished(() => admin.close())
    return admin
  }

  function newProducer(more: { idempotent?: boolean; retries?: number } = {}) {
    const producer = new platformatic!.Producer({ ...options(), ...more })
    onTestFinished(() => producer.close())
    return producer
  }

  test('creates, lists, grows and deletes topics', async () => {
    const admin = newAdmin()
    const topic = newTopic()
    const configs = [{ name: 'cleanup.policy', value: 'compact' }]
    const [created] = await admin.createTopics({
      topics: [topic],
      partitions: 2,
      replicas: 1,
      configs,
    })
    expect(created).toMatchObject({ name: topic, partitions: 2, replicas: 1 })
    expect(created.id).toMatch(/^[0-9a-f]{8}-/)
    expect(created.configuration['cleanup.policy']).toBe('compact')
    expect(await admin.listTopics()).toContain(topic)
    const assignments = [0, 1, 2].map(() => ({ brokerIds: [0] }))
    await admin.createPartitions({ topics: [{ name: topic, count: 5, assignments }] })
    const { topics: known } = await admin.metadata({ topics: [topic], forceUpdate: true })
    expect(known.get(topic)?.partitionsCount).toBe(5)
    await admin.deleteTopics({ topics: [topic] })
    expect(await admin.listTopics()).not.toContain(topic)
  })

  test('reads configs and offsets', async () => {
    const admin = newAdmin()
    const topic = newTopic()
    await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 })
    const [{ configs }] = await admin.describeConfigs({
      resources: [{ resourceType: 2, resourceName: topic }],
    })
    expect(configs.find(({ name }) => name === 'flush.policy')?.value).toBe('group-commit')
    const producer = newProducer()
    const messages = [1000n, 2000n, 3000n].map(timestamp => ({
      topic,
      value: Buffer.from('x'),
      timestamp,
    }))
    await producer.send({ messages, acks: -1 })
    for (const [timestamp, offset] of [
      [-1n, 3n],
      [-2n, 0n],
      [1500n, 1n],
    ]) {
      const listed = await admin.listOffsets({
        topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }],
      })
      expect(listed[0].partitions[0].offset).toBe(offset)
    }
  })

  test('produces keys and headers, idempotent, over several partitions', async () => {
    const admin = newAdmin()
    const topic = newTopic()
    await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1 })
    const producer = newProducer({ idempotent: true })
    for (let i = 0; i < 30; i++) {
      const message = {
        topic,
        partition: i % 3,
        key: Buffer.from(`key ${i}`),
        value: Buffer.from(`${i}`),
        headers: new Map([[Buffer.from('n'), Buffer.from(`${i}`)]]),
      }
      const { offsets } = await producer.send({ messages: [message], acks: -1 })
      expect(offsets?.[0]).toMatchObject({ partition: i % 3, offset: BigInt(Math.floor(i / 3)) })
    }
    const found = await readAll(topic)
    expect(found).toHaveLength(30)
    for (const record of found) {
      const { partition, offset, key, value } = record
      const i = offset * 3 + partition
      expect([String(key), String(value)]).toEqual([`key ${i}`, `${i}`])
      expect(headersOf(record)).toEqual([['n', `${i}`]])
    }
  })

  test('learns that a topic does not exist, and creates it when it may', async () => {
    const producer = newProducer({ retries: 0 })
    const topic = newTopic()
    const messages = [{ topic, value: Buffer.from('x') }]
    await expect(producer.send({ messages, acks: -1 })).rejects.toThrow()
    await producer.send({ messages, acks: -1, autocreateTopics: true })
    expect(await readAll(topic)).toHaveLength(1)
  })
})
