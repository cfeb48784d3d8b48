/** Creating, deleting and growing topics: order on disk, concurrency, refusals, and what failures leave behind. */
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Errors, KafkaError } from '../../src/protocol/errors.ts'
import { FileTopicStore, type TopicRecord } from '../../src/topics/topic-store.ts'
import { newUuid } from '../../src/topics/uuid.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { codeOf, nodeId, startAdmin, topicRequest, visible } from './admin-fixture.ts'

const onDisk = (directory: string) => new FileTopicStore(directory).load()
const partitionDirectories = async (directory: string) =>
  (await readdir(directory)).filter(name => /-\d+$/.test(name)).sort()

test('metadata is durable before directories are made, directories before the reply', async () => {
  const directory = await tempDirectory()
  const { admin, host, topics } = await startAdmin(directory)
  host.beforeOpen = async name => {
    expect((await onDisk(directory)).map(record => record.name)).toContain(name)
    expect(await partitionDirectories(directory)).toEqual([])
    expect(topics.get(name), 'not visible before its logs are open').toBe(undefined)
  }
  const configs: [string, string][] = [['retention.ms', '5']]
  const created = await admin.createTopic(topicRequest('t', { partitions: 2, configs }))
  expect(host.opens).toBe(1)
  expect(await partitionDirectories(directory)).toEqual(['t-0', 't-1'])
  const topic = topics.get('t')
  expect(topic?.id).toBe(created.id)
  expect(topics.byId(created.id as string)).toBe(topic)
  expect(topic?.log.segmentBytesMax).toBe(1024 ** 3)
  expect(topics.partition('t', 1)?.index).toBe(1)
  expect(topics.partition('t', 2)).toBe(undefined)
})

test('a restart finds the same topics in the same order', async () => {
  const directory = await tempDirectory()
  const first = await startAdmin(directory)
  const configs: [string, string][] = [['segment.bytes', '2048']]
  for (const name of ['z', 'a', '__proto__'])
    await first.admin.createTopic(topicRequest(name, { partitions: 2, configs }))
  await first.admin.createPartitions({ name: 'a', count: 5, assignments: null })
  const second = await startAdmin(directory)
  expect(visible(second.topics)).toEqual(visible(first.topics))
  expect(second.topics.get('a')?.partitions).toHaveLength(5)
  expect(second.topics.get('z')?.log.segmentBytesMax).toBe(2048)
})

test('concurrent auto-creations share one, concurrent creations have one winner', async () => {
  const { admin, topics, host } = await startAdmin(await tempDirectory(), ['num.partitions=4'])
  const ensured = await Promise.all(Array.from({ length: 20 }, () => admin.ensureTopic('auto')))
  expect(new Set(ensured).size).toBe(1)
  expect(ensured[0]).toBe(topics.get('auto'))
  expect(ensured[0].partitions).toHaveLength(4)
  expect(host.opens).toBe(1)
  const codes = await Promise.all(
    Array.from({ length: 5 }, () => codeOf(admin.createTopic(topicRequest('raced')))),
  )
  const lost = Errors.TOPIC_ALREADY_EXISTS
  expect(codes.sort((a, b) => a - b)).toEqual([0, lost, lost, lost, lost])
})

test('many creations at once are saved together', async () => {
  const directory = await tempDirectory()
  const files = new FileTopicStore(directory)
  let saves = 0
  let running = 0
  const store = {
    load: () => files.load(),
    async save(records: readonly TopicRecord[]) {
      saves++
      expect(++running, 'saves do not overlap').toBe(1)
      await files.save(records)
      running--
    },
  }
  const { admin } = await startAdmin(directory, [], store)
  const names = Array.from({ length: 100 }, (_, index) => `t${index}`)
  await Promise.all(names.map(name => admin.createTopic(topicRequest(name))))
  expect(saves).toBeLessThan(10)
  expect((await onDisk(directory)).map(record => record.name)).toEqual(names)
})

