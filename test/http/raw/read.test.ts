/** The stateless read over a real broker: formats, where it starts and ends, waiting, and what cannot be read. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { Producer } from '../../../src/client/producer.ts'
import { codecNames } from '../../../src/protocol/compression.ts'
import { requireCommand } from '../../support/requires.ts'
import { curl, lines, octets, sharedRaw } from './raw-kit.ts'

const raw = sharedRaw()
const jsonV2 = 'application/vnd.kafka.json.v2+json'
const binaryV2 = 'application/vnd.kafka.binary.v2+json'

const pathOf = (topic: string, query = '') => `/topics/${topic}/partitions/0/records${query}`
const read = (topic: string, query = '', accept = '*/*') =>
  raw.call(pathOf(topic, query), { headers: { accept } })

/** A topic with these values, from offset 0 on. */
async function topicWith(values: readonly string[], configs: Record<string, string> = {}) {
  const topic = await raw.newTopic(1, configs)
  await raw.post(`/topics/${topic}`, lines, values.join('\n'))
  return topic
}

interface BinaryRecord {
  readonly offset: string
  readonly timestamp: string
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly (readonly [name: string, value: string | null])[]
}

/** As the documentation describes the format; independent of the writer. */
function parseBinary(bytes: Buffer): BinaryRecord[] {
  let pos = 0
  const int32 = () => {
    pos += 4
    return bytes.readInt32BE(pos - 4)
  }
  const int64 = () => {
    pos += 8
    return bytes.readBigInt64BE(pos - 8).toString()
  }
  const text = () => {
    const length = int32()
    if (length < 0) return null
    pos += length
    return bytes.subarray(pos - length, pos).toString('latin1')
  }
  const records: BinaryRecord[] = []
  while (pos < bytes.length) {
    const end = int32() + pos
    const [offset, timestamp, key, value] = [int64(), int64(), text(), text()]
    const headers = Array.from({ length: int32() }, () => [text() ?? '', text()] as const)
    expect(pos).toBe(end)
    records.push({ offset, timestamp, key, value, headers })
  }
  return records
}

