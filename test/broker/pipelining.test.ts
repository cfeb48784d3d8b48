/** Many requests on one connection, and requests cut anywhere: the answers must not depend on how bytes arrive. */
import { once } from 'node:events'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { ApiVersions } from '../../src/protocol/messages/api-versions.ts'
import { DescribeConfigs } from '../../src/protocol/messages/describe-configs.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { InitProducerId } from '../../src/protocol/messages/init-producer-id.ts'
import { ListOffsets } from '../../src/protocol/messages/list-offsets.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import type { WireCall, WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  type FetchResponse,
  fetchRequest,
  lookUp,
  produceRequest,
  readAll,
  sharedBroker,
  store,
  testBroker,
  valuesOf,
} from './fixture.ts'

const broker = sharedBroker()

type AnyCall = WireCall<never, unknown>
const call = <Req, Res>(schema: WireCall<Req, Res>['schema'], version: number, message: Req) =>
  ({ schema, version, message }) as unknown as AnyCall

const software = { clientSoftwareName: 'wire-client', clientSoftwareVersion: '1.0' }

const metadataOf = (topic: string, version: number) =>
  call(Metadata, version, {
    topics: [{ topicId: 'AAAAAAAAAAAAAAAAAAAAAA', name: topic }],
    allowAutoTopicCreation: false,
    includeClusterAuthorizedOperations: false,
    includeTopicAuthorizedOperations: false,
  })

const endOffsetOf = (topic: string, version: number) =>
  call(ListOffsets, version, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [
      {
        name: topic,
        partitions: [
          { partitionIndex: 0, currentLeaderEpoch: -1, timestamp: -1, maxNumOffsets: 1 },
        ],
      },
    ],
  })

/** Requests whose answers are the same whenever they are asked. */
function repeatable(topic: string): AnyCall[] {
  const versions = (min: number, max: number) =>
    Array.from({ length: max - min + 1 }, (_, i) => min + i)
  return [
    ...versions(0, 4).map(version => call(ApiVersions, version, software)),
    ...versions(0, 12).map(version => metadataOf(topic, version)),
    ...versions(0, 9).map(version => endOffsetOf(topic, version)),
    ...versions(4, 12).map(version => call(Fetch, version, fetchRequest(topic))),
    ...versions(0, 4).map(version =>
      call(DescribeConfigs, version, {
        resources: [{ resourceType: 2, resourceName: topic, configurationKeys: ['segment.bytes'] }],
        includeSynonyms: true,
        includeDocumentation: true,
      }),
    ),
  ]
}

/** All requests as one piece of bytes, correlation ids from 1 on. */
function bytesOf(client: WireClient, calls: readonly AnyCall[]): Buffer {
  return Buffer.concat(calls.map((one, i) => client.frame(one, { correlationId: i + 1 })))
}

/** Writes, and lets the broker (in this process) read before it goes on. */
async function trickle(client: WireClient, pieces: Iterable<Uint8Array>): Promise<void> {
  for (const piece of pieces) {
    client.write(piece)
    await nextTurn()
  }
}

function* bytewise(bytes: Buffer): Generator<Buffer> {
  for (let i = 0; i < bytes.length; i++) yield bytes.subarray(i, i + 1)
}

describe('however the bytes arrive, the answers are the same', () => {
  test('every kind of request: in one piece, byte by byte', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    await store(client, topic, batchOf(['one', 'two', 'three']))
    const calls = repeatable(topic)
    const request = bytesOf(client, calls)
    const answers = async (send: (to: WireClient) => Promise<void> | void) => {
      const to = await connect(broker())
      const frames = Promise.all(calls.map(() => to.nextFrame()))
      await send(to)
      return (await frames).map(frame => frame.toString('hex'))
    }
    const whole = await answers(to => to.write(request))
    expect(new Set(whole).size).toBe(calls.length)
    expect(await answers(to => trickle(to, bytewise(request)))).toEqual(whole)
  })

  test('a produce request cut in two at every position', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const message = produceRequest(topic, batchOf(['first', 'second']))
    const request = client.frame({ schema: Produce, version: 9, message }, { correlationId: 5 })
    for (let cut = 1; cut < request.length; cut++) {
      await trickle(client, [request.subarray(0, cut), request.subarray(cut)])
      const { responses } = await client.answer(Produce, 9, 5)
      expect(responses[0].partitionResponses[0]).toMatchObject({
        errorCode: Errors.NONE,
        baseOffset: (cut - 1) * 2,
      })
    }
    const values = (await readAll(client, topic)).map(({ value }) => String(value))
    const expected = Array.from({ length: request.length - 1 }, () => ['first', 'second'])
    expect(values).toEqual(expected.flat())
  })

  test('several produce requests byte by byte, one connection beside another', async () => {
    const setUp = await connect(broker())
    const topics = await Promise.all([1, 2, 3].map(() => createTopic(setUp)))
    const work = topics.map(async topic => {
      const client = await connect(broker())
      const calls = ['a', 'bb', 'ccc'].map(value =>
        call(Produce, 9, produceRequest(topic, batchOf([topic, value]))),
      )
      const answers = calls.map((_, i) => client.answer(Produce, 9, i + 1))
      await trickle(client, bytewise(bytesOf(client, calls)))
      return await Promise.all(answers)
    })
    for (const [i, answers] of (await Promise.all(work)).entries()) {
      const rows = answers.map(({ responses }) => responses[0].partitionResponses[0])
      expect(rows.map(({ baseOffset }) => baseOffset)).toEqual([0, 2, 4])
      const values = (await readAll(setUp, topics[i])).map(({ value }) => String(value))
      expect(values).toEqual([topics[i], 'a', topics[i], 'bb', topics[i], 'ccc'])
    }
  })
})

