/**
 * Every limit on what clients can make the broker hold: set low, it is enforced, with Kafka's own code where the
 * protocol has a place for one, and closing the connection where it has none. A limit without a case fails, and so does
 * one that docs/limits.md does not tell of.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { formatValue, parseValue } from '../../src/config/kinds.ts'
import { settings } from '../../src/config/settings.ts'
import { labelled, Metric } from '../../src/metrics.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { Heartbeat } from '../../src/protocol/messages/heartbeat.ts'
import { ListOffsets } from '../../src/protocol/messages/list-offsets.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { encodeBatch } from '../../src/protocol/record-batch.ts'
import { commit } from '../groups/offsets-kit.ts'
import { Member } from '../groups/wire-kit.ts'
import { parsePrometheus } from '../http/prometheus-text.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRequest,
  fetchRow,
  lookUp,
  produce,
  recordsOf,
  store,
  testBroker,
} from './fixture.ts'

const MIB = 1024 * 1024
const root = new URL('../../', import.meta.url)
const zeroUuid = 'AAAAAAAAAAAAAAAAAAAAAA'

async function limited(set: Readonly<Record<string, number>>) {
  const broker = await testBroker({ set, workers: 1 })
  const count = (id: number) => broker.parts.services.metrics.get(id)
  return { broker, count, client: await connect(broker) }
}

const metadataOf = (topics: number) => ({
  topics: Array.from({ length: topics }, () => ({ topicId: zeroUuid, name: 'nope' })),
  allowAutoTopicCreation: false,
  includeClusterAuthorizedOperations: false,
  includeTopicAuthorizedOperations: false,
})
const askMetadata = (client: WireClient, topics: number) =>
  client.request(Metadata, 12, metadataOf(topics))

const askOffsets = (client: WireClient, partitions: number) =>
  client.request(ListOffsets, 9, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [
      {
        name: 'nope',
        partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({
          partitionIndex,
          currentLeaderEpoch: -1,
          timestamp: -1,
          maxNumOffsets: 1,
        })),
      },
    ],
  })

/** Heartbeat 4 with a tag section of our own at its end. */
async function beatWithTags(client: WireClient, tags: readonly number[]): Promise<number> {
  const message = { groupId: 'g', memberId: 'm', generationId: 1, groupInstanceId: null }
  const call = { schema: Heartbeat, version: 4, message }
  const frame = client.frame(call, { correlationId: 7 })
  const bytes = Buffer.concat([frame.subarray(0, -1), Buffer.from(tags)])
  bytes.writeInt32BE(bytes.length - 4)
  client.write(bytes)
  return (await client.answer(Heartbeat, 4, 7)).errorCode
}

/** Does what is allowed, then what is not: the connection is closed and the frame counted. */
async function closesOn(
  set: Readonly<Record<string, number>>,
  allowed: (client: WireClient) => Promise<unknown>,
  forbidden: (client: WireClient) => Promise<unknown>,
): Promise<void> {
  const { client, count } = await limited(set)
  await allowed(client)
  await expect(forbidden(client)).rejects.toThrow('closed')
  expect(count(labelled('framesRejected', 'malformed'))).toBe(1)
}

const member = (client: WireClient, groupId = 'g') => new Member(client, groupId)
const joinCode = async (client: WireClient, options: object = {}, groupId = 'g') =>
  (await member(client, groupId).join(options)).errorCode
const metadataOfBytes = (size: number) => ({
  protocols: [{ name: 'range', metadata: Buffer.alloc(size) }],
})

