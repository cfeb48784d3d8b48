/**
 * Requests that no honest client sends, against the produce route of a real broker: each is refused whole, nothing of
 * it is stored, and whoever is honest does not notice.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { rawRequest } from '../http-fixture.ts'
import { octets, sharedRaw } from './raw-kit.ts'

const raw = sharedRaw()
const port = () => Number(new URL(raw.url).port)

function head(topic: string, ...headers: string[]): string {
  const all = [`POST /topics/${topic} HTTP/1.1`, 'Host: localhost', `Content-Type: ${octets}`]
  return [...all, ...headers, '', ''].join('\r\n')
}

const chunked = 'Transfer-Encoding: chunked'
const close = 'Connection: close'

/** Each is one request, perhaps with another hidden in it. */
const framings: readonly (readonly [what: string, of: (topic: string) => string])[] = [
  ['length and chunks', t => `${head(t, 'Content-Length: 5', chunked)}0\r\n\r\n`],
  ['chunks and length', t => `${head(t, chunked, 'Content-Length: 5')}0\r\n\r\n`],
  ['two lengths', t => `${head(t, 'Content-Length: 1', 'Content-Length: 2')}ab`],
  ['a list of lengths', t => `${head(t, 'Content-Length: 1, 1')}a`],
  ['a signed length', t => `${head(t, 'Content-Length: +1')}a`],
  ['a negative length', t => `${head(t, 'Content-Length: -1')}a`],
  ['a hexadecimal length', t => `${head(t, 'Content-Length: 0x1')}a`],
  ['a length of two words', t => `${head(t, 'Content-Length: 1 1')}a`],
  ['a length with a vertical tab', t => `${head(t, 'Content-Length: \v1')}a`],
  ['a length that overflows', t => `${head(t, 'Content-Length: 18446744073709551617')}a`],
  ['a space before the colon', t => `${head(t, 'Content-Length : 1')}a`],
  ['a folded header', t => `${head(t, 'X: a\r\n b', 'Content-Length: 1')}a`],
  ['a folded length', t => `${head(t, 'Content-Length:\r\n 1')}a`],
  ['bare line feeds', t => head(t, 'Content-Length: 1').replaceAll('\r\n', '\n').concat('a')],
  ['one bare line feed', t => `${head(t, 'X: a\nContent-Length: 1')}a`],
  ['a bare carriage return', t => `${head(t, 'X: a\rContent-Length: 1', 'Content-Length: 1')}a`],
  ['a NUL in a header', t => `${head(t, 'X: a\0b', 'Content-Length: 1')}a`],
  ['a header without a name', t => `${head(t, ': a', 'Content-Length: 1')}a`],
  ['a header without a colon', t => `${head(t, 'X', 'Content-Length: 1')}a`],
  ['chunked twice', t => `${head(t, chunked, chunked)}1\r\na\r\n0\r\n\r\n`],
  ['not chunked last', t => `${head(t, 'Transfer-Encoding: chunked, gzip')}1\r\na\r\n0\r\n\r\n`],
  ['xchunked', t => `${head(t, 'Transfer-Encoding: xchunked')}1\r\na\r\n0\r\n\r\n`],
  ['a chunk size that overflows', t => `${head(t, chunked)}10000000000000001\r\na\r\n0\r\n\r\n`],
  ['a chunk size with a sign', t => `${head(t, chunked)}+1\r\na\r\n0\r\n\r\n`],
  ['a chunk size with 0x', t => `${head(t, chunked)}0x1\r\na\r\n0\r\n\r\n`],
  ['a chunk longer than its size', t => `${head(t, chunked)}1\r\nab\r\n0\r\n\r\n`],
  ['a chunk that ends with a line feed', t => `${head(t, chunked)}1\r\na\n0\r\n\r\n`],
  ['endless chunk extensions', t => `${head(t, chunked)}1;${'x'.repeat(100_000)}\r\na\r\n`],
  ['no version', t => head(t).replace(' HTTP/1.1', '')],
  ['version 2', t => head(t, 'Content-Length: 1').replace('HTTP/1.1', 'HTTP/2.0').concat('a')],
  ['version 1.10', t => head(t, 'Content-Length: 1').replace('/1.1', '/1.10').concat('a')],
  ['a tab in the first line', t => head(t, 'Content-Length: 1').replace('POST ', 'POST\t')],
  ['no Host', t => `${head(t, close, 'Content-Length: 1').replace('Host: localhost\r\n', '')}a`],
  ['two Hosts', t => `${head(t, close, 'Host: localhost', 'Content-Length: 1')}a`],
]

describe('framing', () => {
  test.each(framings)('%s', async (_what, of) => {
    const topic = await raw.newTopic()
    // What follows must not be taken for a request of its own.
    const hidden = `${head(topic, close, 'Content-Length: 6')}hidden`
    const { status, body, headers } = await rawRequest(port(), of(topic) + hidden)
    expect([400, 413, 505]).toContain(status)
    const { error_code: code, message } = JSON.parse(body) as Record<string, unknown>
    expect([String(code).slice(0, 3), typeof message]).toEqual([String(status), 'string'])
    expect(headers.get('connection')).toBe('close')
    expect(await raw.values(topic)).toEqual([])
  })

  test('a body of chunks with extensions and trailers is taken as what it is', async () => {
    const topic = await raw.newTopic()
    const body = '3;a=b\r\nabc\r\n2;b="x"\r\nde\r\n0\r\nX-Odradek-Key: k\r\nX-Trailer: 1\r\n\r\n'
    const answer = await rawRequest(port(), head(topic, close, chunked) + body)
    expect(answer.status).toBe(200)
    // Trailers are no headers: nobody has checked them.
    expect(await raw.records(topic)).toMatchObject([{ key: null, value: 'abcde' }])
  })
})

