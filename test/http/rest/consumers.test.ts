import { once } from 'node:events'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import {
  binaryV2,
  createInstance,
  jsonV2,
  put,
  type RestRecord,
  sharedRest,
  startRest,
  take,
  v2,
} from './rest-kit.ts'

/** Of the tables: a topic t with two partitions, an instance that wants nothing, a subscriber, one with a part. */
const ask = sharedRest(async call => {
  await put(call, 't', [{ a: 1 }])
  await createInstance(call, 'tables', { name: 'idle' })
  const subscribed = await createInstance(call, 'tables-s', { name: 'subscribed' })
  await call('POST', `${subscribed}/subscription`, { body: { topics: ['t'] } })
  const assigned = await createInstance(call, 'tables-a', { name: 'assigned' })
  await call('POST', `${assigned}/assignments`, {
    body: { partitions: [{ topic: 't', partition: 0 }] },
  })
})
const idle = '/consumers/tables/instances/idle'
const subscribed = '/consumers/tables-s/instances/subscribed'
const assigned = '/consumers/tables-a/instances/assigned'
const at = (topic: string, partition: number, more = {}) => ({ topic, partition, ...more })

test('create, subscribe, read, commit, delete; a Kafka group goes on where it stood', async () => {
  const { call } = await startRest()
  await put(call, 'orders', ['a', 'b', 'c'])
  const created = await call('POST', '/consumers/my%20group', {
    body: { name: 'one/two', format: 'json', 'auto.offset.reset': 'earliest' },
  })
  expect(created).toMatchObject({ status: 200, type: v2 })
  const { instance_id: id, base_uri: uri } = created.json
  expect(id).toBe('one/two')
  const path = new URL(uri).pathname
  expect(path).toBe('/consumers/my%20group/instances/one%2Ftwo')
  const subscription = { topics: ['orders'] }
  expect((await call('POST', `${path}/subscription`, { body: subscription })).status).toBe(204)
  expect((await call('GET', `${path}/subscription`)).json).toEqual(subscription)
  expect((await call('GET', `${path}/assignments`)).json).toEqual({
    partitions: [at('orders', 0), at('orders', 1)],
  })
  const records = await call('GET', `${path}/records`, { accept: jsonV2 })
  expect(records).toMatchObject({ status: 200, type: jsonV2 })
  expect(records.json).toEqual(
    ['a', 'b', 'c'].map((value, offset) => ({
      topic: 'orders',
      key: null,
      value,
      partition: 0,
      offset,
    })),
  )
  // The offset of the last record that is done with; what is kept is the next one.
  const offsets = [at('orders', 0, { offset: 1, metadata: 'mine' })]
  const commit = await call('POST', `${path}/offsets`, { body: { offsets } })
  expect(commit).toMatchObject({ status: 200, text: '' })
  expect((await call('GET', `${path}/offsets`)).json).toEqual({
    offsets: [at('orders', 0, { offset: 2, metadata: 'mine' })],
  })
  expect((await call('DELETE', path)).status).toBe(204)
  expect((await call('GET', `${path}/records`)).json.error_code).toBe(40403)
})

test('binary is the default, and gives base64', async () => {
  const { call } = await startRest()
  const records = [{ key: 'AP8=', value: 'aGk=' }, { value: null }]
  const body = { records: records.map(record => ({ ...record, partition: 0 })) }
  await call('POST', '/topics/t', { body, type: binaryV2 })
  const { json } = await call('POST', '/consumers/g', { body: { 'auto.offset.reset': 'earliest' } })
  expect(json.instance_id).toMatch(/^rest-consumer-/)
  const path = new URL(json.base_uri).pathname
  await call('POST', `${path}/subscription`, { body: { topics: ['t'] } })
  const answer = await call('GET', `${path}/records?timeout=5000`)
  expect(answer.type).toBe(binaryV2)
  expect(answer.json).toEqual([
    { topic: 't', key: 'AP8=', value: 'aGk=', partition: 0, offset: 0 },
    { topic: 't', key: null, value: null, partition: 0, offset: 1 },
  ])
  // Who would read them as JSON is told, and loses nothing.
  expect(await call('GET', `${path}/records`, { accept: jsonV2 })).toMatchObject({
    status: 406,
    json: { error_code: 40601 },
  })
})

