/** Topics over the wire of a running broker: made, grown, described, deleted, made again, and all of it with data. */
import { readdir } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { CreatePartitions } from '../../src/protocol/messages/create-partitions.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { DeleteTopics } from '../../src/protocol/messages/delete-topics.ts'
import { DescribeConfigs } from '../../src/protocol/messages/describe-configs.ts'
import { InitProducerId } from '../../src/protocol/messages/init-producer-id.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import type { RequestOf } from '../../src/protocol/schema.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRow,
  launchBroker,
  newTopicName,
  produce,
  readAll,
  sharedBroker,
  store,
  testBroker,
  valuesOf,
} from './fixture.ts'

const broker = sharedBroker()
const noId = 'AAAAAAAAAAAAAAAAAAAAAA'

type NewTopic = RequestOf<typeof CreateTopics>['topics'][number]

const newTopic = (name: string, rest: Partial<NewTopic> = {}): NewTopic => ({
  name,
  numPartitions: 1,
  replicationFactor: 1,
  assignments: [],
  configs: [],
  ...rest,
})

async function create(
  client: WireClient,
  topics: NewTopic[],
  { version = 7, validateOnly = false } = {},
) {
  const request = { topics, timeoutMs: 30_000, validateOnly }
  return (await client.request(CreateTopics, version, request)).topics
}

async function remove(client: WireClient, name: string, version = 6) {
  const answer = await client.request(DeleteTopics, version, {
    topics: [{ name, topicId: noId }],
    topicNames: [name],
    timeoutMs: 30_000,
  })
  return answer.responses[0]
}

async function describeTopic(
  client: WireClient,
  name: string | null,
  create = false,
  version = 12,
) {
  const answer = await client.request(Metadata, version, {
    topics: name === null ? null : [{ topicId: noId, name }],
    allowAutoTopicCreation: create,
    includeClusterAuthorizedOperations: false,
    includeTopicAuthorizedOperations: false,
  })
  return answer.topics
}

describe('a topic', () => {
  test.each([0, 1, 2, 3, 4, 5, 6, 7])(
    'created by CreateTopics v%i takes records at once',
    async v => {
      const client = await connect(broker())
      const name = newTopicName('wire')
      const [row] = await create(client, [newTopic(name, { numPartitions: 3 })], { version: v })
      expect(row).toMatchObject({ name, errorCode: Errors.NONE, errorMessage: null })
      for (const partition of [0, 1, 2]) {
        expect(await store(client, name, batchOf(['a']), { partition })).toBe(0)
      }
      const [described] = await describeTopic(client, name)
      expect(described.partitions.map(({ partitionIndex }) => partitionIndex)).toEqual([0, 1, 2])
      if (v >= 7) expect(described.topicId).toBe(row.topicId)
    },
  )

  const long = 'n'.repeat(249)
  test.each([
    ['no name', newTopic(''), Errors.INVALID_TOPIC_EXCEPTION],
    ['.', newTopic('.'), Errors.INVALID_TOPIC_EXCEPTION],
    ['..', newTopic('..'), Errors.INVALID_TOPIC_EXCEPTION],
    ['a slash', newTopic('a/b'), Errors.INVALID_TOPIC_EXCEPTION],
    ['an umlaut', newTopic('zwirnspüle'), Errors.INVALID_TOPIC_EXCEPTION],
    ['250 characters', newTopic(`${long}x`), Errors.INVALID_TOPIC_EXCEPTION],
    ['no partitions', newTopic('p0', { numPartitions: 0 }), Errors.INVALID_PARTITIONS],
    ['-2 partitions', newTopic('p2', { numPartitions: -2 }), Errors.INVALID_PARTITIONS],
    ['no replica', newTopic('r0', { replicationFactor: 0 }), Errors.INVALID_REPLICATION_FACTOR],
    ['two replicas', newTopic('r2', { replicationFactor: 2 }), Errors.INVALID_REPLICATION_FACTOR],
    [
      'numbers beside assignments',
      newTopic('as', { assignments: [{ partitionIndex: 0, brokerIds: [0] }] }),
      Errors.INVALID_REQUEST,
    ],
    [
      'an assignment to another broker',
      newTopic('ab', {
        numPartitions: -1,
        replicationFactor: -1,
        assignments: [{ partitionIndex: 0, brokerIds: [1] }],
      }),
      Errors.INVALID_REPLICA_ASSIGNMENT,
    ],
    [
      'an unknown config',
      newTopic('uc', { configs: [{ name: 'no.such', value: '1' }] }),
      Errors.INVALID_CONFIG,
    ],
    [
      'a bad value',
      newTopic('bv', { configs: [{ name: 'segment.bytes', value: 'many' }] }),
      Errors.INVALID_CONFIG,
    ],
    [
      'a config without a value',
      newTopic('nv', { configs: [{ name: 'segment.bytes', value: null }] }),
      Errors.INVALID_CONFIG,
    ],
  ])('with %s is refused, also when only asked', async (_, topic, errorCode) => {
    const client = await connect(broker())
    for (const validateOnly of [true, false]) {
      const [row] = await create(client, [topic], { validateOnly })
      expect(row).toMatchObject({ name: topic.name, errorCode, topicId: noId })
      expect(row.errorMessage).toMatch(/./)
    }
    const names = (await describeTopic(client, null)).map(({ name }) => name)
    expect(names).not.toContain(topic.name)
  })

  test('that exists, comes twice in a request, or is too like another is refused', async () => {
    const client = await connect(broker())
    const name = newTopicName('dotted.name')
    const rows = await create(client, [newTopic(name), newTopic('twice'), newTopic('twice')])
    expect(new Map(rows.map(row => [row.name, row.errorCode]))).toEqual(
      new Map([
        [name, Errors.NONE],
        ['twice', Errors.INVALID_REQUEST],
      ]),
    )
    const [again] = await create(client, [newTopic(name)])
    expect(again.errorCode).toBe(Errors.TOPIC_ALREADY_EXISTS)
    const [like] = await create(client, [newTopic(name.replace('.', '_'))])
    expect(like.errorCode).toBe(Errors.INVALID_TOPIC_EXCEPTION)
  })

  test('named like a property of every object is a topic like any other', async () => {
    const client = await connect(broker())
    for (const name of ['__proto__', 'constructor', 'toString', long]) {
      const [row] = await create(client, [newTopic(name)])
      expect(row.errorCode, name).toBe(Errors.NONE)
      await store(client, name, batchOf([name]))
      expect(valuesOf(await fetchRow(client, name))).toEqual([name])
      expect((await remove(client, name)).errorCode).toBe(Errors.NONE)
    }
  })

  test('validated only is not made', async () => {
    const client = await connect(broker())
    const name = newTopicName('only-asked')
    for (const version of [1, 7]) {
      const [row] = await create(client, [newTopic(name)], { version, validateOnly: true })
      expect(row).toMatchObject({ errorCode: Errors.NONE, topicId: noId })
    }
    expect((await produce(client, name, batchOf(['a']))).errorCode).toBe(
      Errors.UNKNOWN_TOPIC_OR_PARTITION,
    )
  })
})

