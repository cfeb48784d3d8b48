import { expect, test } from 'vitest'
import { Consumer } from '../../../src/client/consumer.ts'
import { Producer } from '../../../src/client/producer.ts'
import { binaryV2, jsonV2, put, sharedRest, startRest } from './rest-kit.ts'

/** Of the tables: it has a topic t with two partitions, which nothing changes. */
const ask = sharedRest(call => put(call, 't', [1]))

const base64 = (text: string) => Buffer.from(text).toString('base64')

test('topics and partitions are told as REST Proxy tells them', async () => {
  const { broker, call } = await startRest()
  await put(call, 'orders', [1, 2, 3], 1)
  const nodeId = broker.parts.services.nodeId
  const partition = (index: number) => ({
    partition: index,
    leader: nodeId,
    replicas: [{ broker: nodeId, leader: true, in_sync: true }],
  })
  expect(await call('GET', '/topics')).toMatchObject({
    status: 200,
    type: 'application/vnd.kafka.v2+json',
    json: ['orders'],
  })
  const topic = await call('GET', '/topics/orders')
  expect(topic.json).toEqual({
    name: 'orders',
    configs: expect.objectContaining({ 'cleanup.policy': 'delete' }),
    partitions: [partition(0), partition(1)],
  })
  expect((await call('GET', '/topics/orders/partitions')).json).toEqual(topic.json.partitions)
  expect((await call('GET', '/topics/orders/partitions/1')).json).toEqual(partition(1))
  const offsets = await call('GET', '/topics/orders/partitions/1/offsets')
  expect(offsets.json).toEqual({ beginning_offset: 0, end_offset: 3 })
})

test.each([
  ['GET', '/topics/none', 404, 40401],
  ['GET', '/topics/none/partitions', 404, 40401],
  ['GET', '/topics/none/partitions/0', 404, 40401],
  ['GET', '/topics/t/partitions/2', 404, 40402],
  ['GET', '/topics/t/partitions/x', 404, 40402],
  ['GET', '/topics/t/partitions/-1', 404, 40402],
  ['GET', '/topics/t/partitions/99999999999', 404, 40402],
  ['GET', '/topics/t/partitions/2/offsets', 404, 40402],
])('%s %s is %i %i', async (method, path, status, errorCode) => {
  const answer = await ask(method, path)
  expect(answer).toMatchObject({ status, json: { error_code: errorCode } })
  expect(answer.json.message).not.toBe('')
})

test.each([
  [undefined, 200, 'application/vnd.kafka.v2+json'],
  ['*/*', 200, 'application/vnd.kafka.v2+json'],
  ['application/json', 200, 'application/json'],
  ['application/vnd.kafka+json', 200, 'application/vnd.kafka+json'],
  ['application/json;q=0.5, application/vnd.kafka.v2+json', 200, 'application/vnd.kafka.v2+json'],
  ['text/html,application/xhtml+xml', 200, 'application/json'],
  ['application/xml', 406, 'application/json; charset=utf-8'],
  ['application/vnd.kafka.v2+json;q=0, */*', 200, 'application/vnd.kafka+json'],
])('Accept %s is answered %i %s', async (accept, status, type) => {
  expect(await ask('GET', '/topics', { accept })).toMatchObject({ status, type })
})

