import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Metric } from '../../../src/metrics.ts'
import type { ReadPath } from '../../../src/net/arena-socket.ts'
import { Errors } from '../../../src/protocol/errors.ts'
import { makeServices, startTestHttp, type TestServices } from '../http-fixture.ts'
import { MemoryBackend } from '../memory-backend.ts'

const deadlines = { headersMs: 10_000, requestMs: 30_000, checkMs: 20, drainMs: 2_000 }

function post(body: string, path = '/topics/t', more = ''): string {
  return (
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n` +
    `${more}Content-Length: ${body.length}\r\n\r\n${body}`
  )
}

/** A connection whose answers are collected as text. */
class Peer {
  readonly socket: Socket
  text = ''
  isClosed = false

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.setNoDelay(true)
    this.socket.on('data', bytes => {
      this.text += bytes.toString('latin1')
    })
    this.socket.on('error', () => {})
    this.socket.on('close', () => {
      this.isClosed = true
    })
    onTestFinished(() => void this.socket.destroy())
  }

  send(text: string | Buffer): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text)
    return this
  }

  get bodies(): unknown[] {
    return [...this.text.matchAll(/^\{.*?\}(?=HTTP|$)/gms)].map(([body]) => JSON.parse(body))
  }

  get statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status))
  }

  async answers(count: number): Promise<void> {
    await expect.poll(() => this.statuses.length).toBe(count)
  }
}

async function start(fastPath: ReadPath | null = 'direct', changes: Partial<TestServices> = {}) {
  const backend = new MemoryBackend()
  backend.addTopic('t', 2)
  const services = makeServices({ backend, fastPath, deadlines, ...changes })
  const http = await startTestHttp(services)
  const fastCount = () => services.metrics.get(Metric.httpFastRequests)
  return { backend, http, services, fastCount, peer: () => new Peer(http.port) }
}

const bodyOf = (offset: number, more = {}) => ({
  topic: 't',
  partition: 0,
  base_offset: String(offset),
  count: 1,
  durable: true,
  ...more,
})

describe.each(['direct', 'copy'] as const)('sockets read by the %s path', fastPath => {
  test('a request is stored and answered', async () => {
    const { backend, peer, fastCount } = await start(fastPath)
    const client = peer().send(post('hello'))
    await client.answers(1)
    await expect.poll(() => client.bodies).toEqual([bodyOf(0)])
    expect(client.text).toMatch(
      /^HTTP\/1\.1 200 OK\r\ncontent-type: application\/json; charset=utf-8\r\n/,
    )
    expect(client.text).toMatch(/\r\nDate: \w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT\r\n/)
    expect(backend.values('t')).toEqual(['hello'])
    expect(fastCount()).toBe(1)
  })

  test('cut at any byte, it is the same request', async () => {
    const { backend, peer, fastCount } = await start(fastPath)
    const text = post('hello') + post('world')
    const client = peer()
    for (let cut = 1; cut < text.length; cut += 7) {
      client.send(text.slice(0, cut))
      await sleep(1)
      client.send(text.slice(cut))
    }
    const count = Math.ceil((text.length - 1) / 7)
    await client.answers(2 * count)
    expect(fastCount()).toBe(2 * count)
    expect(backend.values('t')).toEqual(
      Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? 'hello' : 'world')),
    )
  })

  test('pipelined requests are answered in order, whichever is done first', async () => {
    const { backend, peer } = await start(fastPath)
    backend.hold()
    const count = 300
    const texts = Array.from({ length: count }, (_, i) => post(`value ${i}`))
    const client = peer().send(texts.join(''))
    await expect.poll(() => backend.heldCount).toBe(count)
    expect(client.text).toBe('')
    backend.release('reversed')
    await client.answers(count)
    expect(client.bodies).toEqual(Array.from({ length: count }, (_, i) => bodyOf(i)))
  })

  test('what is not plain goes to node, after all earlier answers, and stays there', async () => {
    const { backend, peer, fastCount } = await start(fastPath)
    backend.hold()
    const odd = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'
    const client = peer().send(post('a') + post('b') + odd + post('c'))
    await expect.poll(() => backend.heldCount).toBe(2)
    await sleep(30)
    expect(client.text).toBe('')
    backend.release()
    await client.answers(4)
    expect(client.statuses).toEqual([200, 200, 200, 200])
    expect(client.text).toContain('ok')
    expect(fastCount()).toBe(2)
    client.send(post('d'))
    await client.answers(5)
    expect(backend.values('t')).toEqual(['a', 'b', 'c', 'd'])
    expect(fastCount()).toBe(2)
  })

  test('a large body arrives in pieces, with others behind it', async () => {
    const { backend, peer, fastCount } = await start(fastPath)
    const large = 'x'.repeat(900_000)
    const client = peer().send(post('a') + post(large) + post('b'))
    await client.answers(3)
    expect(backend.values('t')).toEqual(['a', large, 'b'])
    expect(fastCount()).toBe(3)
  })

  test('without room it waits, and loses nothing', async () => {
    const { backend, peer } = await start(fastPath)
    backend.hasRoom = false
    const client = peer().send(post('a') + post('b'))
    await expect.poll(() => backend.waitingCount).toBe(1)
    client.send(post('c').slice(0, 50))
    await sleep(10)
    client.send(post('c').slice(50))
    backend.freeRoom()
    await client.answers(3)
    expect(backend.values('t')).toEqual(['a', 'b', 'c'])
  })

  test('a client that says it is done still gets its answers', async () => {
    const { backend, peer } = await start(fastPath)
    backend.hold()
    const client = peer().send(post('a') + post('b'))
    client.socket.end()
    await expect.poll(() => backend.heldCount).toBe(2)
    backend.release()
    await client.answers(2)
    await expect.poll(() => client.isClosed).toBe(true)
  })

  test('a request in the making when the client is done is told apart', async () => {
    const { peer } = await start(fastPath)
    const client = peer().send(post('a') + post('hello').slice(0, -2))
    await client.answers(1)
    client.socket.end()
    await client.answers(2)
    expect(client.statuses).toEqual([200, 400])
    await expect.poll(() => client.isClosed).toBe(true)
  })

  test('a body that comes too slowly ends with 408, after earlier answers', async () => {
    const mutable = { ...deadlines }
    const { peer } = await start(fastPath, { deadlines: mutable })
    const client = peer().send(post('a') + post('hello').slice(0, -2))
    await client.answers(1)
    mutable.requestMs = 50
    await client.answers(2)
    expect(client.statuses).toEqual([200, 408])
    await expect.poll(() => client.isClosed).toBe(true)
  })

  test('closing: answers owed leave, the idle ones are closed', async () => {
    const { backend, peer, http } = await start(fastPath)
    const idle = peer().send(post('a'))
    await idle.answers(1)
    backend.hold()
    const busy = peer().send(post('b'))
    await expect.poll(() => backend.heldCount).toBe(1)
    const closed = http.close()
    await expect.poll(() => idle.isClosed).toBe(true)
    expect(busy.isClosed).toBe(false)
    backend.release()
    await busy.answers(1)
    await closed
    await expect.poll(() => busy.isClosed).toBe(true)
  })

  test('a connection that begins with another request', async () => {
    const { peer } = await start(fastPath)
    const client = peer().send('GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await client.answers(1)
    expect(client.statuses).toEqual([404])
  })
})

test('many small writes of one large request', async () => {
  const { backend, peer } = await start()
  const client = peer()
  const text = post('y'.repeat(5000))
  for (let at = 0; at < text.length; at += 100) {
    client.send(text.slice(at, at + 100))
    if (at % 1000 === 0) await sleep(1)
  }
  await client.answers(1)
  expect(backend.values('t')).toEqual(['y'.repeat(5000)])
})

test('more requests than may be pending: reading stops, then goes on', async () => {
  const { backend, peer } = await start()
  backend.hold()
  const count = 3000
  const client = peer().send(Array.from({ length: count }, (_, i) => post(`${i}`)).join(''))
  await expect.poll(() => backend.heldCount).toBe(1024)
  await sleep(30)
  expect(backend.heldCount).toBe(1024)
  backend.release()
  await client.answers(count)
  expect(backend.values('t')).toEqual(Array.from({ length: count }, (_, i) => `${i}`))
})

test('a topic that is not there is made; many ask for it at once', async () => {
  const { backend, peer, fastCount } = await start()
  const clients = Array.from({ length: 10 }, () => peer().send(post('a', '/topics/fresh')))
  for (const client of clients) await client.answers(1)
  expect(backend.records('fresh')).toHaveLength(10)
  expect(fastCount()).toBe(10)
  backend.deleteTopic('fresh')
  clients[0].send(post('b', '/topics/fresh'))
  await clients[0].answers(2)
  expect(clients[0].statuses).toEqual([200, 200])
  expect(backend.values('fresh')).toEqual(['b'])
})

test('acks, lines and partitions', async () => {
  const { backend, peer, fastCount } = await start()
  const lines = post('a\nb\n\nc', '/topics/t/partitions/1').replace(
    'application/octet-stream',
    'application/x-ndjson',
  )
  const client = peer().send(
    post('a', '/topics/t?acks=0') + post('b', '/topics/t?acks=1') + lines + post('d'),
  )
  await client.answers(4)
  expect(client.bodies).toEqual([
    bodyOf(0, { base_offset: null, durable: false }),
    bodyOf(1, { durable: false }),
    bodyOf(0, { partition: 1, count: 3 }),
    bodyOf(2),
  ])
  expect(backend.values('t', 1)).toEqual(['a', 'b', 'c'])
  expect(fastCount()).toBe(4)
})

test('acks=all on a topic without flushes is not durable', async () => {
  const { backend, peer } = await start()
  backend.flushed = false
  const client = peer().send(post('a'))
  await client.answers(1)
  await expect.poll(() => client.bodies).toEqual([bodyOf(0, { durable: false })])
})

test('offsets of any number of digits', async () => {
  const { peer } = await start()
  const client = peer()
  const count = 1100
  for (let i = 0; i < count; i += 100) {
    client.send(Array.from({ length: 100 }, () => post('x')).join(''))
    await client.answers(i + 100)
  }
  expect(client.bodies).toEqual(Array.from({ length: count }, (_, i) => bodyOf(i)))
  const lengths = client.text.match(/content-length: (\d+)/g)
  expect(lengths).toHaveLength(count)
})

test('a refusal of the backend is a problem with its status', async () => {
  const { backend, peer, services } = await start()
  backend.errorCode = Errors.KAFKA_STORAGE_ERROR
  const client = peer().send(post('a'))
  await client.answers(1)
  expect(client.text).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n/)
  expect(client.text).toContain('\r\nRetry-After: 1\r\n')
  await expect.poll(() => client.bodies).toEqual([{ error_code: 50302, message: 't-0: error 56' }])
  backend.errorCode = Errors.NONE
  client.send(post('b'))
  await client.answers(2)
  expect(services.metrics.get(Metric.httpFastRequests)).toBe(2)
})

test('turned off, everything goes to node', async () => {
  const { backend, peer, fastCount } = await start(null)
  const client = peer().send(post('hello'))
  await client.answers(1)
  expect(backend.values('t')).toEqual(['hello'])
  expect(fastCount()).toBe(0)
})

test('a connection that never sends a byte is closed', async () => {
  const { peer } = await start('direct', { deadlines: { ...deadlines, headersMs: 100 } })
  const client = peer()
  await expect.poll(() => client.isClosed).toBe(true)
  expect(client.statuses).toEqual([408])
})

test('an abandoned connection leaves nothing behind', async () => {
  const { backend, peer, http } = await start()
  backend.hold()
  const client = peer().send(post('a') + post('b').slice(0, 20))
  await expect.poll(() => backend.heldCount).toBe(1)
  client.socket.resetAndDestroy()
  await once(client.socket, 'close')
  backend.release()
  const other = peer().send(post('c'))
  await other.answers(1)
  await http.close()
})

test('a byte now and then does not buy more time', async () => {
  const mutable = { ...deadlines }
  const { peer } = await start('direct', { deadlines: mutable })
  const head = post('b').slice(0, 60)
  const other = peer().send(post('a'))
  await other.answers(1)
  mutable.headersMs = 60
  let sent = 0
  const slow = setInterval(() => other.send(head.slice(sent, ++sent)), 10)
  onTestFinished(() => clearInterval(slow))
  await expect.poll(() => other.isClosed).toBe(true)
  expect(other.statuses).toEqual([200, 408])
})

test('a host that is not ours is refused, also on a connection that was fine so far', async () => {
  const { backend, peer, fastCount } = await start()
  const client = peer().send(post('a') + post('b').replace('localhost', 'evil.example'))
  await client.answers(2)
  expect(client.statuses).toEqual([200, 403])
  expect(backend.values('t')).toEqual(['a'])
  expect(fastCount()).toBe(1)
})
