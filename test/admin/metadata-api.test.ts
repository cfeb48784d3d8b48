/** Metadata, DescribeCluster, ApiVersions and InitProducerId as clients see them, in every version. */
import { expect, test } from 'vitest'
import type { ApiRow } from '../../src/apis/api-row.ts'
import { makeApiVersions } from '../../src/apis/api-versions.ts'
import { createTopics } from '../../src/apis/create-topics.ts'
import { describeCluster } from '../../src/apis/describe-cluster.ts'
import { initProducerId } from '../../src/apis/init-producer-id.ts'
import { metadata } from '../../src/apis/metadata.ts'
import { zeroUuid } from '../../src/protocol/bytes.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { newUuid } from '../../src/topics/uuid.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { nodeId, topicRequest } from './admin-fixture.ts'
import { type ApiFixture, advertised, clusterId, startApis, versionsOf } from './api-fixture.ts'

const NOT_ASKED = -2147483648

/** A Metadata request by names; null = all. */
const byName = (names: string[] | null, allowAutoTopicCreation = false) => ({
  topics: names === null ? null : names.map(name => ({ name, topicId: zeroUuid })),
  allowAutoTopicCreation,
  includeClusterAuthorizedOperations: false,
  includeTopicAuthorizedOperations: false,
})

async function withTopics(set: string[] = [], ...names: string[]): Promise<ApiFixture> {
  const apis = await startApis(await tempDirectory(), set)
  for (const name of names) await apis.admin.createTopic(topicRequest(name, { partitions: 2 }))
  return apis
}

test('the brokers, controller and cluster are this one, in every version', async () => {
  const apis = await withTopics()
  for (const version of versionsOf(metadata)) {
    const answer = await apis.ask(metadata, version, byName(version === 0 ? ['x'] : []))
    expect(answer.brokers).toEqual([{ nodeId, ...advertised, rack: null }])
    expect(answer.controllerId).toBe(version >= 1 ? nodeId : -1)
    expect(answer.clusterId).toBe(version >= 2 ? clusterId : null)
    expect(answer.clusterAuthorizedOperations).toBe(NOT_ASKED)
  }
})

test('a topic’s row says who leads each partition, in every version', async () => {
  const apis = await withTopics([], 't')
  const id = apis.topics.get('t')?.id
  for (const version of versionsOf(metadata)) {
    const { topics } = await apis.ask(metadata, version, byName(['t', 't']))
    expect(topics, 'asked twice, answered once').toHaveLength(1)
    expect(topics[0]).toMatchObject({
      errorCode: Errors.NONE,
      name: 't',
      topicId: version >= 10 ? id : zeroUuid,
      isInternal: false,
      topicAuthorizedOperations: NOT_ASKED,
    })
    expect(topics[0].partitions).toEqual(
      [0, 1].map(partitionIndex => ({
        errorCode: Errors.NONE,
        partitionIndex,
        leaderId: nodeId,
        leaderEpoch: version >= 7 ? 0 : -1,
        replicaNodes: [nodeId],
        isrNodes: [nodeId],
        offlineReplicas: [],
      })),
    )
  }
})

test('all topics: null, and the empty list only in v0; none are created by that', async () => {
  const apis = await withTopics([], 'b', 'a')
  for (const version of versionsOf(metadata)) {
    const all = version === 0 ? byName([], true) : byName(null, true)
    const names = (await apis.ask(metadata, version, all)).topics.map(({ name }) => name)
    expect(names).toEqual(['b', 'a'])
    if (version > 0) {
      const none = await apis.ask(metadata, version, byName([], true))
      expect(none.topics).toEqual([])
    }
  }
})

test('a partition that takes no commands has no leader', async () => {
  const apis = await withTopics([], 't')
  const partition = apis.topics.partition('t', 1)
  for (const state of ['opening', 'offline', 'closed'] as const) {
    if (partition !== undefined) partition.state = state
    const { topics } = await apis.ask(metadata, 12, byName(['t']))
    expect(topics[0].errorCode).toBe(Errors.NONE)
    expect(topics[0].partitions.map(({ errorCode }) => errorCode)).toEqual([
      Errors.NONE,
      Errors.LEADER_NOT_AVAILABLE,
    ])
    expect(topics[0].partitions[1]).toMatchObject({
      leaderId: -1,
      replicaNodes: [nodeId],
      isrNodes: [],
      offlineReplicas: [nodeId],
    })
  }
})

