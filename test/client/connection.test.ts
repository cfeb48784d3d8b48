import net from 'node:net'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { Connection } from '../../src/client/connection.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { MemoryBroker } from './memory-broker.ts'

const opened: Connection[] = []
afterEach(() => {
  for (const connection of opened.splice(0)) connection.close()
})

async function connect(port: number, options = {}): Promise<Connection> {
  const connection = await Connection.open({ host: '127.0.0.1', port }, options)
  opened.push(connection)
  return connection
}

async function memoryBroker(): Promise<MemoryBroker> {
  const broker = await MemoryBroker.start({ t: 1 })
  onTestFinished(() => broker.close())
  return broker
}

/** A server that sends `bytes` at the first thing it hears. */
async function serverThatSays(bytes: Buffer): Promise<number> {
  const server = net.createServer(socket => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.write(bytes))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
  onTestFinished(() => void server.close())
  return (server.address() as net.AddressInfo).port
}

const metadata = (name: string) => ({
  topics: [{ topicId: 'AAAAAAAAAAAAAAAAAAAAAA', name }],
  allowAutoTopicCreation: false,
  includeClusterAuthorizedOperations: false,
  includeTopicAuthorizedOperations: false,
})

describe('Connection', () => {
  test('many requests go out before the first answer, each gets its own', async () => {
    const broker = await memoryBroker()
    const connection = await connect(broker.port)
    const names = Array.from({ length: 500 }, (_, index) => `topic-${index}`)
    const answers = await Promise.all(
      names.map(name => connection.request(Metadata, metadata(name))),
    )
    expect(answers.map(({ topics }) => topics[0].name)).toEqual(names)
    expect(connection.pendingCount).toBe(0)
  })

  test('uses the highest version both sides know', async () => {
    const broker = await memoryBroker()
    for (const max of [Metadata.versions[1], 8, 4, 1]) {
      broker.versionMax.set('Metadata', max)
      const connection = await connect(broker.port)
      const { topics } = await connection.request(Metadata, metadata('t'))
      expect(topics[0]).toMatchObject({ name: 't', errorCode: 0 })
      expect(broker.seen.at(-1)).toMatchObject({ api: 'Metadata', version: max })
    }
  })

  test('a broker that knows only old ApiVersions is asked again in its own version', async () => {
    const broker = await memoryBroker()
    for (const max of [2, 0]) {
      broker.versionMax.set('ApiVersions', max)
      const before = broker.seen.length
      const connection = await connect(broker.port)
      expect(broker.seen.slice(before).map(({ version }) => version)).toEqual([4, max])
      expect(connection.versionOf(Fetch)).toBe(Fetch.versions[1])
    }
  })

  test('an API the broker does not serve is refused before anything is sent', async () => {
    const broker = await memoryBroker()
    const connection = await connect(broker.port)
    const before = broker.seen.length
    await expect(
      connection.request(CreateTopics, { topics: [], timeoutMs: 1, validateOnly: false }),
    ).rejects.toMatchObject({ code: Errors.UNSUPPORTED_VERSION })
    expect(broker.seen.length).toBe(before)
    expect(connection.isClosed).toBe(false)
  })

  test('when the broker hangs up, everything that waits is told', async () => {
    const broker = await memoryBroker()
    const connection = await connect(broker.port)
    let count = 0
    broker.fault = () => (++count === 3 ? 'hang-up' : null)
    const outcomes = await Promise.allSettled(
      [1, 2, 3, 4, 5].map(n => connection.request(Metadata, metadata(`t${n}`))),
    )
    const rejected = outcomes.filter(({ status }) => status === 'rejected')
    expect(rejected.length).toBeGreaterThanOrEqual(3)
    for (const one of rejected) {
      expect(one).toMatchObject({ reason: { code: Errors.NETWORK_EXCEPTION } })
    }
    expect(connection.isClosed).toBe(true)
    await expect(connection.request(Metadata, metadata('t'))).rejects.toMatchObject({
      code: Errors.NETWORK_EXCEPTION,
    })
  })

  test('a request without an answer ends the connection: later answers would be its own', async () => {
    const broker = await memoryBroker()
    const connection = await connect(broker.port)
    broker.fault = () => 'silence'
    const first = connection.request(Metadata, metadata('a'), { timeoutMs: 50 })
    const second = connection.request(Metadata, metadata('b'), { timeoutMs: 60_000 })
    await expect(first).rejects.toMatchObject({ code: Errors.REQUEST_TIMED_OUT })
    await expect(second).rejects.toMatchObject({ code: Errors.REQUEST_TIMED_OUT })
    expect(connection.isClosed).toBe(true)
  })

  test('nobody there is an error that says so', async () => {
    const broker = await MemoryBroker.start({})
    const { port } = broker
    await broker.close()
    await expect(connect(port)).rejects.toMatchObject({
      code: Errors.NETWORK_EXCEPTION,
      message: `127.0.0.1:${port}: nobody listens there`,
    })
  })

  test.each([
    ['HTTP', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /is this a Kafka port/],
    ['a negative size', Buffer.from([0xff, 0xff, 0xff, 0xff]), /announces -1 bytes/],
    ['another correlation id', Buffer.from([0, 0, 0, 6, 0, 0, 0, 99, 0, 0]), /correlation id 99/],
    ['a cut answer', Buffer.from([0, 0, 0, 6, 0, 0, 0, 1, 0, 0]), /malformed ApiVersions/],
    ['an empty answer', Buffer.from([0, 0, 0, 0]), /malformed ApiVersions/],
  ])('a server that answers with %s is refused', async (_, bytes, message) => {
    const port = await serverThatSays(bytes)
    await expect(connect(port, { connectTimeoutMs: 5000 })).rejects.toThrow(message)
  })

  test('a server that says nothing is given up', async () => {
    const port = await serverThatSays(Buffer.alloc(0))
    await expect(connect(port, { connectTimeoutMs: 50 })).rejects.toThrow(/no answer within 50 ms/)
  })

  test('localhost works like an address', async () => {
    const broker = await memoryBroker()
    const connection = await Connection.open({ host: 'localhost', port: broker.port })
    opened.push(connection)
    const { topics } = await connection.request(Metadata, metadata('t'))
    expect(topics[0].name).toBe('t')
  })
})
