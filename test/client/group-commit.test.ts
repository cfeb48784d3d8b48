/** Committed offsets: what is committed when, what is refused, and rewinding. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { parseBootstrap } from '../../src/client/address.ts'
import { Admin } from '../../src/client/admin.ts'
import { Connection } from '../../src/client/connection.ts'
import { Consumer, type ConsumerOptions } from '../../src/client/consumer.ts'
import type { MessageStream } from '../../src/client/message-stream.ts'
import { Producer } from '../../src/client/producer.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { LeaveGroup } from '../../src/protocol/messages/leave-group.ts'
import {
  committedOffsets,
  fast,
  kafkajsOf,
  numbersUpTo,
  produceNumbers,
  readInGroup,
  sorted,
} from './group-kit.ts'

let broker: Broker
beforeAll(async () => {
  const set = { 'group.min.session.timeout.ms': 200 }
  broker = await startBroker({ http: false, workers: 2, logLevel: 'silent', set })
})
afterAll(() => broker?.close())

const committed = (groupId: string, topic: string): Promise<number[]> =>
  committedOffsets(broker.bootstrap, groupId, topic)

let topics = 0
/** A topic of its own with `count` numbers in it, and a group named like it. */
async function newTopic(partitions: number, count: number): Promise<string> {
  const name = `commit-${++topics}`
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.createTopic({ name, partitions })
  if (count > 0) await produceNumbers(broker.bootstrap, name, [0, count], partitions)
  return name
}

/** A member that commits nothing by itself. */
async function manual(topic: string, options: ConsumerOptions = {}) {
  const warnings: string[] = []
  const consumer = new Consumer({
    bootstrap: broker.bootstrap,
    groupId: topic,
    ...fast,
    revokeGraceMs: 0,
    autoCommitMs: 0,
    onWarning: message => warnings.push(message),
    ...options,
  })
  onTestFinished(() => consumer.close())
  const [stream] = await consumer.createMessageStreams(topic, 1)
  return { consumer, stream, warnings }
}

async function take(stream: MessageStream, count: number): Promise<number[]> {
  const numbers: number[] = []
  while (numbers.length < count) numbers.push(Number((await stream.next()).value?.value))
  return numbers
}

