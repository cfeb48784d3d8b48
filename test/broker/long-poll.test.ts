/**
 * Fetches that wait. `never` stands for a wait that outlasts the test: an answer proves that something woke the fetch.
 * That a fetch still waits is proven by its place in the purgatory, and by other requests that were answered meanwhile.
 */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { DeleteTopics } from '../../src/protocol/messages/delete-topics.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  type FetchOptions,
  type FetchResponse,
  fetchRequest,
  fetchRequestOf,
  lookUp,
  produce,
  produceRequest,
  sharedBroker,
  store,
  valuesOf,
} from './fixture.ts'

const broker = sharedBroker()
const never = 3_600_000

const parkedCount = () => broker().parts.dispatcher.purgatory.fetchCount
const isParked = (count = 1) => expect.poll(parkedCount, { interval: 5 }).toBe(count)

interface Waiting {
  readonly answer: Promise<FetchResponse>
  isAnswered: boolean
}

/** Sends a fetch on a connection of its own. */
async function startFetch(request: ReturnType<typeof fetchRequest>): Promise<Waiting> {
  const client = await connect(broker())
  const waiting = { answer: client.request(Fetch, 12, request), isAnswered: false }
  void waiting.answer.then(() => {
    waiting.isAnswered = true
  })
  return waiting
}

async function setUp(options: FetchOptions = {}, partitions = 1) {
  const client = await connect(broker())
  const topic = await createTopic(client, { partitions })
  const waiting = await startFetch(fetchRequest(topic, { maxWaitMs: never, ...options }))
  return { client, topic, waiting }
}

const valuesIn = ({ responses }: FetchResponse) =>
  responses.flatMap(({ partitions }) => partitions.map(row => valuesOf(row).join()))

/** Two requests that go through the owner and back: what was to be woken before has been. */
async function settle(client: WireClient, topic: string): Promise<void> {
  await lookUp(client, topic, 0)
  await lookUp(client, topic, -1)
}

describe('a fetch at the end of the log is woken', () => {
  test.each([
    ['all', -1],
    ['1', 1],
    ['0', 0],
  ])('by a record with acks=%s', async (_, acks) => {
    const { client, topic, waiting } = await setUp()
    await isParked()
    if (acks === 0) sendSilently(client, topic)
    else await store(client, topic, batchOf(['news']), { acks })
    expect(valuesIn(await waiting.answer)).toEqual(['news'])
    expect(parkedCount()).toBe(0)
  })

  function sendSilently(client: WireClient, topic: string): void {
    const message = produceRequest(topic, batchOf(['news']), { acks: 0 })
    client.write(client.frame({ schema: Produce, version: 9, message }, { correlationId: 1 }))
  }

  test('at whichever of its partitions something comes', async () => {
    for (const partition of [0, 3, 7]) {
      const client = await connect(broker())
      const topic = await createTopic(client, { partitions: 8 })
      const from = Array.from({ length: 8 }, (_, i) => ({ topic, partition: i, offset: 0 }))
      const waiting = await startFetch(fetchRequestOf(from, { maxWaitMs: never }))
      await isParked()
      await store(client, topic, batchOf(['here']), { partition })
      const expected = from.map(row => (row.partition === partition ? 'here' : ''))
      expect(valuesIn(await waiting.answer)).toEqual(expected)
    }
  })

  test('together with all others that wait for the same partition', async () => {
    const { client, topic, waiting } = await setUp()
    const more = [1, 2, 3].map(() => startFetch(fetchRequest(topic, { maxWaitMs: never })))
    const all = [waiting, ...(await Promise.all(more))]
    await isParked(4)
    await store(client, topic, batchOf(['for everybody']))
    for (const { answer } of all) expect(valuesIn(await answer)).toEqual(['for everybody'])
  })

  test('again and again: nothing between two fetches is missed', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const reader = await connect(broker())
    const values = Array.from({ length: 300 }, (_, i) => `${i}`)
    const writing = (async () => {
      for (const value of values) await store(client, topic, batchOf([value]), { acks: 1 })
    })()
    const seen: string[] = []
    while (seen.length < values.length) {
      const request = fetchRequest(topic, { offset: seen.length, maxWaitMs: never })
      seen.push(...valuesOf((await reader.request(Fetch, 12, request)).responses[0].partitions[0]))
    }
    await writing
    expect(seen).toEqual(values)
  })

  test('only by what is flushed: an acks=1 record above the high watermark does not count', async () => {
    const client = await connect(broker())
    const configs = { 'flush.policy': 'interval', 'flush.messages': '3', 'flush.ms': '3600000' }
    const topic = await createTopic(client, { configs })
    const waiting = await startFetch(fetchRequest(topic, { maxWaitMs: never }))
    await isParked()
    await store(client, topic, batchOf(['one']), { acks: 1 })
    await store(client, topic, batchOf(['two']), { acks: 1 })
    await settle(client, topic)
    expect(waiting.isAnswered).toBe(false)
    await isParked()
    await store(client, topic, batchOf(['three']), { acks: 1 })
    expect(valuesIn(await waiting.answer)).toEqual(['one,two,three'])
  })
})

