import { describe, expect, onTestFinished, test } from 'vitest'
import { Producer, type ProducerOptions } from '../../src/client/producer.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { baseSequenceAt, producerIdAt, recordCountAt } from '../../src/protocol/record-batch.ts'
import { type Fault, MemoryBroker, type Seen } from './memory-broker.ts'

/** A bound for what must come, not an expectation of when. */
const patience = { timeout: 30_000 }

async function setUp(options: ProducerOptions = {}, partitions = 1) {
  const broker = await MemoryBroker.start({ t: partitions })
  const producer = new Producer({ bootstrap: broker.bootstrap, ...options })
  onTestFinished(async () => {
    await producer.close().catch(() => undefined)
    await broker.close()
  })
  return { broker, producer }
}

/** Numbers from 0 to 1, the same ones every time. */
function pseudoRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** Applies faults to Produce requests only. */
function onProduce(
  fault: (count: number, seen: Seen) => Fault | null,
): (seen: Seen) => Fault | null {
  let count = 0
  return seen => (seen.api === 'Produce' ? fault(++count, seen) : null)
}

const values = (broker: MemoryBroker, partition = 0): string[] =>
  broker.records('t', partition).map(({ value }) => String(value))
const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => `n${i}`)

describe('a producer whose answers get lost', () => {
  test.each([1, 2, 3, 4])(
    'stores every record once and in order, whatever happens (run %i)',
    async seed => {
      const { broker, producer } = await setUp({ batchBytesMax: 400 }, 2)
      const random = pseudoRandom(seed)
      const retriable = [
        Errors.NOT_LEADER_OR_FOLLOWER,
        Errors.KAFKA_STORAGE_ERROR,
        Errors.REQUEST_TIMED_OUT,
      ]
      broker.fault = onProduce(() => {
        const dice = random()
        if (dice < 0.08) return 'lose-answer'
        if (dice < 0.16) return 'hang-up'
        if (dice < 0.3) return { errorCode: retriable[Math.floor(random() * 3)] }
        return null
      })
      const sent: Promise<unknown>[] = []
      for (const value of numbers(300)) {
        for (const partition of [0, 1]) sent.push(producer.send('t', [{ value, partition }]))
        if (random() < 0.2) await new Promise(resolve => setImmediate(resolve))
      }
      await Promise.all(sent)
      for (const partition of [0, 1]) expect(values(broker, partition)).toEqual(numbers(300))
    },
  )

  test('without idempotence may store twice, but keeps the order and loses nothing', async () => {
    const { broker, producer } = await setUp({ acks: 1, batchBytesMax: 300 })
    broker.fault = onProduce(count => (count % 5 === 2 ? 'lose-answer' : null))
    const writer = await producer.topic('t')
    for (const value of numbers(200)) writer.append(value)
    await producer.flush()
    const stored = values(broker)
    expect(stored.length).toBeGreaterThan(200)
    expect([...new Set(stored)]).toEqual(numbers(200))
  })

  test('goes on when the broker comes back', async () => {
    const { broker, producer } = await setUp()
    await producer.send('t', ['before'])
    const { port } = broker
    await broker.close()
    const during = producer.send('t', ['during'])
    await new Promise(resolve => setTimeout(resolve, 120))
    await broker.listen(port)
    expect(await during).toEqual([{ partition: 0, baseOffset: 1, count: 1 }])
    expect(values(broker)).toEqual(['before', 'during'])
  })

  test('gives up after the delivery timeout and says why', async () => {
    const { broker, producer } = await setUp({ deliveryTimeoutMs: 300 })
    await producer.send('t', ['before'])
    broker.fault = onProduce(() => ({ errorCode: Errors.NOT_ENOUGH_REPLICAS }))
    await expect(producer.send('t', ['lost'])).rejects.toMatchObject({
      code: Errors.NOT_ENOUGH_REPLICAS,
    })
    broker.fault = () => null
    await producer.send('t', ['after'])
    expect(values(broker)).toEqual(['before', 'after'])
  })
})

