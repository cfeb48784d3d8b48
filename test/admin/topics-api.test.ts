/** CreateTopics, DeleteTopics, CreatePartitions and DescribeConfigs as clients see them, in every version. */
import { expect, test } from 'vitest'
import { createPartitions } from '../../src/apis/create-partitions.ts'
import { createTopics } from '../../src/apis/create-topics.ts'
import { deleteTopics } from '../../src/apis/delete-topics.ts'
import { describeConfigs } from '../../src/apis/describe-configs.ts'
import { settings } from '../../src/config/settings.ts'
import { topicConfigTable } from '../../src/config/topic-config-table.ts'
import { zeroUuid } from '../../src/protocol/bytes.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { newUuid } from '../../src/topics/uuid.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { nodeId, topicRequest } from './admin-fixture.ts'
import { startApis, versionsOf } from './api-fixture.ts'

const TOPIC = 2
const BROKER = 4

const asked = (name: string, more: object = {}) => ({
  name,
  numPartitions: 2,
  replicationFactor: 1,
  assignments: [],
  configs: [],
  ...more,
})
const creation = (topics: ReturnType<typeof asked>[], validateOnly = false) => ({
  topics,
  timeoutMs: 1000,
  validateOnly,
})

test('CreateTopics creates in every version and answers what the version can say', async () => {
  const apis = await startApis(await tempDirectory(), ['num.partitions=5'])
  for (const version of versionsOf(createTopics)) {
    const name = `t${version}`
    const configs = [{ name: 'retention.ms', value: '42' }]
    const defaults = { numPartitions: -1, replicationFactor: -1, configs }
    const { topics } = await apis.ask(createTopics, version, creation([asked(name, defaults)]))
    const topic = apis.topics.get(name)
    expect(topic?.partitions).toHaveLength(5)
    expect(topics[0]).toMatchObject({
      name,
      errorCode: Errors.NONE,
      topicId: version >= 7 ? topic?.id : zeroUuid,
      numPartitions: version >= 5 ? 5 : -1,
      replicationFactor: version >= 5 ? 1 : -1,
    })
    if (version < 5) continue
    const shown = new Map(topics[0].configs?.map(config => [config.name, config]))
    expect([...shown.keys()]).toEqual(topicConfigTable.map(row => row.name))
    expect(shown.get('retention.ms')).toMatchObject({ value: '42', configSource: 1 })
    expect(shown.get('segment.bytes')).toMatchObject({ value: '1073741824', configSource: 5 })
  }
})

test('CreateTopics rows stand each for itself; duplicates fail once', async () => {
  const apis = await startApis(await tempDirectory())
  await apis.admin.createTopic(topicRequest('there'))
  for (const version of versionsOf(createTopics)) {
    const request = creation([
      asked('there'),
      asked('twice'),
      asked(`new${version}`),
      asked('twice'),
      asked('bad', { configs: [{ name: 'nope', value: '1' }] }),
    ])
    const { topics } = await apis.ask(createTopics, version, request)
    const codes = new Map(topics.map(({ name, errorCode }) => [name, errorCode]))
    expect(topics).toHaveLength(4)
    expect(codes).toEqual(
      new Map([
        ['there', Errors.TOPIC_ALREADY_EXISTS],
        ['twice', Errors.INVALID_REQUEST],
        [`new${version}`, Errors.NONE],
        ['bad', Errors.INVALID_CONFIG],
      ]),
    )
    const message = topics.find(({ name }) => name === 'bad')?.errorMessage
    if (version >= 1) expect(message).toContain('nope')
    expect(apis.topics.get('twice')).toBe(undefined)
  }
})

test('CreateTopics with validateOnly says what would be and does nothing', async () => {
  const apis = await startApis(await tempDirectory())
  for (const version of versionsOf(createTopics).filter(v => v >= 1)) {
    const { topics } = await apis.ask(createTopics, version, creation([asked('v')], true))
    expect(topics[0]).toMatchObject({ errorCode: Errors.NONE, topicId: zeroUuid })
    expect(apis.topics.size).toBe(0)
  }
})

test('CreateTopics takes assignments to this broker', async () => {
  const apis = await startApis(await tempDirectory())
  const assignments = [0, 1, 2].map(partitionIndex => ({ partitionIndex, brokerIds: [nodeId] }))
  const assigned = { numPartitions: -1, replicationFactor: -1, assignments }
  await apis.ask(createTopics, 5, creation([asked('t', assigned)]))
  expect(apis.topics.get('t')?.partitions).toHaveLength(3)
})