test.each<[string, string, unknown, number, number]>([
  ['POST', '/consumers/x', { name: 7 }, 422, 42204],
  ['POST', '/consumers/x', { format: 'avro' }, 422, 42204],
  ['POST', '/consumers/x', { 'auto.offset.reset': 'middle' }, 422, 42204],
  ['POST', '/consumers/x', { 'auto.commit.enable': 'yes' }, 422, 42204],
  ['POST', '/consumers/x', { 'fetch.min.bytes': 'many' }, 422, 42204],
  ['POST', '/consumers/x', { 'consumer.request.timeout.ms': -1 }, 422, 42204],
  ['POST', '/consumers/x', { 'consumer.request.timeout.ms': 9_999_999 }, 422, 42204],
  ['POST', '/consumers/x', { unknown: 1 }, 422, 42204],
  ['POST', '/consumers/x', { name: 'n'.repeat(256) }, 422, 42204],
  ['POST', `/consumers/${'g'.repeat(256)}`, {}, 422, 42204],
  ['POST', '/consumers/x', '{"a":', 400, 400],
  ['POST', '/consumers/x', '{"__proto__":{"name":"a"}}', 422, 42204],
  ['POST', '/consumers/tables', { name: 'idle' }, 409, 40902],
  ['GET', '/consumers/none/instances/none/records', undefined, 404, 40403],
  ['GET', '/consumers/tables/instances/none/assignments', undefined, 404, 40403],
  ['DELETE', '/consumers/tables/instances/none', undefined, 404, 40403],
  ['POST', '/consumers/tables/instances/none/subscription', { topics: ['t'] }, 404, 40403],
  ['GET', `${idle}/records`, undefined, 409, 40903],
  ['GET', `${idle}/records?timeout=soon`, undefined, 422, 42206],
  ['GET', `${idle}/records?max_bytes=0`, undefined, 422, 42206],
  ['POST', `${idle}/subscription`, {}, 422, 42206],
  ['POST', `${idle}/subscription`, undefined, 422, 42206],
  ['POST', `${idle}/subscription`, { topics: [] }, 422, 42206],
  ['POST', `${idle}/subscription`, { topics: ['t'], topic_pattern: 't' }, 422, 42206],
  ['POST', `${idle}/subscription`, { topic_pattern: '(' }, 400, 40001],
  ['POST', `${idle}/subscription`, { topic_pattern: 'a)|(b' }, 400, 40001],
  ['POST', `${idle}/subscription`, { topic_pattern: 'x'.repeat(257) }, 400, 40001],
  ['POST', `${idle}/assignments`, { partitions: [at('none', 0)] }, 404, 40401],
  ['POST', `${idle}/assignments`, { partitions: [at('t', 2)] }, 404, 40402],
  ['POST', `${idle}/assignments`, { partitions: [at('t', -1)] }, 422, 42206],
  ['POST', `${idle}/positions`, { offsets: [at('t', 0, { offset: 0 })] }, 409, 40903],
  ['POST', `${idle}/positions/end`, { partitions: [at('t', 0)] }, 409, 40903],
  ['POST', `${idle}/positions/middle`, { partitions: [at('t', 0)] }, 404, 404],
  ['POST', `${assigned}/positions`, { offsets: [at('t', 0, { offset: -1 })] }, 422, 42206],
  ['POST', `${assigned}/positions`, { offsets: [at('t', 0, { offset: 2 ** 60 })] }, 422, 42206],
  ['POST', `${assigned}/positions`, { offsets: [at('t', 1, { offset: 0 })] }, 409, 40903],
  ['POST', `${assigned}/offsets`, { offsets: [at('none', 0, { offset: 0 })] }, 404, 40401],
  ['POST', `${assigned}/offsets`, { offsets: [at('t', 0, { offset: -2 })] }, 422, 42206],
  [
    'POST',
    `${assigned}/offsets`,
    { offsets: [at('t', 0, { offset: 0, metadata: 'm'.repeat(4097) })] },
    422,
    42206,
  ],
  ['POST', `${assigned}/subscription`, { topics: ['t'] }, 409, 40903],
  ['POST', `${subscribed}/assignments`, { partitions: [at('t', 0)] }, 409, 40903],
])('%s %s %j is %i %i', async (method, path, body, status, errorCode) => {
  const answer = await ask(method, path, { body })
  expect(answer).toMatchObject({ status, json: { error_code: errorCode } })
  expect(answer.json.message).toMatch(/\w/)
})

test('HEAD takes no records, and a body of another type is not read', async () => {
  expect((await ask('HEAD', `${assigned}/records`)).status).toBe(404)
  const answer = await ask('POST', '/consumers/x', { body: '{}', type: 'text/plain' })
  expect(answer.status).toBe(415)
})