describe('pipelined requests', () => {
  test('of every kind are answered in their order', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    await store(client, topic, batchOf(['one']))
    const slowAndFast = [
      call(InitProducerId, 4, newProducer),
      ...repeatable(topic),
      call(Produce, 9, produceRequest(topic, batchOf(['two']))),
      call(InitProducerId, 4, newProducer),
      endOffsetOf(topic, 9),
      call(Produce, 9, produceRequest(topic, batchOf(['three']), { acks: 1 })),
      call(ApiVersions, 3, software),
    ]
    // The client refuses an answer whose correlation id is not that of the oldest open request.
    const answers = await client.pipeline(slowAndFast)
    expect(answers).toHaveLength(slowAndFast.length)
  })

  test('behind a parked fetch wait for it', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const parked = call(Fetch, 12, fetchRequest(topic, { maxWaitMs: 3_600_000 }))
    const all = client.pipeline([call(ApiVersions, 3, software), parked, metadataOf(topic, 12)])
    let isAnswered = false
    void all.then(() => {
      isAnswered = true
    })
    // Requests on another connection go through meanwhile: one connection's order is no matter of others.
    const other = await connect(broker())
    await expect.poll(() => broker().parts.dispatcher.purgatory.fetchCount).toBe(1)
    await lookUp(other, topic, -1)
    expect(isAnswered).toBe(false)
    await store(other, topic, batchOf(['wake up']))
    const [, fetched, metadata] = await all
    expect(valuesOf((fetched as FetchResponse).responses[0].partitions[0])).toEqual(['wake up'])
    expect(metadata).toMatchObject({ topics: [{ name: topic }] })
  })

  test.each([
    ['with the usual limits', undefined],
    ['with room for 16 open requests', { 'connection.requests.max': 16 }],
  ])('a thousand produce requests in one write, %s', async (_, set) => {
    const limited = await testBroker({ set })
    const client = await connect(limited)
    const topic = await createTopic(client)
    const calls = Array.from({ length: 1000 }, (_, i) => ({
      schema: Produce,
      version: 9,
      message: produceRequest(topic, batchOf([`record ${i}`]), { acks: i % 3 === 0 ? -1 : 1 }),
    }))
    const answers = await client.pipeline(calls)
    const offsets = answers.map(({ responses }) => responses[0].partitionResponses[0].baseOffset)
    expect(offsets).toEqual(calls.map((_, i) => i))
    const fetches = calls.map((_, i) => ({
      schema: Fetch,
      version: 12,
      message: fetchRequest(topic, { offset: i, partitionMaxBytes: 1 }),
    }))
    const fetched = await client.pipeline(fetches)
    const values = fetched.map(({ responses }) => valuesOf(responses[0].partitions[0]))
    expect(values).toEqual(calls.map((_, i) => [`record ${i}`]))
  })

  test('a client that reads no answers is stopped, not dropped, and gets all of them later', async () => {
    const limited = await testBroker({ set: { 'connection.backlog.bytes': 65_536 } })
    const client = await connect(limited)
    const topic = await createTopic(client)
    const value = 'x'.repeat(50_000)
    for (let i = 0; i < 20; i++) await store(client, topic, batchOf([value]))
    client.socket.pause()
    const calls = Array.from({ length: 400 }, (_, i) => ({
      schema: Fetch,
      version: 12,
      message: fetchRequest(topic, { offset: i % 20, partitionMaxBytes: 1 }),
    }))
    const answers = client.pipeline(calls)
    const other = await connect(limited)
    expect(await readAll(other, topic)).toHaveLength(20)
    client.socket.resume()
    const offsets = (await answers).map(({ responses }) => responses[0].partitions[0])
    expect(offsets.map(row => valuesOf(row).join())).toEqual(calls.map(() => value))
  })
})

const newProducer = {
  transactionalId: null,
  transactionTimeoutMs: 60_000,
  producerId: -1,
  producerEpoch: -1,
}

describe('acks=0', () => {
  test('is never answered: the next answer belongs to the next request', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    for (const value of ['a', 'b', 'c']) {
      const message = produceRequest(topic, batchOf([value]), { acks: 0 })
      client.write(client.frame({ schema: Produce, version: 9, message }, { correlationId: 1 }))
    }
    expect(await store(client, topic, batchOf(['d']), { acks: 1 })).toBe(3)
    expect(client.unclaimedBytes).toBe(0)
    await expect.poll(() => lookUp(client, topic, -1)).toMatchObject({ offset: 4 })
    const values = (await readAll(client, topic)).map(({ value }) => String(value))
    expect(values).toEqual(['a', 'b', 'c', 'd'])
  })

  test.each([
    ['an unknown topic', 'no-such-topic', batchOf(['x'])],
    ['no records', null, null],
    ['a broken batch', null, batchOf(['y']).fill(0xff, 65)],
  ])('of %s closes the connection', async (_, name, bytes) => {
    const bystander = await connect(broker())
    const topic = name ?? (await createTopic(bystander))
    const client = await connect(broker())
    const message = produceRequest(topic, bytes, { acks: 0 })
    const frame = client.frame({ schema: Produce, version: 9, message }, { correlationId: 1 })
    client.write(Buffer.concat([frame, frame]))
    await once(client.socket, 'close')
    expect(client.unclaimedBytes).toBe(0)
    expect(await bystander.request(ApiVersions, 3, software)).toMatchObject({ errorCode: 0 })
    if (name === null) expect(await readAll(bystander, topic)).toEqual([])
  })
})
