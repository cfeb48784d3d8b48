/**
 * More than fits: frames, requests, answers and connections beyond their limits wait or are refused, one by one; nobody
 * waits for ever, nobody else is disturbed, and afterwards all memory is free again.
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { labelled, Metric } from '../../src/metrics.ts'
import { emptyOffsetView } from '../../src/partitions/offset-table.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { ApiVersions } from '../../src/protocol/messages/api-versions.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { encodeBatch } from '../../src/protocol/record-batch.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRequest,
  fetchRow,
  produce,
  produceRequest,
  readAll,
  smallArenas,
  store,
  testBroker,
} from './fixture.ts'

const MIB = 1024 * 1024
const software = { clientSoftwareName: 'wire-client', clientSoftwareVersion: '1.0' }
/** Nothing is flushed by itself: acks=all waits. */
const noFlush = { 'flush.policy': 'interval', 'flush.messages': '1000000', 'flush.ms': '3600000' }

/** One record of that size; the same for the same seed. */
function batchOfSize(seed: number, size: number): Buffer {
  const value = Buffer.alloc(size)
  for (let at = 0; at < size; at += 4) {
    value.writeInt32LE(Math.imul(seed + at, 0x9e37_79b1), Math.min(at, size - 4))
  }
  return encodeBatch({ records: [{ key: null, value }] })
}

const digest = (bytes: Uint8Array | null) =>
  createHash('sha1')
    .update(bytes ?? '')
    .digest('hex')

/** Nothing is held for anybody: arenas, purgatory, requests in flight. */
async function untilQuiet(broker: Broker): Promise<void> {
  const { dispatcher, listener } = broker.parts
  const held = () => ({
    requestBytes: dispatcher.requests.usedBytes,
    responseBytes: dispatcher.responses.arena.usedBytes,
    waiting: dispatcher.blocks.waiterCount,
    parked: dispatcher.purgatory.fetchCount,
    inFlight: listener.requestsInFlight,
  })
  const nothing = { requestBytes: 0, responseBytes: 0, waiting: 0, parked: 0, inFlight: 0 }
  await expect.poll(held, { timeout: 30_000 }).toEqual(nothing)
}

const count = (broker: Broker, id: number) => broker.parts.services.metrics.get(id)

function logEndOf(broker: Broker, topic: string): number {
  const view = emptyOffsetView()
  const [partition] = broker.parts.services.topics.get(topic)?.partitions ?? []
  if (partition === undefined) return -1
  broker.parts.services.offsets.read(partition.slot, partition.generation, view)
  return view.logEnd
}

describe.each(['direct', 'copy'] as const)('frames beyond the arena, %s path', readPath => {
  test.each([
    ['medium ones that straddle the blocks', [150_000, 200_000, 333_333, 90_000]],
    ['large ones', [900_000, 1_000_000, 700_000]],
    ['the largest there are', [2 * MIB - 200, 1_900_000]],
  ])('%s: all connections in mid-frame at once, all complete', async (_, sizes) => {
    const set = { ...smallArenas, 'message.max.bytes': 2 * MIB }
    const broker = await testBroker({ readPath, set })
    const setUp = await connect(broker)
    const topic = await createTopic(setUp, { partitions: 24 })
    const clients = await Promise.all(Array.from({ length: 24 }, () => connect(broker)))
    const batches = clients.map((_, i) => sizes.map((size, j) => batchOfSize(i * 10 + j, size)))
    const streams = clients.map((client, partition) => {
      const frames = (batches[partition] ?? []).map((batch, correlationId) => {
        const message = produceRequest(topic, batch, { partition, acks: 1 })
        return client.frame({ schema: Produce, version: 9, message }, { correlationId })
      })
      return Buffer.concat(frames)
    })
    const longest = Math.max(...streams.map(stream => stream.length))
    const answers = clients.map(async client => {
      for (const [correlationId] of sizes.entries()) {
        const answer = await client.answer(Produce, 9, correlationId)
        const [row] = answer.responses[0]?.partitionResponses ?? []
        expect(row).toMatchObject({ errorCode: Errors.NONE, baseOffset: correlationId })
      }
    })
    for (let at = 0; at < longest; at += 60_000) {
      for (const [i, client] of clients.entries()) {
        const piece = streams[i]?.subarray(at, at + 60_000)
        if (piece !== undefined && piece.length > 0) client.write(piece)
      }
      await sleep(1)
    }
    await Promise.all(answers)
    expect(count(broker, labelled('mutes', 'arena'))).toBeGreaterThan(0)
    for (const [partition, sent] of batches.entries()) {
      // Answered before they were flushed, the last ones may not be readable yet.
      const rows = sent.map((_, offset) =>
        fetchRow(setUp, topic, { partition, offset, maxWaitMs: 30_000 }),
      )
      // What stands behind the batch at the offset comes along.
      const found = (await Promise.all(rows)).map(({ records }, k) =>
        digest(records?.subarray(61, sent[k]?.length) ?? null),
      )
      expect(found).toEqual(sent.map(batch => digest(batch.subarray(61))))
    }
    await untilQuiet(broker)
  })
})

