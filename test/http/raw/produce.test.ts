/** Raw produce over a real broker: what is sent is what lies in the log, and what cannot be taken is told. */
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { Consumer } from '../../../src/client/consumer.ts'
import { requireCommand } from '../../support/requires.ts'
import { curl, lines, ndjson, octets, sharedRaw } from './raw-kit.ts'

const raw = sharedRaw()

describe('one record', () => {
  test('is stored as it is sent, and the answer tells where', async () => {
    const topic = await raw.newTopic()
    const bytes = Buffer.from([0, 1, 0xff, 0x0a, 0x0d, 0x0a])
    for (let i = 0; i < 3; i++) {
      const answer = await raw.post(`/topics/${topic}`, octets, bytes)
      expect(answer.status).toBe(200)
      expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
      const where = `{"topic":"${topic}","partition":0,"base_offset":"${i}","count":1,"durable":true}`
      expect(answer.bytes.toString()).toBe(where)
    }
    const [first] = await raw.records(topic, '?encoding=base64')
    expect(first.value).toBe(bytes.toString('base64'))
  })

  test('takes key, partition, time and headers by query', async () => {
    const topic = await raw.newTopic(3)
    const query =
      'key=k%C3%A4y&partition=2&timestamp=1300000000000&header=Trace:7:8&header=e:&acks=1'
    const answer = await raw.post(`/topics/${topic}?${query}`, octets, 'v')
    expect(answer.json).toMatchObject({ partition: 2, base_offset: '0', durable: false })
    // acks=1: it is answered before anybody may read it.
    await expect
      .poll(() => raw.records(topic, '', 2))
      .toEqual([
        {
          topic,
          partition: 2,
          offset: '0',
          timestamp: 1_300_000_000_000,
          key: 'käy',
          value: 'v',
          headers: [
            { name: 'Trace', value: '7:8' },
            { name: 'e', value: '' },
          ],
        },
      ])
  })

  test('takes the same by request headers, as the bytes they are', async () => {
    const topic = await raw.newTopic(3)
    const headers = [
      'X-Odradek-Key: käy',
      'X-Odradek-Partition: 1',
      'X-Odradek-Timestamp: 1300000000001',
      'X-Odradek-Header-Trace-Id: ü',
      'X-Odradek-Header-Trace-Id: again',
    ].flatMap(header => ['-H', header])
    const url = `${raw.url}/topics/${topic}`
    const answer = await curl([...headers, '-H', `Content-Type: ${octets}`, '-d', 'v', url])
    expect(answer.status).toBe(200)
    expect(await raw.records(topic, '', 1)).toMatchObject([
      {
        timestamp: 1_300_000_000_001,
        key: 'käy',
        headers: [
          { name: 'trace-id', value: 'ü' },
          { name: 'trace-id', value: 'again' },
        ],
      },
    ])
  })

  test('takes any key in base64, and an empty value', async () => {
    const topic = await raw.newTopic()
    const key = Buffer.from([0xff, 0xfe, 0]).toString('base64')
    await raw.post(`/topics/${topic}?key_base64=${encodeURIComponent(key)}`, octets, '')
    await raw.post(`/topics/${topic}`, octets, '', { 'x-odradek-key-base64': key })
    const sent = await raw.records(topic, '?encoding=base64')
    expect(sent.map(record => [record.key, record.value])).toEqual([
      [key, ''],
      [key, ''],
    ])
  })

  test('can be a tombstone', async () => {
    const topic = await raw.newTopic(1, { 'cleanup.policy': 'compact' })
    expect((await raw.post(`/topics/${topic}?key=k`, octets, 'v')).status).toBe(200)
    expect((await raw.post(`/topics/${topic}?key=k&tombstone=true`, octets, '')).status).toBe(200)
    expect(await raw.values(topic)).toEqual(['v', null])
    const keyless = await raw.post(`/topics/${topic}`, octets, 'v')
    expect([keyless.status, keyless.json.error_code]).toEqual([422, 42210])
    expect(keyless.json.message).toContain('compacted')
  })

  test('goes where Kafka’s own clients put its key', async () => {
    const topic = await raw.newTopic(7)
    // murmur2 of Apache Kafka: toPositive(murmur2("21")) % 7, and so on.
    for (const key of ['21', 'foobar', 'a-little-bit-long-string']) {
      const { partition } = (await raw.post(`/topics/${topic}?key=${key}`, octets, 'v')).json
      const again = (await raw.post(`/topics/${topic}?key=${key}`, octets, 'w')).json
      expect(again.partition).toBe(partition)
    }
    const murmurs = [
      ['21', -973932308],
      ['foobar', -790332482],
      ['a-little-bit-long-string', -985981536],
    ] as const
    for (const [key, hash] of murmurs) {
      const partition = (hash & 0x7fff_ffff) % 7
      expect((await raw.values(topic, partition)).length).toBeGreaterThanOrEqual(2)
      const { json } = await raw.post(`/topics/${topic}?key=${key}`, octets, 'x')
      expect([key, json.partition]).toEqual([key, partition])
    }
  })
})

