import { describe, expect, onTestFinished, test } from 'vitest'
import { Consumer, type ConsumerOptions } from '../../src/client/consumer.ts'
import type { MessageStream } from '../../src/client/message-stream.ts'
import type { StartPosition } from '../../src/client/start-offsets.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { encodeBatch } from '../../src/protocol/record-batch.ts'
import { MemoryBroker, type Seen } from './memory-broker.ts'

/** A bound for what must come, not an expectation of when. */
const patience = { timeout: 30_000 }

async function setUp(options: ConsumerOptions = {}, partitions = 1) {
  const broker = await MemoryBroker.start({ t: partitions })
  const warnings: string[] = []
  const consumer = new Consumer({
    bootstrap: broker.bootstrap,
    onWarning: message => warnings.push(message),
    ...options,
  })
  onTestFinished(async () => {
    await consumer.close()
    await broker.close()
  })
  return { broker, consumer, warnings }
}

/** Appends one batch with a value a record. */
function append(broker: MemoryBroker, values: readonly string[], partition = 0): void {
  const records = values.map(value => ({ key: null, value: Buffer.from(value) }))
  broker.logs.get('t')![partition].append(encodeBatch({ records }))
}

const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `n${from + i}`)

async function take(stream: MessageStream, count: number): Promise<string[]> {
  const values: string[] = []
  while (values.length < count) {
    const { done, value } = await stream.next()
    if (done) break
    values.push(String(value.value))
  }
  return values
}

const onFetch = (fault: (count: number) => ReturnType<MemoryBroker['fault']>) => {
  let count = 0
  return ({ api }: Seen) => (api === 'Fetch' ? fault(++count) : null)
}

describe('a consumer whose broker fails', () => {
  test('gives every record once and in order', async () => {
    const { broker, consumer, warnings } = await setUp({ partitionMaxBytes: 300 })
    for (let i = 0; i < 200; i += 4) append(broker, numbers(i, i + 4))
    const errors = [Errors.NOT_LEADER_OR_FOLLOWER, Errors.KAFKA_STORAGE_ERROR]
    broker.fault = onFetch(count => {
      if (count % 5 === 2) return 'hang-up'
      return count % 5 === 4 ? { errorCode: errors[count % 2] } : null
    })
    const [stream] = await consumer.createMessageStreams('t', 1)
    expect(await take(stream, 200)).toEqual(numbers(0, 200))
    expect(warnings.length).toBeGreaterThan(2)
  })

  test('goes on when the broker comes back, and tells once that it was away', async () => {
    const { broker, consumer, warnings } = await setUp()
    append(broker, ['before'])
    const [stream] = await consumer.createMessageStreams('t', 1)
    expect(await take(stream, 1)).toEqual(['before'])
    const { port } = broker
    await broker.close()
    const next = take(stream, 1)
    await expect.poll(() => warnings.length, patience).toBeGreaterThan(0)
    append(broker, ['after'])
    await broker.listen(port)
    expect(await next).toEqual(['after'])
    expect(warnings).toHaveLength(1)
  })

  test('an error that does not pass ends the stream, after what came before it', async () => {
    const { broker, consumer } = await setUp()
    append(broker, ['a', 'b'])
    broker.fault = onFetch(count =>
      count > 1 ? { errorCode: Errors.TOPIC_AUTHORIZATION_FAILED } : null,
    )
    const [stream] = await consumer.createMessageStreams('t', 1)
    const values: string[] = []
    await expect(async () => {
      for await (const { value } of stream) values.push(String(value))
    }).rejects.toMatchObject({ code: Errors.TOPIC_AUTHORIZATION_FAILED })
    expect(values).toEqual(['a', 'b'])
    expect(await stream.next()).toEqual({ done: true, value: undefined })
  })

  test('rot at the broker is reported with its offset, not retried for ever', async () => {
    const { broker, consumer } = await setUp()
    broker.fault = onFetch(() => ({ errorCode: Errors.CORRUPT_MESSAGE }))
    append(broker, ['a'])
    const [stream] = await consumer.createMessageStreams('t', 1)
    await expect(stream.next()).rejects.toThrow(/t-0: CORRUPT_MESSAGE at offset 0/)
  })

  test('a batch whose CRC is wrong is refused', async () => {
    const { broker, consumer } = await setUp()
    append(broker, ['good'])
    append(broker, ['evil'])
    broker.logs.get('t')![0].batches[1][70] ^= 1
    const [stream] = await consumer.createMessageStreams('t', 1)
    expect(await take(stream, 1)).toEqual(['good'])
    await expect(stream.next()).rejects.toMatchObject({ code: Errors.CORRUPT_MESSAGE })
  })

  test('a batch larger than the limit of a partition is read all the same', async () => {
    const { broker, consumer } = await setUp({ partitionMaxBytes: 100 })
    const large = 'x'.repeat(50_000)
    append(broker, [large])
    append(broker, ['small'])
    const whole = broker.logs.get('t')![0]
    // Some brokers cut the answer at the limit instead of sending the first batch whole.
    const read = whole.read.bind(whole)
    whole.read = (offset, maxBytes) => read(offset, maxBytes).subarray(0, maxBytes)
    const [stream] = await consumer.createMessageStreams('t', 1)
    expect(await take(stream, 2)).toEqual([large, 'small'])
  })
})

