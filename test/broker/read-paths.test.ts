/**
 * The two ways bytes come from sockets into the arena, under the same load: 'direct' (the socket reads where we want)
 * and 'copy' (other systems, and TLS later). Sizes from one byte to megabytes, arenas too small for what comes, peers
 * that cut frames anywhere.
 */
import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { probeDirectRead } from '../../src/net/arena-socket.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { encodeBatch } from '../../src/protocol/record-batch.ts'
import { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRow,
  produceRequest,
  readAll,
  sharedBroker,
  store,
  testBroker,
} from './fixture.ts'

const MIB = 1024 * 1024

/** The same bytes for the same seed and size. */
function bytesOf(seed: number, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  let state = Math.imul(seed + 1, 0x9e37_79b1) >>> 0
  for (let at = 0; at < size; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}

const digest = (bytes: Uint8Array | null) =>
  bytes === null ? null : `${bytes.length} ${createHash('sha1').update(bytes).digest('hex')}`

function batchOfBytes(seed: number, sizes: readonly number[]): Buffer {
  const records = sizes.map((size, i) => ({ key: null, value: bytesOf(seed * 100 + i, size) }))
  return encodeBatch({ records })
}

/** Sizes around every boundary that the frame decoder knows, and between. */
const sizes = [
  0, 1, 2, 100, 4000, 4096, 5000, 32_700, 32_800, 65_000, 65_536, 66_000, 130_000, 131_072, 200_000,
  520_000, 524_288, 530_000, 900_000, 1_048_000, 1_100_000, 2_000_000, 5_000_000,
]

test('where sockets can read into shared memory, the probe finds out', async () => {
  const path = await probeDirectRead()
  if (process.platform === 'linux') expect(path).toBe('direct')
  else expect(['direct', 'copy']).toContain(path)
})

describe.each(['direct', 'copy'] as const)('%s', readPath => {
  const broker = sharedBroker({ readPath })
  const configs = { 'max.message.bytes': `${8 * MIB}` }

  test('records of every size come back as they were', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs })
    for (const [i, size] of sizes.entries()) {
      expect(await store(client, topic, batchOfBytes(i, [size]))).toBe(i)
    }
    const digests = (await readAll(client, topic)).map(({ value }) => digest(value))
    expect(digests).toEqual(sizes.map((size, i) => digest(bytesOf(i * 100, size))))
  })

  test('also in one stream, cut at random places', async () => {
    const setUp = await connect(broker())
    const topic = await createTopic(setUp, { configs })
    const client = await connect(broker())
    const order = sizes.filter(size => size < 3 * MIB).sort((a, b) => (a % 7) - (b % 7) || a - b)
    const frames = order.map((size, i) => {
      const message = produceRequest(topic, batchOfBytes(i, [size, 3]))
      return client.frame({ schema: Produce, version: 9, message }, { correlationId: i })
    })
    const answers = Promise.all(order.map((_, i) => client.answer(Produce, 9, i)))
    const stream = Buffer.concat(frames)
    const cuts = bytesOf(42, 4000)
    for (let at = 0, i = 0; at < stream.length; i++) {
      // Mostly small pieces with a turn of the event loop between them, now and then a large one.
      const wide = cuts.readUInt16LE((2 * i) % 4000)
      const length = i % 4 === 0 ? wide * 8 : (wide % 900) + 1
      client.write(stream.subarray(at, at + length))
      at += length
      await nextTurn()
    }
    const rows = (await answers).map(({ responses }) => responses[0].partitionResponses[0])
    expect(rows.map(row => row.baseOffset)).toEqual(order.map((_, i) => 2 * i))
    const digests = (await readAll(setUp, topic)).map(({ value }) => digest(value))
    const expected = order.flatMap((size, i) => [bytesOf(i * 100, size), bytesOf(i * 100 + 1, 3)])
    expect(digests).toEqual(expected.map(digest))
  })

  test('many connections with little and much at the same time', async () => {
    const setUp = await connect(broker())
    const topic = await createTopic(setUp, { partitions: 16 })
    const work = Array.from({ length: 16 }, async (_, partition) => {
      const client = await WireClient.connect(broker().bootstrap)
      const mine = Array.from({ length: 30 }, (_, i) => (partition % 4 === 0 ? 40_000 : 50) + i)
      const stored = mine.map((size, i) =>
        store(client, topic, batchOfBytes(i, [size]), { partition, acks: i % 2 === 0 ? 1 : -1 }),
      )
      expect(await Promise.all(stored)).toEqual(mine.map((_, i) => i))
      const records = await readAll(client, topic, { partition, end: mine.length })
      const found = records.map(({ value }) => digest(value))
      expect(found).toEqual(mine.map((size, i) => digest(bytesOf(i * 100, size))))
      client.close()
    })
    await Promise.all(work)
  })

  test('a connection that was busy gives its memory back when it rests, and works again', async () => {
    const quiet = await testBroker({ readPath })
    const client = await connect(quiet)
    const topic = await createTopic(client)
    const arena = quiet.parts.dispatcher.requests
    for (let round = 0; round < 2; round++) {
      const stored = Array.from({ length: 40 }, (_, i) =>
        store(client, topic, batchOfBytes(i, [50_000])),
      )
      await Promise.all(stored)
      expect(arena.usedBytes).toBeGreaterThan(0)
      // One block, shared by all small connections, may stay.
      await expect.poll(() => arena.usedBytes, { timeout: 20_000 }).toBeLessThanOrEqual(MIB / 2)
    }
    expect(await store(client, topic, batchOf(['small again']))).toBe(80)
  })

  test('a thousand idle connections cost no arena, and all are served', async () => {
    const quiet = await testBroker({ readPath })
    const clients = await Promise.all(
      Array.from({ length: 1000 }, () => WireClient.connect(quiet.bootstrap)),
    )
    onTestFinished(() => {
      for (const client of clients) client.close()
    })
    const topic = await createTopic(clients[0])
    const arena = quiet.parts.dispatcher.requests
    const stored = clients.map((client, i) => store(client, topic, batchOf([`${i}`])))
    expect(new Set(await Promise.all(stored)).size).toBe(1000)
    expect(arena.usedBytes).toBeLessThanOrEqual(MIB)
  })
})