describe('whom browsers can be made to ask', () => {
  test.each([
    ['a rebound name', 'Host: evil.example', 403],
    ['a rebound name with a port', 'Host: evil.example:8082', 403],
    ['a name that begins like ours', 'Host: localhost.evil.example', 403],
    ['a malformed host', 'Host: localhost@evil.example', 400],
  ])('%s', async (_what, host, status) => {
    const topic = await raw.newTopic()
    const request = head(topic, close, 'Content-Length: 1').replace('Host: localhost', host)
    expect((await rawRequest(port(), `${request}a`)).status).toBe(status)
    expect(await raw.values(topic)).toEqual([])
  })

  test.each(['http://evil.example', 'null', 'https://localhost.evil.example', 'file://'])(
    'an origin %s may neither append nor read',
    async origin => {
      const topic = await raw.newTopic()
      const line = `Origin: ${origin}`
      const post = await rawRequest(port(), `${head(topic, close, line, 'Content-Length: 1')}a`)
      expect(post.status).toBe(403)
      const path = `/topics/${topic}/partitions/0/records`
      const get = `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${line}\r\n${close}\r\n\r\n`
      expect((await rawRequest(port(), get)).status).toBe(403)
      expect(await raw.values(topic)).toEqual([])
    },
  )

  test('nobody else is told that they may', async () => {
    const topic = await raw.newTopic()
    const answer = await raw.call(`/topics/${topic}/partitions/0/records`)
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
    const preflight = await raw.call(`/topics/${topic}`, { method: 'OPTIONS' })
    expect(preflight.status).toBe(404)
  })
})

describe('paths', () => {
  test.each(['%2e%2e', '..', '%2e', 'a%2f..%2fb', '%5c', '%00', 'a%0d%0ab', '%c0%ae', '*'])(
    '/topics/%s is no topic, and no file',
    async name => {
      const request = head('x', close, 'Content-Length: 1').replace('/topics/x', `/topics/${name}`)
      const answer = await rawRequest(port(), `${request}a`)
      expect(answer.status).toBe(400)
      expect(raw.broker.parts.services.topics.get(decodeURIComponentOr(name))).toBeUndefined()
    },
  )

  function decodeURIComponentOr(text: string): string {
    try {
      return decodeURIComponent(text)
    } catch {
      return text
    }
  }
})

describe('bombs', () => {
  test('a small gzip body that becomes huge is a 413, and memory stays', async () => {
    const topic = await raw.newTopic()
    const bomb = gzipSync(Buffer.alloc(256 * 1024 * 1024))
    expect(bomb.length).toBeLessThan(300_000)
    const answers = await Promise.all(
      Array.from({ length: 4 }, () =>
        raw.post(`/topics/${topic}`, octets, bomb, { 'content-encoding': 'gzip' }),
      ),
    )
    for (const { status, json } of answers) expect([status, json.error_code]).toEqual([413, 41301])
    expect(await raw.values(topic)).toEqual([])
  })

  test('gzip that is cut, or followed by something, is not stored in part', async () => {
    const topic = await raw.newTopic()
    const packed = gzipSync('all of it')
    const cut = packed.subarray(0, -4)
    const broken = Buffer.from(packed)
    broken[broken.length - 6] ^= 1
    for (const body of [cut, broken, Buffer.alloc(0)]) {
      const answer = await raw.post(`/topics/${topic}`, octets, Buffer.from(body), {
        'content-encoding': 'gzip',
      })
      expect(answer.status).toBe(400)
    }
    expect(await raw.values(topic)).toEqual([])
  })
})

describe('slow ones', () => {
  test('hundreds of half requests do not hold up an honest one', async () => {
    const topic = await raw.newTopic()
    const sockets: Socket[] = []
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy()
    })
    for (let i = 0; i < 300; i++) {
      const socket = connect(port(), '127.0.0.1')
      socket.on('error', () => {})
      sockets.push(socket)
      await once(socket, 'connect')
      const pieces = [
        'POST /topics/t HT',
        head('slow', 'Content-Length: 16000000'),
        head('slow', chunked),
      ]
      socket.write(pieces[i % 3])
    }
    let isDone = false
    const dripping = (async () => {
      while (!isDone) {
        for (const [i, socket] of sockets.entries()) socket.write(i % 3 === 2 ? '1\r\na\r\n' : 'x')
        await sleep(20)
      }
    })()
    const tookMs: number[] = []
    for (let i = 0; i < 100; i++) {
      const startMs = performance.now()
      expect((await raw.post(`/topics/${topic}`, octets, `v${i}`)).status).toBe(200)
      tookMs.push(performance.now() - startMs)
    }
    isDone = true
    await dripping
    // Generous, for a busy machine; a held-up request would take seconds.
    expect(tookMs.toSorted((a, b) => a - b)[95]).toBeLessThan(2000)
    expect(await raw.values(topic)).toHaveLength(100)
    expect(raw.broker.parts.services.topics.get('slow')).toBeUndefined()
  })
})