const cases: Readonly<Record<string, () => Promise<void>>> = {
  async 'socket.request.max.bytes'() {
    const { client, count } = await limited({
      'socket.request.max.bytes': 65_536,
      'message.max.bytes': 60_000,
    })
    client.write(Buffer.from([0, 1, 0, 1]))
    await client.closed
    expect(count(labelled('framesRejected', 'size'))).toBe(1)
  },
  'request.topics.max': () =>
    closesOn(
      { 'request.topics.max': 2 },
      client => askMetadata(client, 2),
      client => askMetadata(client, 3),
    ),
  'request.partitions.max': () =>
    closesOn(
      { 'request.partitions.max': 2 },
      client => askOffsets(client, 2),
      client => askOffsets(client, 3),
    ),
  'request.elements.max': () =>
    closesOn(
      { 'request.elements.max': 3 },
      client => askOffsets(client, 2),
      client => askOffsets(client, 3),
    ),
  'request.tags.max': () =>
    closesOn(
      { 'request.tags.max': 1 },
      client => beatWithTags(client, [1, 5, 0]),
      client => beatWithTags(client, [2, 5, 0, 6, 0]),
    ),
  'request.tag.bytes.max': () =>
    closesOn(
      { 'request.tag.bytes.max': 8 },
      client => beatWithTags(client, [1, 5, 5, 1, 2, 3, 4, 5]),
      client => beatWithTags(client, [1, 5, 6, 1, 2, 3, 4, 5, 6]),
    ),
  async 'id.max.bytes'() {
    const { broker, client } = await limited({ 'id.max.bytes': 36 })
    const long = 'x'.repeat(37)
    const topic = await createTopic(client)
    expect(await joinCode(client, {}, long)).toBe(Errors.INVALID_GROUP_ID)
    expect(await joinCode(client, { groupInstanceId: long })).toBe(Errors.INVALID_REQUEST)
    expect(await commit(client, long, { [`${topic}-0`]: 1 })).toEqual({
      [`${topic}-0`]: Errors.INVALID_GROUP_ID,
    })
    expect(await commit(client, long.slice(1), { [`${topic}-0`]: 1 })).toEqual({
      [`${topic}-0`]: Errors.NONE,
    })
    const call = { schema: Metadata, version: 12, message: metadataOf(0) }
    client.write(client.frame(call, { correlationId: 1, clientId: long.slice(1) }))
    await client.answer(Metadata, 12, 1)
    const stranger = await connect(broker)
    stranger.write(stranger.frame(call, { correlationId: 1, clientId: long }))
    await stranger.closed
  },
  async 'decompressed.max.bytes'() {
    const { client } = await limited({ 'decompressed.max.bytes': MIB })
    const bomb = (timestampMs: number) => {
      const value = Buffer.alloc(MIB)
      const records = [0, 1].map(at => ({
        key: Buffer.of(at),
        value: value.subarray(at * 64),
        timestampMs: timestampMs + at,
      }))
      return encodeBatch({ codec: 'gzip', records })
    }
    const compacted = await createTopic(client, { configs: { 'cleanup.policy': 'compact' } })
    const row = await produce(client, compacted, bomb(1000))
    expect(row.errorCode).toBe(Errors.INVALID_RECORD)
    expect(row.errorMessage).toContain(`within ${MIB} bytes (decompressed.max.bytes)`)
    // Where nobody looks inside it is stored as it came; a search by time looks.
    const plain = await createTopic(client)
    await store(client, plain, bomb(1000))
    expect((await lookUp(client, plain, 1001)).errorCode).toBe(Errors.CORRUPT_MESSAGE)
    expect((await lookUp(client, plain, 1000)).offset).toBe(0)
  },
  async 'fetch.max.bytes'() {
    const { client } = await limited({ 'fetch.max.bytes': 2048 })
    const topic = await createTopic(client)
    for (const letter of ['a', 'b', 'c']) await store(client, topic, batchOf([letter.repeat(900)]))
    expect(recordsOf(await fetchRow(client, topic))).toHaveLength(2)
  },
  async 'max.incremental.fetch.session.cache.slots'() {
    const { client } = await limited({ 'max.incremental.fetch.session.cache.slots': 1 })
    const topic = await createTopic(client)
    const ask = () => client.request(Fetch, 12, fetchRequest(topic, { sessionEpoch: 0 }))
    const [first, second] = [await ask(), await ask()]
    expect(first.sessionId).not.toBe(0)
    // It is served all the same, without a session.
    expect(second).toMatchObject({ errorCode: Errors.NONE, sessionId: 0 })
  },
  async 'max.connections'() {
    const { broker, client, count } = await limited({ 'max.connections': 1 })
    const second = await connect(broker)
    await second.closed
    expect(count(Metric.connectionsRejected)).toBe(1)
    await askMetadata(client, 1)
  },
  async 'max.connections.per.ip'() {
    const { broker, client, count } = await limited({ 'max.connections.per.ip': 2 })
    const second = await connect(broker)
    await askMetadata(second, 1)
    const third = await connect(broker)
    await third.closed
    expect(count(Metric.connectionsRejected)).toBe(1)
    second.close()
    await expect.poll(() => broker.connections).toBe(1)
    await askMetadata(await connect(broker), 1)
    await askMetadata(client, 1)
  },
  async 'max.connection.creation.rate'() {
    const { broker, client, count } = await limited({ 'max.connection.creation.rate': 4 })
    const clients = await Promise.all(Array.from({ length: 7 }, () => connect(broker)))
    clients.at(-1)?.close()
    await Promise.all([client, ...clients.slice(0, -1)].map(one => askMetadata(one, 1)))
    expect(count(Metric.connectionsDelayed)).toBeGreaterThan(0)
    expect(count(Metric.connectionsRejected)).toBe(0)
    await expect.poll(() => broker.connections).toBe(7)
  },
  async 'connections.max.idle.ms'() {
    const { client, count } = await limited({ 'connections.max.idle.ms': 1000 })
    await client.closed
    expect(count(labelled('connectionsClosed', 'idle'))).toBe(1)
  },
  'connection.backlog.bytes': () => backlogIsBounded({ 'connection.backlog.bytes': MIB }, 1),
  'connections.backlog.bytes': () =>
    backlogIsBounded({ 'connection.backlog.bytes': MIB, 'connections.backlog.bytes': MIB }, 3),
  async 'max.partitions'() {
    const { client } = await limited({ 'max.partitions': 3 })
    await createTopic(client, { partitions: 3 })
    await expect(createTopic(client)).rejects.toThrow('raise max.partitions')
  },
  async 'metric.labels.max'() {
    const broker = await testBroker({ set: { 'metric.labels.max': 2 }, workers: 1, http: true })
    const client = await connect(broker)
    const topic = await createTopic(client)
    await store(client, topic, batchOf(['a', 'b', 'c', 'd']))
    // One has the name of the rest.
    for (const [committed, group] of ['other', 'g', 'h', 'i'].entries())
      await commit(client, group, { [`${topic}-0`]: committed })
    const text = await (await fetch(`${broker.httpUrl}/metrics`)).text()
    const lags = parsePrometheus(text).get('odradek_group_lag_records')?.samples ?? []
    expect(lags.map(({ labels, value }) => [labels.get('group'), value])).toEqual([
      ['other', 4 + 2 + 1],
      ['g', 3],
    ])
  },
  async 'message.max.bytes'() {
    const { client } = await limited({ 'message.max.bytes': 1000 })
    const topic = await createTopic(client)
    const row = await produce(client, topic, batchOf(['x'.repeat(1000)]))
    expect(row.errorCode).toBe(Errors.MESSAGE_TOO_LARGE)
    expect(row.errorMessage).toContain('raise max.message.bytes')
  },
  async 'group.min.session.timeout.ms'() {
    const { client } = await limited({ 'group.min.session.timeout.ms': 6000 })
    const { INVALID_SESSION_TIMEOUT, NONE } = Errors
    expect(await joinCode(client, { sessionTimeoutMs: 5999 })).toBe(INVALID_SESSION_TIMEOUT)
    expect(await joinCode(client, { sessionTimeoutMs: 6000 })).toBe(NONE)
  },
  async 'group.max.session.timeout.ms'() {
    const { client } = await limited({ 'group.max.session.timeout.ms': 7000 })
    const { INVALID_SESSION_TIMEOUT, NONE } = Errors
    expect(await joinCode(client, { sessionTimeoutMs: 7001 })).toBe(INVALID_SESSION_TIMEOUT)
    expect(await joinCode(client, { sessionTimeoutMs: 7000 })).toBe(NONE)
  },
  async 'group.max.size'() {
    const { client } = await limited({ 'group.max.size': 1 })
    expect(await joinCode(client)).toBe(Errors.NONE)
    expect(await joinCode(client)).toBe(Errors.GROUP_MAX_SIZE_REACHED)
  },
  async 'group.member.max.bytes'() {
    const { client } = await limited({ 'group.member.max.bytes': 1024 })
    expect(await joinCode(client, metadataOfBytes(1025))).toBe(Errors.INVALID_REQUEST)
    expect(await joinCode(client, metadataOfBytes(500))).toBe(Errors.NONE)
  },
  async 'groups.max.bytes'() {
    const { client } = await limited({ 'groups.max.bytes': MIB })
    expect(await joinCode(client, metadataOfBytes(600_000))).toBe(Errors.NONE)
    const code = await joinCode(client, metadataOfBytes(600_000), 'h')
    expect(code).toBe(Errors.GROUP_MAX_SIZE_REACHED)
  },
  async 'max.groups'() {
    const { client } = await limited({ 'max.groups': 1 })
    const topic = await createTopic(client)
    expect(await joinCode(client)).toBe(Errors.NONE)
    expect(await joinCode(client, {}, 'h')).toBe(Errors.GROUP_MAX_SIZE_REACHED)
    expect(await commit(client, 'h', { [`${topic}-0`]: 1 })).toEqual({ [`${topic}-0`]: 0 })
    expect(await commit(client, 'i', { [`${topic}-0`]: 1 })).toEqual({
      [`${topic}-0`]: Errors.GROUP_MAX_SIZE_REACHED,
    })
  },
  async 'offset.metadata.max.bytes'() {
    const { client } = await limited({ 'offset.metadata.max.bytes': 3 })
    const topic = await createTopic(client)
    const offsets = { [`${topic}-0`]: 1 }
    const codes = { [`${topic}-0`]: Errors.OFFSET_METADATA_TOO_LARGE }
    expect(await commit(client, 'g', offsets, { metadata: 'four' })).toEqual(codes)
  },
  async 'offsets.cache.max.bytes'() {
    const { client } = await limited({ 'offsets.cache.max.bytes': MIB })
    const topic = await createTopic(client, { partitions: 300 })
    const metadata = 'x'.repeat(4000)
    const codes = new Set<number>()
    for (let partition = 0; partition < 300; partition++) {
      const answer = await commit(client, 'g', { [`${topic}-${partition}`]: 1 }, { metadata })
      for (const code of Object.values(answer)) codes.add(code)
    }
    expect(codes).toEqual(new Set([Errors.NONE, Errors.INVALID_COMMIT_OFFSET_SIZE]))
    expect(await commit(client, 'g', { [`${topic}-0`]: 2 })).toEqual({ [`${topic}-0`]: 0 })
  },
}