test('DeleteTopics deletes by name in every version, by id from v6 on', async () => {
  const apis = await startApis(await tempDirectory())
  for (const version of versionsOf(deleteTopics)) {
    const ids = new Map<string, string>()
    for (const name of ['a', 'b']) {
      const { id } = await apis.admin.createTopic(topicRequest(name))
      ids.set(name, id as string)
    }
    const unknown = newUuid()
    const topics = [
      { name: 'a', topicId: zeroUuid },
      { name: null, topicId: ids.get('b') as string },
      { name: 'missing', topicId: zeroUuid },
      { name: null, topicId: unknown },
      { name: null, topicId: zeroUuid },
      { name: 'a', topicId: unknown },
    ]
    const topicNames = ['a', 'b', 'missing', 'twice', 'twice']
    const request = { topics, topicNames, timeoutMs: 1000 }
    const { responses } = await apis.ask(deleteTopics, version, request)
    const rows = responses.map(({ name, topicId, errorCode }) => [name, topicId, errorCode])
    expect(rows).toEqual(
      version < 6
        ? [
            ['a', zeroUuid, Errors.NONE],
            ['b', zeroUuid, Errors.NONE],
            ['missing', zeroUuid, Errors.UNKNOWN_TOPIC_OR_PARTITION],
            ['twice', zeroUuid, Errors.INVALID_REQUEST],
          ]
        : [
            ['a', ids.get('a'), Errors.NONE],
            ['b', ids.get('b'), Errors.NONE],
            ['missing', zeroUuid, Errors.UNKNOWN_TOPIC_OR_PARTITION],
            [null, unknown, Errors.UNKNOWN_TOPIC_ID],
            [null, zeroUuid, Errors.INVALID_REQUEST],
            ['a', unknown, Errors.INVALID_REQUEST],
          ],
    )
    expect(apis.topics.size).toBe(0)
  }
})

test('DeleteTopics says that deletion is off in words the version knows', async () => {
  const apis = await startApis(await tempDirectory(), ['delete.topic.enable=false'])
  await apis.admin.createTopic(topicRequest('t'))
  for (const version of versionsOf(deleteTopics)) {
    const topics = [{ name: 't', topicId: zeroUuid }]
    const request = { topics, topicNames: ['t'], timeoutMs: 1000 }
    const { responses } = await apis.ask(deleteTopics, version, request)
    const code = version < 3 ? Errors.INVALID_REQUEST : Errors.TOPIC_DELETION_DISABLED
    expect(responses.map(({ errorCode }) => errorCode)).toEqual([code])
  }
})

test('CreatePartitions answers one row per topic in every version', async () => {
  const apis = await startApis(await tempDirectory())
  await apis.admin.createTopic(topicRequest('t'))
  for (const version of versionsOf(createPartitions)) {
    const count = version + 2
    const grow = (
      name: string,
      to: number,
      assignments: { brokerIds: number[] }[] | null = null,
    ) => ({ name, count: to, assignments })
    const assigned = grow('t', count, [{ brokerIds: [nodeId] }])
    const request = {
      topics: [assigned, grow('missing', 2), grow('d', 2), grow('d', 3)],
      timeoutMs: 1000,
      validateOnly: true,
    }
    const codes = async () => {
      const { results } = await apis.ask(createPartitions, version, request)
      return results.map(({ name, errorCode }) => [name, errorCode])
    }
    const expected = [
      ['t', Errors.NONE],
      ['missing', Errors.UNKNOWN_TOPIC_OR_PARTITION],
      ['d', Errors.INVALID_REQUEST],
    ]
    expect(await codes()).toEqual(expected)
    expect(apis.topics.get('t')?.partitions).toHaveLength(count - 1)
    request.validateOnly = false
    expect(await codes()).toEqual(expected)
    expect(apis.topics.get('t')?.partitions).toHaveLength(count)
    expect((await codes())[0]).toEqual(['t', Errors.INVALID_PARTITIONS])
  }
})

const describeRequest = (
  resourceType: number,
  resourceName: string,
  configurationKeys: string[] | null = null,
) => ({
  resources: [{ resourceType, resourceName, configurationKeys }],
  includeSynonyms: true,
  includeDocumentation: true,
})

