/** Idempotent producers on the wire (KIP-98): what is sent again is stored once, what is missing is noticed. */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { InitProducerId } from '../../src/protocol/messages/init-producer-id.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  launchBroker,
  type ProduceOptions,
  produce,
  readAll,
  sharedBroker,
} from './fixture.ts'

const broker = sharedBroker()
const sequenceMax = 2 ** 31 - 1

interface Identity {
  readonly producerId: number
  readonly producerEpoch: number
}

async function newProducer(client: WireClient): Promise<Identity> {
  const answer = await client.request(InitProducerId, 5, {
    transactionalId: null,
    transactionTimeoutMs: 60_000,
    producerId: -1,
    producerEpoch: -1,
  })
  expect(answer.errorCode).toBe(Errors.NONE)
  return { producerId: answer.producerId, producerEpoch: answer.producerEpoch }
}

/** Sends records named after their sequence numbers. @returns `offset` when stored, else the error's code below zero */
async function send(
  client: WireClient,
  topic: string,
  { producerId, producerEpoch }: Identity,
  baseSequence: number,
  { count = 1, ...options }: ProduceOptions & { count?: number } = {},
): Promise<number> {
  const values = Array.from({ length: count }, (_, i) => `${baseSequence + i}`)
  const batch = batchOf(values, { producerId, producerEpoch, baseSequence, timestampMs: 5 })
  const row = await produce(client, topic, batch, options)
  return row.errorCode === Errors.NONE ? row.baseOffset : -row.errorCode
}

const outOfOrder = -Errors.OUT_OF_ORDER_SEQUENCE_NUMBER

describe.each([
  ['all', -1],
  ['1', 1],
] as const)('acks=%s', (_, acks) => {
  test('each of the last five batches, sent again, gets its offset and is not stored again', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const me = await newProducer(client)
    for (let i = 0; i < 7; i++) {
      expect(await send(client, topic, me, 2 * i, { count: 2, acks })).toBe(2 * i)
    }
    for (const again of [6, 5, 4, 3, 2]) {
      expect(await send(client, topic, me, 2 * again, { count: 2, acks })).toBe(2 * again)
    }
    // The sixth last is forgotten: refused, and no duplicate either.
    expect(await send(client, topic, me, 2, { count: 2, acks })).toBe(outOfOrder)
    expect(await send(client, topic, me, 14, { acks })).toBe(14)
    const records = await readAll(client, topic, { end: 15 })
    expect(records.map(({ value }) => Number(value))).toEqual([...Array(15).keys()])
  })

  test('a gap, a step back and another size of a known batch are out of order', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const me = await newProducer(client)
    expect(await send(client, topic, me, 0, { count: 3, acks })).toBe(0)
    expect(await send(client, topic, me, 4, { acks })).toBe(outOfOrder)
    expect(await send(client, topic, me, 2, { acks })).toBe(outOfOrder)
    expect(await send(client, topic, me, 0, { count: 2, acks })).toBe(outOfOrder)
    expect(await send(client, topic, me, 3, { acks })).toBe(3)
  })

  test('sequence numbers wrap from 2147483647 to 0, inside a batch too', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const me = await newProducer(client)
    expect(await send(client, topic, me, sequenceMax - 2, { count: 2, acks })).toBe(0)
    // Sequences max, 0, 1.
    expect(await send(client, topic, me, sequenceMax, { count: 3, acks })).toBe(2)
    expect(await send(client, topic, me, 2, { acks })).toBe(5)
    expect(await send(client, topic, me, sequenceMax, { count: 3, acks })).toBe(2)
    expect(await send(client, topic, me, sequenceMax - 2, { count: 2, acks })).toBe(0)
    expect(await readAll(client, topic, { end: 6 })).toHaveLength(6)
  })

  test('a newer epoch starts at 0 and fences the older one', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const old = await newProducer(client)
    const next = { ...old, producerEpoch: old.producerEpoch + 1 }
    expect(await send(client, topic, old, 0, { acks })).toBe(0)
    expect(await send(client, topic, next, 1, { acks })).toBe(outOfOrder)
    expect(await send(client, topic, next, 0, { acks })).toBe(1)
    expect(await send(client, topic, old, 1, { acks })).toBe(-Errors.INVALID_PRODUCER_EPOCH)
    // The same sequence under the new epoch is the new batch.
    expect(await send(client, topic, next, 0, { acks })).toBe(1)
    expect(await readAll(client, topic, { end: 2 })).toHaveLength(2)
  })

  test('partitions keep separate accounts', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 2 })
    const me = await newProducer(client)
    expect(await send(client, topic, me, 0, { partition: 0, acks })).toBe(0)
    expect(await send(client, topic, me, 0, { partition: 1, acks })).toBe(0)
    expect(await send(client, topic, me, 1, { partition: 1, acks })).toBe(1)
    expect(await send(client, topic, me, 2, { partition: 0, acks })).toBe(outOfOrder)
  })
})

test('five batches in one write are each stored once, also when all five come twice', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client)
  const me = await newProducer(client)
  const five = () => [0, 1, 2, 3, 4].map(sequence => send(client, topic, me, sequence))
  expect(await Promise.all([...five(), ...five()])).toEqual([0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
  expect(await readAll(client, topic)).toHaveLength(5)
})

describe('after a restart', () => {
  test.each([
    ['clean', true],
    ['with the state rebuilt from the log alone', false],
  ])('%s, duplicates are still known and ids are never given twice', async (_, keepSnapshots) => {
    await using directory = await makeTempDirectory()
    const first = await launchBroker({ dataDirectory: directory.path })
    const client = await connect(first)
    const topic = await createTopic(client)
    const me = await newProducer(client)
    for (let i = 0; i < 6; i++) expect(await send(client, topic, me, i)).toBe(i)
    await first.close()
    if (!keepSnapshots) await removeSnapshots(directory.file(`${topic}-0`))

    const second = await launchBroker({ dataDirectory: directory.path })
    try {
      const again = await connect(second)
      for (let i = 1; i < 6; i++) expect(await send(again, topic, me, i)).toBe(i)
      expect(await send(again, topic, me, 0)).toBe(outOfOrder)
      expect(await send(again, topic, me, 7)).toBe(outOfOrder)
      expect(await send(again, topic, me, 6)).toBe(6)
      const other = await newProducer(again)
      expect(other.producerId).toBeGreaterThan(me.producerId)
      expect(await readAll(again, topic)).toHaveLength(7)
    } finally {
      await second.close()
    }
  })
})

async function removeSnapshots(directory: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name.endsWith('.snapshot')) await rm(join(directory, name))
  }
}
