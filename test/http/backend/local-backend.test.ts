/** The LogBackend over a real broker: appends gathered into batches, reads, look-up by time, watches, refusals. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../../src/broker.ts'
import { Admin } from '../../../src/client/admin.ts'
import { Producer } from '../../../src/client/producer.ts'
import { LocalBackend } from '../../../src/http/backend/local-backend.ts'
import type {
  Acks,
  IncomingRecord,
  LogBackend,
  ReadCall,
  RecordSource,
} from '../../../src/http/backend/log-backend.ts'
import {
  lineRecords,
  listedRecords,
  noHeaders,
  OneRecord,
} from '../../../src/http/backend/record-sources.ts'
import { codecNames } from '../../../src/protocol/compression.ts'
import { Errors } from '../../../src/protocol/errors.ts'

let broker: Broker
let admin: Admin
let backend: LogBackend
let topics = 0

beforeAll(async () => {
  broker = await startBroker({ http: false, workers: 2 })
  admin = new Admin({ bootstrap: broker.bootstrap })
  backend = new LocalBackend(broker.parts.services)
})
afterAll(async () => {
  await admin.close()
  await broker.close()
})

async function newTopic(partitions = 1, configs: Record<string, string> = {}): Promise<string> {
  const name = `t${++topics}`
  await admin.createTopic({ name, partitions, configs: new Map(Object.entries(configs)) })
  return name
}

interface Produced {
  readonly errorCode: number
  readonly first: number
  readonly last: number
  readonly stored: number
}

function produce(
  topic: string,
  source: RecordSource,
  { acks = -1 as Acks, partition = 0 } = {},
): Promise<Produced> {
  const { promise, resolve } = Promise.withResolvers<Produced>()
  let isInside = true
  const sink = {
    onProduced: (tag: number, errorCode: number, first: number, last: number, stored: number) => {
      expect([isInside, tag]).toEqual([false, 7])
      resolve({ errorCode, first, last, stored })
    },
  }
  const attempt = (): void => {
    if (!backend.produce(topic, partition, acks, source, sink, 7)) backend.whenRoom(attempt)
  }
  attempt()
  isInside = false
  return promise
}

const byText = (a: string | null, b: string | null) => (String(a) < String(b) ? -1 : 1)
const value = (text: string) => new OneRecord().set(Buffer.from(text))

async function readAll(call: Partial<ReadCall> & { topic: string }) {
  const page = await backend.read({
    partition: 0,
    offset: 0,
    bytesMax: 4 * 1024 * 1024,
    waitMs: 0,
    ...call,
  })
  const records: [offset: number, value: string | null][] = []
  while (page.cursor.advance()) {
    records.push([page.cursor.offset, page.cursor.value()?.toString() ?? null])
  }
  page.release()
  return { ...page, records }
}

const record = (fields: Partial<IncomingRecord>): IncomingRecord => ({
  key: null,
  value: null,
  headers: noHeaders,
  timestampMs: -1,
  ...fields,
})

describe('appends', () => {
  test('of one turn lie in one batch, and everybody is told where', async () => {
    const topic = await newTopic()
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) => produce(topic, value(`v${i}`))),
    )
    expect(results).toEqual(
      results.map((_, i) => ({ errorCode: Errors.NONE, first: i, last: i, stored: 1 })),
    )
    const { records, nextOffset, highWatermark } = await readAll({ topic })
    expect(records).toEqual(results.map((_, i) => [i, `v${i}`]))
    expect([nextOffset, highWatermark]).toEqual([50, 50])
    // The smallest read gives the first batch whole: all of them.
    expect((await readAll({ topic, bytesMax: 1 })).records).toHaveLength(50)
  })

  test('with acks 0 tell no offsets, and are stored', async () => {
    const topic = await newTopic()
    const result = await produce(topic, value('x'), { acks: 0 })
    expect(result).toEqual({ errorCode: Errors.NONE, first: -1, last: -1, stored: 1 })
    await expect.poll(async () => (await readAll({ topic })).records).toEqual([[0, 'x']])
  })

  test('keep keys, headers, times and nulls', async () => {
    const topic = await newTopic()
    const headers = [
      ['a', Buffer.from('1')],
      ['b', null],
    ] as const
    const rows = [
      record({ key: Buffer.from('k'), value: null, timestampMs: 5000 }),
      record({ value: Buffer.from('v'), headers, timestampMs: 1000 }),
    ]
    await produce(topic, listedRecords(rows))
    const page = await backend.read({ topic, partition: 0, offset: 0, bytesMax: 1e6, waitMs: 0 })
    const { cursor } = page
    expect(cursor.advance()).toBe(true)
    expect([cursor.key()?.toString(), cursor.value(), cursor.timestampMs]).toEqual([
      'k',
      null,
      5000,
    ])
    expect(cursor.advance()).toBe(true)
    expect([cursor.key(), cursor.value()?.toString(), cursor.timestampMs]).toEqual([
      null,
      'v',
      1000,
    ])
    expect(cursor.headers().map(([name, content]) => [name, content?.toString()])).toEqual([
      ['a', '1'],
      ['b', undefined],
    ])
    expect(cursor.advance()).toBe(false)
    page.release()
  })

  test('larger than a batch go in several, in order', async () => {
    const topic = await newTopic(1, { 'max.message.bytes': '2000' })
    const lines = Array.from({ length: 500 }, (_, i) => `line ${i} ${'x'.repeat(i % 90)}`)
    const source = lineRecords(Buffer.from(lines.join('\n')), 'lines') as RecordSource
    const result = await produce(topic, source)
    expect(result).toEqual({ errorCode: Errors.NONE, first: 0, last: 499, stored: 500 })
    const { records } = await readAll({ topic })
    expect(records.map(([, text]) => text)).toEqual(lines)
  })

  test('many at once beyond a batch wait for room and are all stored', async () => {
    const topic = await newTopic(1, { 'max.message.bytes': '5000' })
    const texts = Array.from({ length: 300 }, (_, i) => `${i} ${'y'.repeat(400)}`)
    const results = await Promise.all(texts.map(text => produce(topic, value(text))))
    expect(new Set(results.map(({ first }) => first)).size).toBe(300)
    const { records } = await readAll({ topic })
    expect(records.map(([, text]) => text).toSorted(byText)).toEqual(texts.toSorted(byText))
  })

  test('that are one caller’s fault are refused alone', async () => {
    const compacted = await newTopic(1, { 'cleanup.policy': 'compact' })
    const keyed = new OneRecord().set(Buffer.from('v'), Buffer.from('k'))
    const [bad, good] = await Promise.all([
      produce(compacted, value('keyless')),
      produce(compacted, keyed),
    ])
    expect([bad.errorCode, good.errorCode]).toEqual([Errors.INVALID_RECORD, Errors.NONE])
    const small = await newTopic(1, {
      'max.message.bytes': '200',
      'message.timestamp.after.max.ms': '1000',
    })
    const [large, late, fine] = await Promise.all([
      produce(small, value('z'.repeat(200))),
      produce(small, new OneRecord().set(Buffer.from('x'), null, noHeaders, Date.now() + 1e7)),
      produce(small, value('z'.repeat(100))),
    ])
    expect(large.errorCode).toBe(Errors.MESSAGE_TOO_LARGE)
    expect(late.errorCode).toBe(Errors.INVALID_TIMESTAMP)
    expect(fine.errorCode).toBe(Errors.NONE)
    expect((await produce('nowhere', value('x'))).errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
    expect((await produce('__consumer_offsets', value('x'))).errorCode).not.toBe(Errors.NONE)
    for (const code of [10, 87, 32, 3, 17, 56]) {
      expect(backend.explain(small, 0, code).length).toBeGreaterThan(20)
    }
  })

  test('of exactly the largest size fit, one byte more does not', async () => {
    const topic = await newTopic(1, { 'max.message.bytes': '1000' })
    // 61 of header; length 2, attributes, time, offset, key 1 each, value length 2, header count 1.
    const fits = 1000 - 61 - 9
    expect((await produce(topic, value('a'.repeat(fits)))).errorCode).toBe(Errors.NONE)
    const result = await produce(topic, value('a'.repeat(fits + 1)))
    expect(result).toEqual({
      errorCode: Errors.MESSAGE_TOO_LARGE,
      first: -1,
      last: -1,
      stored: 0,
    })
  })
})

describe('keyless records', () => {
  test('go round while nothing is under way, and stay together while something is', async () => {
    const topic = await newTopic(3)
    const seen: number[] = []
    for (let i = 0; i < 6; i++) {
      const partition = backend.partitionFor(topic, null)
      seen.push(partition)
      await produce(topic, value('x'), { partition })
    }
    expect(seen).toEqual([0, 1, 2, 0, 1, 2])
    const first = backend.partitionFor(topic, null)
    const under = produce(topic, value('x'), { partition: first })
    expect([backend.partitionFor(topic, null), backend.partitionFor(topic, null)]).toEqual([
      first,
      first,
    ])
    await under
  })

  test('with a key go where Kafka’s own clients send them', async () => {
    const topic = await newTopic(12)
    const producer = new Producer({ bootstrap: broker.bootstrap })
    onTestFinished(() => producer.close())
    for (const key of ['a', 'b', 'user-17', '']) {
      const [{ partition }] = await producer.send(topic, [
        { key: Buffer.from(key), value: Buffer.from('x') },
      ])
      expect(backend.partitionFor(topic, Buffer.from(key))).toBe(partition)
    }
  })
})

describe('reads', () => {
  test('wait for records, up to the time given, and end when nobody wants them', async () => {
    const topic = await newTopic()
    const late = readAll({ topic, waitMs: 600_000 })
    await produce(topic, value('at last'))
    expect((await late).records).toEqual([[0, 'at last']])
    expect((await readAll({ topic, offset: 1, waitMs: 5 })).records).toEqual([])
    const abort = new AbortController()
    const given = readAll({ topic, offset: 1, waitMs: 600_000, signal: abort.signal })
    abort.abort()
    expect((await given).records).toEqual([])
    expect(broker.parts.dispatcher.purgatory.fetchCount).toBe(0)
  })

  test.each(codecNames.filter(codec => codec !== 'none'))('unpack %s', async codec => {
    const topic = await newTopic()
    const producer = new Producer({ bootstrap: broker.bootstrap, codec })
    onTestFinished(() => producer.close())
    const texts = Array.from({ length: 40 }, (_, i) => `value ${i} ${'w'.repeat(50)}`)
    const messages = texts.map(text => ({ value: Buffer.from(text) }))
    await producer.send(topic, messages)
    await produce(topic, value('plain'))
    const { records } = await readAll({ topic, offset: 3 })
    expect(records.map(([, text]) => text)).toEqual([...texts.slice(3), 'plain'])
  })

  test('name what is wrong', async () => {
    const topic = await newTopic()
    await produce(topic, value('x'))
    const beyond = await readAll({ topic, offset: 2 })
    expect([beyond.errorCode, beyond.message]).toEqual([
      Errors.OFFSET_OUT_OF_RANGE,
      `offset 2 is not in ${topic}-0, which holds 0 to 1`,
    ])
    expect((await readAll({ topic, partition: 9 })).message).toContain('has no partition 9')
    expect((await readAll({ topic: 'nowhere' })).message).toContain('does not exist')
  })

  test('give the arena back', async () => {
    const { arena } = broker.parts.dispatcher.responses
    const before = arena.usedBytes
    const topic = await newTopic()
    await produce(topic, value('x'.repeat(1000)))
    for (let i = 0; i < 50; i++) await readAll({ topic })
    expect(arena.usedBytes).toBe(before)
  })
})

test('an owner that dies: everybody is told once, nothing acknowledged is lost, and it goes on', async () => {
  const topic = await newTopic()
  const partition = broker.parts.services.topics.partition(topic, 0)
  const owner = broker.parts.host.owners[partition?.ownerIndex ?? 0]
  const results: (Produced & { readonly text: string })[] = []
  const send = async (text: string) => {
    results.push({ ...(await produce(topic, value(text))), text })
  }
  const sent: Promise<void>[] = []
  for (let i = 0; i < 400; i++) {
    sent.push(send(`r${i}`))
    if (i === 200) {
      await Promise.all(sent.slice(0, 100))
      void owner?.terminate()
    }
    if (i % 20 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await Promise.all(sent)
  expect(results).toHaveLength(400)
  await expect.poll(async () => (await produce(topic, value('again'))).errorCode).toBe(Errors.NONE)
  const { records } = await readAll({ topic })
  const stored = new Map(records)
  for (const { errorCode, first, text } of results) {
    if (errorCode === Errors.NONE) expect(stored.get(first)).toBe(text)
  }
  expect(results.some(({ errorCode }) => errorCode === Errors.NONE)).toBe(true)
})

test('a time finds the first record at or after it, else the end', async () => {
  const topic = await newTopic()
  const rows = [1000, 2000, 3000].map(timestampMs =>
    record({ value: Buffer.from('x'), timestampMs }),
  )
  await produce(topic, listedRecords(rows))
  expect(await backend.offsetForTime(topic, 0, 1500)).toBe(1)
  expect(await backend.offsetForTime(topic, 0, 9000)).toBe(3)
  expect(await backend.offsetForTime(topic, 5, 0)).toMatchObject({
    errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION,
  })
})

test('a watch is told of every advance until it ends', async () => {
  const topic = await newTopic()
  let end = 0
  const unwatch = backend.watch(topic, 0, () => {
    end = backend.offsets(topic, 0)?.highWatermark ?? -1
  })
  for (let i = 1; i <= 5; i++) {
    await produce(topic, value('x'))
    await expect.poll(() => end).toBe(i)
  }
  unwatch()
  await produce(topic, value('x'))
  expect([end, broker.parts.dispatcher.purgatory.fetchCount]).toEqual([5, 0])
})

test('topics are made where that is allowed, and refused with a reason where not', async () => {
  expect(await backend.ensureTopic('made-here')).toMatchObject({
    name: 'made-here',
    partitionCount: 1,
    isInternal: false,
  })
  expect(await backend.ensureTopic('bad name')).toMatchObject({
    errorCode: Errors.INVALID_TOPIC_EXCEPTION,
  })
  expect(backend.topic('made-here')?.configs()['cleanup.policy']).toBe('delete')
  expect(backend.topics().map(({ name }) => name)).toContain('made-here')
})
