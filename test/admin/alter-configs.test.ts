/** Changing the configs of topics: what each operation does, order on disk, concurrency, refusals, failures. */
import { expect, test } from 'vitest'
import type { ConfigChange, ConfigStep } from '../../src/admin/admin-service.ts'
import { ConfigSource } from '../../src/admin/config-entries.ts'
import { alterConfigs } from '../../src/apis/alter-configs.ts'
import { incrementalAlterConfigs } from '../../src/apis/incremental-alter-configs.ts'
import { Errors, KafkaError } from '../../src/protocol/errors.ts'
import { FileTopicStore } from '../../src/topics/topic-store.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { type AdminFixture, nodeId, startAdmin, topicRequest } from './admin-fixture.ts'
import { startApis, versionsOf } from './api-fixture.ts'

const steps = (...list: [ConfigStep['operation'], string, string | null][]): ConfigChange => ({
  steps: list.map(([operation, name, text]) => ({ operation, name, text })),
})

const stored = async (directory: string, topic: string) => {
  const records = await new FileTopicStore(directory).load()
  return Object.fromEntries(records.find(({ name }) => name === topic)?.configs ?? [])
}
const ownOf = ({ topics }: AdminFixture, name: string) =>
  Object.fromEntries(topics.get(name)?.configs ?? [])