test('refusals have Kafka’s codes and change nothing', async () => {
  const directory = await tempDirectory()
  const { admin, topics, host } = await startAdmin(directory, ['max.partitions=10'])
  await admin.createTopic(topicRequest('there', { partitions: 2 }))
  await admin.createTopic(topicRequest('with.dot'))
  const before = visible(topics)
  const assignments = (...brokers: number[][]) => ({
    partitions: -1,
    replicationFactor: -1,
    assignments: brokers.map((brokerIds, partition) => ({ partition, brokerIds })),
  })
  const gap = { ...assignments([nodeId]), assignments: [{ partition: 1, brokerIds: [nodeId] }] }
  const twice = assignments([nodeId], [nodeId])
  twice.assignments[1].partition = 0
  const cases: [string, object, number][] = [
    ['there', {}, Errors.TOPIC_ALREADY_EXISTS],
    ['with_dot', {}, Errors.INVALID_TOPIC_EXCEPTION],
    ['a/b', {}, Errors.INVALID_TOPIC_EXCEPTION],
    ['..', {}, Errors.INVALID_TOPIC_EXCEPTION],
    ['', {}, Errors.INVALID_TOPIC_EXCEPTION],
    ['__consumer_offsets', {}, Errors.INVALID_TOPIC_EXCEPTION],
    ['new', { partitions: 0 }, Errors.INVALID_PARTITIONS],
    ['new', { partitions: -2 }, Errors.INVALID_PARTITIONS],
    ['new', { partitions: 2 ** 31 - 1 }, Errors.POLICY_VIOLATION],
    ['new', { partitions: 8 }, Errors.POLICY_VIOLATION],
    ['new', { replicationFactor: 0 }, Errors.INVALID_REPLICATION_FACTOR],
    ['new', { replicationFactor: -2 }, Errors.INVALID_REPLICATION_FACTOR],
    ['new', { replicationFactor: 2 }, Errors.INVALID_REPLICATION_FACTOR],
    ['new', { ...assignments([nodeId]), partitions: 1 }, Errors.INVALID_REQUEST],
    ['new', { ...assignments([nodeId]), replicationFactor: 1 }, Errors.INVALID_REQUEST],
    ['new', assignments([nodeId + 1]), Errors.INVALID_REPLICA_ASSIGNMENT],
    ['new', assignments([nodeId, nodeId]), Errors.INVALID_REPLICA_ASSIGNMENT],
    ['new', assignments([]), Errors.INVALID_REPLICA_ASSIGNMENT],
    ['new', gap, Errors.INVALID_REPLICA_ASSIGNMENT],
    ['new', twice, Errors.INVALID_REPLICA_ASSIGNMENT],
    ['new', { configs: [['retention.ms', 'x']] }, Errors.INVALID_CONFIG],
    ['new', { configs: [['no.such', '1']] }, Errors.INVALID_CONFIG],
    ['new', { configs: [['retention.ms', null]] }, Errors.INVALID_CONFIG],
  ]
  const opens = host.opens
  for (const [name, more, code] of cases)
    for (const validateOnly of [true, false]) {
      const request = topicRequest(name, { ...more, validateOnly })
      const what = `${name} ${JSON.stringify(more)} validateOnly=${validateOnly}`
      expect(await codeOf(admin.createTopic(request)), what).toBe(code)
    }
  expect(host.opens).toBe(opens)
  expect(visible(topics)).toEqual(before)
  expect(visible((await startAdmin(directory)).topics)).toEqual(before)
  await admin.createTopic(topicRequest('last', { partitions: 7 }))
})

test('validateOnly creates nothing, assignments and -1 are resolved', async () => {
  const { admin, topics } = await startAdmin(await tempDirectory(), ['num.partitions=6'])
  const defaults = { partitions: -1, replicationFactor: -1 }
  const asked = topicRequest('v', { ...defaults, validateOnly: true })
  expect(await admin.createTopic(asked)).toMatchObject({ id: null, partitions: 6 })
  expect(topics.size).toBe(0)
  const assignments = [1, 0].map(partition => ({ partition, brokerIds: [nodeId] }))
  const created = await admin.createTopic(topicRequest('v', { ...defaults, assignments }))
  expect(created).toMatchObject({ partitions: 2, replicationFactor: 1 })
  expect(topics.get('v')?.partitions).toHaveLength(2)
})

test('a deleted topic is gone with its files, and its name is free for a new id', async () => {
  const directory = await tempDirectory()
  const { admin, topics, host } = await startAdmin(directory)
  const { id } = await admin.createTopic(topicRequest('t', { partitions: 2 }))
  const deletion = admin.deleteTopic({ id: id as string })
  const recreation = admin.createTopic(topicRequest('t'))
  expect(await deletion).toEqual({ name: 't', id })
  const { id: newId } = await recreation
  expect(newId).not.toBe(id)
  expect(await partitionDirectories(directory)).toEqual(['t-0'])
  expect(topics.byId(id as string)).toBe(undefined)
  await admin.deleteTopic({ name: 't' })
  expect(await partitionDirectories(directory)).toEqual([])
  expect(await onDisk(directory)).toEqual([])
  expect(host.opens).toBe(2)
  expect(await codeOf(admin.deleteTopic({ name: 't' }))).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
  expect(await codeOf(admin.deleteTopic({ id: newUuid() }))).toBe(Errors.UNKNOWN_TOPIC_ID)
})

test('deletion can be switched off', async () => {
  const { admin, topics } = await startAdmin(await tempDirectory(), ['delete.topic.enable=false'])
  await admin.createTopic(topicRequest('t'))
  expect(await codeOf(admin.deleteTopic({ name: 't' }))).toBe(Errors.TOPIC_DELETION_DISABLED)
  expect(topics.size).toBe(1)
})

