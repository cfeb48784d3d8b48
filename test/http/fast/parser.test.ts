import { afterAll, describe, expect, test } from 'vitest'
import {
  BodyKind,
  bodyBytesMax,
  Head,
  handOver,
  headBytesMax,
  incomplete,
  parseHead,
} from '../../../src/http/fast/fast-parser.ts'
import { Random } from '../../sim/world/random.ts'
import { evilLines, oddRequests, plainRequest, requestLines } from './odd-requests.ts'
import { disagreement, fastReading, NodeReader } from './readings.ts'

const good = 'POST /topics/t HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n'
const plain = `${good}Content-Length: 5\r\n\r\n`

const verdictOf = (text: string, head = new Head()): number => {
  const bytes = Buffer.from(text, 'latin1')
  return parseHead(bytes, 0, bytes.length, head)
}
const withLine = (line: string): string => `${good}${line}\r\nContent-Length: 5\r\n\r\n`

describe('what is taken', () => {
  test('a plain request', () => {
    const head = new Head()
    const bytes = Buffer.from(`....${plain}hello`)
    expect(parseHead(bytes, 4, bytes.length, head)).toBe(plain.length)
    expect(head).toMatchObject({ partition: -1, acks: -1, kind: BodyKind.record, bodyBytes: 5 })
    expect(plain.slice(head.topicStart, head.topicEnd)).toBe('t')
    expect(plain.slice(head.hostStart, head.hostEnd)).toBe('a')
  })

  test.each([
    ['/topics/a.b_C-9', 'a.b_C-9', -1, -1],
    ['/topics/t?acks=all', 't', -1, -1],
    ['/topics/t?acks=1', 't', -1, 1],
    ['/topics/t?acks=0', 't', -1, 0],
    ['/topics/t/partitions/0', 't', 0, -1],
    ['/topics/t/partitions/120?acks=1', 't', 120, 1],
    [`/topics/${'n'.repeat(249)}`, 'n'.repeat(249), -1, -1],
  ])('%s', (path, topic, partition, acks) => {
    const head = new Head()
    const text = plain.replace('/topics/t', path)
    expect(verdictOf(text, head)).toBe(text.length)
    expect(text.slice(head.topicStart, head.topicEnd)).toBe(topic)
    expect(head).toMatchObject({ partition, acks })
  })

  test.each([
    ['application/octet-stream', BodyKind.record],
    ['Application/Octet-Stream', BodyKind.record],
    ['application/x-ndjson', BodyKind.ndjson],
    ['text/plain; format=lines', BodyKind.lines],
    ['text/plain;format=lines', BodyKind.lines],
  ])('%s', (type, kind) => {
    const head = new Head()
    expect(verdictOf(plain.replace('application/octet-stream', type), head)).toBeGreaterThan(0)
    expect(head.kind).toBe(kind)
  })

  test.each([
    'User-Agent: curl/8.5.0',
    'accept: application/json, text/plain, */*',
    'ACCEPT-ENCODING: gzip',
    'Connection: Keep-Alive',
    'Accept:',
    'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  ])('%s', line => {
    expect(verdictOf(withLine(line))).toBeGreaterThan(0)
  })
})

describe('what is handed over', () => {
  test.each(requestLines.slice(6))('%j', line => {
    expect(verdictOf(plain.replace('POST /topics/t HTTP/1.1', line))).toBe(handOver)
  })

  test.each(evilLines)('%j', line => {
    expect(verdictOf(withLine(line))).toBe(handOver)
  })

  test.each([
    ['a body too large', plain.replace('5', String(bodyBytesMax + 1))],
    ['no body', plain.replace('Content-Length: 5', 'Content-Length: 0')],
    ['no length', `${good}\r\n`],
    ['no host', plain.replace('Host: a\r\n', '')],
    ['no type', plain.replace('Content-Type: application/octet-stream\r\n', '')],
    ['type with a parameter', plain.replace('stream', 'stream; charset=utf-8')],
    ['a JSON body', plain.replace('octet-stream', 'vnd.kafka.json.v2+json')],
    ['a topic name too long', plain.replace('/t ', `/${'n'.repeat(250)} `)],
    ['bare line feeds', plain.replaceAll('\r\n', '\n')],
    ['an empty line first', `\r\n${plain}`],
    ['a head too large', withLine(`Accept: ${'a'.repeat(headBytesMax)}`)],
    ['too many headers', withLine(Array.from({ length: 40 }, () => 'Accept: a').join('\r\n'))],
    ['a get', 'GET / HTTP/1.1\r\n'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ])('%s', (_what, text) => {
    expect(verdictOf(text)).toBe(handOver)
  })

  test('at the first byte that differs', () => {
    expect(verdictOf('G')).toBe(handOver)
    expect(verdictOf('POST /topics/t/')).toBe(incomplete)
    expect(verdictOf('POST /topics/t/p')).toBe(incomplete)
    expect(verdictOf('POST /topics/t/q')).toBe(handOver)
    expect(verdictOf(`${good}T`)).toBe(incomplete)
    expect(verdictOf(`${good}Te:`)).toBe(handOver)
  })
})

test('a verdict stays as it is when more bytes come, and is given only when it must be', () => {
  const random = new Random(11)
  for (let round = 0; round < 400; round++) {
    const bytes = round % 2 === 0 ? Buffer.from(plainRequest(random)) : oddRequests(random)
    const head = new Head()
    const whole = parseHead(bytes, 0, bytes.length, head)
    let first = incomplete
    for (let end = 0; end <= bytes.length; end++) {
      const verdict = parseHead(bytes, 0, end, head)
      if (first !== incomplete) expect(verdict).toBe(first)
      else first = verdict
      if (whole > 0 && end < whole) expect(verdict).toBe(incomplete)
    }
    expect(first).toBe(whole)
  }
})

describe("beside node's own parser", () => {
  const node = new NodeReader()
  afterAll(() => node.close())

  test('the two of them are compared: a difference is found', async () => {
    const bytes = Buffer.from(`${plain}hello`)
    expect(fastReading(bytes)).toHaveLength(1)
    expect((await node.read(bytes)).requests).toHaveLength(1)
    const short = Buffer.from(`${plain}hell`)
    expect(fastReading(short)).toHaveLength(0)
    expect((await node.read(short)).requests).toHaveLength(0)
  })

  test('never a different reading, in 4,000 odd requests', async () => {
    const random = new Random(5)
    let taken = 0
    for (let round = 0; round < 4000; round++) {
      const bytes = oddRequests(random)
      taken += fastReading(bytes).length
      const why = await disagreement(bytes, node)
      expect(why, JSON.stringify(bytes.toString('latin1'))).toBeNull()
    }
    expect(taken).toBeGreaterThan(1500)
  })
})