describe('formats', () => {
  test('JSON, NDJSON and binary tell the same records', async () => {
    const topic = await raw.newTopic()
    const query = 'timestamp=1300000000000&key=k%C3%A4&header=h:1'
    await raw.post(`/topics/${topic}?${query}`, lines, '{"a":1}\nplain\n')
    await raw.post(`/topics/${topic}?timestamp=1300000000001`, octets, Buffer.from([0xff, 0x00]))
    const base = { topic, partition: 0, timestamp: 1_300_000_000_000, key: 'kä' }
    const headers = [{ name: 'h', value: '1' }]
    const wanted = [
      { ...base, offset: '0', value: '{"a":1}', headers },
      { ...base, offset: '1', value: 'plain', headers },
      { ...base, offset: '2', timestamp: 1_300_000_000_001, key: null, value_base64: '/wA=' },
    ]
    const json = await read(topic)
    expect(json.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(json.json).toMatchObject(wanted)
    const nd = await read(topic, '', 'application/x-ndjson')
    expect(nd.headers.get('content-type')).toBe('application/x-ndjson')
    const ndLines = nd.bytes.toString().trimEnd().split('\n')
    expect(ndLines.map(line => JSON.parse(line) as unknown)).toEqual(json.json)
    const binary = await read(topic, '', octets)
    expect(binary.headers.get('content-type')).toBe(octets)
    const key = Buffer.from('kä').toString('latin1')
    const timestamp = '1300000000000'
    expect(parseBinary(binary.bytes)).toEqual([
      { offset: '0', timestamp, key, value: '{"a":1}', headers: [['h', '1']] },
      { offset: '1', timestamp, key, value: 'plain', headers: [['h', '1']] },
      { offset: '2', timestamp: '1300000000001', key: null, value: '\xff\x00', headers: [] },
    ])
    for (const answer of [json, nd, binary]) {
      expect(answer.headers.get('x-odradek-next-offset')).toBe('3')
      expect(answer.headers.get('x-odradek-high-watermark')).toBe('3')
      expect(answer.headers.get('x-odradek-log-start-offset')).toBe('0')
    }
  })

  test('the encoding of values follows the query, then the media type', async () => {
    const topic = await topicWith(['{"a":1}', 'plain'])
    const values = async (query: string, accept: string) => {
      const { json } = await read(topic, query, accept)
      const records = json as unknown as Record<string, unknown>[]
      return records.map(record => record.value ?? record.value_text)
    }
    const encoded = ['{"a":1}', 'plain'].map(text => Buffer.from(text).toString('base64'))
    expect(await values('', jsonV2)).toEqual([{ a: 1 }, 'plain'])
    expect(await values('', binaryV2)).toEqual(encoded)
    expect(await values('?encoding=utf8', binaryV2)).toEqual(['{"a":1}', 'plain'])
    expect(await values('?encoding=json', 'application/json')).toEqual([{ a: 1 }, 'plain'])
    expect((await read(topic, '', binaryV2)).headers.get('content-type')).toBe(binaryV2)
  })

  test.each([
    ['application/json;q=0.5, application/x-ndjson', 'application/x-ndjson'],
    ['text/html, application/*;q=0.2', 'application/json; charset=utf-8'],
    ['*/*;q=0.1, application/octet-stream;q=0.1, application/json;q=0', 'application/x-ndjson'],
    ['APPLICATION/JSON', 'application/json; charset=utf-8'],
    ['text/html', null],
    ['application/json;q=0', null],
    ['application/avro', null],
  ])('Accept: %s', async (accept, type) => {
    const topic = await topicWith(['v'])
    const answer = await read(topic, '', accept)
    if (type === null) expect([answer.status, answer.json.error_code]).toEqual([406, 40601])
    else expect(answer.headers.get('content-type')).toBe(type)
  })

  test('batches of every codec are unpacked', async () => {
    const topic = await raw.newTopic()
    const sent: string[] = []
    for (const codec of codecNames) {
      await using producer = new Producer({ bootstrap: raw.broker.bootstrap, codec })
      const values = Array.from({ length: 100 }, (_, i) => `${codec} ${i}`)
      await producer.send(topic, values)
      sent.push(...values)
    }
    expect(await raw.values(topic)).toEqual(sent)
    expect((await raw.records(topic, '?offset=250'))[0].value).toBe(sent[250])
  })
})

describe('where', () => {
  test('an offset, earliest, latest, a time', async () => {
    const topic = await raw.newTopic()
    for (let i = 0; i < 5; i++) {
      await raw.post(`/topics/${topic}?timestamp=${1_300_000_000_000 + i * 1000}`, octets, `v${i}`)
    }
    const first = async (query: string) => (await raw.records(topic, query))[0]?.offset ?? null
    expect(await first('')).toBe('0')
    expect(await first('?offset=3')).toBe('3')
    expect(await first('?offset=earliest')).toBe('0')
    expect(await first('?offset=latest')).toBeNull()
    expect(await first('?offset=5')).toBeNull()
    expect(await first('?timestamp=1300000001001')).toBe('2')
    expect(await first('?timestamp=2011-03-13T07:06:43Z')).toBe('3')
    expect(await first(`?timestamp=${encodeURIComponent('2011-03-13T08:06:44+01:00')}`)).toBe('4')
    expect(await first('?timestamp=1400000000000')).toBeNull()
  })

  test('paging by the header gives each record once', async () => {
    const values = Array.from({ length: 1000 }, (_, i) => `value ${i} ${'x'.repeat(i % 100)}`)
    const topic = await topicWith(values, { 'max.message.bytes': '9000' })
    const seen: unknown[] = []
    let pages = 0
    for (let offset = '0'; Number(offset) < 1000; pages++) {
      const answer = await read(topic, `?offset=${offset}&max_bytes=5000`)
      const records = answer.json as unknown as { readonly value: string }[]
      expect(records.length).toBeGreaterThan(0)
      expect(answer.bytes.length).toBeLessThan(20_000)
      seen.push(...records.map(({ value }) => value))
      offset = answer.headers.get('x-odradek-next-offset') as string
    }
    expect(seen).toEqual(values)
    expect(pages).toBeGreaterThan(10)
  })

  test('one record comes at least, however small max_bytes is', async () => {
    const topic = await topicWith(['first', 'second'])
    const records = await raw.records(topic, '?max_bytes=0')
    expect(records.map(({ value }) => value)).toEqual(['first'])
    await raw.post(`/topics/${topic}`, octets, 'x'.repeat(500_000))
    expect((await raw.records(topic, '?offset=2&max_bytes=1'))[0].value).toHaveLength(500_000)
  })

  test('outside the log is a 416 that tells what the log holds', async () => {
    const topic = await topicWith(['v'])
    const { status, json, headers } = await read(topic, '?offset=2')
    expect([status, json.error_code]).toEqual([416, 41601])
    expect(json.message).toContain('0 to 1')
    expect(headers.get('x-odradek-high-watermark')).toBe('1')
    expect(headers.get('x-odradek-log-start-offset')).toBe('0')
    expect((await read(topic, '?offset=9007199254740993')).status).toBe(416)
  })

  test.each([
    ['?offset=-1', 400],
    ['?offset=1e3', 400],
    ['?offset=', 400],
    ['?offset=0&timestamp=0', 400],
    ['?timestamp=yesterday', 400],
    ['?max_bytes=all', 400],
    ['?timeout=-1', 400],
    ['?encoding=hex', 400],
    ['?color=red', 400],
    ['?offset=0&offset=1', 400],
  ])('%s is a %i', async (query, status) => {
    const topic = await topicWith(['v'])
    const answer = await read(topic, query)
    expect([answer.status, answer.json.error_code]).toEqual([status, status])
  })

  test('an unknown topic or partition is a 404', async () => {
    const topic = await topicWith(['v'])
    const none = await read('never-made')
    expect([none.status, none.json.error_code]).toEqual([404, 40401])
    const partition = await raw.call(`/topics/${topic}/partitions/1/records`)
    expect([partition.status, partition.json.error_code]).toEqual([404, 40402])
    expect((await raw.call(`/topics/${topic}/partitions/x/records`)).status).toBe(400)
  })
})

describe('waiting', () => {
  test('a long poll is answered by the next record, and by none in the end', async () => {
    const topic = await raw.newTopic()
    const waiting = read(topic, '?offset=latest&timeout=30000')
    await sleep(50)
    await raw.post(`/topics/${topic}`, octets, 'at last')
    expect(((await waiting).json as unknown as { value: string }[])[0].value).toBe('at last')
    const empty = await read(topic, '?offset=latest&timeout=50')
    expect([empty.status, empty.json]).toEqual([200, []])
    expect(empty.headers.get('x-odradek-next-offset')).toBe('1')
  })

  test('whoever leaves is not waited for, and closing ends all waits', async () => {
    const topic = await raw.newTopic()
    const left = new AbortController()
    const gone = raw.call(pathOf(topic, '?offset=latest&timeout=30000'), { signal: left.signal })
    await sleep(50)
    left.abort()
    await expect(gone).rejects.toThrow()
    await raw.post(`/topics/${topic}`, octets, 'v')
    expect(await raw.values(topic)).toEqual(['v'])
  })
})

describe('closing', () => {
  const closed = sharedRaw()

  test('ends all waits at once, with an answer', async () => {
    const topic = await closed.newTopic()
    const waits = Array.from({ length: 5 }, () => closed.records(topic, '?timeout=30000'))
    await sleep(100)
    const startMs = performance.now()
    await closed.broker.parts.http?.close()
    expect(await Promise.all(waits)).toEqual([[], [], [], [], []])
    expect(performance.now() - startMs).toBeLessThan(20_000)
  })
})

test('curl reads, and HEAD says where the log ends', async context => {
  requireCommand(context, 'curl')
  const topic = await topicWith(['a', 'b'])
  const answer = await curl(['-H', 'Accept: application/x-ndjson', raw.url + pathOf(topic)])
  expect(answer.status).toBe(200)
  expect(answer.body.trimEnd().split('\n')).toHaveLength(2)
  const head = await raw.call(pathOf(topic, '?offset=latest'), { method: 'HEAD' })
  expect(head.headers.get('x-odradek-next-offset')).toBe('2')
  expect(head.bytes).toHaveLength(0)
})
