/**
 * Groups and committed offsets across the two: Kafka's DumpLogSegments decodes what odradek keeps, and odradek goes on
 * where a Kafka broker stopped (--adopt).
 */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Admin, Kafka, logLevel } from 'kafkajs'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import type { GroupSnapshot } from '../../src/groups/types.ts'
import { batchOf, connect, createTopic, launchBroker, store } from '../broker/fixture.ts'
import { commit, deleteOffsets, fetchOffsets, fetchRows } from '../groups/offsets-kit.ts'
import { spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { complaintsIn, dumpLogs, KafkaNode, requireKafka, runTool } from './kafka-tools.ts'

beforeEach(context => requireKafka(context))

const group: GroupSnapshot = {
  groupId: 'with members',
  protocolType: 'consumer',
  generation: 3,
  protocol: 'range',
  leader: 'member-1',
  stateTimestampMs: 1_700_000_000_000,
  members: [
    {
      memberId: 'member-1',
      groupInstanceId: 'instance-1',
      clientId: 'app',
      clientHost: '/127.0.0.1',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      // ConsumerProtocolSubscription and Assignment, version 0: topic "a", partition 7.
      subscription: Buffer.from('00000000000100016100000000', 'hex'),
      assignment: Buffer.from('000000000001000161000000010000000700000000', 'hex'),
    },
  ],
}

test("DumpLogSegments --offsets-decoder reads odradek's groups and offsets", async () => {
  const data = await tempDirectory()
  const set = { 'offsets.topic.num.partitions': 2 }
  const broker = await launchBroker({ dataDirectory: data, set })
  onTestFinished(() => broker.close())
  const client = await connect(broker)
  const topic = await createTopic(client, { partitions: 2 })
  for (let i = 0; i < 20; i++) {
    await commit(client, `group ${i}`, { [`${topic}-0`]: i }, { metadata: `text ${i}` })
  }
  await commit(client, 'timed', { [`${topic}-1`]: 5 }, { version: 2, retentionTimeMs: 1_000_000 })
  await deleteOffsets(client, 'group 7', [`${topic}-0`])
  const { store } = broker.parts.groupsPart
  expect(await store.saveGroup(group)).toBe(0)
  expect(await store.saveGroup({ ...group, groupId: 'gone' })).toBe(0)
  expect(await store.removeGroup('gone')).toBe(0)
  await broker.close()
  const directories = readdirSync(data).filter(name => name.startsWith('__consumer_offsets-'))
  expect(directories).toHaveLength(2)
  const paths = directories.map(name => join(data, name))
  const dump = await dumpLogs(paths, ['--offsets-decoder'])
  expect(complaintsIn(dump)).toEqual([])
  // Kafka prints keys and values as JSON.
  const rows = [...dump.matchAll(/^\| offset: .* key: (\{.*?\})\s+payload: (.*)$/gm)]
  const found = rows.map(([, key, value]) => ({ key: JSON.parse(key), value }))
  expect(found).toHaveLength(25)
  const ofGroup = (name: string) =>
    found.filter(({ key }) => JSON.stringify(key).includes(`"${name}"`)).map(row => row.value)
  expect(ofGroup('group 3')).toHaveLength(1)
  expect(JSON.parse(ofGroup('group 3')[0])).toMatchObject({
    version: '3',
    data: { offset: 3, leaderEpoch: -1, metadata: 'text 3' },
  })
  expect(JSON.parse(ofGroup('timed')[0])).toMatchObject({ version: '1', data: { offset: 5 } })
  expect(ofGroup('group 7').at(-1)).toContain('DELETE')
  expect(ofGroup('gone').at(-1)).toContain('DELETE')
  expect(JSON.parse(ofGroup('with members')[0])).toMatchObject({
    version: '3',
    data: {
      protocolType: 'consumer',
      generation: 3,
      protocol: 'range',
      leader: 'member-1',
      members: [{ memberId: 'member-1', groupInstanceId: 'instance-1', clientHost: '/127.0.0.1' }],
    },
  })
})

async function setOffsets(admin: Admin, groupId: string, offsets: number[]): Promise<void> {
  const partitions = offsets.map((offset, partition) => ({ partition, offset: `${offset}` }))
  await admin.setOffsets({ groupId, topic: 'orders', partitions })
}

/** A consumer that reads all of the topic, commits with a text, and leaves. */
async function consumeAll(kafka: Kafka, groupId: string, count: number): Promise<void> {
  const consumer = kafka.consumer({ groupId })
  await consumer.connect()
  await consumer.subscribe({ topic: 'orders', fromBeginning: true })
  let seen = 0
  const { promise, resolve } = Promise.withResolvers<void>()
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message }) => {
      const offset = `${Number(message.offset) + 1}`
      await consumer.commitOffsets([{ topic, partition, offset, metadata: 'by hand' }])
      if (++seen === count) resolve()
    },
  })
  await promise
  await consumer.disconnect()
}