test('a topic grows and never shrinks', async () => {
  const directory = await tempDirectory()
  const { admin, topics } = await startAdmin(directory, ['max.partitions=8'])
  await admin.createTopic(topicRequest('t', { partitions: 2 }))
  const grow = (count: number, assignments: number[][] | null = null, validateOnly = false) =>
    codeOf(admin.createPartitions({ name: 't', count, assignments, validateOnly }))
  expect(await grow(4, null, true)).toBe(0)
  expect(topics.get('t')?.partitions).toHaveLength(2)
  for (const count of [2, 1, 0, -1]) expect(await grow(count)).toBe(Errors.INVALID_PARTITIONS)
  expect(await grow(9)).toBe(Errors.POLICY_VIOLATION)
  expect(await grow(4, [[nodeId]])).toBe(Errors.INVALID_REPLICA_ASSIGNMENT)
  expect(await grow(3, [[nodeId + 1]])).toBe(Errors.INVALID_REPLICA_ASSIGNMENT)
  expect(await grow(4, [[nodeId], [nodeId]])).toBe(0)
  const codes = await Promise.all([grow(6), grow(6), grow(8)])
  expect(codes).toEqual([0, Errors.INVALID_PARTITIONS, 0])
  const indexes = topics.get('t')?.partitions.map(({ index }) => index)
  expect(indexes).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  expect((await onDisk(directory))[0].partitions).toBe(8)
  const unknown = { name: 'u', count: 2, assignments: null }
  expect(await codeOf(admin.createPartitions(unknown))).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
})

test('a creation whose logs cannot be made is undone and can be tried again', async () => {
  const directory = await tempDirectory()
  const { admin, topics, host } = await startAdmin(directory)
  const failures: [() => void, number][] = [
    [() => host.offline.add('t-1'), Errors.KAFKA_STORAGE_ERROR],
    [() => (host.failOpen = new Error('thread died')), Errors.KAFKA_STORAGE_ERROR],
    [
      () => (host.failOpen = new KafkaError(Errors.POLICY_VIOLATION, 'no slot')),
      Errors.POLICY_VIOLATION,
    ],
  ]
  for (const [fail, code] of failures) {
    fail()
    expect(await codeOf(admin.createTopic(topicRequest('t', { partitions: 2 })))).toBe(code)
    expect(await codeOf(admin.ensureTopic('u'))).toBe(host.failOpen === null ? 0 : code)
    host.offline.clear()
    host.failOpen = null
    expect(topics.get('t')).toBe(undefined)
    expect(await partitionDirectories(directory)).not.toContain('t-0')
    expect((await onDisk(directory)).map(({ name }) => name)).not.toContain('t')
    if (topics.get('u') !== undefined) await admin.deleteTopic({ name: 'u' })
  }
  await admin.createTopic(topicRequest('t', { partitions: 2 }))
  expect(topics.size).toBe(1)
})

test('when metadata cannot be saved nothing is created, deleted or grown', async () => {
  const directory = await tempDirectory()
  const files = new FileTopicStore(directory)
  let full = false
  const store = {
    load: () => files.load(),
    save: (records: readonly TopicRecord[]) =>
      full ? Promise.reject(new Error('ENOSPC: no space left')) : files.save(records),
  }
  const { admin, topics } = await startAdmin(directory, [], store)
  await admin.createTopic(topicRequest('t', { partitions: 2 }))
  const before = visible(topics)
  full = true
  const grown = { name: 't', count: 3, assignments: null }
  const operations = [
    () => admin.createTopic(topicRequest('u')),
    () => admin.ensureTopic('u'),
    () => admin.deleteTopic({ name: 't' }),
    () => admin.createPartitions(grown),
  ]
  for (const operation of operations)
    expect(await codeOf(operation())).toBe(Errors.KAFKA_STORAGE_ERROR)
  expect(visible(topics)).toEqual(before)
  full = false
  await admin.createPartitions(grown)
  await admin.deleteTopic({ name: 't' })
  await admin.createTopic(topicRequest('u'))
  expect((await onDisk(directory)).map(({ name }) => name)).toEqual(['u'])
})

test('a deletion that failed half-way keeps the name until the next start finishes it', async () => {
  const directory = await tempDirectory()
  const first = await startAdmin(directory)
  await first.admin.createTopic(topicRequest('t', { partitions: 3 }))
  await first.admin.createTopic(topicRequest('kept'))
  first.host.failDelete = new Error('thread died')
  expect(await codeOf(first.admin.deleteTopic({ name: 't' }))).toBe(Errors.KAFKA_STORAGE_ERROR)
  expect(first.topics.get('t')).toBe(undefined)
  const again = first.admin.createTopic(topicRequest('t'))
  expect(await codeOf(again)).toBe(Errors.TOPIC_ALREADY_EXISTS)
  expect(await partitionDirectories(directory)).toHaveLength(4)
  // Another topic's directory where one of ours was: it must survive.
  await mkdir(join(directory, 't-2'), { recursive: true })
  const foreign = `version: 0\ntopic_id: ${newUuid()}\n`
  await writeFile(join(directory, 't-2', 'partition.metadata'), foreign)
  const second = await startAdmin(directory)
  expect(await partitionDirectories(directory)).toEqual(['kept-0', 't-2'])
  expect(second.admin.listTopics().map(({ name }) => name)).toEqual(['kept'])
  await second.admin.createTopic(topicRequest('t'))
})