test('an unknown topic is created at once where request and broker allow it', async () => {
  const open = await withTopics(['num.partitions=3'])
  for (const version of versionsOf(metadata)) {
    const name = `auto-${version}`
    // Before v4 a client cannot say no.
    const unwanted = await open.ask(metadata, version, byName([`no-${version}`], false))
    const refused = version >= 4
    expect(unwanted.topics[0].errorCode).toBe(refused ? Errors.UNKNOWN_TOPIC_OR_PARTITION : 0)
    expect(open.topics.get(`no-${version}`) === undefined).toBe(refused)
    const { topics } = await open.ask(metadata, version, byName([name], true))
    expect(topics[0]).toMatchObject({ errorCode: Errors.NONE, name })
    expect(topics[0].partitions.map(({ leaderId }) => leaderId)).toEqual([nodeId, nodeId, nodeId])
  }
  const closed = await withTopics(['auto.create.topics.enable=false'])
  for (const version of versionsOf(metadata)) {
    const { topics } = await closed.ask(metadata, version, byName(['x'], true))
    expect(topics[0]).toMatchObject({
      errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION,
      name: 'x',
      topicId: zeroUuid,
      partitions: [],
    })
  }
  expect(closed.topics.size).toBe(0)
})

test('names that cannot be topics, internal ones and failures get their row, others go on', async () => {
  const apis = await withTopics(['max.partitions=3'], 'a.b')
  const asked = ['a/b', '', 'a_b', '__consumer_offsets', 'good', 'toomany']
  const { topics } = await apis.ask(metadata, 9, byName(asked, true))
  expect(topics.map(({ name, errorCode }) => [name, errorCode])).toEqual([
    ['a/b', Errors.INVALID_TOPIC_EXCEPTION],
    ['', Errors.INVALID_TOPIC_EXCEPTION],
    ['a_b', Errors.INVALID_TOPIC_EXCEPTION],
    ['__consumer_offsets', Errors.UNKNOWN_TOPIC_OR_PARTITION],
    ['good', Errors.NONE],
    ['toomany', Errors.POLICY_VIOLATION],
  ])
})

test('topics are found by id from v12 on', async () => {
  const apis = await withTopics([], 't')
  const topicId = apis.topics.get('t')?.id as string
  const unknown = newUuid()
  const request = {
    ...byName(null),
    topics: [
      { name: null, topicId },
      { name: null, topicId: unknown },
      { name: null, topicId: zeroUuid },
    ],
  }
  const { topics } = await apis.ask(metadata, 12, request)
  expect(topics.map(({ errorCode, name, topicId: id }) => [errorCode, name, id])).toEqual([
    [Errors.NONE, 't', topicId],
    [Errors.UNKNOWN_TOPIC_ID, null, unknown],
    [Errors.INVALID_REQUEST, '', zeroUuid],
  ])
  for (const version of [10, 11]) {
    const early = await apis.ask(metadata, version, request)
    expect(early.topics.map(({ errorCode }) => errorCode)).toEqual([42, 42, 42])
  }
})

test('authorized operations are told when asked: all of them', async () => {
  const apis = await withTopics([], 't')
  const request = {
    ...byName(['t']),
    includeClusterAuthorizedOperations: true,
    includeTopicAuthorizedOperations: true,
  }
  const answer = await apis.ask(metadata, 10, request)
  // As a Kafka 4.1 without authorizer answers.
  expect(answer.topics[0].topicAuthorizedOperations).toBe(3576)
  expect(answer.clusterAuthorizedOperations).toBe(8096)
})

