/** Event streams over a real broker: where they begin, what they show, how they go on, what they tell of gaps. */
import { EventSource } from 'eventsource'
import { expect, onTestFinished, test } from 'vitest'
import { Admin } from '../../../src/client/admin.ts'
import { crc32c } from '../../../src/protocol/crc32c.ts'
import { DeleteRecords } from '../../../src/protocol/messages/delete-records.ts'
import {
  batchOf,
  connect,
  createTopic,
  newTopicName,
  sharedBroker,
  store,
} from '../../broker/fixture.ts'
import {
  cuttingProxy,
  httpOf,
  metric,
  named,
  openEvents,
  producer,
  recordsOf,
  tailBroker,
} from './tail-kit.ts'

const broker = sharedBroker({ http: true, workers: 1 })
const eventsUrl = (topic: string, query = '') =>
  `${httpOf(broker())}/topics/${topic}/events${query}`

async function newTopic(partitions = 1): Promise<string> {
  return await createTopic(await connect(broker()), { partitions })
}

function admin(): Admin {
  const made = new Admin({ bootstrap: broker().bootstrap })
  onTestFinished(() => made.close())
  return made
}

test('a tail gets what is appended after it was opened, in order, and nothing from before', async () => {
  const topic = await newTopic()
  const sender = producer(broker())
  await sender.send(topic, [{ value: 'before' }])
  const tail = await openEvents(eventsUrl(topic))
  await sender.send(topic, [{ value: 'a' }, { value: 'b' }])
  await sender.send(topic, [{ value: 'c' }])
  await expect.poll(() => recordsOf(tail.events)).toEqual(['0:1=a', '0:2=b', '0:3=c'])
  expect(tail.events.map(({ event, id }) => `${event} ${id}`)).toEqual([
    'position 0:1',
    'record 0:2',
    'record 0:3',
    'record 0:4',
  ])
})

test('from=earliest, a position and a timestamp begin where they say', async () => {
  const topic = await newTopic(2)
  const sender = producer(broker())
  for (let i = 0; i < 6; i++) {
    const message = { value: `v${i}`, partition: i % 2, timestampMs: 1_000 + i * 1_000 }
    await sender.send(topic, [message])
  }
  const of = async (query: string) => {
    const tail = await openEvents(eventsUrl(topic, query))
    return { sorted: () => recordsOf(tail.events).toSorted(), tail }
  }
  const all = ['0:0=v0', '0:1=v2', '0:2=v4', '1:0=v1', '1:1=v3', '1:2=v5']
  const earliest = await of('?from=earliest')
  await expect.poll(earliest.sorted).toEqual(all)
  const named = await of('?from=0:2,1:1')
  await expect.poll(named.sorted).toEqual(['0:2=v4', '1:1=v3', '1:2=v5'])
  const one = await of('?partition=1&from=2')
  await expect.poll(one.sorted).toEqual(['1:2=v5'])
  expect(one.tail.events.at(-1)?.id).toBe('1:3')
  const late = await of('?timestamp=1970-01-01T00:00:05Z')
  await expect.poll(late.sorted).toEqual(['0:2=v4', '1:2=v5'])
  const future = await of('?timestamp=999999999999999')
  await sender.send(topic, [{ value: 'new', partition: 0 }])
  await expect.poll(future.sorted).toEqual(['0:3=new'])
})