describe('where a consumer starts', () => {
  test.each<[StartPosition, string[]]>([
    ['smallest', ['n10', 'n11', 'n12', 'n13']],
    ['largest', ['new']],
    [{ offset: 12 }, ['n12', 'n13', 'new']],
    [{ 0: 13 }, ['n13', 'new']],
    [new Map([[0, 13]]), ['n13', 'new']],
  ])('from %o', async (from, expected) => {
    const { broker, consumer } = await setUp({ from })
    append(broker, numbers(0, 10))
    append(broker, numbers(10, 14))
    broker.logs.get('t')![0].logStart = 10
    const [stream] = await consumer.createMessageStreams('t', 1)
    append(broker, ['new'])
    expect(await take(stream, expected.length)).toEqual(expected)
  })

  test('an offset that retention has removed is an error that names it', async () => {
    const { broker, consumer } = await setUp({ from: { offset: 3 } })
    append(broker, numbers(0, 10))
    broker.logs.get('t')![0].logStart = 5
    const [stream] = await consumer.createMessageStreams('t', 1)
    await expect(stream.next()).rejects.toMatchObject({
      code: Errors.OFFSET_OUT_OF_RANGE,
      message: 'offset 3 of t-0 is not in the log',
    })
  })

  test('retention that overtakes a reader makes it go on at the new start, with a warning', async () => {
    const { broker, consumer, warnings } = await setUp({ partitionMaxBytes: 1, bufferBytesMax: 1 })
    for (let i = 0; i < 20; i++) append(broker, [`n${i}`])
    const [stream] = await consumer.createMessageStreams('t', 1)
    expect(await take(stream, 1)).toEqual(['n0'])
    broker.logs.get('t')![0].logStart = 15
    const rest = await take(stream, 5)
    expect(rest.at(-1)).toMatch(/^n1[5-9]$/)
    await expect
      .poll(() => warnings.join(), patience)
      .toMatch(/offset \d+ of t-0 is not in the log: going on at 15/)
  })

  test('a topic or a partition that does not exist is told at once', async () => {
    const { consumer } = await setUp()
    await expect(consumer.createMessageStreams('absent', 1)).rejects.toThrow(
      'topic absent does not exist',
    )
    await expect(consumer.createMessageStreams('t', 1, { partitions: [0, 3] })).rejects.toThrow(
      'partition 3 does not exist, topic t has 1',
    )
    await expect(consumer.createMessageStreams('t', 0)).rejects.toThrow(/0 streams/)
  })
})