describe('a fetch is answered at once', () => {
  test('when it may not wait', async () => {
    const { waiting } = await setUp({ maxWaitMs: 0 })
    expect(valuesIn(await waiting.answer)).toEqual([''])
    const other = await setUp({ maxWaitMs: -1 })
    expect(valuesIn(await other.waiting.answer)).toEqual([''])
  })

  test('when it asks for no bytes', async () => {
    const { waiting } = await setUp({ minBytes: 0 })
    expect(valuesIn(await waiting.answer)).toEqual([''])
    const other = await setUp({ minBytes: -5 })
    expect(valuesIn(await other.waiting.answer)).toEqual([''])
  })

  test('when one row has an error, whatever the others wait for', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 2 })
    await store(client, topic, batchOf(['there']), { partition: 1 })
    for (const wrong of [
      { topic: 'no-such-topic', partition: 0, offset: 0 },
      { topic, partition: 9, offset: 0 },
      { topic, partition: 1, offset: 77 },
    ]) {
      const from = [{ topic, partition: 0, offset: 0 }, wrong]
      const waiting = await startFetch(fetchRequestOf(from, { maxWaitMs: never }))
      const codes = (await waiting.answer).responses.flatMap(({ partitions }) =>
        partitions.map(row => row.errorCode !== Errors.NONE),
      )
      expect(codes).toEqual([false, true])
    }
  })

  test('when its time is over, with what there is', async () => {
    const { client, topic, waiting } = await setUp({ maxWaitMs: 300, minBytes: 1_000_000 })
    await store(client, topic, batchOf(['too little']))
    expect(valuesIn(await waiting.answer)).toEqual(['too little'])
  })
})

describe('min bytes', () => {
  test('are waited for, and counted over all partitions', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 3 })
    const batch = batchOf(['0123456789'])
    const from = [0, 1, 2].map(partition => ({ topic, partition, offset: 0 }))
    const request = fetchRequestOf(from, { maxWaitMs: never, minBytes: 3 * batch.length })
    const waiting = await startFetch(request)
    await isParked()
    for (const partition of [0, 1]) {
      await store(client, topic, batch, { partition })
      await settle(client, topic)
      expect(waiting.isAnswered).toBe(false)
    }
    await store(client, topic, batch, { partition: 2 })
    const values = valuesIn(await waiting.answer)
    expect(values).toEqual(['0123456789', '0123456789', '0123456789'])
  })

  test('above max bytes mean max bytes', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    await store(client, topic, batchOf(['x'.repeat(2000)]))
    const limits = { minBytes: 1_000_000, maxBytes: 1500, maxWaitMs: never }
    const waiting = await startFetch(fetchRequest(topic, limits))
    expect(valuesIn(await waiting.answer)).toEqual(['x'.repeat(2000)])
  })

  test('of a fetch that finds enough already are no reason to wait', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const batch = batchOf(['enough'])
    await store(client, topic, batch)
    const limits = { minBytes: batch.length, maxWaitMs: never }
    const waiting = await startFetch(fetchRequest(topic, limits))
    expect(valuesIn(await waiting.answer)).toEqual(['enough'])
  })
})

describe('a fetch that waits', () => {
  test('is told when its topic is deleted', async () => {
    const { client, topic, waiting } = await setUp()
    await isParked()
    const deleted = await client.request(DeleteTopics, 6, {
      topics: [{ name: topic, topicId: 'AAAAAAAAAAAAAAAAAAAAAA' }],
      topicNames: [],
      timeoutMs: 30_000,
    })
    expect(deleted.responses[0].errorCode).toBe(Errors.NONE)
    const { errorCode } = (await waiting.answer).responses[0].partitions[0]
    expect([Errors.UNKNOWN_TOPIC_OR_PARTITION, Errors.NOT_LEADER_OR_FOLLOWER]).toContain(errorCode)
    expect(parkedCount()).toBe(0)
  })

  test('is forgotten when its client goes away', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const gone = await connect(broker())
    gone.request(Fetch, 12, fetchRequest(topic, { maxWaitMs: never })).catch(() => {})
    await isParked()
    gone.close()
    await isParked(0)
    expect((await produce(client, topic, batchOf(['nobody waits']))).errorCode).toBe(Errors.NONE)
  })

  test('for min bytes is forgotten when its client goes away', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    await store(client, topic, batchOf(['some']))
    const gone = await connect(broker())
    const request = fetchRequest(topic, { maxWaitMs: never, minBytes: 100_000 })
    gone.request(Fetch, 12, request).catch(() => {})
    await settle(client, topic)
    gone.close()
    const used = () => broker().parts.dispatcher.responses.arena.usedBytes
    await expect.poll(used, { interval: 5 }).toBe(0)
    await isParked(0)
  })
})
