/** WebSocket tails over a real broker: credit, resuming, what clients may not send, dead clients, the end. */
import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { WebSocket } from 'ws'
import { connect, createTopic, newTopicName, sharedBroker } from '../../broker/fixture.ts'
import { httpOf, metric, openSocket, producer, type SocketTail, tailBroker } from './tail-kit.ts'

const broker = sharedBroker({ http: true, workers: 1 })
const socketUrl = (topic: string, query = '') =>
  `${httpOf(broker())}/topics/${topic}/socket${query}`
const credit = ({ socket }: SocketTail, records: number) =>
  socket.send(JSON.stringify({ credit: records }))
const values = ({ messages }: SocketTail) =>
  messages.filter(({ event }) => event === 'record').map(({ value }) => value)

async function topicWith(count: number, partitions = 1): Promise<string> {
  const topic = await createTopic(await connect(broker()), { partitions })
  const messages = Array.from({ length: count }, (_, i) => ({
    value: String(i),
    partition: i % partitions,
  }))
  if (count > 0) await producer(broker()).send(topic, messages)
  return topic
}

test('records come only against credit, one message each', async () => {
  const topic = await topicWith(10)
  const tail = await openSocket(socketUrl(topic, '?from=earliest'))
  await expect.poll(() => tail.messages).toHaveLength(1)
  expect(tail.messages[0]).toEqual({ event: 'position', position: '0:0', topic })
  credit(tail, 3)
  await expect.poll(() => values(tail)).toEqual(['0', '1', '2'])
  credit(tail, 1)
  await expect.poll(() => values(tail)).toEqual(['0', '1', '2', '3'])
  expect(tail.messages.at(-1)).toEqual({
    event: 'record',
    position: '0:4',
    topic,
    partition: 0,
    offset: '3',
    timestamp: expect.any(Number),
    key: null,
    value: '3',
    headers: [],
  })
  await producer(broker()).send(topic, [{ value: 'late' }])
  credit(tail, 1000)
  await expect.poll(() => values(tail)).toHaveLength(11)
  expect(tail.messages.at(-1)).toMatchObject({ value: 'late', position: '0:11' })
})

test('a grant for each record, as a client sends that handles one at a time', async () => {
  const topic = await topicWith(3000)
  const tail = await openSocket(socketUrl(topic, '?from=earliest'))
  tail.socket.on('message', () => credit(tail, 1))
  credit(tail, 2)
  await expect.poll(() => values(tail).length, { timeout: 60_000 }).toBe(3000)
  expect(values(tail)).toEqual(Array.from({ length: 3000 }, (_, i) => String(i)))
}, 90_000)

test('a client that comes back with its last position gets what follows it, once', async () => {
  const partitions = 3
  const count = 200
  const topic = await topicWith(count, partitions)
  const seen = new Set<string>()
  const perPartition = new Map<number, number>()
  let position = 'earliest'
  for (let round = 1; seen.size < count; round++) {
    const tail = await openSocket(socketUrl(topic, `?from=${position}`))
    const want = Math.min(round * 5, count - seen.size)
    credit(tail, want)
    await expect.poll(() => values(tail).length).toBe(want)
    tail.socket.terminate()
    for (const message of tail.messages.filter(({ event }) => event === 'record')) {
      const key = `${message.partition}:${message.offset}`
      expect(seen.has(key)).toBe(false)
      seen.add(key)
      const partition = message.partition as number
      expect(Number(message.offset)).toBe(perPartition.get(partition) ?? 0)
      perPartition.set(partition, Number(message.offset) + 1)
      position = message.position as string
    }
  }
})

test('messages of every size are framed right', async () => {
  const topic = await topicWith(0)
  const sizes = [0, 1, 10, 60, 125, 126, 300, 65_000, 65_536, 500_000]
  await producer(broker()).send(
    topic,
    sizes.map(size => ({ value: 'ä'.repeat(size) })),
  )
  const tail = await openSocket(socketUrl(topic, '?from=earliest'))
  credit(tail, 100)
  await expect
    .poll(() => values(tail).map(value => (value as string).length), { timeout: 20_000 })
    .toEqual(sizes)
})