describe('limits', () => {
  test('connections: one more is closed at once, and let in when another one is gone', async () => {
    const broker = await testBroker({ set: { 'max.connections': 5 } })
    const clients = await Promise.all(Array.from({ length: 5 }, () => connect(broker)))
    for (const client of clients) await client.request(ApiVersions, 3, software)
    const refused = await connect(broker)
    await refused.closed
    expect(count(broker, Metric.connectionsRejected)).toBe(1)
    for (const client of clients) {
      expect((await client.request(ApiVersions, 3, software)).errorCode).toBe(Errors.NONE)
    }
    clients[0]?.close()
    await expect.poll(() => broker.connections).toBe(4)
    const welcome = await connect(broker)
    expect((await welcome.request(ApiVersions, 3, software)).errorCode).toBe(Errors.NONE)
  })

  test('requests in flight: the rest stays in the socket, and comes in as answers leave', async () => {
    const broker = await testBroker({ set: { 'connection.requests.max': 10 } })
    const client = await connect(broker)
    const topic = await createTopic(client, { configs: noFlush })
    const requests = Array.from({ length: 200 }, (_, i) => ({
      schema: Produce,
      version: 9,
      message: produceRequest(topic, batchOf([`${i}`]), { timeoutMs: 3_600_000 }),
    }))
    const answers = client.pipeline(requests)
    await expect.poll(() => logEndOf(broker, topic)).toBe(10)
    await sleep(50)
    expect(logEndOf(broker, topic)).toBe(10)
    expect(broker.parts.listener.requestsInFlight).toBe(10)
    const other = await connect(broker)
    expect((await other.request(ApiVersions, 3, software)).errorCode).toBe(Errors.NONE)

    const { partitions, log } = broker.parts.services.topics.get(topic) ?? { partitions: [] }
    if (log === undefined) throw new Error('no such topic')
    await broker.parts.host.applyConfig(partitions, { ...log, flushPolicy: 'group-commit' })
    const offsets = (await answers).map(
      ({ responses }) => responses[0]?.partitionResponses[0]?.baseOffset,
    )
    expect(offsets).toEqual(requests.map((_, i) => i))
    await untilQuiet(broker)
  })

  test('a fetch behind a parked one waits for it, and neither is lost', async () => {
    const broker = await testBroker()
    const client = await connect(broker)
    const topic = await createTopic(client)
    const reader = await connect(broker)
    const fetches = [0, 0, 1].map(offset => ({
      schema: Fetch,
      version: 12,
      message: fetchRequest(topic, { offset, maxWaitMs: 60_000 }),
    }))
    const answers = reader.pipeline(fetches)
    await expect.poll(() => broker.parts.dispatcher.purgatory.fetchCount).toBe(1)
    await store(client, topic, batchOf(['first']))
    await expect.poll(() => count(broker, Metric.fetchedRecords)).toBe(2)
    await store(client, topic, batchOf(['second']))
    const rows = (await answers).map(({ responses }) => responses[0]?.partitions[0])
    expect(rows.map(row => row?.errorCode)).toEqual([0, 0, 0])
    expect(rows.every(row => (row?.records?.length ?? 0) > 0)).toBe(true)
  })
})

