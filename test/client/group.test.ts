/** Groups of our own consumer on a real broker: who reads what, and that it is read once while nobody dies. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { Consumer } from '../../src/client/consumer.ts'
import { Errors } from '../../src/protocol/errors.ts'
import {
  fast,
  numbersUpTo,
  produceNumbers,
  type ReaderOptions,
  readInGroup,
  shared,
  sorted,
} from './group-kit.ts'

const partitions = 8
let broker: Broker
beforeAll(async () => {
  const set = { 'group.min.session.timeout.ms': 200 }
  broker = await startBroker({ http: false, workers: 2, logLevel: 'silent', set })
})
afterAll(() => broker?.close())

let topics = 0
async function newTopic(count = partitions): Promise<string> {
  const name = `topic-${++topics}`
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.createTopic({ name, partitions: count })
  return name
}

const produce = (topic: string, from: number, to: number, count = partitions) =>
  produceNumbers(broker.bootstrap, topic, [from, to], count)
const join = (groupId: string, topic: string, options?: ReaderOptions) =>
  readInGroup(broker.bootstrap, groupId, topic, options)
const generationOf = (groupId: string) => broker.parts.services.groups.describe(groupId)

describe('streams share the partitions of a topic', () => {
  test('three members with two, one and two streams: each stream has its part of the paper', async () => {
    const topic = await newTopic()
    await produce(topic, 0, 400)
    // Member ids begin with the client id, so this is their order.
    const a = await join('abc', topic, { clientId: 'a', streamCount: 2 })
    expect(a.parts).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ])
    const b = await join('abc', topic, { clientId: 'b' })
    await shared([a, b], partitions)
    expect([...a.parts, ...b.parts]).toEqual([
      [0, 1, 2],
      [3, 4, 5],
      [6, 7],
    ])
    const c = await join('abc', topic, { clientId: 'c', streamCount: 2 })
    await shared([a, b, c], partitions)
    const expected = [[0, 1], [2, 3], [4, 5], [6], [7]]
    expect([...a.parts, ...b.parts, ...c.parts]).toEqual(expected)
    await produce(topic, 400, 800)
    const read = () => sorted([a, b, c].flatMap(({ numbers }) => numbers))
    await expect.poll(() => read().length).toBe(800)
    expect(read()).toEqual(numbersUpTo(800))
  })

  test('members come and go while all read: every record once, in order within its partition', async () => {
    const topic = await newTopic()
    const groupId = 'coming-and-going'
    const options = { autoCommitMs: 20, onRecord: () => new Promise<void>(setImmediate) }
    const first = await join(groupId, topic, { ...options, streamCount: 2 })
    const readers = [first]
    for (let round = 0; round < 4; round++) {
      await produce(topic, round * 800, round * 800 + 800)
      if (round === 2) await readers[1].close()
      readers.push(await join(groupId, topic, { ...options, streamCount: 1 + (round % 3) }))
    }
    const read = () => readers.flatMap(({ numbers }) => numbers)
    await expect.poll(() => new Set(read()).size).toBe(3200)
    expect(sorted(read())).toEqual(numbersUpTo(3200))
    for (const { records } of readers) {
      const last = new Map<number, number>()
      for (const { partition, offset } of records) {
        expect(offset).toBeGreaterThan(last.get(partition) ?? -1)
        last.set(partition, offset)
      }
    }
    expect(first.warnings.join('\n')).toMatch(
      /rebalances: members came[\s\S]*generation \d+: reads/,
    )
  })

  test('a stream that is closed leaves its part to the others; the last one leaves the group', async () => {
    const topic = await newTopic()
    const reader = await join('closing', topic, { streamCount: 2 })
    reader.streams[0].close()
    await expect.poll(() => reader.parts[1]).toEqual(numbersUpTo(partitions))
    await produce(topic, 0, 16)
    await expect.poll(() => sorted(reader.numbers)).toEqual(numbersUpTo(16))
    reader.streams[1].close()
    await expect.poll(() => generationOf('closing').state).toBe('Empty')
    const [again] = await reader.consumer.createMessageStreams(topic, 1)
    expect(again.partitions).toEqual(numbersUpTo(partitions))
    await produce(topic, 16, 17)
    expect(String((await again.next()).value?.value)).toBe('16')
    again.close()
  })

  test('two topics, added one after the other', async () => {
    const [one, two] = [await newTopic(3), await newTopic(2)]
    const reader = await join('two-topics', one)
    await produce(one, 0, 3, 3)
    await produce(two, 100, 102, 2)
    const [stream] = await reader.consumer.createMessageStreams(two, 1)
    const values = [await stream.next(), await stream.next()].map(({ value }) => value?.value)
    expect(sorted(values.map(Number))).toEqual([100, 101])
    stream.close()
    await expect.poll(() => sorted(reader.numbers)).toEqual([0, 1, 2])
    const { members } = generationOf('two-topics')
    expect(members).toHaveLength(1)
  })

  test('more streams than partitions: some wait, and get theirs when others go', async () => {
    const topic = await newTopic(2)
    const a = await join('waiting', topic, { clientId: 'a', streamCount: 2 })
    const b = await join('waiting', topic, { clientId: 'b', streamCount: 1 })
    await expect.poll(() => a.events.length).toBeGreaterThanOrEqual(3)
    expect([...a.parts, ...b.parts]).toEqual([[0], [1], []])
    await a.close()
    await shared([b], 2)
    await produce(topic, 0, 4, 2)
    await expect.poll(() => sorted(b.numbers)).toEqual([0, 1, 2, 3])
  })

  test('partitions that are added later are found and read from their beginning', async () => {
    const topic = await newTopic(2)
    const a = await join('growing', topic, { metadataRefreshMs: 50, from: 'largest' })
    const b = await join('growing', topic, { metadataRefreshMs: 50, from: 'smallest' })
    await shared([a, b], 2)
    await using admin = new Admin({ bootstrap: broker.bootstrap })
    await admin.createPartitions(topic, 5)
    await shared([a, b], 5)
    await produce(topic, 0, 10, 5)
    await expect.poll(() => sorted([...a.numbers, ...b.numbers])).toEqual(numbersUpTo(10))
  })

  test('until the end: done when what was there is read, by whomever', async () => {
    const topic = await newTopic()
    await produce(topic, 0, 200)
    const options = { untilEnd: true, streamCount: 2 }
    const a = await join('to-the-end', topic, options)
    const b = await join('to-the-end', topic, options)
    await Promise.all([a, b].map(reader => reader.done.then(() => reader.close())))
    const left = await join('to-the-end', topic, options)
    await left.done
    const read = [a, b, left].flatMap(({ numbers }) => numbers)
    expect(sorted(read)).toEqual(numbersUpTo(200))
  })
})

describe('different groups', () => {
  test('each read everything', async () => {
    const topic = await newTopic()
    await produce(topic, 0, 80)
    const readers = await Promise.all(['g1', 'g2'].map(groupId => join(groupId, topic)))
    for (const reader of readers) {
      await expect.poll(() => sorted(reader.numbers)).toEqual(numbersUpTo(80))
    }
  })
})

describe('static members', () => {
  test('one that is started again finds its partitions, and nobody else notices', async () => {
    const topic = await newTopic()
    const groupId = 'static'
    const a = await join(groupId, topic, { groupInstanceId: 'a' })
    const b = await join(groupId, topic, { groupInstanceId: 'b' })
    await shared([a, b], partitions)
    const { generation } = generationOf(groupId)
    const events = a.events.length
    await produce(topic, 0, 80)
    await expect.poll(() => a.numbers.length + b.numbers.length).toBe(80)
    const part = b.parts
    await b.close()
    expect(generationOf(groupId).members).toHaveLength(2)
    await produce(topic, 80, 160)
    const again = await join(groupId, topic, { groupInstanceId: 'b' })
    expect(again.parts).toEqual(part)
    const read = () => sorted([a, b, again].flatMap(({ numbers }) => numbers))
    await expect.poll(() => read().length).toBe(160)
    expect(read()).toEqual(numbersUpTo(160))
    expect(generationOf(groupId).generation).toBe(generation)
    expect(a.events).toHaveLength(events)
  })

  test('a second one under the same name takes over, and the first is told', async () => {
    const topic = await newTopic()
    const first = await join('fenced', topic, { groupInstanceId: 'one' })
    const second = await join('fenced', topic, { groupInstanceId: 'one' })
    await expect(first.done).rejects.toMatchObject({
      code: Errors.FENCED_INSTANCE_ID,
      message: expect.stringContaining('another consumer was started with the same groupInstance'),
    })
    await expect(first.consumer.commit([{ topic, partition: 0, offset: 0 }])).rejects.toThrow()
    await produce(topic, 0, 8)
    await expect.poll(() => sorted(second.numbers)).toEqual(numbersUpTo(8))
  })
})

describe('refusals say what to change', () => {
  const made = (options: ReaderOptions & { groupId?: string }) => {
    const consumer = new Consumer({
      bootstrap: broker.bootstrap,
      groupId: 'g',
      ...fast,
      ...options,
    })
    onTestFinished(() => consumer.close())
    return consumer
  }

  test('a session timeout that the broker does not allow', async () => {
    const topic = await newTopic()
    const consumer = made({ sessionTimeoutMs: 100 })
    await expect(consumer.createMessageStreams(topic, 1)).rejects.toMatchObject({
      code: Errors.INVALID_SESSION_TIMEOUT,
      message: expect.stringContaining('group.min.session.timeout.ms'),
    })
    await expect(consumer.createMessageStreams(topic, 1)).rejects.toThrow()
  })

  test('partitions by hand, absent topics, numbers that are none, an empty id', async () => {
    const topic = await newTopic()
    const consumer = made({})
    const byHand = consumer.createMessageStreams(topic, 1, { partitions: [0] })
    await expect(byHand).rejects.toMatchObject({ code: Errors.INVALID_REQUEST })
    await expect(consumer.createMessageStreams('absent', 1)).rejects.toThrow('does not exist')
    expect(() => made({ autoCommitMs: -1 })).toThrow('autoCommitMs -1')
    expect(() => made({ heartbeatMs: 0.5 })).toThrow('heartbeatMs 0.5')
    expect(() => made({ groupId: '' })).toThrow('not empty')
  })

  test('commit without a group', async () => {
    const topic = await newTopic()
    await using consumer = new Consumer({ bootstrap: broker.bootstrap })
    const [stream] = await consumer.createMessageStreams(topic, 1)
    const refused = { code: Errors.INVALID_GROUP_ID }
    await expect(consumer.commit()).rejects.toMatchObject(refused)
    await expect(stream.commit()).rejects.toMatchObject(refused)
  })
})