test('records of both formats are what Kafka clients read', async () => {
  const { broker, call } = await startRest()
  const json = await call('POST', '/topics/mixed', {
    type: jsonV2,
    body:
      '{"records":[{"key":{"b" : 1,  "a":[ 1,2 ]},"value":{"n":12345678901234567890, "s":"\\u00e9"},"partition":1},' +
      '{"value":null,"key":"k","partition":1},{"partition":1,"value":"text","timestamp":1700000000000,' +
      `"headers":[{"name":"h","value":"${base64('v')}"},{"name":"n","value":null}]}]}`,
  })
  expect(json).toMatchObject({ status: 200, type: 'application/vnd.kafka.v2+json' })
  const row = (offset: number) => ({ partition: 1, offset, error_code: null, error: null })
  expect(json.json).toEqual({
    offsets: [row(0), row(1), row(2)],
    key_schema_id: null,
    value_schema_id: null,
  })
  const binary = await call('POST', '/topics/mixed/partitions/1', {
    type: binaryV2,
    body: { records: [{ key: base64('\0k'), value: base64('\xffv') }, { value: 'aGk' }] },
  })
  expect(binary.json.offsets).toEqual([row(3), row(4)])

  await using consumer = new Consumer({ bootstrap: broker.bootstrap })
  const [stream] = await consumer.createMessageStreams('mixed', 1, { untilEnd: true })
  const read = []
  for await (const { key, value, headers, timestampMs } of stream) {
    const text = (bytes: Buffer | null) => bytes?.toString() ?? null
    read.push([
      text(key),
      text(value),
      headers.map(([name, bytes]) => [name, text(bytes)]),
      timestampMs,
    ])
  }
  // Bytes as they came: no digit is lost. A key loses its white space, so that equal keys are equal bytes.
  expect(read.map(([key, value]) => [key, value])).toEqual([
    ['{"b":1,"a":[1,2]}', '{"n":12345678901234567890, "s":"\\u00e9"}'],
    ['"k"', null],
    [null, '"text"'],
    ['\0k', '\xffv'],
    [null, 'hi'],
  ])
  expect(read[2].slice(2)).toEqual([
    [
      ['h', 'v'],
      ['n', null],
    ],
    1_700_000_000_000,
  ])
})

test('equal keys go to one partition, that of any Kafka client', async () => {
  const { broker, call } = await startRest({ 'num.partitions': 5 })
  const keys = ['a', 'b', 'c', 'd', 'e', 'f']
  const answer = await call('POST', '/topics/keyed', {
    type: binaryV2,
    body: { records: keys.map(key => ({ key: base64(key), value: '' })) },
  })
  await using producer = new Producer({ bootstrap: broker.bootstrap, acks: 'all' })
  const sent = await producer.send(
    'keyed',
    keys.map(key => ({ key, value: 'x' })),
  )
  const partitions = answer.json.offsets.map((row: { partition: number }) => row.partition)
  expect(new Set(partitions).size).toBeGreaterThan(1)
  const found = []
  for (const index of keys.keys()) {
    const { json } = await call('GET', `/topics/keyed/partitions/${partitions[index]}/offsets`)
    found.push(json.end_offset)
  }
  expect(sent).toBeDefined()
  // Each partition that got n keys here got the same n there.
  for (const [index, end] of found.entries()) {
    const here = partitions.filter((partition: number) => partition === partitions[index]).length
    expect(end).toBe(2 * here)
  }
})

test.each([
  ['{', 400, 400],
  ['[]', 422, 42206],
  ['{}', 422, 42206],
  ['{"records":[]}', 422, 42206],
  ['{"records":{}}', 422, 42206],
  ['{"records":[1]}', 422, 42206],
  ['{"records":[{"valu":1}]}', 422, 42206],
  ['{"records":[{"value":1,"partition":"0"}]}', 422, 42206],
  ['{"records":[{"value":1,"partition":-1}]}', 422, 42206],
  ['{"records":[{"value":1,"partition":1.5}]}', 422, 42206],
  ['{"records":[{"value":1,"timestamp":-1}]}', 422, 42206],
  ['{"records":[{"value":1,"headers":[{}]}]}', 422, 42206],
  ['{"records":[{"value":1,"headers":7}]}', 422, 42206],
  ['{"records":[{"value":1}],"more":1}', 422, 42206],
  ['{"records":[{"value":1}],"value_schema":"{}"}', 422, 42205],
  ['{"records":[{"value":1}]} x', 400, 400],
  [`{"records":[{"value":${'['.repeat(40)}${']'.repeat(40)}}]}`, 400, 400],
])('the body %s is %i %i', async (body, status, errorCode) => {
  const answer = await ask('POST', '/topics/other', { body, type: jsonV2 })
  expect(answer).toMatchObject({ status, json: { error_code: errorCode } })
  // What is refused makes no topic.
  expect((await ask('GET', '/topics')).json).toEqual(['t'])
})