test('keys, values and headers come in the encoding that was asked for', async () => {
  const topic = await newTopic()
  const bytes = Buffer.from([0xff, 0x00])
  const json = '{\n "n": 12345678901234567890, "s": "line\\nbreak" }'
  await producer(broker()).send(topic, [
    {
      key: 'kä',
      value: 'über\r\n\u2028',
      headers: [
        ['h', 'x'],
        ['b', bytes],
        ['n', null],
      ],
      timestampMs: 7,
    },
    { key: bytes, value: bytes },
    { key: 'j', value: json },
    { value: null },
  ])
  const read = async (encoding: string) => {
    const tail = await openEvents(eventsUrl(topic, `?from=earliest&encoding=${encoding}`))
    await expect.poll(() => recordsOf(tail.events)).toHaveLength(4)
    return { tail, records: named(tail.events, 'record').map(({ data }) => data) }
  }
  const { records: utf8 } = await read('utf8')
  expect(utf8[0]).toEqual({
    topic,
    partition: 0,
    offset: '0',
    timestamp: 7,
    key: 'kä',
    value: 'über\r\n\u2028',
    headers: [
      { name: 'h', value: 'x' },
      { name: 'b', value_base64: '/wA=' },
      { name: 'n', value: null },
    ],
  })
  expect(utf8[1]).toMatchObject({ key_base64: '/wA=', value_base64: '/wA=' })
  expect(utf8[1]).not.toHaveProperty('value')
  expect(utf8[2]).toMatchObject({ value: json })
  expect(utf8[3]).toMatchObject({ key: null, value: null, headers: [] })
  const { records: parsed, tail } = await read('json')
  expect(parsed[0]).toMatchObject({ key: 'kä', value_text: 'über\r\n\u2028' })
  expect(parsed[1]).toMatchObject({ key_base64: '/wA=', value_base64: '/wA=' })
  expect(parsed[2]).toMatchObject({ value: { s: 'line\nbreak' } })
  expect(tail.text()).toContain('12345678901234567890')
  const { records: base64 } = await read('base64')
  expect(base64[0]).toMatchObject({ key: Buffer.from('kä').toString('base64') })
  expect(base64[0].headers).toContainEqual({ name: 'h', value: 'eA==' })
})

test('compressed batches come unpacked', async () => {
  const topic = await newTopic()
  const client = await connect(broker())
  await store(client, topic, batchOf(['x', 'y', 'z'], { codec: 'gzip' }))
  const tail = await openEvents(eventsUrl(topic, '?from=earliest'))
  await expect.poll(() => recordsOf(tail.events)).toEqual(['0:0=x', '0:1=y', '0:2=z'])
})

test('a stream that is cut off anywhere is gone on with exactly behind its last id', async () => {
  const topic = await newTopic(3)
  const sender = producer(broker())
  const count = 300
  const expected = new Map([0, 1, 2].map(partition => [partition, [] as string[]]))
  const sent: Promise<unknown>[] = []
  for (let i = 0; i < count; i++) {
    expected.get(i % 3)?.push(String(i))
    sent.push(sender.send(topic, [{ value: String(i), partition: i % 3 }]))
  }
  const seen = new Map([0, 1, 2].map(partition => [partition, [] as string[]]))
  let lastId: string | undefined
  let received = 0
  for (let round = 0; received < count; round++) {
    const tail = await openEvents(eventsUrl(topic, '?from=earliest'), lastId)
    const want = Math.min(count - received, 1 + ((round * 7) % 40))
    await expect.poll(() => recordsOf(tail.events).length).toBeGreaterThanOrEqual(want)
    // The client acts on so many and loses the connection.
    tail.close()
    const taken = named(tail.events, 'record').slice(0, want)
    for (const { data, id } of taken) {
      seen.get(data.partition as number)?.push(data.value as string)
      lastId = id
      received++
    }
  }
  await Promise.all(sent)
  expect(seen).toEqual(expected)
})

test('a real EventSource client whose connections are cut comes back by itself and loses nothing', async () => {
  const topic = await newTopic(2)
  const sender = producer(broker())
  const proxy = await cuttingProxy(httpOf(broker()), 3001)
  const values: Record<number, string[]> = { 0: [], 1: [] }
  const source = new EventSource(`${proxy.url}/topics/${topic}/events`)
  onTestFinished(() => source.close())
  const beginnings: string[] = []
  source.addEventListener('position', ({ lastEventId }) => beginnings.push(lastEventId))
  source.addEventListener('message', ({ data }) => {
    const { partition, value } = JSON.parse(data)
    values[partition].push(value)
  })
  await expect.poll(() => beginnings).toEqual(['0:0,1:0'])
  const sent: Record<number, string[]> = { 0: [], 1: [] }
  for (let i = 0; i < 60; i++) {
    await sender.send(topic, [{ value: String(i), partition: i % 2 }])
    sent[i % 2].push(String(i))
  }
  await expect.poll(() => values, { timeout: 60_000 }).toEqual(sent)
  expect(proxy.connections()).toBeGreaterThanOrEqual(3)
}, 90_000)