test('assigned partitions are read by whoever wants them, and seek goes anywhere', async () => {
  const { call } = await startRest()
  await put(call, 't', [0, 1, 2, 3], 0)
  await put(call, 't', [10, 11], 1)
  const path = await createInstance(call, 'g')
  const both = { partitions: [at('t', 0), at('t', 1)] }
  expect((await call('POST', `${path}/assignments`, { body: both })).status).toBe(204)
  expect((await call('GET', `${path}/assignments`)).json).toEqual(both)
  expect(values(await take(call, path, 6))).toEqual([0, 1, 2, 3, 10, 11])
  await call('POST', `${path}/positions`, { body: { offsets: [at('t', 0, { offset: 3 })] } })
  expect(values(await take(call, path, 1))).toEqual([3])
  await call('POST', `${path}/positions/beginning`, { body: { partitions: [at('t', 1)] } })
  expect(values(await take(call, path, 2))).toEqual([10, 11])
  await call('POST', `${path}/positions/beginning`, { body: both })
  await call('POST', `${path}/positions/end`, { body: { partitions: [at('t', 0)] } })
  expect(values(await take(call, path, 2))).toEqual([10, 11])
  // Others are given back; the one that stays goes on where it was.
  await put(call, 't', [4], 0)
  await call('POST', `${path}/assignments`, { body: { partitions: [at('t', 0)] } })
  await put(call, 't', [12], 1)
  expect(values(await take(call, path, 1))).toEqual([4])
  expect((await call('GET', `${path}/records?timeout=0`)).json).toEqual([])
  expect((await call('DELETE', `${path}/subscription`)).status).toBe(204)
  expect((await call('GET', `${path}/records`)).json.error_code).toBe(40903)
})

test('latest begins at the end that was there when the partition was given, none needs a position', async () => {
  const { call } = await startRest()
  await put(call, 't', [0], 0)
  const latest = await createInstance(call, 'latest', { 'auto.offset.reset': 'latest' })
  await call('POST', `${latest}/assignments`, { body: { partitions: [at('t', 0)] } })
  await put(call, 't', [1], 0)
  expect(values(await take(call, latest, 1))).toEqual([1])

  const none = await createInstance(call, 'none', { 'auto.offset.reset': 'none' })
  await call('POST', `${none}/assignments`, { body: { partitions: [at('t', 0)] } })
  const refused = await call('GET', `${none}/records`)
  expect(refused).toMatchObject({ status: 409, json: { error_code: 40903 } })
  await call('POST', `${none}/positions`, { body: { offsets: [at('t', 0, { offset: 1 })] } })
  expect(values(await take(call, none, 1))).toEqual([1])
  // A position that is not in the log begins anew where new ones do; for none, that is nowhere.
  const earliest = await createInstance(call, 'earliest')
  await call('POST', `${earliest}/assignments`, { body: { partitions: [at('t', 0)] } })
  await call('POST', `${earliest}/positions`, { body: { offsets: [at('t', 0, { offset: 99 })] } })
  expect(values(await take(call, earliest, 2))).toEqual([0, 1])

  await call('POST', `${none}/positions`, { body: { offsets: [at('t', 0, { offset: 99 })] } })
  expect((await call('GET', `${none}/records`)).json.error_code).toBe(40903)
})

test('a call waits for records, and is answered as soon as there are some', async () => {
  const { call } = await startRest()
  await put(call, 't', [0], 0)
  const path = await createInstance(call, 'g')
  await call('POST', `${path}/subscription`, { body: { topics: ['t'] } })
  expect(values(await take(call, path, 1))).toEqual([0])
  const waiting = call('GET', `${path}/records?timeout=60000`)
  await put(call, 't', [1], 1)
  expect(values((await waiting).json)).toEqual([1])
})

test('fetch.min.bytes waits for more, until the time is over', async () => {
  const { call } = await startRest()
  await put(call, 't', ['x'], 0)
  const path = await createInstance(call, 'g', { 'fetch.min.bytes': '100' })
  await call('POST', `${path}/subscription`, { body: { topics: ['t'] } })
  await expect
    .poll(async () => (await call('GET', `${path}/assignments`)).json.partitions)
    .toHaveLength(2)
  expect(values((await call('GET', `${path}/records?timeout=300`)).json)).toEqual(['x'])
  const waiting = call('GET', `${path}/records?timeout=60000`)
  await put(call, 't', ['y'], 0)
  await put(call, 't', ['z'.repeat(100)], 1)
  expect((await waiting).json).toHaveLength(2)
})

test('max_bytes bounds an answer, one record is given whatever its size, and none is left out', async () => {
  const { call } = await startRest()
  const sent = Array.from({ length: 200 }, (_, index) => `${index} `.padEnd(100, 'x'))
  await put(call, 't', sent.slice(0, 120), 0)
  await put(call, 't', sent.slice(120), 1)
  const path = await createInstance(call, 'g')
  await call('POST', `${path}/subscription`, { body: { topics: ['t'] } })
  const all: unknown[] = []
  while (all.length < sent.length) {
    const { json } = await call('GET', `${path}/records?timeout=5000&max_bytes=1000`)
    expect(json.length).toBeLessThanOrEqual(9)
    all.push(...json)
  }
  expect(values(all as RestRecord[])).toEqual(sent)
  await call('POST', `${path}/positions/beginning`, { body: { partitions: [at('t', 0)] } })
  expect((await call('GET', `${path}/records?max_bytes=1&timeout=5000`)).json).toHaveLength(1)
})

