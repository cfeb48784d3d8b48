/** Requests made to be read in two ways, sent to a listener with the hot path and to one without: the same happens. */
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { buildHttp } from '../../../src/http/server.ts'
import { Metric } from '../../../src/metrics.ts'
import { Random } from '../../sim/world/random.ts'
import { makeServices, type TestServices } from '../http-fixture.ts'
import { MemoryBackend } from '../memory-backend.ts'
import { evilLines, oddRequests, requestLines } from './odd-requests.ts'

interface Side {
  readonly backend: MemoryBackend
  readonly services: TestServices
  readonly app: FastifyInstance
  readonly port: number
}

const sides: Side[] = []
const malformed = 'not a valid HTTP/1.1 request'

beforeAll(async () => {
  for (const fastPath of ['direct', null] as const) {
    const backend = new MemoryBackend()
    const services = makeServices({ backend, fastPath })
    const app = buildHttp(services)
    // A client that has said all it has to say still wants its answers; node drops them otherwise.
    const server = app.server as unknown as { httpAllowHalfOpen: boolean }
    server.httpAllowHalfOpen = true
    await app.listen({ host: '127.0.0.1', port: 0 })
    sides.push({ backend, services, app, port: (app.server.address() as AddressInfo).port })
  }
  return async () => {
    for (const side of sides) await side.app.close()
  }
})

/** Everything that comes back until the server closes; a client that has said all it has to say. */
async function exchange(port: number, bytes: Buffer): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  socket.on('error', () => {})
  socket.on('end', () => socket.end())
  socket.end(bytes)
  onTestFinished(() => void socket.destroy())
  await once(socket, 'close')
  return Buffer.concat(chunks).toString('latin1')
}

const statusesOf = (text: string): string[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)
const bodiesOf = (text: string): string[] =>
  [...text.matchAll(/\r\n\r\n(\{.*?\})(?=HTTP|$)/gs)].map(([, body]) => body)

interface Outcome {
  readonly statuses: readonly string[]
  readonly bodies: readonly string[]
  readonly stored: readonly (readonly [topic: string, values: readonly (string | null)[]])[]
}

async function outcomeAt(side: Side, bytes: Buffer): Promise<Outcome> {
  const { backend } = side
  for (const { name } of backend.topics()) backend.deleteTopic(name)
  // Node starts pipelined requests at once: one that waits for its topic to be made lets later ones pass.
  backend.addTopic('t', 20)
  backend.addTopic('a.b_c-D9', 1)
  const text = await exchange(side.port, bytes)
  const stored = backend
    .topics()
    .flatMap(({ name, partitionCount }) =>
      Array.from({ length: partitionCount }, (_, index) => {
        return [`${name}-${index}`, backend.values(name, index)] as const
      }),
    )
    .filter(([, values]) => values.length > 0)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
  return { statuses: statusesOf(text), bodies: bodiesOf(text), stored }
}

async function expectTheSame(text: string): Promise<Outcome> {
  const bytes = Buffer.from(text, 'latin1')
  const [fast, slow] = await Promise.all(sides.map(side => outcomeAt(side, bytes)))
  const what = JSON.stringify(text)
  expect(fast.stored, what).toEqual(slow.stored)
  // Node tells of bytes it cannot read at once, and which of the answers it owes still leave is a race.
  const isCutOff = [...fast.bodies, ...slow.bodies].some(body => body.includes(malformed))
  if (isCutOff || text.includes('CONNECT')) return fast
  expect(fast.statuses, what).toEqual(slow.statuses)
  expect(fast.bodies, what).toEqual(slow.bodies)
  return fast
}

const post = (more: string, body = 'hello', first = 'POST /topics/t HTTP/1.1'): string =>
  `${first}\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n` +
  `${more}Content-Length: ${body.length}\r\n\r\n${body}`

/** What a smuggler wants to be seen as a request of its own. */
const smuggled = post('', 'SMUGGLED')
const chunked = '0\r\n\r\n'

test('plain ones: both sides store and answer', async () => {
  const before = sides[0].services.metrics.get(Metric.httpFastRequests)
  const { statuses, bodies, stored } = await expectTheSame(post('') + post('', 'world'))
  expect(statuses).toEqual(['200', '200'])
  expect(bodies).toHaveLength(2)
  expect(stored).toEqual([['t-0', ['hello', 'world']]])
  expect(sides[0].services.metrics.get(Metric.httpFastRequests)).toBe(before + 2)
  expect(sides[1].services.metrics.get(Metric.httpFastRequests)).toBe(0)
})

describe('a header too many, as the first request and behind a good one', () => {
  test.each(evilLines)('%j', async line => {
    await expectTheSame(post(`${line}\r\n`) + post('', 'after'))
    await expectTheSame(post('') + post(`${line}\r\n`, chunked + smuggled))
    await expectTheSame(post('').replace('\r\n\r\n', `\r\n${line}\r\n\r\n`) + smuggled)
  })
})

describe('a first line', () => {
  test.each(requestLines)('%j', async line => {
    await expectTheSame(post('', 'hello', line) + smuggled)
    await expectTheSame(post('') + post('', smuggled, line))
  })
})

describe('ends of lines', () => {
  test.each(['\n', '\r', '\r\r\n', '\n\r', ' \r\n', '\r\n ', '\r\n\t', '\r\n\r\n', '\0\r\n'])(
    '%j',
    async end => {
      const request = post('Accept: */*\r\n')
      const ends = request.split('\r\n').length - 1
      for (let which = 0; which < ends; which++) {
        let at = 0
        const odd = request.replace(/\r\n/g, plain => (at++ === which ? end : plain))
        await expectTheSame(odd + smuggled)
      }
    },
  )
})

test('a body shorter and longer than it says', async () => {
  for (const length of [1, 4, 6, 13, 100]) {
    const odd = post('').replace('Content-Length: 5', `Content-Length: ${length}`)
    await expectTheSame(odd + smuggled)
  }
})

test('odd requests of all kinds', async () => {
  const random = new Random(3)
  for (let round = 0; round < 300; round++) {
    await expectTheSame(oddRequests(random).toString('latin1'))
  }
})