/** Small requests with large answers that nobody reads: soon no more are taken; when they are read, all come. */
async function backlogIsBounded(
  set: Readonly<Record<string, number>>,
  clientCount: number,
): Promise<void> {
  const { broker, client, count } = await limited(set)
  const topics = [{ topicId: zeroUuid, name: await createTopic(client, { partitions: 1000 }) }]
  const call = { schema: Metadata, version: 12, message: { ...metadataOf(0), topics } }
  client.write(client.frame(call, { correlationId: 0 }))
  const answerBytes = 4 + (await client.nextFrame()).length
  // More than the system's own buffers hold.
  const askedCount = Math.ceil((14 * MIB) / answerBytes)
  const frame = client.frame(call, { correlationId: 0 })
  const frames = Buffer.concat(Array.from({ length: askedCount }, () => frame))
  const readers = await Promise.all(Array.from({ length: clientCount }, () => connect(broker)))
  for (const { socket } of readers) socket.pause()
  for (const reader of readers) reader.write(frames)
  const { backlog } = broker.parts.listener
  let before = -1
  await expect
    .poll(() => {
      const isStill = backlog.bytes > MIB && backlog.bytes === before
      before = backlog.bytes
      return isStill && count(labelled('mutes', 'responses')) >= clientCount
    })
    .toBe(true)
  // What one connection may add before it is looked at, and the answer that takes it over the limit.
  const over = clientCount * (256 * 1024 + answerBytes)
  expect(backlog.bytes).toBeLessThanOrEqual(MIB + over)
  // Who reads is served.
  await askMetadata(client, 1)
  for (const { socket } of readers) socket.resume()
  for (const reader of readers) {
    for (let left = askedCount; left > 0; left--) await reader.nextFrame()
  }
  await expect.poll(() => backlog.bytes).toBe(0)
}