test('records that were deleted while the client was away are told as lost, and the rest follows', async () => {
  const topic = await newTopic()
  const sender = producer(broker())
  for (let i = 0; i < 10; i++) await sender.send(topic, [{ value: `${i}` }])
  const client = await connect(broker())
  await client.request(DeleteRecords, 2, {
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: 7 }] }],
    timeoutMs: 30_000,
  })
  const tail = await openEvents(eventsUrl(topic), '0:3')
  await expect.poll(() => recordsOf(tail.events)).toEqual(['0:7=7', '0:8=8', '0:9=9'])
  expect(named(tail.events, 'lost')).toEqual([
    {
      event: 'lost',
      id: '0:7',
      data: expect.objectContaining({ topic, partition: 0, from: '3', to: '7', reason: 'deleted' }),
    },
  ])
  const all = await client.request(DeleteRecords, 2, {
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: -1 }] }],
    timeoutMs: 30_000,
  })
  expect(all.topics[0].partitions[0].lowWatermark).toBe(10)
  const none = await openEvents(eventsUrl(topic), '0:3')
  await expect.poll(() => named(none.events, 'lost').map(({ id }) => id)).toEqual(['0:10'])
})

test('a batch whose records are not what it claims is told as lost, those around it come', async () => {
  const topic = await newTopic()
  const client = await connect(broker())
  await store(client, topic, batchOf(['a', 'b']))
  // Stored unread: only a reader finds out about its second record.
  await store(client, topic, withBrokenRecord(batchOf(['c', 'd'])))
  await store(client, topic, batchOf(['e']))
  const tail = await openEvents(eventsUrl(topic, '?from=earliest'))
  await expect.poll(() => recordsOf(tail.events)).toEqual(['0:0=a', '0:1=b', '0:2=c', '0:4=e'])
  const [lost] = named(tail.events, 'lost')
  expect(lost).toMatchObject({ id: '0:4', data: { from: '3', to: '4', reason: 'damaged' } })
})