async function refusalOf(operation: Promise<unknown>): Promise<KafkaError> {
  const error = await operation.then(
    () => expect.unreachable('it was accepted'),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(KafkaError)
  return error as KafkaError
}

test('a change is durable, then in the registry and the logs, then answered', async () => {
  const directory = await tempDirectory()
  const fixture = await startAdmin(directory)
  const { admin, host, topics } = fixture
  await admin.createTopic(topicRequest('t', { partitions: 2, configs: [['flush.ms', '7']] }))
  let onDiskBefore: unknown
  host.beforeApply = async () => {
    onDiskBefore = await stored(directory, 't')
  }
  await admin.alterTopicConfigs(
    't',
    steps(['set', 'segment.bytes', '4096'], ['delete', 'flush.ms', null]),
  )
  expect(onDiskBefore).toEqual({ 'segment.bytes': '4096' })
  expect(ownOf(fixture, 't')).toEqual({ 'segment.bytes': '4096' })
  expect(topics.get('t')?.log).toMatchObject({ segmentBytesMax: 4096, flushMs: 3000 })
  for (const partition of ['t-0', 't-1'])
    expect(host.applied.get(partition), partition).toBe(topics.get('t')?.log)
  // New partitions begin with it, and so does the next process.
  const again = await startAdmin(directory)
  expect(again.topics.get('t')?.log.segmentBytesMax).toBe(4096)
})

test('lists: append adds what is missing to what is in force, subtract takes away', async () => {
  const fixture = await startAdmin(await tempDirectory(), ['log.cleanup.policy=compact'])
  const { admin } = fixture
  await admin.createTopic(topicRequest('t'))
  const policyAfter = async (operation: 'append' | 'subtract', text: string) => {
    await admin.alterTopicConfigs('t', steps([operation, 'cleanup.policy', text]))
    return ownOf(fixture, 't')['cleanup.policy']
  }
  expect(await policyAfter('append', 'delete'), 'on top of the broker’s').toBe('compact,delete')
  expect(await policyAfter('append', ' compact , delete')).toBe('compact,delete')
  expect(await policyAfter('subtract', 'compact')).toBe('delete')
  const throttled = 'leader.replication.throttled.replicas'
  await admin.alterTopicConfigs('t', steps(['append', throttled, '0:1,1:1']))
  await admin.alterTopicConfigs('t', steps(['subtract', throttled, '0:1,9:9']))
  expect(ownOf(fixture, 't')).toEqual({ 'cleanup.policy': 'delete', [throttled]: '1:1' })
})

test('a replacement forgets what it does not name', async () => {
  const fixture = await startAdmin(await tempDirectory())
  const configs: [string, string][] = [
    ['retention.ms', '5'],
    ['segment.bytes', '2048'],
  ]
  await fixture.admin.createTopic(topicRequest('t', { configs }))
  await fixture.admin.alterTopicConfigs('t', { all: [['segment.bytes', '4096']] })
  expect(ownOf(fixture, 't')).toEqual({ 'segment.bytes': '4096' })
  await fixture.admin.alterTopicConfigs('t', { all: [] })
  expect(ownOf(fixture, 't')).toEqual({})
})

test('what is wrong is refused whole, with the reason', async () => {
  const fixture = await startAdmin(await tempDirectory())
  const { admin, host } = fixture
  await admin.createTopic(topicRequest('t', { configs: [['retention.ms', '5']] }))
  const invalid = Errors.INVALID_CONFIG
  const badRequest = Errors.INVALID_REQUEST
  const good: [ConfigStep['operation'], string, string] = ['set', 'flush.ms', '1']
  const cases: [ConfigChange, number, string][] = [
    [steps(good, ['set', 'retention.msec', '1']), invalid, 'did you mean retention.ms?'],
    [steps(good, ['delete', 'retention.msec', null]), invalid, 'did you mean retention.ms?'],
    [steps(good, ['append', 'clean.policy', 'x']), invalid, 'did you mean cleanup.policy?'],
    [steps(good, ['set', 'retention.ms', 'soon']), invalid, '"soon"'],
    [steps(good, ['set', 'retention.ms', null]), badRequest, 'Null is no value'],
    [steps(good, ['append', 'cleanup.policy', null]), badRequest, 'Null is no value'],
    [steps(good, ['append', 'retention.ms', '1']), invalid, 'it is not a list'],
    [steps(good, ['append', 'cleanup.policy', 'burn']), invalid, 'cleanup.policy'],
    [steps(good, ['subtract', 'cleanup.policy', 'delete']), invalid, 'cleanup.policy'],
    [steps(good, ['delete', 'flush.ms', null]), badRequest, 'given twice'],
    [
      steps(good, ['set', 'min.compaction.lag.ms', '9'], ['set', 'max.compaction.lag.ms', '8']),
      invalid,
      'must not exceed',
    ],
    [steps(good, ['set', 'remote.storage.enable', 'true']), invalid, 'tiered storage'],
    [
      steps(good, ['set', 'follower.replication.throttled.replicas', 'x'.repeat(40_000)]),
      invalid,
      'follower',
    ],
    [
      {
        all: [
          ['flush.ms', '1'],
          ['flush.ms', '2'],
        ],
      },
      badRequest,
      'given twice',
    ],
    [{ all: [['flush.ms', null]] }, badRequest, 'Null is no value'],
    [{ all: [['flash.ms', '1']] }, invalid, 'did you mean flush.ms?'],
  ]
  for (const [change, code, part] of cases) {
    const error = await refusalOf(admin.alterTopicConfigs('t', change))
    expect(error.message).toContain(part)
    expect(error.code, error.message).toBe(code)
    expect(error.message.length).toBeLessThan(400)
  }
  const gone = await refusalOf(admin.alterTopicConfigs('nope', steps(good)))
  expect(gone.code).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
  expect(ownOf(fixture, 't')).toEqual({ 'retention.ms': '5' })
  expect(host.applied.size).toBe(0)
})

test('only asking whether it would do, and what changes nothing, touch neither disk nor logs', async () => {
  const directory = await tempDirectory()
  const files = new FileTopicStore(directory)
  let saves = 0
  const store = {
    load: () => files.load(),
    save: (records: Parameters<typeof files.save>[0]) => {
      saves++
      return files.save(records)
    },
  }
  const fixture = await startAdmin(directory, [], store)
  const { admin, host } = fixture
  await admin.createTopic(topicRequest('t', { configs: [['flush.ms', '7']] }))
  saves = 0
  await admin.alterTopicConfigs('t', steps(['set', 'flush.ms', '8']), true)
  await refusalOf(admin.alterTopicConfigs('t', steps(['set', 'flush.ms', 'x']), true))
  await admin.alterTopicConfigs('t', steps(['set', 'flush.ms', '7'], ['delete', 'segment.ms', '']))
  expect({ saves, applied: host.applied.size }).toEqual({ saves: 0, applied: 0 })
  expect(ownOf(fixture, 't')).toEqual({ 'flush.ms': '7' })
})

test('a config that another version stored can be taken away, though its name means nothing here', async () => {
  const directory = await tempDirectory()
  const first = await startAdmin(directory)
  await first.admin.createTopic(topicRequest('t'))
  const [record] = await new FileTopicStore(directory).load()
  await new FileTopicStore(directory).save([{ ...record, configs: [['of.the.future', '1']] }])
  const fixture = await startAdmin(directory)
  await fixture.admin.alterTopicConfigs('t', steps(['delete', 'of.the.future', null]))
  expect(await stored(directory, 't')).toEqual({})
})

test('changes of one topic that come together all count', async () => {
  const directory = await tempDirectory()
  const fixture = await startAdmin(directory)
  const { admin, host, topics } = fixture
  await admin.createTopic(topicRequest('t'))
  // The slower first one would win if they did not wait for each other.
  let delays = 20
  host.beforeApply = () => new Promise(resolve => setTimeout(resolve, delays-- / 4))
  const names = ['flush.ms', 'segment.bytes', 'retention.ms', 'flush.messages', 'segment.ms']
  const changes = Array.from({ length: 20 }, (_, i) =>
    admin.alterTopicConfigs('t', steps(['set', names[i % 5], `${2000 + i}`])),
  )
  await Promise.all([
    ...changes,
    admin.createPartitions({ name: 't', count: 3, assignments: null }),
  ])
  const wanted = Object.fromEntries(names.map((name, i) => [name, `${2015 + i}`]))
  expect(ownOf(fixture, 't')).toEqual(wanted)
  expect(await stored(directory, 't')).toEqual(wanted)
  expect(host.applied.get('t-0')).toBe(topics.get('t')?.log)
  expect(topics.get('t')?.log.segmentBytesMax).toBe(2016)
})

test('a change that cannot be stored has not happened', async () => {
  const directory = await tempDirectory()
  const files = new FileTopicStore(directory)
  let isFull = false
  const store = {
    load: () => files.load(),
    save: (records: Parameters<typeof files.save>[0]) =>
      isFull ? Promise.reject(new Error('ENOSPC')) : files.save(records),
  }
  const fixture = await startAdmin(directory, [], store)
  const { admin, host } = fixture
  await admin.createTopic(topicRequest('t', { configs: [['flush.ms', '7']] }))
  isFull = true
  const error = await refusalOf(admin.alterTopicConfigs('t', steps(['set', 'flush.ms', '8'])))
  expect(error.code).toBe(Errors.KAFKA_STORAGE_ERROR)
  expect(error.message).toContain('ENOSPC')
  expect(host.applied.size).toBe(0)
  isFull = false
  // What is stored next must not smuggle it in.
  await admin.createTopic(topicRequest('other'))
  expect(await stored(directory, 't')).toEqual({ 'flush.ms': '7' })
  expect(ownOf(fixture, 't')).toEqual({ 'flush.ms': '7' })
})

test('describing after a change gives value, source and synonyms as they are now', async () => {
  const { admin } = await startAdmin(await tempDirectory(), ['log.retention.ms=1000'])
  await admin.createTopic(topicRequest('t'))
  await admin.alterTopicConfigs(
    't',
    steps(['set', 'retention.ms', ' 60000 '], ['set', 'cleanup.policy', 'compact , delete']),
  )
  const describe = () =>
    new Map(admin.describeTopicConfigs('t', null).map(entry => [entry.name, entry]))
  const { TOPIC, STATIC_BROKER, DEFAULT } = ConfigSource
  expect(describe().get('retention.ms')).toMatchObject({
    value: '60000',
    source: TOPIC,
    readOnly: false,
    synonyms: [
      { name: 'retention.ms', value: '60000', source: TOPIC },
      { name: 'log.retention.ms', value: '1000', source: STATIC_BROKER },
      { name: 'log.retention.ms', value: '604800000', source: DEFAULT },
    ],
  })
  expect(describe().get('cleanup.policy')?.value).toBe('compact,delete')
  await admin.alterTopicConfigs('t', steps(['delete', 'retention.ms', null]))
  expect(describe().get('retention.ms')).toMatchObject({ value: '1000', source: STATIC_BROKER })
  expect(describe().get('flush.ms')).toMatchObject({ value: '3000', source: DEFAULT })
})

test('the broker’s own topics are marked for their logs', async () => {
  const directory = await tempDirectory()
  const store = new FileTopicStore(directory)
  const first = await startAdmin(directory, [], store)
  await first.admin.createTopic(topicRequest('t'))
  const [record] = await store.load()
  await store.save([record, { ...record, name: '__consumer_offsets', id: `${'A'.repeat(21)}w` }])
  const { topics } = await startAdmin(directory)
  expect(topics.get('__consumer_offsets')?.log.isInternal).toBe(true)
  expect(topics.get('t')?.log.isInternal).toBe(false)
})

test('IncrementalAlterConfigs and AlterConfigs answer one row per resource in every version', async () => {
  const apis = await startApis(await tempDirectory())
  await apis.admin.createTopic(topicRequest('t'))
  const topic = 2
  const broker = 4
  const setTo = (name: string, value: string | null, configOperation = 0) => [
    { name, value, configOperation },
  ]
  const asked: [number, string, ReturnType<typeof setTo>, number, string | null][] = [
    [topic, 't', setTo('retention.ms', '9'), Errors.NONE, null],
    [topic, 'nope', setTo('retention.ms', '9'), Errors.UNKNOWN_TOPIC_OR_PARTITION, 'nope'],
    [topic, '', setTo('retention.ms', '9'), Errors.INVALID_TOPIC_EXCEPTION, 'empty'],
    [broker, `${nodeId}`, setTo('log.retention.ms', '9'), Errors.INVALID_REQUEST, '--set'],
    [broker, '', setTo('log.retenton.ms', '9'), Errors.INVALID_REQUEST, 'did you mean log.ret'],
    [broker, '77', setTo('log.retention.ms', '9'), Errors.INVALID_REQUEST, 'Unexpected broker id'],
    [8, `${nodeId}`, setTo('x', '9'), Errors.INVALID_REQUEST, 'Resource type 8 has no configs'],
  ]
  const resources = asked.map(([resourceType, resourceName, configs]) => ({
    resourceType,
    resourceName,
    configs,
  }))
  for (const row of [incrementalAlterConfigs, alterConfigs] as const) {
    for (const version of versionsOf(row)) {
      await apis.admin.alterTopicConfigs('t', { all: [] })
      const request = { resources, validateOnly: false }
      const answer = await (row === alterConfigs
        ? apis.ask(alterConfigs, version, request)
        : apis.ask(incrementalAlterConfigs, version, request))
      for (const [i, [resourceType, resourceName, , errorCode, part]] of asked.entries()) {
        const got = answer.responses[i]
        expect(got).toMatchObject({ resourceType, resourceName, errorCode })
        if (part === null) expect(got.errorMessage).toBe(null)
        else expect(got.errorMessage).toContain(part)
      }
      expect(ownOf(apis, 't')).toEqual({ 'retention.ms': '9' })
    }
  }
})

test('a resource given twice is refused once; an operation there is not, too', async () => {
  const apis = await startApis(await tempDirectory())
  for (const name of ['t', 'u']) await apis.admin.createTopic(topicRequest(name))
  const resource = (resourceName: string, configOperation: number) => ({
    resourceType: 2,
    resourceName,
    configs: [{ name: 'flush.ms', configOperation, value: '1' }],
  })
  const { responses } = await apis.ask(incrementalAlterConfigs, 1, {
    resources: [resource('t', 0), resource('u', 4), resource('t', 0)],
    validateOnly: false,
  })
  expect(responses).toHaveLength(2)
  expect(responses[0]).toMatchObject({
    resourceName: 't',
    errorCode: Errors.INVALID_REQUEST,
    errorMessage: expect.stringContaining('each resource must appear once'),
  })
  expect(responses[1].errorMessage).toContain('Unknown operation 4')
  expect([ownOf(apis, 't'), ownOf(apis, 'u')]).toEqual([{}, {}])
  const nothing = await apis.ask(incrementalAlterConfigs, 1, {
    resources: [{ resourceType: 4, resourceName: '', configs: [] }],
    validateOnly: false,
  })
  expect(nothing.responses[0].errorCode, 'nothing to change').toBe(Errors.NONE)
})