describe('a producer whose records are refused', () => {
  test('fails those alone; batches behind them are stored under a new producer id', async () => {
    const { broker, producer } = await setUp({ batchBytesMax: 100 })
    await producer.send('t', ['first'])
    let isRefused = false
    broker.fault = onProduce(() => {
      if (isRefused) return null
      isRefused = true
      return { errorCode: Errors.INVALID_RECORD }
    })
    const outcomes = await Promise.allSettled(
      numbers(30).map(value => producer.send('t', [`${value} ${'.'.repeat(60)}`])),
    )
    const failed = outcomes.filter(({ status }) => status === 'rejected')
    expect(failed).toHaveLength(1)
    expect(failed[0]).toMatchObject({ reason: { code: Errors.INVALID_RECORD } })
    expect(values(broker).map(value => value.split(' ')[0])).toEqual([
      'first',
      ...numbers(30).slice(1),
    ])
    const ids = broker.logs.get('t')![0].batches.map(batch => producerIdAt(batch, 0))
    expect(new Set(ids).size).toBe(2)
  })

  test('splits batches that are too large for the topic, in order and without gaps', async () => {
    const { broker, producer } = await setUp({ batchBytesMax: 20_000, codec: 'lz4' })
    broker.batchBytesMax = 700
    const random = pseudoRandom(9)
    const all = numbers(400).map(value => `${value} ${random()} ${random()}`)
    const results = await producer.send('t', all)
    expect(values(broker)).toEqual(all)
    expect(results.reduce((sum, { count }) => sum + count, 0)).toBe(400)
    expect(results[0].baseOffset).toBe(0)
    let next = 0
    for (const batch of broker.logs.get('t')![0].batches) {
      expect(baseSequenceAt(batch, 0)).toBe(next)
      next += recordCountAt(batch, 0)
    }
  })

  test('a single record that is too large fails by itself', async () => {
    const { broker, producer } = await setUp()
    broker.batchBytesMax = 700
    const outcomes = await Promise.allSettled([
      producer.send('t', ['a'.repeat(2000)]),
      producer.send('t', ['small']),
    ])
    expect(outcomes[0]).toMatchObject({ reason: { code: Errors.MESSAGE_TOO_LARGE } })
    await producer.send('t', ['last'])
    expect(values(broker)).toEqual(expect.arrayContaining(['last']))
    expect(values(broker).every(value => value.length < 2000)).toBe(true)
  })

  test('a topic that does not exist is told after a while, not for ever', async () => {
    const { producer } = await setUp()
    await expect(producer.send('absent', ['x'])).rejects.toMatchObject({
      code: Errors.UNKNOWN_TOPIC_OR_PARTITION,
      message: 'topic absent does not exist',
    })
  })

  test('bulk writers hear of a failure at flush, once', async () => {
    const { broker, producer } = await setUp()
    const writer = await producer.topic('t')
    broker.fault = onProduce(() => ({ errorCode: Errors.TOPIC_AUTHORIZATION_FAILED }))
    writer.append('x')
    await expect(producer.flush()).rejects.toMatchObject({
      code: Errors.TOPIC_AUTHORIZATION_FAILED,
    })
    broker.fault = () => null
    writer.append('y')
    await producer.flush()
    expect(values(broker)).toEqual(['y'])
  })
})