describe('many records', () => {
  test('NDJSON is a record a line, as it stands', async () => {
    const topic = await raw.newTopic()
    const body = '{"a":1}\n\n  \r\n{"n": 12345678901234567890}\r\nnot even json\n"last"'
    const answer = await raw.post(`/topics/${topic}/partitions/0`, ndjson, body)
    expect(answer.json).toMatchObject({ base_offset: '0', count: 4, durable: true })
    expect(await raw.values(topic)).toEqual([
      '{"a":1}',
      '{"n": 12345678901234567890}',
      'not even json',
      '"last"',
    ])
  })

  test('lines are a record each, empty ones too', async () => {
    const topic = await raw.newTopic()
    const types = [lines, 'TEXT/PLAIN;FORMAT="lines";charset=utf-8', 'text/plain ; format=lines']
    for (const [i, type] of types.entries()) {
      const answer = await raw.post(`/topics/${topic}?key=k`, type, 'a\n\nb\r\n')
      expect(answer.json).toMatchObject({ base_offset: String(i * 3), count: 3 })
    }
    const sent = await raw.records(topic)
    expect(sent.map(({ value }) => value)).toEqual(types.flatMap(() => ['a', '', 'b']))
    expect(new Set(sent.map(({ key }) => key))).toEqual(new Set(['k']))
  })

  test('more than one batch holds come in order', async () => {
    const topic = await raw.newTopic(1, { 'max.message.bytes': '20000' })
    const sent = Array.from({ length: 5000 }, (_, i) => `line ${i} ${'x'.repeat(i % 50)}`)
    const answer = await raw.post(`/topics/${topic}`, lines, sent.join('\n'))
    expect(answer.json).toMatchObject({ base_offset: '0', count: 5000 })
    expect(await raw.values(topic)).toEqual(sent)
  })

  test('come gzipped', async () => {
    const topic = await raw.newTopic()
    const sent = Array.from({ length: 1000 }, (_, i) => `{"i":${i}}`)
    const packed = gzipSync(sent.join('\n'))
    for (const encoding of ['gzip', 'x-gzip', 'GZIP']) {
      const headers = { 'content-encoding': encoding }
      const answer = await raw.post(`/topics/${topic}`, ndjson, packed, headers)
      expect(answer.json).toMatchObject({ count: 1000 })
    }
    expect(await raw.values(topic)).toEqual([...sent, ...sent, ...sent])
  })

  test('spread over the partitions when they have no key', async () => {
    const topic = await raw.newTopic(4)
    const seen = new Set<number>()
    for (let i = 0; i < 8; i++) {
      seen.add((await raw.post(`/topics/${topic}`, lines, 'a\nb')).json.partition)
    }
    expect(seen).toEqual(new Set([0, 1, 2, 3]))
  })
})

