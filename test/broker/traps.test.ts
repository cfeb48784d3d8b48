/**
 * Twelve things that another new broker got wrong, found by the test suites of franz-go and librdkafka: each has a test
 * here, over raw sockets. Those about groups are in group-traps.test.ts.
 */
import { describe, expect, test } from 'vitest'
import { zeroUuid } from '../../src/protocol/bytes.ts'
import { crc32c } from '../../src/protocol/crc32c.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { CreatePartitions } from '../../src/protocol/messages/create-partitions.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { DescribeConfigs } from '../../src/protocol/messages/describe-configs.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { IncrementalAlterConfigs } from '../../src/protocol/messages/incremental-alter-configs.ts'
import { InitProducerId } from '../../src/protocol/messages/init-producer-id.ts'
import { ListOffsets } from '../../src/protocol/messages/list-offsets.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRequest,
  fetchRow,
  lookUp,
  newTopicName,
  produce,
  recordsOf,
  sharedBroker,
  store,
  valuesOf,
} from './fixture.ts'

const broker = sharedBroker()
const range = (min: number, max: number) => Array.from({ length: max - min + 1 }, (_, i) => min + i)

test('trap 1: a fetch inside a batch returns the whole batch, and the client skips', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client)
  await store(client, topic, batchOf(['a', 'b', 'c', 'd', 'e']))
  await store(client, topic, batchOf(['f', 'g']))
  for (const offset of range(0, 6)) {
    const row = await fetchRow(client, topic, { offset })
    expect(row.errorCode).toBe(Errors.NONE)
    expect(recordsOf(row)[0].offset).toBe(offset < 5 ? 0 : 5)
    expect(valuesOf(row, offset).join('')).toBe('abcdefg'.slice(offset))
  }
})

const metadataOf = (name: string, allowAutoTopicCreation: boolean) => ({
  topics: [{ topicId: zeroUuid, name }],
  allowAutoTopicCreation,
  includeClusterAuthorizedOperations: false,
  includeTopicAuthorizedOperations: false,
})

test.each(range(0, 12))(
  'trap 2: Metadata v%i that allows it creates the topic, and it takes records at once',
  async version => {
    const client = await connect(broker())
    const name = newTopicName('auto')
    const { topics } = await client.request(Metadata, version, metadataOf(name, true))
    expect(topics).toMatchObject([{ name, errorCode: Errors.NONE }])
    expect(topics[0].partitions.length).toBeGreaterThan(0)
    expect(await store(client, name, batchOf(['x']))).toBe(0)
    if (version < 4) return
    const other = newTopicName('not-auto')
    const refused = await client.request(Metadata, version, metadataOf(other, false))
    expect(refused.topics[0].errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
  },
)

test.each(range(0, 3))(
  'trap 3: CreatePartitions v%i has one row for every topic, whatever becomes of it',
  async version => {
    const client = await connect(broker())
    const grows = await createTopic(client)
    const stays = await createTopic(client, { partitions: 3 })
    const row = (name: string, count: number) => ({ name, count, assignments: null })
    const asked = [row(grows, 4), row(stays, 3), row('no-such-topic', 2), row('bad/name', 2)]
    const { results } = await client.request(CreatePartitions, version, {
      topics: [...asked, row('twice', 2), row('twice', 3)],
      timeoutMs: 30_000,
      validateOnly: false,
    })
    const codes = new Map(results.map(({ name, errorCode }) => [name, errorCode]))
    expect(results).toHaveLength(5)
    expect(codes.get(grows)).toBe(Errors.NONE)
    expect(codes.get(stays)).toBe(Errors.INVALID_PARTITIONS)
    expect(codes.get('twice')).toBe(Errors.INVALID_REQUEST)
    for (const name of ['no-such-topic', 'bad/name']) expect(codes.get(name)).not.toBe(Errors.NONE)
    expect(await store(client, grows, batchOf(['there']), { partition: 3 })).toBe(0)
  },
)

test.each(range(0, 9))('trap 4: ListOffsets v%i always answers every row', async version => {
  const client = await connect(broker())
  const topic = await createTopic(client, { partitions: 2 })
  await store(client, topic, batchOf(['x'], { timestampMs: 1000 }))
  const times = [...range(-10, 1), 999, 1000, 1001, Date.now(), 2 ** 53 - 1, -(2 ** 53) + 1]
  for (const timestamp of times) {
    const ask = (name: string, indexes: readonly number[]) => ({
      name,
      partitions: indexes.map(partitionIndex => ({
        partitionIndex,
        currentLeaderEpoch: -1,
        timestamp,
        maxNumOffsets: 1,
      })),
    })
    const answer = await client.request(ListOffsets, version, {
      replicaId: -1,
      isolationLevel: 1,
      topics: [ask(topic, [0, 1, 2, -1]), ask('no-such-topic', [0]), ask('', [0])],
    })
    const rows = answer.topics.map(({ name, partitions }) => [name, partitions.length])
    expect(rows).toEqual([
      [topic, 4],
      ['no-such-topic', 1],
      ['', 1],
    ])
  }
})

test.each(range(0, 5))(
  'trap 6: InitProducerId v%i refuses a transaction timeout above the maximum, or none',
  async version => {
    const client = await connect(broker())
    const ask = async (transactionTimeoutMs: number, transactionalId: string | null) =>
      (
        await client.request(InitProducerId, version, {
          transactionalId,
          transactionTimeoutMs,
          producerId: -1,
          producerEpoch: -1,
        })
      ).errorCode
    for (const timeoutMs of [900_001, 2 ** 31 - 1, 0, -1, -(2 ** 31)]) {
      expect(await ask(timeoutMs, 'tx')).toBe(Errors.INVALID_TRANSACTION_TIMEOUT)
      // Of a producer without transactions it means nothing.
      expect(await ask(timeoutMs, null)).toBe(Errors.NONE)
    }
    for (const timeoutMs of [1, 60_000, 900_000]) {
      expect(await ask(timeoutMs, 'tx')).not.toBe(Errors.INVALID_TRANSACTION_TIMEOUT)
    }
  },
)

describe('trap 9: read_committed', () => {
  test.each(range(4, 12))(
    'v%i tells the last stable offset and lists aborted transactions',
    async version => {
      const client = await connect(broker())
      const topic = await createTopic(client)
      await store(client, topic, batchOf(['a', 'b']))
      for (const isolationLevel of [0, 1]) {
        const request = fetchRequest(topic, { isolationLevel })
        const row = (await client.request(Fetch, version, request)).responses[0].partitions[0]
        expect(row).toMatchObject({
          highWatermark: 2,
          lastStableOffset: 2,
          abortedTransactions: isolationLevel === 1 ? [] : null,
        })
        expect(valuesOf(row)).toEqual(['a', 'b'])
        expect(await lookUp(client, topic, -1, { isolationLevel })).toMatchObject({ offset: 2 })
      }
    },
  )

  test('cannot see records of a transaction: none can be written', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    for (const bits of [0x10, 0x20, 0x30]) {
      const batch = batchOf(['hidden'], { producerId: 7, producerEpoch: 0, baseSequence: 0 })
      batch.writeInt16BE(bits, 21)
      batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
      for (const transactionalId of [null, 'tx']) {
        const row = await produce(client, topic, batch, { transactionalId })
        expect(row.errorCode).not.toBe(Errors.NONE)
      }
    }
    expect(await lookUp(client, topic, -1)).toMatchObject({ offset: 0 })
  })
})