describe('a producer', () => {
  test('names the offset of every message of a set', async () => {
    const { broker, producer } = await setUp({ batchBytesMax: 200 }, 3)
    const set = Array.from({ length: 100 }, (_, i) => ({ value: `v${i}`, partition: (i >> 3) % 3 }))
    const [, results] = await Promise.all([
      producer.send('t', ['another']),
      producer.send('t', set),
    ])
    const named = results.flatMap(({ partition, baseOffset, count }) =>
      Array.from({ length: count }, (_, i) => broker.records('t', partition)[baseOffset + i]),
    )
    expect(named.map(({ value }) => String(value))).toEqual(set.map(({ value }) => value))
  })

  test('sends records of one key to one partition, others to all in turn', async () => {
    const { broker, producer } = await setUp({ batchBytesMax: 300 }, 4)
    const keyed = numbers(200).map(value => ({ key: `k${value.length}${value.at(-1)}`, value }))
    await producer.send('t', keyed)
    const partitionsOf = new Map<string, Set<number>>()
    for (const partition of [0, 1, 2, 3]) {
      for (const { key } of broker.records('t', partition)) {
        const found = partitionsOf.get(String(key)) ?? new Set()
        partitionsOf.set(String(key), found.add(partition))
      }
    }
    expect([...partitionsOf.values()].every(found => found.size === 1)).toBe(true)
    const before = [0, 1, 2, 3].map(partition => broker.records('t', partition).length)
    await producer.send('t', numbers(200))
    for (const partition of [0, 1, 2, 3]) {
      expect(broker.records('t', partition).length).toBeGreaterThan(before[partition])
    }
  })

  test('with acks=0 waits for no answer, and close still delivers everything', async () => {
    const { broker, producer } = await setUp({ acks: 0 })
    const results = await producer.send('t', ['a', 'b'])
    expect(results).toEqual([{ partition: 0, baseOffset: -1, count: 2 }])
    const writer = await producer.topic('t')
    for (const value of numbers(5000)) writer.append(value)
    await producer.close()
    await expect.poll(() => values(broker).length, patience).toBe(5002)
    expect(values(broker)).toEqual(['a', 'b', ...numbers(5000)])
  })

  test('holds no more than its buffer, and calls that wait keep their order', async () => {
    const { broker, producer } = await setUp({ bufferBytesMax: 2000, batchBytesMax: 500 })
    let released = false
    broker.fault = onProduce(() => (released ? null : { errorCode: Errors.NOT_LEADER_OR_FOLLOWER }))
    const settled: string[] = []
    const all = numbers(100).map(value => `${value} ${'.'.repeat(90)}`)
    const sends = all.map(value => producer.send('t', [value]).then(() => settled.push(value)))
    await expect.poll(() => producer.hasRoom, patience).toBe(false)
    expect(settled).toEqual([])
    released = true
    await Promise.all(sends)
    expect(values(broker)).toEqual(all)
  })

  test.each<[ProducerOptions, RegExp]>([
    [{ acks: 1, idempotent: true }, /needs acks 'all'/],
    [{ acks: 2 as 1 }, /acks 2/],
    [{ codec: 'brotli' as 'gzip' }, /codec 'brotli'/],
    [{ bootstrap: 'nowhere:0' }, /not HOST:PORT/],
    [{ bootstrap: '' }, /empty/],
  ])('refuses options that cannot be meant: %o', (options, message) => {
    expect(() => new Producer(options)).toThrow(message)
  })

  test.each([
    [{ value: 5 as unknown as string }, /value is a string/],
    [{ value: 'v', key: {} as string }, /key is a string/],
    [{ value: 'v', timestampMs: -1 }, /not a time/],
    [{ value: 'v', timestampMs: 0.5 }, /not a time/],
    [{ value: 'v', partition: 1 }, /partition 1 does not exist/],
  ])(
    'refuses a set with a message that cannot be sent, and sends nothing of it: %o',
    async (bad, message) => {
      const { broker, producer } = await setUp()
      await expect(producer.send('t', ['good', bad])).rejects.toThrow(message)
      await producer.flush()
      expect(values(broker)).toEqual([])
    },
  )

  test('after close refuses to send', async () => {
    const { producer } = await setUp()
    await producer.send('t', ['x'])
    await producer.close()
    await expect(producer.send('t', ['y'])).rejects.toThrow(/closed/)
  })
})
