/** Many partitions: eight over two owner threads with several writers, and a thousand in one broker. */
import { describe, expect, test } from 'vitest'
import { Consumer } from '../../src/client/consumer.ts'
import { Producer } from '../../src/client/producer.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { parsePrometheus } from '../http/prometheus-text.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRequestOf,
  launchBroker,
  lookUp,
  produceRequest,
  sharedBroker,
  store,
  valuesOf,
} from './fixture.ts'

describe('eight partitions over two owner threads', () => {
  const broker = sharedBroker({ workers: 2, http: true })

  const ownersOf = (topic: string) =>
    [...broker().parts.host.partitions()]
      .filter(partition => partition.topic === topic)
      .map(({ ownerIndex }) => ownerIndex)

  /** Seconds of work per owner thread, as /metrics tells. */
  async function busySeconds(): Promise<Map<string, number>> {
    const text = await (await fetch(`${broker().httpUrl}/metrics`)).text()
    const samples = parsePrometheus(text).get('odradek_busy_seconds_total')?.samples ?? []
    return new Map(samples.map(({ labels, value }) => [labels.get('thread') ?? '', value]))
  }

  test('are spread evenly, and both threads do the work', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 8 })
    expect(ownersOf(topic).toSorted((a, b) => a - b)).toEqual([0, 0, 0, 0, 1, 1, 1, 1])
    const before = await busySeconds()
    const owners = [...before.keys()].filter(thread => /\d/.test(thread))
    expect(owners).toHaveLength(2)
    const stored = Array.from({ length: 400 }, (_, i) =>
      store(client, topic, batchOf([`${i}`]), { partition: i % 8, acks: 1 }),
    )
    await Promise.all(stored)
    const after = await busySeconds()
    for (const owner of owners) {
      expect(after.get(owner), owner).toBeGreaterThan(before.get(owner) ?? 0)
    }
  })

  test('keep the order of every writer in every partition, and lose nothing', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 8 })
    const writers = ['red', 'green', 'blue']
    const rounds = 60
    const work = writers.map(async (name, w) => {
      const writer = await connect(broker())
      // Different writers, different kinds: acks=all, acks=1, and acks=all over several partitions at once.
      for (let round = 0; round < rounds; round++) {
        const acks = w === 1 ? 1 : -1
        const sent = Array.from({ length: 8 }, (_, partition) =>
          store(writer, topic, batchOf([`${name} ${round}`, `${name} ${round} b`]), {
            partition,
            acks,
          }),
        )
        if (round % 10 === 9) await Promise.all(sent)
        else void Promise.all(sent)
      }
      await lookUp(writer, topic, -1)
    })
    await Promise.all(work)
    const expected = new Map(
      writers.map(name => [
        name,
        Array.from({ length: rounds }, (_, round) => [`${name} ${round}`, `${name} ${round} b`])
          .flat()
          .join(),
      ]),
    )
    await using consumer = new Consumer({ bootstrap: broker().bootstrap })
    const streams = await consumer.createMessageStreams(topic, 3)
    const seen = new Map<string, string[]>()
    const total = 8 * writers.length * rounds * 2
    let count = 0
    const reading = streams.map(async stream => {
      let next = new Map<number, number>()
      for await (const { partition, offset, value } of stream) {
        expect(offset).toBe(next.get(partition) ?? 0)
        next = next.set(partition, offset + 1)
        const text = String(value)
        const key = `${partition} ${text.split(' ')[0]}`
        seen.set(key, [...(seen.get(key) ?? []), text])
        if (++count === total) for (const one of streams) one.close()
      }
    })
    await Promise.all(reading)
    expect(seen.size).toBe(8 * writers.length)
    for (const [key, values] of seen) {
      expect(values.join(), key).toBe(expected.get(key.split(' ')[1]))
    }
  })

  test('take keyed records of our producer: one key, one partition, in order', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 8 })
    await using producer = new Producer({ bootstrap: broker().bootstrap, codec: 'lz4' })
    const sent = Array.from({ length: 2000 }, (_, i) => ({ key: `key ${i % 50}`, value: `${i}` }))
    for (let i = 0; i < sent.length; i += 100) await producer.send(topic, sent.slice(i, i + 100))
    await using consumer = new Consumer({ bootstrap: broker().bootstrap })
    const [stream] = await consumer.createMessageStreams(topic, 1, { untilEnd: true })
    const homes = new Map<string, Set<number>>()
    const values = new Map<string, number[]>()
    for await (const { partition, key, value } of stream) {
      const name = String(key)
      homes.set(name, (homes.get(name) ?? new Set()).add(partition))
      values.set(name, [...(values.get(name) ?? []), Number(value)])
    }
    expect(values.size).toBe(50)
    expect([...homes.values()].every(partitions => partitions.size === 1)).toBe(true)
    for (const [name, found] of values) {
      const first = Number(name.slice(4))
      expect(found).toEqual(Array.from({ length: 40 }, (_, i) => first + 50 * i))
    }
  })
})

describe('a thousand partitions', () => {
  const partitions = Array.from({ length: 1000 }, (_, partition) => partition)

  async function produceToAll(client: WireClient, topic: string, acks: number): Promise<void> {
    const request = produceRequest(topic, null, { acks })
    request.topicData[0].partitionData = partitions.map(index => ({
      index,
      records: batchOf([`partition ${index}, acks ${acks}`]),
    }))
    const { responses } = await client.request(Produce, 9, request)
    const codes = responses[0].partitionResponses.map(row => [row.index, row.errorCode])
    expect(codes).toEqual(partitions.map(index => [index, Errors.NONE]))
  }

  async function readFromAll(client: WireClient, topic: string): Promise<string[]> {
    const values: string[] = partitions.map(() => '')
    let left = partitions
    while (left.length > 0) {
      const from = left.map(partition => ({ topic, partition, offset: 0 }))
      const request = fetchRequestOf(from, { maxWaitMs: 10_000, partitionMaxBytes: 10_000 })
      const answer = await client.request(Fetch, 12, request)
      for (const row of answer.responses[0].partitions) {
        expect(row.errorCode).toBe(Errors.NONE)
        values[row.partitionIndex] ||= valuesOf(row).join()
      }
      left = partitions.filter(partition => values[partition] === '')
    }
    return values
  }

  test('are made, written, read, and there again after a restart', async () => {
    await using directory = await makeTempDirectory()
    const first = await launchBroker({ dataDirectory: directory.path })
    const client = await connect(first)
    const topic = await createTopic(client, { partitions: partitions.length })
    await produceToAll(client, topic, -1)
    const expected = partitions.map(index => `partition ${index}, acks -1`)
    expect(await readFromAll(client, topic)).toEqual(expected)
    await produceToAll(client, topic, 1)
    await first.close()
    const second = await launchBroker({ dataDirectory: directory.path })
    try {
      const again = await connect(second)
      const both = expected.map((value, index) => `${value},partition ${index}, acks 1`)
      expect(await readFromAll(again, topic)).toEqual(both)
      await produceToAll(again, topic, -1)
      const ends = await Promise.all(
        partitions.map(partition => lookUp(again, topic, -1, { partition })),
      )
      expect(ends.every(({ offset }) => offset === 3)).toBe(true)
    } finally {
      await second.close()
    }
  })
})