describe.each(['direct', 'copy'] as const)('%s, with arenas of 4 MiB', readPath => {
  const set = {
    'request.arena.bytes': 4 * MIB,
    'response.arena.bytes': 4 * MIB,
    'socket.request.max.bytes': 2 * MIB,
    'fetch.max.bytes': 2 * MIB,
  }

  test('forty megabytes at once wait for their turn; nothing is dropped or mixed up', async () => {
    const small = await testBroker({ readPath, set })
    const setUp = await connect(small)
    const topic = await createTopic(setUp, { partitions: 10 })
    const size = 900_000
    const work = Array.from({ length: 10 }, async (_, partition) => {
      const client = await connect(small)
      const batches = [0, 1, 2, 3].map(i => batchOfBytes(10 * partition + i, [size]))
      const stored = batches.map(batch => store(client, topic, batch, { partition }))
      expect(await Promise.all(stored)).toEqual([0, 1, 2, 3])
    })
    await Promise.all(work)
    const readers = Array.from({ length: 10 }, async (_, partition) => {
      const client = await connect(small)
      const records = await readAll(client, topic, { partition, end: 4 })
      const found = records.map(({ value }) => digest(value))
      const expected = [0, 1, 2, 3].map(i => digest(bytesOf((10 * partition + i) * 100, size)))
      expect(found).toEqual(expected)
    })
    await Promise.all(readers)
    const { dispatcher } = small.parts
    await expect.poll(() => dispatcher.responses.arena.usedBytes, { interval: 5 }).toBe(0)
  })

  test('readers that take nothing do not stop producers', async () => {
    const small = await testBroker({ readPath, set })
    const client = await connect(small)
    const topic = await createTopic(client)
    for (let i = 0; i < 6; i++) await store(client, topic, batchOfBytes(i, [600_000]))
    const idle = await Promise.all(Array.from({ length: 8 }, () => connect(small)))
    const held = idle.flatMap(reader => {
      reader.socket.pause()
      return [0, 1, 2, 3, 4, 5].map(offset =>
        fetchRow(reader, topic, { offset, maxWaitMs: 60_000 }),
      )
    })
    const stored = Array.from({ length: 20 }, (_, i) =>
      store(client, topic, batchOfBytes(50 + i, [300_000])),
    )
    expect(await Promise.all(stored)).toEqual(stored.map((_, i) => 6 + i))
    for (const reader of idle) reader.socket.resume()
    const rows = await Promise.all(held)
    expect(rows.every(row => row.errorCode === Errors.NONE)).toBe(true)
  })

  test('peers that announce much and send little are closed, and keep nobody out', async () => {
    const impatient = { ...set, 'connection.stall.timeout.ms': 300 }
    const small = await testBroker({ readPath, set: impatient })
    const client = await connect(small)
    const topic = await createTopic(client)
    const announced = Buffer.alloc(60_000)
    announced.writeInt32BE(2 * MIB)
    const stalled = await Promise.all(Array.from({ length: 8 }, () => connect(small)))
    for (const peer of stalled) peer.write(announced)
    for (let i = 0; i < 5; i++) {
      expect(await store(client, topic, batchOfBytes(i, [900_000]))).toBe(i)
    }
    await Promise.all(stalled.map(peer => peer.closed))
  })
})