describe('answers that nobody takes', () => {
  const stall = { 'connection.stall.timeout.ms': 1000 }

  /** A client that has asked for `count` times about a megabyte and reads nothing. */
  async function glutton(broker: Broker, topic: string, times: number): Promise<WireClient> {
    const client = await connect(broker)
    client.socket.pause()
    const frames = Array.from({ length: times }, (_, correlationId) => {
      const message = fetchRequest(topic, { offset: 0, partitionMaxBytes: MIB })
      return client.frame({ schema: Fetch, version: 12, message }, { correlationId })
    })
    client.write(Buffer.concat(frames))
    return client
  }

  test('hold no producer up, are bounded, and end by the deadline', async () => {
    const set = { ...smallArenas, ...stall, 'connection.backlog.bytes': 65_536 }
    const broker = await testBroker({ set })
    const client = await connect(broker)
    const topic = await createTopic(client)
    await store(client, topic, batchOfSize(1, 900_000))
    const gluttons = await Promise.all(Array.from({ length: 10 }, () => glutton(broker, topic, 50)))
    for (let i = 0; i < 50; i++) await store(client, topic, batchOf([`${i}`]))
    const isGone = () => gluttons.every(({ isClosed }) => isClosed)
    for (const one of gluttons) {
      // A socket that is paused does not learn of its end.
      void one.closed.then(() => {})
    }
    await expect
      .poll(() => count(broker, labelled('connectionsClosed', 'slow')), { timeout: 30_000 })
      .toBe(10)
    for (const one of gluttons) one.socket.resume()
    await expect.poll(isGone).toBe(true)
    expect(await readAll(client, topic, { offset: 1 })).toHaveLength(50)
    await untilQuiet(broker)
  })

  test('other readers get theirs as soon as there is room', async () => {
    const set = { ...smallArenas, ...stall, 'connection.backlog.bytes': 65_536 }
    const broker = await testBroker({ set })
    const client = await connect(broker)
    const topic = await createTopic(client)
    await store(client, topic, batchOfSize(1, 900_000))
    for (let i = 0; i < 10; i++) await glutton(broker, topic, 50)
    const rows = Array.from({ length: 5 }, () => fetchRow(client, topic, { maxWaitMs: 60_000 }))
    for (const row of await Promise.all(rows)) expect(row.records?.length).toBeGreaterThan(900_000)
  })

  test('a slow reader that goes on reading is not closed', async () => {
    // Longer than this process may be kept from running on a busy machine, shorter than the reading takes.
    const broker = await testBroker({ set: { 'connection.stall.timeout.ms': 3000 } })
    const client = await connect(broker)
    const topic = await createTopic(client)
    for (let i = 0; i < 8; i++) await store(client, topic, batchOfSize(i, MIB - 1000))
    const reader = await connect(broker)
    const { socket } = reader
    let received = 0
    socket.on('data', chunk => {
      received += chunk.length
      socket.pause()
      setTimeout(() => socket.resume(), 25)
    })
    const answers = Array.from({ length: 3 }, () =>
      fetchRow(reader, topic, { partitionMaxBytes: 8 * MIB }),
    )
    const rows = await Promise.all(answers)
    expect(rows.map(({ records }) => records?.length ?? 0).every(size => size > 7 * MIB)).toBe(true)
    expect(received).toBeGreaterThan(21 * MIB)
    expect(reader.isClosed).toBe(false)
  })
})