/** Limits whose enforcement takes more than one case. */
const elsewhere: Readonly<Record<string, string>> = {
  'connection.requests.max': 'test/broker/back-pressure.test.ts',
  'connection.stall.timeout.ms': 'test/broker/back-pressure.test.ts',
  'request.arena.bytes': 'test/broker/fixture.ts',
  'response.arena.bytes': 'test/broker/fixture.ts',
  'disk.reserve.bytes': 'test/broker/disk-full.test.ts',
  'http.tails.max': 'test/http/tail/event-stream.test.ts',
  'http.tail.backlog.bytes': 'test/http/tail/shared.test.ts',
  'http.tails.backlog.bytes': 'test/http/tail/tail.test.ts',
  'http.tail.send.timeout.ms': 'test/http/tail/shared.test.ts',
  'http.tail.heartbeat.ms': 'test/http/tail/event-stream.test.ts',
  'http.tail.reads.max': 'test/http/tail/shared.test.ts',
}

describe('each limit, set low, is enforced', () => {
  test.each(Object.entries(cases))('%s', (_, enforced) => enforced())
})

describe('no limit is forgotten', () => {
  const keys = settings.filter(({ section }) => section === 'limits').map(({ key }) => key)
  const told = readFileSync(new URL('docs/limits.md', root), 'utf8')

  test('each of the section has a case here, or names the test that has it', () => {
    const tested = new Set([...Object.keys(cases), ...Object.keys(elsewhere)])
    expect(keys.filter(key => !tested.has(key))).toEqual([])
    for (const [key, path] of Object.entries(elsewhere)) {
      expect(readFileSync(new URL(path, root), 'utf8'), path).toContain(key)
    }
  })

  test.each([...Object.keys(cases), ...Object.keys(elsewhere)])('docs/limits.md: %s', key => {
    const setting = settings.find(row => row.key === key)
    if (setting === undefined) throw new Error(`${key} is no setting`)
    const parsed = parseValue(setting.kind, setting.default)
    const value = parsed.ok ? formatValue(setting.kind, parsed.value) : ''
    expect(told).toMatch(new RegExp(`\\| \`${key.replaceAll('.', '\\.')}\` \\| ${value} \\|`))
  })
})