describe('a stream', () => {
  test('waits for what is published later', async () => {
    const { broker, consumer } = await setUp()
    const [stream] = await consumer.createMessageStreams('t', 1)
    const first = stream.next()
    append(broker, ['later'])
    expect(String((await first).value?.value)).toBe('later')
  })

  test('several calls of next at once are answered in order', async () => {
    const { broker, consumer } = await setUp()
    const [stream] = await consumer.createMessageStreams('t', 1)
    const calls = Array.from({ length: 5 }, () => stream.next())
    append(broker, ['a', 'b'])
    append(broker, ['c', 'd', 'e'])
    const values = (await Promise.all(calls)).map(({ value }) => String(value?.value))
    expect(values.toSorted()).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  test('fetches ahead up to its buffer and no further, until somebody reads', async () => {
    const { broker, consumer } = await setUp({ bufferBytesMax: 5000, partitionMaxBytes: 1000 })
    for (let i = 0; i < 100; i++) append(broker, ['x'.repeat(900)])
    const [stream] = await consumer.createMessageStreams('t', 1)
    const fetches = () => broker.seen.filter(({ api }) => api === 'Fetch').length
    await expect.poll(() => stream.hasData, patience).toBe(true)
    await expect.poll(fetches, patience).toBe(6)
    await new Promise(resolve => setTimeout(resolve, 100))
    expect(fetches()).toBe(6)
    expect(await take(stream, 100)).toHaveLength(100)
  })

  test('partitions are spread over streams; all records come, each from its partition', async () => {
    const { broker, consumer } = await setUp({}, 5)
    for (let partition = 0; partition < 5; partition++) {
      append(broker, numbers(partition * 10, partition * 10 + 10), partition)
    }
    const streams = await consumer.createMessageStreams('t', 3, { untilEnd: true })
    expect(streams.map(({ partitions }) => partitions)).toEqual([[0, 1], [2, 3], [4]])
    const read = await Promise.all(
      streams.map(async ({ partitions }, index) => {
        const offsets = new Map<number, number[]>()
        for await (const { partition, offset, value } of streams[index]) {
          expect(String(value)).toBe(`n${partition * 10 + offset}`)
          offsets.set(partition, [...(offsets.get(partition) ?? []), offset])
        }
        expect(new Set(offsets.keys())).toEqual(new Set(partitions))
        return [...offsets.values()]
      }),
    )
    for (const offsets of read.flat()) expect(offsets).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  test('until the end: done at the end of the moment it was created, empty or not', async () => {
    const { broker, consumer } = await setUp({}, 2)
    append(broker, numbers(0, 5))
    const streams = await consumer.createMessageStreams('t', 3, { untilEnd: true })
    append(broker, ['too late'])
    append(broker, ['too late'], 1)
    const read = await Promise.all(streams.map(stream => take(stream, 100)))
    expect(read).toEqual([numbers(0, 5), [], []])
  })

  test('break, close of the stream and close of the consumer end it', async () => {
    const { broker, consumer } = await setUp({}, 3)
    for (const partition of [0, 1, 2]) append(broker, ['a', 'b'], partition)
    const [first, second, third, empty] = await consumer.createMessageStreams('t', 4)
    for await (const { value } of first) {
      expect(String(value)).toBe('a')
      break
    }
    expect(await first.next()).toEqual({ done: true, value: undefined })
    await take(second, 2)
    const waiting = second.next()
    second.close()
    expect(await waiting).toEqual({ done: true, value: undefined })
    await take(third, 2)
    const others = [third.next(), empty.next()]
    await consumer.close()
    expect(await Promise.all(others)).toEqual(others.map(() => ({ done: true, value: undefined })))
  })

  test('chunks hold the same records as the iterator', async () => {
    const { broker, consumer } = await setUp()
    for (let i = 0; i < 50; i += 5) append(broker, numbers(i, i + 5))
    const [stream] = await consumer.createMessageStreams('t', 1, { untilEnd: true })
    const values: string[] = []
    for (let chunk = await stream.nextChunk(); chunk !== null; chunk = await stream.nextChunk()) {
      expect(chunk).toMatchObject({ topic: 't', partition: 0 })
      while (chunk.advance()) values.push(String(chunk.value()))
    }
    expect(values).toEqual(numbers(0, 50))
  })
})