describe('auto-creation', () => {
  test.each([0, 3, 4, 9, 12])(
    'by Metadata v%i, with the real row in the same answer',
    async version => {
      const client = await connect(broker())
      const name = newTopicName('auto')
      const [row] = await describeTopic(client, name, true, version)
      expect(row).toMatchObject({ name, errorCode: Errors.NONE })
      expect(row.partitions).toMatchObject([{ errorCode: Errors.NONE, partitionIndex: 0 }])
      expect(await store(client, name, batchOf(['a']))).toBe(0)
    },
  )

  test('by many clients at once makes one topic', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect(broker())))
    const name = newTopicName('rush')
    const rows = await Promise.all(clients.map(client => describeTopic(client, name, true)))
    expect(new Set(rows.map(([row]) => row.topicId)).size).toBe(1)
  })

  test('not where the client does not want it, or the name is bad, or the broker forbids it', async () => {
    const client = await connect(broker())
    const unwanted = await describeTopic(client, newTopicName('unwanted'), false)
    expect(unwanted[0].errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
    const [bad] = await describeTopic(client, 'bad name', true)
    expect(bad.errorCode).toBe(Errors.INVALID_TOPIC_EXCEPTION)
    const strict = await testBroker({ set: { 'auto.create.topics.enable': false } })
    const [forbidden] = await describeTopic(await connect(strict), newTopicName(), true)
    expect(forbidden.errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
  })
})