describe('commit', () => {
  test('of the consumer: what readers are done with; of the stream: the record in hand too', async () => {
    const topic = await newTopic(1, 10)
    const { consumer, stream } = await manual(topic)
    expect(await committed(topic, topic)).toEqual([-1])
    await take(stream, 4)
    await consumer.commit()
    expect(await committed(topic, topic)).toEqual([3])
    await stream.commit()
    expect(await committed(topic, topic)).toEqual([4])
    await take(stream, 1)
    await consumer.commit()
    expect(await committed(topic, topic)).toEqual([4])
    await consumer.close()
    const next = await manual(topic)
    expect(await take(next.stream, 1)).toEqual([4])
  })

  test('of offsets: those, and no others; what is no offset is refused', async () => {
    const topic = await newTopic(3, 30)
    const { consumer, stream } = await manual(topic)
    await consumer.commit([
      { topic, partition: 0, offset: 5 },
      { topic, partition: 2, offset: 0, metadata: 'why' },
    ])
    expect(await committed(topic, topic)).toEqual([5, -1, 0])
    const bad = consumer.commit([{ topic, partition: 0, offset: -1 }])
    await expect(bad).rejects.toMatchObject({ code: Errors.INVALID_REQUEST })
    const foreign = consumer.commit([{ topic, partition: 3, offset: 1 }])
    await expect(foreign).rejects.toMatchObject({
      code: Errors.ILLEGAL_GENERATION,
      message: `group ${topic}: ${topic}-3 is not among this consumer's partitions, or no longer`,
    })
    const long = consumer.commit([{ topic, partition: 1, offset: 1, metadata: 'x'.repeat(5000) }])
    await expect(long).rejects.toMatchObject({ code: Errors.OFFSET_METADATA_TOO_LARGE })
    expect(await committed(topic, topic)).toEqual([5, -1, 0])
    stream.close()
  })

  test('chunks: one that is asked for says that the last was processed', async () => {
    const topic = await newTopic(1, 10)
    const { consumer, stream } = await manual(topic, { partitionMaxBytes: 1 })
    const chunk = await stream.nextChunk()
    for (let i = 0; i < 3; i++) chunk?.advance()
    await consumer.commit()
    expect(await committed(topic, topic)).toEqual([0])
    await stream.commit()
    expect(await committed(topic, topic)).toEqual([3])
    await produceNumbers(broker.bootstrap, topic, [10, 11], 1)
    const last = await stream.nextChunk()
    expect(last?.advance()).toBe(true)
    await consumer.commit()
    expect(await committed(topic, topic)).toEqual([10])
  })

  test('comes by itself every so often, and on close, of what was processed', async () => {
    const topic = await newTopic(2, 100)
    const reader = await readInGroup(broker.bootstrap, topic, topic, { autoCommitMs: 20 })
    await expect.poll(() => committed(topic, topic)).toEqual([50, 50])
    await reader.close()
    await produceNumbers(broker.bootstrap, topic, [100, 120], 2)
    const later = await readInGroup(broker.bootstrap, topic, topic, { autoCommitMs: 1e9 })
    await expect.poll(() => later.numbers.length).toBe(20)
    expect(await committed(topic, topic)).toEqual([50, 50])
    await later.close()
    expect(await committed(topic, topic)).toEqual([60, 60])
    expect(sorted([...reader.numbers, ...later.numbers])).toEqual(numbersUpTo(120))
  })

  test('a loop that throws does not count its record; the next member reads it again', async () => {
    const topic = await newTopic(1, 10)
    const onRecord = ({ offset }: { offset: number }) => {
      if (offset === 6) throw new Error('cannot be processed')
    }
    const failing = await readInGroup(broker.bootstrap, topic, topic, { onRecord })
    await expect(failing.done).rejects.toThrow('cannot be processed')
    await failing.close()
    expect(await committed(topic, topic)).toEqual([6])
  })

  test('of the record in hand is not taken back by a close that counts it as unprocessed', async () => {
    const topic = await newTopic(1, 10)
    const { consumer, stream } = await manual(topic, { autoCommitMs: 1e9 })
    await take(stream, 4)
    await stream.commit()
    stream.close()
    await consumer.close()
    expect(await committed(topic, topic)).toEqual([4])
  })

  test('in the callback before partitions are taken away', async () => {
    const topic = await newTopic(2, 20)
    const first = await manual(topic, {
      onRebalance: async ({ kind }) => {
        if (kind === 'revoked') await first.stream.commit()
      },
    })
    const read = await take(first.stream, 7)
    const second = await readInGroup(broker.bootstrap, topic, topic)
    const kept = first.stream.partitions
    await expect.poll(() => second.parts.flat().length).toBe(1)
    const left = numbersUpTo(20).filter(number => !read.includes(number) && number % 2 !== kept[0])
    await expect.poll(() => sorted(second.numbers)).toEqual(left)
  })

  test('from the end, where nothing is committed: what comes later is never skipped', async () => {
    const topic = await newTopic(1, 10)
    const first = await readInGroup(broker.bootstrap, topic, topic, {
      from: 'largest',
      autoCommitMs: 1e9,
    })
    await expect.poll(() => committed(topic, topic)).toEqual([10])
    await first.close()
    await produceNumbers(broker.bootstrap, topic, [10, 20], 1)
    const second = await readInGroup(broker.bootstrap, topic, topic, { from: 'largest' })
    await expect.poll(() => second.numbers).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19])
  })

  test('behind what retention has taken: the group goes on at what is left', async () => {
    const topic = await newTopic(1, 20)
    const first = await manual(topic)
    await first.consumer.commit([{ topic, partition: 0, offset: 3 }])
    await first.consumer.close()
    const admin = kafkajsOf(broker.bootstrap).admin()
    await admin.connect()
    await admin.fetchTopicOffsets(topic) // it deletes only where it knows the leader
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '15' }] })
    await admin.disconnect()
    const second = await readInGroup(broker.bootstrap, topic, topic, { from: 'largest' })
    await expect.poll(() => second.numbers).toEqual([15, 16, 17, 18, 19])
  })
})