describe('acks', () => {
  test('say when the answer comes and what it knows', async () => {
    const topic = await raw.newTopic()
    const os = await raw.newTopic(1, { 'flush.policy': 'os' })
    const cases = [
      ['?acks=all', '0', true],
      ['?acks=-1', '1', true],
      ['', '2', true],
      ['?acks=1', '3', false],
      ['?acks=0', null, false],
    ] as const
    for (const [query, offset, durable] of cases) {
      const { json } = await raw.post(`/topics/${topic}${query}`, octets, 'v')
      expect([query, json.base_offset, json.durable]).toEqual([query, offset, durable])
    }
    // Nobody waits for the disk there, so nobody claims it.
    expect((await raw.post(`/topics/${os}`, octets, 'v')).json.durable).toBe(false)
    await expect.poll(() => raw.values(topic)).toHaveLength(5)
  })
})

describe('topics', () => {
  test('are made by the first record, as on the wire', async () => {
    const answer = await raw.post('/topics/made-by-http', octets, 'v')
    expect(answer.json).toMatchObject({ topic: 'made-by-http', base_offset: '0' })
    expect((await raw.admin.describeTopic('made-by-http')).name).toBe('made-by-http')
  })

  test('that cannot be are refused', async () => {
    const cases = [
      ['a%20b', 400, 40002],
      ['a%2fb', 400, 40002],
      ['%00', 400, 40002],
      ['x'.repeat(250), 400, 40002],
      ['__consumer_offsets', 404, 40401],
    ] as const
    for (const [name, status, code] of cases) {
      const { json, status: given } = await raw.post(`/topics/${name}`, octets, 'v')
      expect([name, given, json.error_code]).toEqual([name, status, code])
    }
  })

  test('have only the partitions they have', async () => {
    const topic = await raw.newTopic(2)
    for (const path of [`/topics/${topic}/partitions/2`, `/topics/${topic}?partition=2`]) {
      const { status, json } = await raw.post(path, octets, 'v')
      expect([path, status, json.error_code]).toEqual([path, 404, 40402])
    }
  })
})

describe('what makes no sense', () => {
  test.each([
    ['?acks=2', {}, 400, 'acks'],
    ['?acks=1&acks=0', {}, 400, 'acks'],
    ['?color=red', {}, 400, 'color'],
    ['?key=a&key_base64=YQ==', {}, 400, 'key'],
    ['?key=a', { 'x-odradek-key': 'a' }, 400, 'key'],
    ['?key_base64=%21', {}, 400, 'key_base64'],
    ['', { 'x-odradek-key-base64': '!' }, 400, 'base64'],
    ['?key=%ff', {}, 400, 'escapes'],
    ['?key=%zz', {}, 400, 'escapes'],
    ['?partition=-1', {}, 400, 'partition'],
    ['?partition=1e3', {}, 400, 'partition'],
    ['', { 'x-odradek-partition': ' 0x1' }, 400, 'partition'],
    ['?timestamp=99999999999999999', {}, 400, 'timestamp'],
    ['?timestamp=9999999999999999', {}, 400, 'timestamp'],
    ['', { 'x-odradek-timestamp': 'now' }, 400, 'timestamp'],
    ['?header=nocolon', {}, 400, 'header'],
    ['', { 'x-odradek-color': 'red' }, 400, 'odradek-color'],
    ['?tombstone=true', {}, 400, 'empty body'],
    ['', { 'content-encoding': 'br' }, 415, 'gzip'],
    ['', { 'content-encoding': 'gzip' }, 400, 'gzip'],
  ] as const)('%s %o', async (query, headers, status, word) => {
    const topic = await raw.newTopic()
    const answer = await raw.post(`/topics/${topic}${query}`, octets, 'v', headers)
    expect([answer.status, answer.json]).toEqual([
      status,
      { error_code: expect.any(Number), message: expect.stringContaining(word) },
    ])
    expect(String(answer.json.error_code).slice(0, 3)).toBe(String(status))
    expect(await raw.values(topic)).toEqual([])
  })

  test('a partition twice, a tombstone of lines, lines without a record', async () => {
    const topic = await raw.newTopic()
    const cases = [
      [`/topics/${topic}/partitions/0?partition=0`, octets, 'v'],
      [`/topics/${topic}?key=k&tombstone=true`, lines, ''],
      [`/topics/${topic}`, ndjson, ' \n\n'],
      [`/topics/${topic}`, lines, ''],
    ] as const
    for (const [path, type, body] of cases) {
      expect([path, (await raw.post(path, type, body)).status]).toEqual([path, 400])
    }
  })

  test('bodies of other kinds are a 415 that lists those that are taken', async () => {
    const topic = await raw.newTopic()
    const types = ['application/json', 'text/plain', 'application/x-www-form-urlencoded', null]
    for (const type of types) {
      const answer = await raw.post(`/topics/${topic}`, type, 'v')
      expect([type, answer.status, answer.json.error_code]).toEqual([type, 415, 41501])
      expect(answer.json.message).toMatch(/lines/)
    }
  })

  test('a record too large, or of another time, is told what the topic takes', async () => {
    const topic = await raw.newTopic(1, {
      'max.message.bytes': '1000',
      'message.timestamp.after.max.ms': '1000',
    })
    const large = await raw.post(`/topics/${topic}`, octets, 'x'.repeat(2000))
    expect([large.status, large.json.error_code]).toEqual([413, 41301])
    expect(large.json.message).toContain('1000')
    const late = await raw.post(`/topics/${topic}?timestamp=${Date.now() + 1e8}`, octets, 'x')
    expect([late.status, late.json.error_code]).toEqual([422, 42210])
    expect(await raw.values(topic)).toEqual([])
  })
})