describe('a deleted topic', () => {
  test.each([0, 3, 5, 6])(
    'is gone with its files (DeleteTopics v%i), and a new one starts anew',
    async version => {
      const client = await connect(broker())
      const name = await createTopic(client, { partitions: 2 })
      const [before] = await describeTopic(client, name)
      await store(client, name, batchOf(['old']), { partition: 1 })
      expect(await remove(client, name, version)).toMatchObject({ name, errorCode: Errors.NONE })
      const files = await readdir(broker().dataDirectory)
      expect(files.filter(file => file.startsWith(name))).toEqual([])
      const refused = await produce(client, name, batchOf(['x']))
      expect(refused.errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
      const [again] = await create(client, [newTopic(name, { numPartitions: 2 })])
      expect(again.errorCode).toBe(Errors.NONE)
      expect(again.topicId).not.toBe(before.topicId)
      expect(await readAll(client, name, { partition: 1 })).toEqual([])
      expect(await store(client, name, batchOf(['new']), { partition: 1 })).toBe(0)
    },
  )

  test('by id; unknown names and ids are said to be unknown', async () => {
    const client = await connect(broker())
    const name = await createTopic(client)
    const [{ topicId }] = await describeTopic(client, name)
    const ask = (row: { name: string | null; topicId: string }) =>
      client.request(DeleteTopics, 6, { topics: [row], topicNames: [], timeoutMs: 1000 })
    const byId = await ask({ name: null, topicId })
    expect(byId.responses).toEqual([{ name, topicId, errorCode: 0, errorMessage: null }])
    const unknownId = await ask({ name: null, topicId })
    expect(unknownId.responses[0].errorCode).toBe(Errors.UNKNOWN_TOPIC_ID)
    const unknownName = await ask({ name, topicId: noId })
    expect(unknownName.responses[0].errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
  })

  test('while producers and consumers are at it: they are refused, the broker goes on', async () => {
    const client = await connect(broker())
    const name = await createTopic(client)
    const bystander = await createTopic(client)
    const codes = new Set<number>()
    const [writer, reader] = await Promise.all([connect(broker()), connect(broker())])
    const busy = [
      (async () => {
        while (!codes.has(-1)) codes.add((await produce(writer, name, batchOf(['x']))).errorCode)
      })(),
      (async () => {
        while (!codes.has(-1)) codes.add((await fetchRow(reader, name)).errorCode)
      })(),
    ]
    await store(client, bystander, batchOf(['before']))
    expect((await remove(client, name)).errorCode).toBe(Errors.NONE)
    await store(client, bystander, batchOf(['after']))
    codes.add(-1)
    await Promise.all(busy)
    codes.delete(-1)
    const fine = [
      Errors.NONE,
      Errors.UNKNOWN_TOPIC_OR_PARTITION,
      Errors.NOT_LEADER_OR_FOLLOWER,
      // The topic is there again only as an empty log with the same name.
      Errors.OFFSET_OUT_OF_RANGE,
    ] as number[]
    expect([...codes].filter(code => !fine.includes(code))).toEqual([])
    expect(await readAll(client, bystander)).toHaveLength(2)
  })
})

describe('CreatePartitions', () => {
  test.each([0, 1, 2, 3])(
    'v%i: new partitions serve at once, old ones keep their data',
    async version => {
      const client = await connect(broker())
      const name = await createTopic(client)
      await store(client, name, batchOf(['kept']))
      const grow = async (count: number) => {
        const topics = [{ name, count, assignments: null }]
        const request = { topics, timeoutMs: 30_000, validateOnly: false }
        return (await client.request(CreatePartitions, version, request)).results
      }
      expect(await grow(3)).toMatchObject([{ name, errorCode: Errors.NONE }])
      expect(await store(client, name, batchOf(['new']), { partition: 2 })).toBe(0)
      expect(valuesOf(await fetchRow(client, name))).toEqual(['kept'])
      for (const count of [3, 2, 0, -1]) {
        expect(await grow(count)).toMatchObject([{ name, errorCode: Errors.INVALID_PARTITIONS }])
      }
    },
  )
})

describe('InitProducerId', () => {
  const ask = (client: WireClient, version: number, rest = {}) =>
    client.request(InitProducerId, version, {
      transactionalId: null,
      transactionTimeoutMs: 60_000,
      producerId: -1,
      producerEpoch: -1,
      ...rest,
    })

  test.each([0, 1, 2, 3, 4, 5])('v%i gives an id of its own to everybody', async version => {
    const client = await connect(broker())
    const answers = await Promise.all(Array.from({ length: 50 }, () => ask(client, version)))
    expect(answers.every(({ errorCode }) => errorCode === Errors.NONE)).toBe(true)
    expect(answers.every(({ producerEpoch }) => producerEpoch === 0)).toBe(true)
    expect(new Set(answers.map(({ producerId }) => producerId)).size).toBe(50)
  })

  test('takes 0 and 0 for no id (@platformatic/kafka), but not half an id', async () => {
    const client = await connect(broker())
    const zeros = await ask(client, 4, { producerId: 0, producerEpoch: 0 })
    expect(zeros.errorCode).toBe(Errors.NONE)
    const half = await ask(client, 4, { producerId: 5 })
    expect(half).toMatchObject({ errorCode: Errors.INVALID_REQUEST, producerId: -1 })
  })

  test('refuses transactions for good: an empty id is a mistake, any other is not allowed', async () => {
    const client = await connect(broker())
    const empty = await ask(client, 4, { transactionalId: '' })
    expect(empty.errorCode).toBe(Errors.INVALID_REQUEST)
    const named = await ask(client, 4, { transactionalId: 'tx' })
    expect(named.errorCode).toBe(Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
  })
})

test('names, ids, partitions and configs survive a restart', async () => {
  await using directory = await makeTempDirectory()
  const first = await launchBroker({ dataDirectory: directory.path })
  const client = await connect(first)
  const configs = { 'segment.bytes': '2048', 'cleanup.policy': 'compact,delete' }
  const name = await createTopic(client, { partitions: 3, configs })
  const before = await describeTopic(client, null)
  await first.close()
  const second = await launchBroker({ dataDirectory: directory.path })
  try {
    const again = await connect(second)
    const after = await describeTopic(again, null)
    expect(after).toEqual(before)
    const { results } = await again.request(DescribeConfigs, 4, {
      resources: [{ resourceType: 2, resourceName: name, configurationKeys: Object.keys(configs) }],
      includeSynonyms: false,
      includeDocumentation: false,
    })
    const values = results[0].configs.map(row => [row.name, row.value, row.configSource])
    expect(new Set(values.map(String))).toEqual(
      new Set(Object.entries(configs).map(([key, value]) => `${key},${value},1`)),
    )
  } finally {
    await second.close()
  }
})