describe('frames that do not come', () => {
  const stall = { 'connection.stall.timeout.ms': 500 }

  test('silence and trickles in mid-frame are closed; a slow honest frame is not', async () => {
    const broker = await testBroker({ set: stall })
    const client = await connect(broker)
    const topic = await createTopic(client)
    const message = produceRequest(topic, batchOfSize(1, 40_000))
    const frame = client.frame({ schema: Produce, version: 9, message }, { correlationId: 1 })
    const silent = await connect(broker)
    silent.write(frame.subarray(0, 20_000))
    const trickling = await Promise.all(Array.from({ length: 20 }, () => connect(broker)))
    let at = 0
    const timer = setInterval(() => {
      for (const one of trickling) if (!one.isClosed) one.write(frame.subarray(at, at + 1))
      at++
    }, 50)
    const honest = await connect(broker)
    for (let start = 0; start < frame.length; start += 500) {
      honest.write(frame.subarray(start, start + 500))
      await sleep(30)
    }
    const answer = await honest.answer(Produce, 9, 1)
    expect(answer.responses[0]?.partitionResponses[0]?.errorCode).toBe(Errors.NONE)
    await Promise.all([silent, ...trickling].map(({ closed }) => closed))
    clearInterval(timer)
    expect(count(broker, labelled('connectionsClosed', 'slow'))).toBe(21)
    expect(honest.isClosed).toBe(false)
    expect(client.isClosed).toBe(false)
  })

  test('the bytes of a peer that was told to go are thrown away', async () => {
    const broker = await testBroker()
    const client = await connect(broker)
    const flood = await connect(broker)
    flood.write(Buffer.from('GET / HTTP/1.1\r\n'))
    const rubbish = Buffer.alloc(MIB, 'x')
    const beforeBytes = process.memoryUsage().arrayBuffers
    let mostBytes = 0
    while (!flood.isClosed) {
      flood.write(rubbish)
      mostBytes = Math.max(mostBytes, process.memoryUsage().arrayBuffers - beforeBytes)
      await sleep(1)
    }
    expect(mostBytes).toBeLessThan(64 * MIB)
    expect(broker.parts.dispatcher.requests.usedBytes).toBe(0)
    expect((await client.request(ApiVersions, 3, software)).errorCode).toBe(Errors.NONE)
  })
})

describe('clients that leave in the middle', () => {
  test('of a frame, of a produce, of a parked fetch: nothing stays behind', async () => {
    const broker = await testBroker({ set: smallArenas })
    const client = await connect(broker)
    const topic = await createTopic(client, { configs: noFlush })
    await produce(client, topic, batchOf(['there']), { acks: 1 })
    for (let round = 0; round < 20; round++) {
      const end = logEndOf(broker, topic)
      const [sender, writer, reader] = await Promise.all([1, 2, 3].map(() => connect(broker)))
      const message = produceRequest(topic, batchOfSize(round, 300_000), { timeoutMs: 3_600_000 })
      const call = { schema: Produce, version: 9, message }
      const frame = writer.frame(call, { correlationId: 1 })
      sender.write(frame.subarray(0, 1000 + round * 14_000))
      writer.write(frame)
      const fetch = fetchRequest(topic, { maxWaitMs: 3_600_000 })
      reader.write(
        reader.frame({ schema: Fetch, version: 12, message: fetch }, { correlationId: 1 }),
      )
      if (round % 2 === 0) await expect.poll(() => logEndOf(broker, topic)).toBeGreaterThan(end)
      for (const one of [sender, writer, reader]) {
        if (round % 3 === 0) one.socket.resetAndDestroy()
        else one.close()
      }
      await Promise.all([sender, writer, reader].map(({ closed }) => closed))
    }
    await expect.poll(() => broker.connections).toBe(1)
    // What was appended still waits for its flush, with nobody to tell.
    const { partitions, log } = broker.parts.services.topics.get(topic) ?? { partitions: [] }
    if (log === undefined) throw new Error('no such topic')
    await broker.parts.host.applyConfig(partitions, { ...log, flushPolicy: 'group-commit' })
    await untilQuiet(broker)
    expect((await store(client, topic, batchOf(['after']))) > 0).toBe(true)
  })
})