describe('without auto.create.topics.enable', () => {
  const strict = sharedRaw({ 'auto.create.topics.enable': false })

  test('an unknown topic is a 404 with the cure', async () => {
    const { status, json } = await strict.post('/topics/nope', octets, 'v')
    expect([status, json.error_code]).toEqual([404, 40401])
    expect(json.message).toContain('auto.create.topics.enable')
    expect(strict.broker.parts.services.topics.get('nope')).toBeUndefined()
  })
})

describe('beside the Kafka port', () => {
  test('our own client reads what came over HTTP', async () => {
    const topic = await raw.newTopic()
    await raw.post(`/topics/${topic}?key=k&header=h:1&timestamp=1300000000000`, lines, 'a\nb')
    await using consumer = new Consumer({ bootstrap: raw.broker.bootstrap })
    const [stream] = await consumer.createMessageStreams(topic, 1, { untilEnd: true })
    const seen: unknown[] = []
    for await (const message of stream) {
      const headers = message.headers.map(([name, value]) => [name, value?.toString()])
      seen.push([message.key?.toString(), message.value?.toString(), message.timestampMs, headers])
    }
    expect(seen).toEqual([
      ['k', 'a', 1_300_000_000_000, [['h', '1']]],
      ['k', 'b', 1_300_000_000_000, [['h', '1']]],
    ])
  })
})

describe('curl', () => {
  test('sends records, large ones after 100 Continue', async context => {
    requireCommand(context, 'curl')
    const topic = await raw.newTopic(1, { 'max.message.bytes': '12000000' })
    const url = `${raw.url}/topics/${topic}`
    const post = (type: string, body: string | Buffer, ...more: string[]) =>
      curl([...more, '-H', `Content-Type: ${type}`, '--data-binary', '@-', url], body)
    expect((await post(octets, 'hello')).status).toBe(200)
    expect((await post(ndjson, '{"a":1}\n{"a":2}\n')).body).toContain('"count":2')
    const large = Buffer.alloc(10_000_000, 'x')
    expect((await post(octets, large)).status).toBe(200)
    expect((await post(octets, large, '-H', 'Transfer-Encoding: chunked')).status).toBe(200)
    const packed = gzipSync('zipped')
    expect((await post(octets, packed, '-H', 'Content-Encoding: gzip')).status).toBe(200)
    const tooLarge = await post(octets, Buffer.alloc(17 * 1024 * 1024))
    expect([tooLarge.status, JSON.parse(tooLarge.body).error_code]).toEqual([413, 41301])
    const ends = await raw.admin.endOffsets(topic)
    expect(ends).toEqual([6])
  })
})