test('trap 10: max.message.bytes holds, whoever asks, and a change of it holds at once', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client, { configs: { 'max.message.bytes': '1000' } })
  const overhead = batchOf(['']).length
  const ofBytes = (bytes: number) => {
    const batch = batchOf(['x'.repeat(bytes - overhead)])
    return batch.length === bytes
      ? batch
      : batchOf(['x'.repeat(2 * bytes - overhead - batch.length)])
  }
  expect(ofBytes(1000)).toHaveLength(1000)
  for (const acks of [-1, 1]) {
    for (const version of [3, 7, 9, 11]) {
      const fits = await produce(client, topic, ofBytes(1000), { acks, version })
      expect(fits.errorCode).toBe(Errors.NONE)
      const large = await produce(client, topic, ofBytes(1001), { acks, version })
      expect(large.errorCode).toBe(Errors.MESSAGE_TOO_LARGE)
    }
  }
  await client.request(IncrementalAlterConfigs, 1, {
    resources: [
      {
        resourceType: 2,
        resourceName: topic,
        configs: [{ name: 'max.message.bytes', configOperation: 0, value: '1001' }],
      },
    ],
    validateOnly: false,
  })
  expect((await produce(client, topic, ofBytes(1001))).errorCode).toBe(Errors.NONE)
  expect((await produce(client, topic, ofBytes(1002))).errorCode).toBe(Errors.MESSAGE_TOO_LARGE)
})

describe('trap 11: CreateTopics with good and bad configs', () => {
  const good = [{ name: 'segment.bytes', value: '65536' }]
  const bad = [
    { name: 'no.such.config', value: '1' },
    { name: 'segment.bytes', value: 'many' },
    { name: 'segment.bytes', value: null },
    { name: 'cleanup.policy', value: 'compact,nonsense' },
  ]

  async function exists(client: WireClient, name: string): Promise<boolean> {
    const { topics } = await client.request(Metadata, 12, metadataOf(name, false))
    return topics[0].errorCode === Errors.NONE
  }

  test.each(range(0, 7))('settles topic by topic (v%i)', async version => {
    const client = await connect(broker())
    const topic = (configs: typeof bad) => ({
      name: newTopicName('mixed'),
      numPartitions: 1,
      replicationFactor: 1,
      assignments: [],
      configs,
    })
    const topics = [
      topic(good),
      ...bad.map(config => topic([config])),
      topic([...good, bad[0]]),
      topic([]),
    ]
    const answer = await client.request(CreateTopics, version, {
      topics,
      timeoutMs: 30_000,
      validateOnly: false,
    })
    expect(answer.topics.map(({ name }) => name)).toEqual(topics.map(({ name }) => name))
    for (const [i, { name, errorCode, errorMessage }] of answer.topics.entries()) {
      const isGood = i === 0 || i === topics.length - 1
      expect(errorCode, name).toBe(isGood ? Errors.NONE : Errors.INVALID_CONFIG)
      if (version >= 1 && !isGood) expect(errorMessage).toMatch(/./)
      expect(await exists(client, name)).toBe(isGood)
    }
    const described = await client.request(DescribeConfigs, 4, {
      resources: [
        { resourceType: 2, resourceName: topics[0].name, configurationKeys: ['segment.bytes'] },
      ],
      includeSynonyms: false,
      includeDocumentation: false,
    })
    expect(described.results[0].configs[0].value).toBe('65536')
  })
})
