/** The client against the real broker, with real log lines. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { Consumer, type ConsumerOptions } from '../../src/client/consumer.ts'
import { Producer } from '../../src/client/producer.ts'
import { codecNames } from '../../src/protocol/compression.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { joinLines, linesOf, loadCorpus } from '../support/loghub.ts'

const lines = linesOf(loadCorpus()).slice(0, 20_000)
let broker: Broker
let admin: Admin

beforeAll(async () => {
  broker = await startBroker({ http: false, workers: 2, logLevel: 'error' })
  admin = new Admin({ bootstrap: broker.bootstrap })
})
afterAll(async () => {
  await admin.close()
  await broker.close()
})

async function readToEnd(
  topic: string,
  options: ConsumerOptions = {},
  partitions?: readonly number[],
): Promise<Buffer[]> {
  await using consumer = new Consumer({ bootstrap: broker.bootstrap, ...options })
  const [stream] = await consumer.createMessageStreams(topic, 1, { untilEnd: true, partitions })
  const values: Buffer[] = []
  for await (const { value } of stream) values.push(value!)
  return values
}

describe('producer and consumer', () => {
  test.each(codecNames)('log lines come back byte for byte, sent with %s', async codec => {
    const topic = `lines-${codec}`
    await using producer = new Producer({ bootstrap: broker.bootstrap, codec })
    const results = await producer.send(topic, lines)
    expect(results[0].baseOffset).toBe(0)
    expect(results.reduce((sum, { count }) => sum + count, 0)).toBe(lines.length)
    expect(joinLines(await readToEnd(topic))).toEqual(joinLines(lines))
  })

  test('reading begins inside a batch, at a time, at the end', async () => {
    await using producer = new Producer({ bootstrap: broker.bootstrap })
    const messages = Array.from({ length: 1000 }, (_, i) => ({
      value: `v${i}`,
      timestampMs: 1_000_000 + 10 * i,
    }))
    await producer.send('starts', messages)
    const expected = (from: number) => messages.slice(from).map(({ value }) => value)
    const read = async (from: ConsumerOptions['from']) =>
      (await readToEnd('starts', { from })).map(String)
    for (const offset of [0, 1, 499, 999, 1000]) {
      expect(await read({ offset })).toEqual(expected(offset))
      expect(await read({ 0: offset })).toEqual(expected(offset))
    }
    for (const index of [0, 7, 500, 999]) {
      expect(await read(new Date(1_000_000 + 10 * index - 3))).toEqual(expected(index))
    }
    expect(await read(new Date(2_000_000))).toEqual([])
    expect(await read('largest')).toEqual([])
  })

  test('keys, headers, tombstones and times arrive as they were sent', async () => {
    await using producer = new Producer({ bootstrap: broker.bootstrap, acks: 1 })
    await producer.send('whole', [
      {
        key: 'k',
        value: Buffer.from([0, 255, 10, 13]),
        headers: { a: 'ä', n: null },
        timestampMs: 5,
      },
      { key: 'k', value: null, timestampMs: 6 },
    ])
    await using consumer = new Consumer({ bootstrap: broker.bootstrap })
    const [stream] = await consumer.createMessageStreams('whole', 1)
    expect((await stream.next()).value).toEqual({
      topic: 'whole',
      partition: 0,
      offset: 0,
      timestampMs: 5,
      key: Buffer.from('k'),
      value: Buffer.from([0, 255, 10, 13]),
      headers: [
        ['a', Buffer.from('ä')],
        ['n', null],
      ],
    })
    expect((await stream.next()).value).toMatchObject({ offset: 1, value: null, timestampMs: 6 })
  })

  test('eight partitions over two owners: each keeps its order, none loses a record', async () => {
    await admin.createTopic({ name: 'eight', partitions: 8 })
    await using producer = new Producer({ bootstrap: broker.bootstrap, batchBytesMax: 4096 })
    const partitionOf = (index: number) => (index * 7) % 8
    await Promise.all(
      lines.map((value, index) =>
        producer.send('eight', [{ value, partition: partitionOf(index) }]),
      ),
    )
    await using consumer = new Consumer({ bootstrap: broker.bootstrap })
    const streams = await consumer.createMessageStreams('eight', 3, { untilEnd: true })
    const read = Array.from({ length: 8 }, (): Buffer[] => [])
    await Promise.all(
      streams.map(async stream => {
        for await (const { partition, value } of stream) read[partition].push(value!)
      }),
    )
    for (const partition of read.keys()) {
      const sent = lines.filter((_, index) => partitionOf(index) === partition)
      expect(joinLines(read[partition])).toEqual(joinLines(sent))
    }
  })

  test('a waiting reader gets what is published, whatever the acks', async () => {
    await admin.createTopic({ name: 'poll' })
    await using consumer = new Consumer({ bootstrap: broker.bootstrap, maxWaitMs: 20_000 })
    const [stream] = await consumer.createMessageStreams('poll', 1)
    for (const acks of [0, 1, 'all'] as const) {
      const next = stream.next()
      await using producer = new Producer({ bootstrap: broker.bootstrap, acks })
      await producer.send('poll', [`with ${acks}`])
      expect(String((await next).value?.value)).toBe(`with ${acks}`)
    }
  })

  test('batches larger than the topic allows are split, a single record is refused', async () => {
    const configs = new Map([['max.message.bytes', '2000']])
    await admin.createTopic({ name: 'small', configs })
    await using producer = new Producer({ bootstrap: broker.bootstrap })
    const values = Array.from({ length: 500 }, (_, i) => `${i} ${'.'.repeat(i % 90)}`)
    await producer.send('small', values)
    expect((await readToEnd('small')).map(String)).toEqual(values)
    await expect(producer.send('small', ['x'.repeat(3000)])).rejects.toMatchObject({
      code: Errors.MESSAGE_TOO_LARGE,
    })
    await producer.send('small', ['still alive'])
    expect((await readToEnd('small')).map(String).at(-1)).toBe('still alive')
  })

  test('a reader of a topic that is deleted is told', async () => {
    await admin.createTopic({ name: 'gone' })
    await using consumer = new Consumer({ bootstrap: broker.bootstrap })
    const [stream] = await consumer.createMessageStreams('gone', 1)
    const next = stream.next()
    await admin.deleteTopic('gone')
    await expect(next).rejects.toMatchObject({ code: Errors.UNKNOWN_TOPIC_OR_PARTITION })
  })
})

describe('admin', () => {
  test('creates, lists, describes, grows and deletes topics', async () => {
    const configs = new Map([['retention.ms', '12345']])
    const created = await admin.createTopic({ name: 'admin', partitions: 2, configs })
    expect(created).toMatchObject({ name: 'admin', partitions: 2 })
    expect(await admin.listTopics()).toContainEqual(created)
    await using producer = new Producer({ bootstrap: broker.bootstrap })
    await producer.send('admin', [{ value: 'x', partition: 1 }])
    const described = await admin.describeTopic('admin')
    expect(described).toMatchObject({
      id: created.id,
      partitions: [
        { partition: 0, startOffset: 0, endOffset: 0 },
        { partition: 1, startOffset: 0, endOffset: 1 },
      ],
    })
    expect(described.configs.filter(({ isDefault }) => !isDefault)).toEqual([
      { name: 'retention.ms', value: '12345', isDefault: false },
    ])
    await admin.createPartitions('admin', 5)
    expect((await admin.describeTopic('admin')).partitions).toHaveLength(5)
    await admin.deleteTopic('admin')
    await expect(admin.describeTopic('admin')).rejects.toThrow('topic admin does not exist')
  })

  test.each([
    ['an existing name', { name: 'taken' }, Errors.TOPIC_ALREADY_EXISTS, /taken/],
    ['a bad name', { name: 'a/b' }, Errors.INVALID_TOPIC_EXCEPTION, /a\/b/],
    [
      'an unknown config',
      { name: 'new', configs: new Map([['no.such', '1']]) },
      Errors.INVALID_CONFIG,
      /no\.such/,
    ],
    [
      'too many copies',
      { name: 'new', replicationFactor: 3 },
      Errors.INVALID_REPLICATION_FACTOR,
      /./,
    ],
  ])('refuses %s with a message that names it', async (_, topic, code, message) => {
    if (topic.name === 'taken') await admin.createTopic({ name: 'taken' })
    const attempt = admin.createTopic(topic)
    await expect(attempt).rejects.toMatchObject({ code })
    await expect(attempt).rejects.toThrow(message)
  })
})