test.each([
  ['no JSON', 'credit', 1008],
  ['credit of 0', '{"credit":0}', 1008],
  ['credit that is no integer', '{"credit":1.5}', 1008],
  ['too much credit', '{"credit":1000000001}', 1008],
  ['something else', '{"credit":1,"ack":5}', 1008],
  ['bytes', Buffer.from('{"credit":1}'), 1008],
  ['a large message', `{"credit":1${' '.repeat(2000)}}`, 1009],
])('%s ends the tail with a reason', async (_, message, code) => {
  const topic = await topicWith(1)
  const tail = await openSocket(socketUrl(topic))
  tail.socket.send(message)
  const closed = await tail.closed
  expect(closed.code).toBe(code)
  if (code === 1009) return
  expect(closed.reason).toContain('{"credit": N}')
  expect(tail.messages.at(-1)).toMatchObject({
    event: 'error',
    reason: 'protocol',
    position: '0:1',
  })
})

test('a flood of messages ends the tail', async () => {
  const topic = await topicWith(1)
  const tail = await openSocket(socketUrl(topic))
  for (let i = 0; i < 1001; i++) credit(tail, 1)
  expect(await tail.closed).toMatchObject({ code: 1008, reason: 'more messages than records' })
})

test('a tail that is refused is answered as HTTP before any upgrade', async () => {
  const refusal = async (path: string, headers: Record<string, string> = {}) => {
    const socket = new WebSocket(httpOf(broker()).replace('http', 'ws') + path, { headers })
    onTestFinished(() => socket.terminate())
    socket.on('error', () => {})
    const [, response] = await once(socket, 'unexpected-response')
    const [body] = await once(response, 'data')
    return { status: response.statusCode, ...JSON.parse(String(body)) }
  }
  const topic = await topicWith(0)
  expect(await refusal('/topics/none/socket')).toMatchObject({ status: 404, error_code: 40401 })
  expect(await refusal(`/topics/${topic}/socket?from=x`)).toMatchObject({ status: 400 })
  const foreign = { origin: 'http://evil.example' }
  expect(await refusal(`/topics/${topic}/socket`, foreign)).toMatchObject({ status: 403 })
  const plain = await fetch(socketUrl(topic))
  expect(plain.status).toBe(426)
})

test('a client that does not answer pings is dropped', async () => {
  const own = await tailBroker({ 'http.tail.heartbeat.ms': 100 })
  const topic = newTopicName()
  await producer(own).send(topic, [{ value: 'a' }])
  const url = `${httpOf(own)}/topics/${topic}/socket`
  const alive = await openSocket(url)
  const dead = new WebSocket(url.replace('http', 'ws'), { autoPong: false })
  onTestFinished(() => dead.terminate())
  await once(dead, 'open')
  await once(dead, 'close')
  expect(await metric(httpOf(own), 'tails_ended_total{reason="dead"}')).toBe(1)
  expect(alive.socket.readyState).toBe(WebSocket.OPEN)
  expect(await metric(httpOf(own), 'tails{kind="websocket"}')).toBe(1)
})

test('pings of the client are answered', async () => {
  const tail = await openSocket(socketUrl(await topicWith(0)))
  tail.socket.ping('here')
  const [data] = await once(tail.socket, 'pong')
  expect(String(data)).toBe('here')
})

test('when the broker closes, tails are told and closed with 1001', async () => {
  const own = await tailBroker()
  const topic = newTopicName()
  await producer(own).send(topic, [{ value: 'a' }])
  const tail = await openSocket(`${httpOf(own)}/topics/${topic}/socket`)
  const closing = own.close()
  expect(await tail.closed).toEqual({ code: 1001, reason: 'the broker is shutting down' })
  expect(tail.messages.at(-1)).toMatchObject({ event: 'error', reason: 'shutdown' })
  await closing
})

/** Sends bytes, waits for `count` answers, gives everything that came. */
async function exchange(bytes: string, count: number): Promise<string> {
  const { port } = new URL(httpOf(broker()))
  const socket = connectSocket(Number(port), '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  let text = ''
  socket.setEncoding('latin1').on('data', (chunk: string) => {
    text += chunk
  })
  socket.write(bytes)
  await expect.poll(() => text.split('HTTP/1.1 ').length - 1).toBe(count)
  return text
}

test('a request that asks for another protocol is answered as if it had not, and so are those behind it', async () => {
  const upgrade =
    'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'
  const body = '{}'
  const path = '/v1/logs/none/0/recover'
  const post =
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${upgrade}` +
    `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const next = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'
  const text = await exchange(post + next, 2)
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 404', 'HTTP/1.1 200'])
  expect(text).toContain('there is no partition 0')
  expect(text).toContain('{"status":"ok"}')
})

test('a WebSocket is refused where there is none, and the connection can be used on', async () => {
  const handshake =
    'Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n'
  const get = `GET /healthz HTTP/1.1\r\nHost: localhost\r\n${handshake}\r\n`
  const text = await exchange(get + get, 2)
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 200'])
})