test('DescribeCluster names this broker; controllers are elsewhere', async () => {
  const apis = await withTopics()
  for (const version of versionsOf(describeCluster)) {
    const request = { includeClusterAuthorizedOperations: version === 1, endpointType: 1 }
    expect(await apis.ask(describeCluster, version, request)).toEqual({
      throttleTimeMs: 0,
      errorCode: Errors.NONE,
      errorMessage: null,
      endpointType: 1,
      clusterId,
      controllerId: nodeId,
      brokers: [{ brokerId: nodeId, ...advertised, rack: null }],
      clusterAuthorizedOperations: version === 1 ? 8096 : NOT_ASKED,
    })
  }
  for (const [endpointType, code] of [
    [2, Errors.MISMATCHED_ENDPOINT_TYPE],
    [3, Errors.UNSUPPORTED_ENDPOINT_TYPE],
  ]) {
    const request = { includeClusterAuthorizedOperations: false, endpointType }
    const answer = await apis.ask(describeCluster, 1, request)
    expect(answer).toMatchObject({ errorCode: code, brokers: [] })
  }
})

test('ApiVersions is the table: advertised ranges, sorted, itself included', async () => {
  const apis = await withTopics()
  const produce = {
    ...metadata,
    schema: { ...metadata.schema, key: 0, versions: [3, 11] as const },
  }
  const rows: ApiRow[] = []
  const apiVersions = makeApiVersions(() => rows)
  rows.push(
    metadata as unknown as ApiRow,
    createTopics as unknown as ApiRow,
    apiVersions as unknown as ApiRow,
    { ...produce, advertise: [0, 11] } as unknown as ApiRow,
  )
  const software = { clientSoftwareName: 'a-b.1', clientSoftwareVersion: '1' }
  for (const version of versionsOf(apiVersions)) {
    const answer = await apis.ask(apiVersions, version, software)
    expect(answer.errorCode).toBe(Errors.NONE)
    expect(answer.apiKeys).toEqual([
      { apiKey: 0, minVersion: 0, maxVersion: 11 },
      { apiKey: 3, minVersion: 0, maxVersion: 12 },
      { apiKey: 18, minVersion: 0, maxVersion: 4 },
      { apiKey: 19, minVersion: 0, maxVersion: 7 },
    ])
    expect(answer.supportedFeatures).toEqual([])
  }
  for (const name of ['', '-x', 'x-', 'a b', 'ä']) {
    const odd = { ...software, clientSoftwareName: name }
    const refused = await apis.ask(apiVersions, 3, odd)
    expect(refused).toMatchObject({ errorCode: Errors.INVALID_REQUEST, apiKeys: [] })
    expect((await apis.ask(apiVersions, 2, odd)).errorCode).toBe(Errors.NONE)
  }
})

test('InitProducerId gives new ids, and refuses transactions for good', async () => {
  const apis = await withTopics()
  const ids = new Set<number>()
  const plain = {
    transactionalId: null,
    transactionTimeoutMs: 0,
    producerId: -1,
    producerEpoch: -1,
  }
  for (const version of versionsOf(initProducerId)) {
    // @platformatic/kafka sends 0/0 for a plain idempotent producer.
    for (const request of [plain, { ...plain, producerId: 0, producerEpoch: 0 }]) {
      const answer = await apis.ask(initProducerId, version, request)
      expect(answer).toMatchObject({ errorCode: Errors.NONE, producerEpoch: 0 })
      expect(ids.has(answer.producerId)).toBe(false)
      ids.add(answer.producerId)
    }
    for (const [transactionalId, code] of [
      ['tx', Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED],
      ['', Errors.INVALID_REQUEST],
    ] as const) {
      const answer = await apis.ask(initProducerId, version, {
        ...plain,
        transactionTimeoutMs: 60_000,
        transactionalId,
      })
      expect(answer).toEqual({
        throttleTimeMs: 0,
        errorCode: code,
        producerId: -1,
        producerEpoch: -1,
      })
    }
  }
  const half = { ...plain, producerId: 5 }
  expect((await apis.ask(initProducerId, 3, half)).errorCode).toBe(Errors.INVALID_REQUEST)
})