describe('a stale commit is refused and nothing is lost', () => {
  test('of a record whose partition went to another member meanwhile', async () => {
    const topic = await newTopic(2, 20)
    const slow = await manual(topic, { clientId: 'a' })
    const inHand: number[] = []
    for (const number of await take(slow.stream, 1)) inHand.push(number)
    // Whichever partition the first record came from: members are added until it has gone.
    const partition = inHand[0] % 2
    const clientId = partition === 0 ? '0' : 'b'
    const other = await readInGroup(broker.bootstrap, topic, topic, { clientId })
    await expect.poll(() => other.parts).toEqual([[partition]])
    await expect(slow.stream.commit()).rejects.toMatchObject({
      code: Errors.ILLEGAL_GENERATION,
      message: expect.stringMatching(`commit of ${topic}-${partition} at offset 0 refused`),
    })
    const offsets = slow.consumer.commit([{ topic, partition, offset: 9 }])
    await expect(offsets).rejects.toMatchObject({ code: Errors.ILLEGAL_GENERATION })
    const part = numbersUpTo(20).filter(number => number % 2 === partition)
    await expect.poll(() => sorted(other.numbers)).toEqual(part)
    // It reads on with what it has.
    expect(await take(slow.stream, 10)).toEqual(numbersUpTo(20).filter(n => n % 2 !== partition))
    await slow.stream.commit()
    expect((await committed(topic, topic))[1 - partition]).toBe(10)
  })

  test('of a member that the group has dropped; it joins again and goes on from the last commit', async () => {
    const topic = await newTopic(1, 10)
    const dropped = await manual(topic, { heartbeatMs: 1e6 })
    await take(dropped.stream, 4)
    await dropped.consumer.commit()
    await take(dropped.stream, 3)
    await remove(topic)
    await expect(dropped.consumer.commit()).rejects.toMatchObject({
      code: Errors.UNKNOWN_MEMBER_ID,
      message: expect.stringMatching(/commit of .* refused: the group has dropped this consumer/),
    })
    expect(await committed(topic, topic)).toEqual([3])
    expect(await take(dropped.stream, 7)).toEqual([3, 4, 5, 6, 7, 8, 9])
    await dropped.stream.commit()
    expect(await committed(topic, topic)).toEqual([10])
    expect(dropped.warnings.join('\n')).toMatch(/generation \d+: reads/)
  })

  test('heartbeats notice it too', async () => {
    const topic = await newTopic(2, 20)
    const reader = await readInGroup(broker.bootstrap, topic, topic, { autoCommitMs: 10 })
    await expect.poll(() => committed(topic, topic)).toEqual([10, 10])
    await remove(topic)
    await expect
      .poll(() => reader.events.map(({ kind }) => kind))
      .toEqual(['assigned', 'lost', 'assigned'])
    await produceNumbers(broker.bootstrap, topic, [20, 40], 2)
    await expect.poll(() => reader.numbers.length).toBe(40)
    expect(sorted(reader.numbers)).toEqual(numbersUpTo(40))
  })

  /** Removes the only member of a group behind its back. */
  async function remove(groupId: string): Promise<void> {
    const [{ memberId }] = broker.parts.services.groups.describe(groupId).members
    const connection = await Connection.open(parseBootstrap(broker.bootstrap)[0])
    const members = [{ memberId, groupInstanceId: null, reason: 'test' }]
    const answer = await connection.request(LeaveGroup, { groupId, memberId, members })
    expect(answer.members[0].errorCode).toBe(Errors.NONE)
    connection.close()
  }
})

describe('rewind', () => {
  test('to the smallest, an offset, a time, offsets by partition; the next commit commits the new place', async () => {
    const topic = await newTopic(1, 0)
    await using producer = new Producer({ bootstrap: broker.bootstrap })
    const timesMs = numbersUpTo(10).map(index => 1_000_000 + 10 * index)
    await producer.send(
      topic,
      timesMs.map((timestampMs, index) => ({ value: `${index}`, timestampMs })),
    )
    const { consumer, stream } = await manual(topic)
    expect(await take(stream, 10)).toEqual(numbersUpTo(10))
    await stream.commit()
    const rewinds: [Parameters<Consumer['rewind']>[1], number][] = [
      ['smallest', 0],
      [{ offset: 7 }, 7],
      [new Date(1_000_035), 4],
      [{ 0: 2 }, 2],
      [new Map([[0, 9]]), 9],
    ]
    for (const [to, offset] of rewinds) {
      expect(await consumer.rewind(topic, to)).toEqual(new Map([[0, offset]]))
      expect(await take(stream, 10 - offset)).toEqual(numbersUpTo(10).slice(offset))
    }
    await consumer.rewind(topic, { offset: 1 })
    await consumer.commit()
    expect(await committed(topic, topic)).toEqual([1])
    await consumer.rewind(topic, 'largest')
    await producer.send(topic, ['10'])
    expect(await take(stream, 1)).toEqual([10])
    const absent = consumer.rewind(topic, { 1: 0 })
    await expect(absent).rejects.toMatchObject({ code: Errors.ILLEGAL_GENERATION })
  })

  test('in the middle of a chunk, and while many more are buffered', async () => {
    const topic = await newTopic(3, 3000)
    const reader = await readInGroup(broker.bootstrap, topic, topic, { streamCount: 2 })
    await expect.poll(() => reader.numbers.length).toBe(3000)
    await reader.consumer.rewind(topic, 'smallest')
    await expect.poll(() => reader.numbers.length).toBe(6000)
    expect(sorted(reader.numbers.slice(3000))).toEqual(numbersUpTo(3000))
    await reader.close()
    expect(await committed(topic, topic)).toEqual([1000, 1000, 1000])
  })

  test('without a group', async () => {
    const topic = await newTopic(2, 20)
    await using consumer = new Consumer({ bootstrap: broker.bootstrap })
    const [stream] = await consumer.createMessageStreams(topic, 1)
    expect(sorted(await take(stream, 20))).toEqual(numbersUpTo(20))
    await consumer.rewind(topic, { 1: 8 })
    expect(await take(stream, 2)).toEqual([17, 19])
  })
})