test('DescribeConfigs lists every topic config with value, source, type and words', async () => {
  const apis = await startApis(await tempDirectory(), ['log.segment.bytes=4096'])
  const configs: [string, string][] = [['cleanup.policy', 'compact']]
  await apis.admin.createTopic(topicRequest('t', { configs }))
  for (const version of versionsOf(describeConfigs)) {
    for (const keys of [null, []]) {
      const { results } = await apis.ask(
        describeConfigs,
        version,
        describeRequest(TOPIC, 't', keys),
      )
      expect(results).toHaveLength(1)
      expect(results[0]).toMatchObject({ errorCode: 0, resourceType: TOPIC, resourceName: 't' })
      const shown = new Map(results[0].configs.map(config => [config.name, config]))
      expect([...shown.keys()]).toEqual(topicConfigTable.map(row => row.name))
      const source = (code: number) => (version >= 1 ? code : -1)
      const whether = (isDefault: boolean) => (version === 0 ? isDefault : false)
      expect(shown.get('cleanup.policy')).toMatchObject({
        value: 'compact',
        configSource: source(1),
        isDefault: whether(false),
        configType: version >= 3 ? 7 : 0,
        readOnly: false,
        isSensitive: false,
      })
      expect(shown.get('segment.bytes')).toMatchObject({
        value: '4096',
        configSource: source(4),
        isDefault: whether(false),
      })
      expect(shown.get('retention.ms')).toMatchObject({
        value: '604800000',
        configSource: source(5),
        isDefault: whether(true),
        configType: version >= 3 ? 5 : 0,
      })
      if (version >= 1)
        expect(shown.get('cleanup.policy')?.synonyms).toEqual([
          { name: 'cleanup.policy', value: 'compact', source: 1 },
          { name: 'log.cleanup.policy', value: 'delete', source: 5 },
        ])
      if (version >= 3) expect(shown.get('flush.policy')?.documentation).toContain('fdatasync')
    }
  }
})

test('DescribeConfigs gives only the keys asked for, no synonyms or words unasked', async () => {
  const apis = await startApis(await tempDirectory())
  await apis.admin.createTopic(topicRequest('t'))
  const request = {
    ...describeRequest(TOPIC, 't', ['retention.ms', 'no.such.key']),
    includeSynonyms: false,
    includeDocumentation: false,
  }
  const { results } = await apis.ask(describeConfigs, 4, request)
  expect(results[0].configs).toHaveLength(1)
  expect(results[0].configs[0]).toMatchObject({
    name: 'retention.ms',
    synonyms: [],
    documentation: null,
  })
})

test('DescribeConfigs shows the broker’s settings, read-only, with where they were set', async () => {
  const apis = await startApis(await tempDirectory(), ['max.connections=77'])
  for (const version of versionsOf(describeConfigs)) {
    const request = describeRequest(BROKER, String(nodeId))
    const { results } = await apis.ask(describeConfigs, version, request)
    const shown = new Map(results[0].configs.map(config => [config.name, config]))
    expect([...shown.keys()]).toEqual(settings.map(({ key }) => key))
    expect(shown.get('max.connections')).toMatchObject({ value: '77', readOnly: true })
    if (version >= 1) {
      expect(shown.get('max.connections')?.configSource).toBe(4)
      expect(shown.get('log.dir')?.configSource).toBe(5)
    }
  }
})

test('DescribeConfigs refuses what there is not, one row per resource', async () => {
  const apis = await startApis(await tempDirectory())
  await apis.admin.createTopic(topicRequest('t'))
  const cases: [number, string, number][] = [
    [TOPIC, 'missing', Errors.UNKNOWN_TOPIC_OR_PARTITION],
    [TOPIC, 'a/b', Errors.INVALID_TOPIC_EXCEPTION],
    [TOPIC, 't', Errors.NONE],
    [BROKER, '', Errors.NONE],
    [BROKER, '99', Errors.INVALID_REQUEST],
    [BROKER, 'x', Errors.INVALID_REQUEST],
    [8, String(nodeId), Errors.INVALID_REQUEST],
    [16, 'm', Errors.INVALID_REQUEST],
    [32, 'g', Errors.INVALID_REQUEST],
    [0, '', Errors.INVALID_REQUEST],
  ]
  const resources = cases.map(([resourceType, resourceName]) => ({
    resourceType,
    resourceName,
    configurationKeys: null,
  }))
  for (const version of versionsOf(describeConfigs)) {
    const request = { resources, includeSynonyms: false, includeDocumentation: false }
    const { results } = await apis.ask(describeConfigs, version, request)
    expect(
      results.map(({ resourceType, resourceName, errorCode }) => [
        resourceType,
        resourceName,
        errorCode,
      ]),
    ).toEqual(cases)
    expect(results[3].configs, 'there are no cluster-wide dynamic configs').toEqual([])
  }
})