test('a value that is no JSON is told with the way past it; text keys are no trouble', async () => {
  const { call } = await startRest()
  await put(call, 't', [1], 0)
  const bytes = (text: string) => Buffer.from(text).toString('base64')
  const records = [{ key: bytes('name'), value: bytes('{not json') }, { value: bytes('2') }]
  const body = { records: records.map(record => ({ ...record, partition: 0 })) }
  await call('POST', '/topics/t', { body, type: binaryV2 })
  const path = await createInstance(call, 'g')
  await call('POST', `${path}/subscription`, { body: { topics: ['t'] } })
  expect(values(await take(call, path, 1))).toEqual([1])
  for (let i = 0; i < 2; i++) {
    const refused = await call('GET', `${path}/records`)
    expect(refused).toMatchObject({ status: 422, json: { error_code: 42203 } })
    expect(refused.json.message).toContain('offset 1 in t-0')
  }
  await call('POST', `${path}/positions`, { body: { offsets: [at('t', 0, { offset: 2 })] } })
  expect(values(await take(call, path, 1))).toEqual([2])
})

test('two calls for records at once would tear them apart; the second is refused', async () => {
  const { call } = await startRest()
  await put(call, 't', [0], 0)
  const path = await createInstance(call, 'g')
  await call('POST', `${path}/subscription`, { body: { topics: ['t'] } })
  await take(call, path, 1)
  const first = call('GET', `${path}/records?timeout=60000`)
  await expect
    .poll(async () => (await call('GET', `${path}/records?timeout=0`)).json.error_code)
    .toBe(40903)
  // Other calls go on meanwhile, and the end of the instance ends the wait.
  expect((await call('POST', `${path}/offsets`)).status).toBe(200)
  expect((await call('DELETE', path)).status).toBe(204)
  expect((await first).json.error_code).toBe(40403)
})

test('who goes away while waiting loses nothing', async () => {
  const { call } = await startRest()
  await put(call, 't', [0], 0)
  const path = await createInstance(call, 'g')
  await call('POST', `${path}/subscription`, { body: { topics: ['t'] } })
  await take(call, path, 1)
  const leaving = new AbortController()
  const aborted = call('GET', `${path}/records?timeout=60000`, { signal: leaving.signal })
  await expect
    .poll(async () => (await call('GET', `${path}/records?timeout=0`)).json.error_code)
    .toBe(40903)
  leaving.abort()
  await expect(aborted).rejects.toThrow()
  await put(call, 't', [1], 0)
  await expect
    .poll(async () => (await call('GET', `${path}/records?timeout=1000`)).json)
    .toMatchObject([{ value: 1 }])
})

test('who takes only a part of an answer gets all of it again', async () => {
  // More than the system takes off the broker's hands.
  const set = { 'num.partitions': 1, 'consumer.request.max.bytes': 16 * 1024 * 1024 }
  const { call, broker } = await startRest(set)
  const sent = Array.from({ length: 152 }, (_, index) => `${index} `.padEnd(100_000, 'x'))
  for (let at = 0; at < sent.length; at += 19) await put(call, 't', sent.slice(at, at + 19))
  const path = await createInstance(call, 'g')
  await call('POST', `${path}/subscription`, { body: { topics: ['t'] } })
  const { hostname, port } = new URL(broker.httpUrl!)
  const socket = connect(Number(port), hostname)
  socket.write(`GET ${path}/records?timeout=30000 HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`)
  const [first] = (await once(socket, 'data')) as [Buffer]
  expect(first.toString('latin1')).toContain('200 OK')
  socket.destroy()
  await expect
    .poll(async () => (await call('GET', `${path}/records?timeout=0`)).json[0]?.offset)
    .toBe(0)
})

test('there are only so many instances', async () => {
  const { call } = await startRest({
    'consumer.instances.max': 3,
    'consumer.instances.per.group.max': 2,
  })
  await createInstance(call, 'a', { name: '1' })
  await createInstance(call, 'a', { name: '2' })
  const tooMany = (group: string) => call('POST', `/consumers/${group}`, { body: {} })
  expect(await tooMany('a')).toMatchObject({ status: 429, json: { error_code: 42901 } })
  await createInstance(call, 'b')
  const refused = await tooMany('c')
  expect(refused.json.message).toContain('consumer.instances.max')
  await call('DELETE', '/consumers/a/instances/1')
  await createInstance(call, 'c')
})

const values = (records: readonly RestRecord[]): unknown[] =>
  records
    .toSorted((a, b) => a.partition - b.partition || a.offset - b.offset)
    .map(({ value }) => value)
