/**
 * What a fetch answers: offsets in and out of range, epochs, sessions, rows, whole batches. Waiting: long-poll.test.ts.
 */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { baseOffsetAt } from '../../src/protocol/record-batch.ts'
import { batches } from '../../src/protocol/records.ts'
import {
  batchOf,
  connect,
  createTopic,
  type FetchOptions,
  fetchRequest,
  fetchRequestOf,
  fetchRow,
  lookUp,
  sharedBroker,
  store,
  topicIdOf,
  valuesOf,
} from './fixture.ts'

const broker = sharedBroker()
const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

/** A log whose batches are [a b c] [d] [e f]. */
async function threeBatches(codec: (typeof codecs)[number] = 'none') {
  const client = await connect(broker())
  const topic = await createTopic(client)
  for (const values of [['a', 'b', 'c'], ['d'], ['e', 'f']]) {
    await store(client, topic, batchOf(values, { codec }))
  }
  return { client, topic }
}

describe('where a fetch starts', () => {
  test.each(codecs)('inside a %s batch: the batch comes whole, and what follows', async codec => {
    const { client, topic } = await threeBatches(codec)
    const starts = [0, 0, 0, 3, 4, 4]
    for (const [offset, start] of starts.entries()) {
      const row = await fetchRow(client, topic, { offset })
      const [first] = batches(row.records ?? Buffer.alloc(0))
      expect(baseOffsetAt(first, 0), `offset ${offset}`).toBe(start)
      expect(valuesOf(row, offset)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'].slice(offset))
    }
  })

  test('at the end: no records, no error', async () => {
    const { client, topic } = await threeBatches()
    const row = await fetchRow(client, topic, { offset: 6 })
    expect(row).toMatchObject({ errorCode: Errors.NONE, highWatermark: 6, lastStableOffset: 6 })
    expect(row.records).toHaveLength(0)
  })

  test.each([7, 1_000_000, -1, -2, -1000])(
    'at %i, outside the log: OFFSET_OUT_OF_RANGE',
    async o => {
      const { client, topic } = await threeBatches()
      // Even a fetch that would wait is answered at once.
      const row = await fetchRow(client, topic, { offset: o, maxWaitMs: 3_600_000 })
      expect(row).toMatchObject({
        errorCode: Errors.OFFSET_OUT_OF_RANGE,
        highWatermark: -1,
        lastStableOffset: -1,
        logStartOffset: -1,
      })
      expect(row.records).toHaveLength(0)
    },
  )

  test('between high watermark and log end: nothing yet, and no error; beyond: out of range', async () => {
    const client = await connect(broker())
    // Nothing is flushed before a million records or an hour: what acks=1 stores stays above the high watermark.
    const configs = {
      'flush.policy': 'interval',
      'flush.messages': '1000000',
      'flush.ms': '3600000',
    }
    const topic = await createTopic(client, { configs })
    await store(client, topic, batchOf(['a', 'b', 'c']), { acks: 1 })
    for (const offset of [0, 1, 3]) {
      const row = await fetchRow(client, topic, { offset })
      expect(row).toMatchObject({ errorCode: Errors.NONE, highWatermark: 0, logStartOffset: 0 })
      expect(row.records).toHaveLength(0)
    }
    const beyond = await fetchRow(client, topic, { offset: 4 })
    expect(beyond.errorCode).toBe(Errors.OFFSET_OUT_OF_RANGE)
    expect(await lookUp(client, topic, -1)).toMatchObject({ offset: 0 })
    expect(await lookUp(client, topic, 0)).toMatchObject({ errorCode: 0, offset: -1 })
    expect(await lookUp(client, topic, -3)).toMatchObject({ errorCode: 0, offset: -1 })
  })
})

describe('leader epoch', () => {
  test.each([
    [-1, Errors.NONE],
    [0, Errors.NONE],
    [1, Errors.UNKNOWN_LEADER_EPOCH],
    [0x7fff_ffff, Errors.UNKNOWN_LEADER_EPOCH],
    [-2, Errors.FENCED_LEADER_EPOCH],
  ])('%i is answered with code %i', async (currentLeaderEpoch, errorCode) => {
    const { client, topic } = await threeBatches()
    for (const version of [9, 12]) {
      const row = await fetchRow(client, topic, { version, currentLeaderEpoch })
      expect(row.errorCode).toBe(errorCode)
      expect(valuesOf(row)).toHaveLength(errorCode === Errors.NONE ? 6 : 0)
    }
    const row = await lookUp(client, topic, -1, { currentLeaderEpoch })
    expect(row.errorCode).toBe(errorCode)
  })
})

describe('session', () => {
  test.each([
    ['none (0, -1)', 0, -1],
    ['an old one, ended (7, -1)', 7, -1],
  ])('asked for: %s. The answer is full and has none', async (_, sessionId, sessionEpoch) => {
    const { client, topic } = await threeBatches()
    for (const version of [7, 12]) {
      const request = fetchRequest(topic, { sessionId, sessionEpoch })
      const answer = await client.request(Fetch, version, request)
      expect(answer).toMatchObject({ errorCode: Errors.NONE, sessionId: 0 })
      expect(valuesOf(answer.responses[0].partitions[0])).toHaveLength(6)
    }
  })

  test.each([7, 12, 13, 17])('of version %i: answers hold what is new', async version => {
    const { client, topic } = await threeBatches()
    const topicId = version >= 13 ? topicIdOf(broker(), topic) : undefined
    const full = fetchRequest(topic, { offset: 6, sessionEpoch: 0, topicId })
    const begun = await client.request(Fetch, version, full)
    const { sessionId } = begun
    expect(sessionId).toBeGreaterThan(0)
    expect(begun.responses).toHaveLength(1)
    const next = (sessionEpoch: number, maxWaitMs = 0) =>
      client.request(Fetch, version, { ...full, sessionId, sessionEpoch, maxWaitMs, topics: [] })
    expect(await next(1)).toMatchObject({ errorCode: 0, sessionId, responses: [] })
    // Parked, and woken by what another connection stores.
    const parked = next(2, 3_600_000)
    await store(await connect(broker()), topic, batchOf(['g']))
    const woken = await parked
    expect(valuesOf(woken.responses[0].partitions[0])).toEqual(['g'])
    expect([woken.responses[0].topic, woken.responses[0].topicId]).toEqual(
      topicId === undefined ? [topic, 'AAAAAAAAAAAAAAAAAAAAAA'] : ['', topicId],
    )
    expect(await next(2)).toMatchObject({
      errorCode: Errors.INVALID_FETCH_SESSION_EPOCH,
      sessionId: 0,
      responses: [],
    })
  })

  test('of a topic that is deleted: told at once', async () => {
    const { client, topic } = await threeBatches()
    const topicId = topicIdOf(broker(), topic)
    const full = fetchRequest(topic, { offset: 6, sessionEpoch: 0, topicId })
    const { sessionId } = await client.request(Fetch, 17, full)
    const rest = { sessionId, sessionEpoch: 1, maxWaitMs: 3_600_000, topics: [] }
    const parked = client.request(Fetch, 17, { ...full, ...rest })
    await broker().parts.services.admin.deleteTopic({ name: topic })
    const code = (await parked).responses[0].partitions[0].errorCode
    expect([Errors.UNKNOWN_TOPIC_ID, Errors.NOT_LEADER_OR_FOLLOWER]).toContain(code)
    const later = await client.request(Fetch, 17, { ...full, ...rest, sessionEpoch: 2 })
    expect(later.responses[0].partitions[0].errorCode).toBe(Errors.UNKNOWN_TOPIC_ID)
  })

  test.each([
    [7, 1],
    [0x7fff_ffff, 5],
    [0, 1],
  ])('(%i, %i) that cannot exist is a top-level error', async (sessionId, sessionEpoch) => {
    const { client, topic } = await threeBatches()
    const request = fetchRequest(topic, { sessionId, sessionEpoch, maxWaitMs: 3_600_000 })
    const answer = await client.request(Fetch, 12, request)
    expect(answer.errorCode).toBe(Errors.FETCH_SESSION_ID_NOT_FOUND)
    expect(answer).toMatchObject({ sessionId: 0, responses: [] })
  })
})

describe('rows', () => {
  test.each([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17])(
    'of version %i hold what the version knows',
    async v => {
      const { client, topic } = await threeBatches()
      const topicId = v >= 13 ? topicIdOf(broker(), topic) : undefined
      const row = await fetchRow(client, topic, { version: v, topicId })
      expect(valuesOf(row)).toEqual(['a', 'b', 'c', 'd', 'e', 'f'])
      expect({ ...row, records: null }).toEqual({
        partitionIndex: 0,
        errorCode: Errors.NONE,
        highWatermark: 6,
        lastStableOffset: 6,
        logStartOffset: v >= 5 ? 0 : -1,
        divergingEpoch: null,
        currentLeader: null,
        snapshotId: null,
        abortedTransactions: null,
        preferredReadReplica: -1,
        records: null,
      })
    },
  )

  test('of a read_committed fetch list the aborted transactions: none', async () => {
    const { client, topic } = await threeBatches()
    for (const version of [4, 12]) {
      const row = await fetchRow(client, topic, { version, isolationLevel: 1 })
      expect(row.abortedTransactions).toEqual([])
      expect(valuesOf(row)).toHaveLength(6)
    }
  })

  test('are those asked for, in that order, whatever is wrong with some', async () => {
    const { client, topic } = await threeBatches()
    const second = await createTopic(client, { partitions: 2 })
    await store(client, second, batchOf(['x']), { partition: 1 })
    const from = [
      { topic: second, partition: 1, offset: 0 },
      { topic: second, partition: 0, offset: 0 },
      { topic: second, partition: 2, offset: 0 },
      { topic: 'no-such-topic', partition: 0, offset: 0 },
      { topic, partition: 0, offset: 99 },
      { topic, partition: -1, offset: 0 },
    ]
    const answer = await client.request(Fetch, 12, fetchRequestOf(from, { maxWaitMs: 3_600_000 }))
    const rows = answer.responses.flatMap(({ topic: name, partitions }) =>
      partitions.map(row => [name, row.partitionIndex, row.errorCode, valuesOf(row).join()]),
    )
    expect(rows).toEqual([
      [second, 1, Errors.NONE, 'x'],
      [second, 0, Errors.NONE, ''],
      [second, 2, Errors.UNKNOWN_TOPIC_OR_PARTITION, ''],
      ['no-such-topic', 0, Errors.UNKNOWN_TOPIC_OR_PARTITION, ''],
      [topic, 0, Errors.OFFSET_OUT_OF_RANGE, ''],
      [topic, -1, Errors.UNKNOWN_TOPIC_OR_PARTITION, ''],
    ])
  })

  test.each([13, 17])('of version %i: an unknown topic id is told apart', async version => {
    const { client, topic } = await threeBatches()
    const topicId = topicIdOf(broker(), topic)
    const cases: [string | undefined, number, number][] = [
      [topicId, 0, Errors.NONE],
      [topicId, 7, Errors.UNKNOWN_TOPIC_OR_PARTITION],
      ['abcdefghijklmnopqrstuQ', 0, Errors.UNKNOWN_TOPIC_ID],
      [undefined, 0, Errors.UNKNOWN_TOPIC_ID],
    ]
    for (const [id, partition, errorCode] of cases) {
      const row = await fetchRow(client, topic, { version, partition, topicId: id })
      expect(row).toMatchObject({ partitionIndex: partition, errorCode })
    }
  })

  test('without records are empty, never null: librdkafka cannot read null', async () => {
    const { client, topic } = await threeBatches()
    for (const options of [{ offset: 6 }, { offset: 99 }, { partition: 5 }] as FetchOptions[]) {
      for (const version of [4, 11, 12]) {
        const row = await fetchRow(client, topic, { ...options, version })
        expect(row.records).not.toBeNull()
        expect(row.records).toHaveLength(0)
      }
    }
  })

  test('of no partition at all: an empty answer at once', async () => {
    const client = await connect(broker())
    const request = fetchRequestOf([], { maxWaitMs: 3_600_000 })
    expect(await client.request(Fetch, 12, request)).toMatchObject({ errorCode: 0, responses: [] })
  })

  test.each(['os', 'group-commit'])(
    'never hold records at or above their own high watermark, while producers work (%s)',
    async policy => {
      const client = await connect(broker())
      const topic = await createTopic(client, { configs: { 'flush.policy': policy } })
      const batchCount = 1500
      const writers = await Promise.all([connect(broker()), connect(broker())])
      const writing = writers.map(async writer => {
        for (let i = 0; i < batchCount / 2; i += 10) {
          const ten = Array.from({ length: 10 }, () => store(writer, topic, batchOf(['x'])))
          await Promise.all(ten)
        }
      })
      for (let next = 0; next < batchCount; ) {
        const row = await fetchRow(client, topic, { offset: next, maxWaitMs: 3_600_000 })
        next += [...batches(row.records ?? Buffer.alloc(0))].length
        expect(row.highWatermark).toBeGreaterThanOrEqual(next)
        expect(row.lastStableOffset).toBe(row.highWatermark)
      }
      await Promise.all(writing)
    },
  )
})