test.each(['application/vnd.kafka.avro.v2+json', 'application/vnd.kafka.protobuf.v2+json'])(
  '%s needs a schema registry',
  async type => {
    const answer = await ask('POST', '/topics/t', { type, body: { records: [{ value: 1 }] } })
    expect(answer).toMatchObject({ status: 422, json: { error_code: 42205 } })
  },
)

test('base64 that is none is refused; schema fields that are null are not', async () => {
  const { call } = await startRest()
  const bad = { records: [{ value: 'aGk' }, { value: 'no base64!' }] }
  expect(await call('POST', '/topics/t', { type: binaryV2, body: bad })).toMatchObject({
    status: 422,
    json: { error_code: 42206, message: expect.stringContaining('records[1].value') },
  })
  const good = { value_schema_id: null, records: [{ value: 'aGk=' }] }
  expect((await call('POST', '/topics/t', { type: binaryV2, body: good })).status).toBe(200)
})

test('what one partition refuses does not touch the other records', async () => {
  const { call } = await startRest()
  await put(call, 't', [0])
  const big = 'x'.repeat(2_000_000)
  const { status, json } = await call('POST', '/topics/t', {
    type: jsonV2,
    body: {
      records: [
        { value: 'first', partition: 0 },
        { value: 'nowhere', partition: 9 },
        { value: big, partition: 1 },
        { value: 'last', partition: 0 },
      ],
    },
  })
  expect(status).toBe(200)
  expect(json.offsets).toEqual([
    { partition: 0, offset: 1, error_code: null, error: null },
    { partition: 9, offset: null, error_code: 1, error: expect.stringContaining('no 9') },
    {
      partition: 1,
      offset: null,
      error_code: 1,
      error: expect.stringContaining('max.message.bytes'),
    },
    { partition: 0, offset: 2, error_code: null, error: null },
  ])
})

test('a path with a partition: it must exist, and records must not name another', async () => {
  const { call } = await startRest()
  await put(call, 't', [0])
  const post = (path: string, body: unknown) => call('POST', path, { type: jsonV2, body })
  const one = { records: [{ value: 1 }] }
  expect((await post('/topics/t/partitions/7', one)).json.error_code).toBe(40402)
  const other = { records: [{ value: 1, partition: 1 }] }
  expect((await post('/topics/t/partitions/0', other)).json.error_code).toBe(42206)
  const { json } = await post('/topics/t/partitions/1?acks=1', one)
  expect(json.offsets).toEqual([{ partition: 1, offset: 0, error_code: null, error: null }])
})

test('offsets are exact for more records than a batch may hold', async () => {
  const { call } = await startRest()
  const records = Array.from({ length: 2000 }, (_, index) => ({
    value: `${index} ${'x'.repeat(700)}`,
    partition: 0,
  }))
  const both = await Promise.all([
    call('POST', '/topics/t', { type: jsonV2, body: { records } }),
    call('POST', '/topics/t', { type: jsonV2, body: { records } }),
  ])
  const offsets = both.flatMap(({ json }) =>
    json.offsets.map((row: { offset: number }) => row.offset),
  )
  expect(new Set(offsets).size).toBe(4000)
  expect(Math.max(...offsets)).toBe(3999)
  for (const { json } of both) {
    const rows: number[] = json.offsets.map((row: { offset: number }) => row.offset)
    expect(rows).toEqual(rows.toSorted((a, b) => a - b))
  }
})

test('where topics are not made by themselves, an unknown one is 40401', async () => {
  const { call } = await startRest({ 'auto.create.topics.enable': false })
  const body = { records: [{ value: 1 }] }
  expect(await call('POST', '/topics/t', { type: jsonV2, body })).toMatchObject({
    status: 404,
    json: { error_code: 40401 },
  })
})