/** @returns the batch with a second record that claims to be longer than it is, under a CRC that is right */
function withBrokenRecord(batch: Buffer): Buffer {
  const firstRecord = 61
  const firstRecordBytes = batch[firstRecord] >> 1
  batch[firstRecord + 1 + firstRecordBytes] = 0x7e
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

test('a position beyond the end is told, and the stream goes on where from says', async () => {
  const topic = await newTopic()
  await producer(broker()).send(topic, [{ value: 'only' }])
  const earliest = await openEvents(eventsUrl(topic, '?from=earliest'), '0:500')
  await expect.poll(() => recordsOf(earliest.events)).toEqual(['0:0=only'])
  expect(named(earliest.events, 'reset')[0]).toMatchObject({
    id: '0:0',
    data: { partition: 0, from: '500', to: '0' },
  })
  const latest = await openEvents(eventsUrl(topic), '0:500')
  await expect
    .poll(() => latest.events.map(({ event, id }) => `${event} ${id}`))
    .toEqual(['reset 0:1', 'position 0:1'])
})

test('partitions that are added to a topic join the stream from their beginning', async () => {
  const topic = await newTopic(1)
  const tail = await openEvents(eventsUrl(topic))
  await admin().createPartitions(topic, 3)
  const sender = producer(broker())
  await sender.send(topic, [
    { value: 'new', partition: 2 },
    { value: 'old', partition: 0 },
  ])
  await expect.poll(() => recordsOf(tail.events).toSorted()).toEqual(['0:0=old', '2:0=new'])
  expect(tail.events.at(-1)?.id).toBe('0:1,1:0,2:1')
  // An id from before names partition 0 only: nothing of the others was seen by then.
  const again = await openEvents(eventsUrl(topic), '0:1')
  await expect.poll(() => recordsOf(again.events)).toEqual(['2:0=new'])
})

test('the stream of a topic that is deleted ends with the reason', async () => {
  const topic = await newTopic()
  const tail = await openEvents(eventsUrl(topic))
  await admin().deleteTopic(topic)
  await tail.ended
  expect(tail.events.at(-1)).toMatchObject({
    event: 'error',
    data: { error_code: 40401, reason: 'topic', message: `topic ${topic} was deleted` },
  })
})

test.each([
  ['/topics/no-such-topic/events', undefined, 404, 40401, 'does not exist'],
  ['/topics/T/events?partition=9', undefined, 404, 40402, 'partitions 0 to 1'],
  ['/topics/T/events?partition=x', undefined, 400, 400, 'must be partitions'],
  ['/topics/T/events?from=yesterday', undefined, 400, 400, 'latest, earliest'],
  ['/topics/T/events?from=5', undefined, 400, 400, '0:17,1:4'],
  ['/topics/T/events?from=0:1,0:2', undefined, 400, 400, '0:17,1:4'],
  ['/topics/T/events?from=latest&timestamp=5', undefined, 400, 400, 'exclude'],
  ['/topics/T/events?timestamp=-5', undefined, 400, 400, 'milliseconds'],
  ['/topics/T/events?encoding=xml', undefined, 400, 400, 'base64'],
  ['/topics/T/events?form=latest', undefined, 400, 400, 'no such'],
  ['/topics/T/events?from=latest&from=earliest', undefined, 400, 400, 'from'],
  ['/topics/T/events', '0:17,1:x', 400, 400, 'Last-Event-ID'],
  ['/topics/T/events', '0:1,7:1', 400, 400, 'partition 7'],
  ['/topics/T/events', '0:99999999999999999', 400, 400, 'Last-Event-ID'],
])('%s with Last-Event-ID %s is answered %i (%i)', async (path, id, status, code, words) => {
  const topic = await newTopic(2)
  const headers: Record<string, string> = id === undefined ? {} : { 'last-event-id': id }
  const response = await fetch(httpOf(broker()) + path.replace('/T/', `/${topic}/`), { headers })
  expect(response.status).toBe(status)
  const problem = (await response.json()) as { message: string }
  expect(problem).toMatchObject({ error_code: code })
  expect(problem.message).toContain(words)
})

test('a tail beyond http.tails.max is refused with 503, and one that closes makes room', async () => {
  const small = await tailBroker({ 'http.tails.max': 2 })
  const topic = newTopicName()
  await producer(small).send(topic, [{ value: 'a' }])
  const url = `${httpOf(small)}/topics/${topic}/events`
  const first = await openEvents(url)
  await openEvents(url)
  await expect(openEvents(url)).rejects.toThrow(/503.*http\.tails\.max/)
  expect(await metric(httpOf(small), 'tails{kind="sse"}')).toBe(2)
  first.close()
  await expect.poll(() => metric(httpOf(small), 'tails{kind="sse"}')).toBe(1)
  await openEvents(url)
  expect(await metric(httpOf(small), 'tails_refused_total')).toBe(1)
  expect(await metric(httpOf(small), 'tails_ended_total{reason="client"}')).toBe(1)
})

test('a quiet stream is sent comments; when the broker closes, streams end with the reason', async () => {
  const own = await tailBroker({ 'http.tail.heartbeat.ms': 100 })
  const topic = newTopicName()
  await producer(own).send(topic, [{ value: 'a' }])
  const tail = await openEvents(`${httpOf(own)}/topics/${topic}/events`)
  await expect.poll(() => tail.text().split(':\n\n').length).toBeGreaterThan(2)
  const closed = own.close()
  await tail.ended
  expect(tail.events.at(-1)).toMatchObject({
    event: 'error',
    id: '0:1',
    data: { error_code: 503, reason: 'shutdown' },
  })
  await closed
})