/** Offsets committed in a transaction that ends well, and in one that is given up. */
async function commitInTransactions(kafka: Kafka): Promise<void> {
  for (const consumerGroupId of ['committed', 'aborted']) {
    const settings = { idempotent: true, maxInFlightRequests: 1 }
    const producer = kafka.producer({ transactionalId: consumerGroupId, ...settings })
    await producer.connect()
    const transaction = await producer.transaction()
    const topics = [{ topic: 'orders', partitions: [{ partition: 0, offset: '3' }] }]
    await transaction.sendOffsets({ consumerGroupId, topics })
    if (consumerGroupId === 'committed') await transaction.commit()
    else await transaction.abort()
    await producer.disconnect()
  }
}

test('groups of an adopted Kafka directory go on where they were', {
  timeout: 170_000,
}, async () => {
  const directory = await tempDirectory()
  const node = await KafkaNode.start(directory)
  onTestFinished(() => node.kill9())
  const kafka = new Kafka({ brokers: [node.bootstrap], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: 'orders', numPartitions: 2 }] })
  const producer = kafka.producer()
  await producer.connect()
  const messages = Array.from({ length: 10 }, (_, i) => ({ value: `${i}`, partition: i % 2 }))
  await producer.send({ topic: 'orders', messages })
  await producer.disconnect()
  await consumeAll(kafka, 'consumers', 10)
  for (let group = 0; group < 4; group++) {
    await setOffsets(admin, `by admin ${group}`, [group, 0])
    await setOffsets(admin, `by admin ${group}`, [group, group])
  }
  await admin.deleteGroups(['by admin 3'])
  await commitInTransactions(kafka)
  const inTransaction = async () => {
    const [found] = await admin.fetchOffsets({ groupId: 'committed', topics: ['orders'] })
    return found?.partitions.find(({ partition }) => partition === 0)?.offset
  }
  await expect.poll(inTransaction).toBe('3')
  await admin.disconnect()
  await node.stop()

  const file = join(directory, 'adopt.json')
  writeFileSync(file, '{ "orders": {} }')
  const args = ['--adopt', file, '--broker-id', '1']
  await using broker = await spawnBroker({ dataDirectory: join(directory, 'data'), args })
  const client = await connect(broker)
  expect(broker.stderr()).not.toContain('not taken over')
  for (let group = 0; group < 4; group++) {
    const wanted = group === 3 ? {} : { 'orders-0': group, 'orders-1': group }
    expect(await fetchOffsets(client, `by admin ${group}`)).toEqual(wanted)
  }
  const rows = await fetchRows(client, 'consumers')
  expect(rows['orders-0']).toMatchObject({ committedOffset: 5, metadata: 'by hand' })
  expect(rows['orders-1']).toMatchObject({ committedOffset: 5, metadata: 'by hand' })
  expect(await fetchOffsets(client, 'committed')).toEqual({ 'orders-0': 3 })
  expect(await fetchOffsets(client, 'aborted')).toEqual({})
  expect(await commit(client, 'by admin 2', { 'orders-0': 7 })).toEqual({ 'orders-0': 0 })
  expect(await broker.stop()).toBe(0)
})

test("Kafka's kafka-consumer-groups describes, resets and deletes offsets", async () => {
  const broker = await launchBroker()
  onTestFinished(() => broker.close())
  const client = await connect(broker)
  const topic = await createTopic(client, { partitions: 2 })
  for (const partition of [0, 1]) await store(client, topic, batchOf(['a', 'b']), { partition })
  await commit(client, 'group', { [`${topic}-0`]: 1, [`${topic}-1`]: 0 })
  const groups = (...args: string[]) =>
    runTool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand', [
      '--bootstrap-server',
      broker.bootstrap,
      ...args,
    ])
  const described = await groups('--describe', '--offsets', '--group', 'group')
  // Group, topic, partition, committed, end, lag.
  expect(described).toMatch(new RegExp(`group +${topic} +0 +1 +2 +1 `))
  expect(described).toMatch(new RegExp(`group +${topic} +1 +0 +2 +2 `))
  await groups('--reset-offsets', '--to-latest', '--topic', topic, '--execute', '--group', 'group')
  expect(await fetchOffsets(client, 'group')).toEqual({ [`${topic}-0`]: 2, [`${topic}-1`]: 2 })
  await groups('--delete-offsets', '--topic', `${topic}:1`, '--group', 'group')
  expect(await fetchOffsets(client, 'group')).toEqual({ [`${topic}-0`]: 2 })
})
