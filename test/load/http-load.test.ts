/** Load over HTTP against a real broker: what was answered lies in the log, no more, no less; errors are errors. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { Consumer } from '../../src/client/consumer.ts'
import { type BodyKind, bodyKinds, bodyOf } from '../../src/load/http-bodies.ts'
import type { HttpLoadSettings } from '../../src/load/http-generator.ts'
import { type LoadResult, runLoadProcess } from '../../src/load/load-process.ts'
import { type LoadTopic, LoadTopics, loadTopicPrefix } from '../../src/load/load-topics.ts'

let broker: Broker
let admin: Admin
let topics: LoadTopics

beforeAll(async () => {
  broker = await startBroker({ workers: 2, logLevel: 'error' })
  admin = new Admin({ bootstrap: broker.bootstrap })
})
afterAll(async () => {
  await admin.close()
  await broker.close()
})
beforeEach(() => {
  topics = new LoadTopics(admin)
})

/** Ends by messages, not by time: a window of a minute that is over after 2,000. */
async function generate(settings: Partial<HttpLoadSettings>): Promise<LoadResult> {
  const load = { seconds: 60, warmupSeconds: 0, payloadBytesMax: 2000 * 200, ...settings }
  return await runLoadProcess('http', { url: broker.httpUrl!, ...load })
}

async function values(topic: LoadTopic): Promise<string[]> {
  const consumer = new Consumer({ bootstrap: broker.bootstrap, from: 'smallest' })
  const [stream] = await consumer.createMessageStreams(topic.name, 1, { untilEnd: true })
  const found: string[] = []
  for await (const { value } of stream) found.push(String(value))
  await consumer.close()
  return found
}

test.each([
  { bodyKind: 'octet-stream', acks: 1, connectionCount: 3, pipelining: 10, recordsPerBatch: 1 },
  { bodyKind: 'octet-stream', acks: -1, connectionCount: 5, pipelining: 1, recordsPerBatch: 1 },
  { bodyKind: 'octet-stream', acks: 0, connectionCount: 2, pipelining: 7, recordsPerBatch: 1 },
  { bodyKind: 'lines', acks: -1, connectionCount: 2, pipelining: 3, recordsPerBatch: 7 },
  { bodyKind: 'ndjson', acks: 1, connectionCount: 1, pipelining: 10, recordsPerBatch: 50 },
  { bodyKind: 'rest-json', acks: -1, connectionCount: 2, pipelining: 1, recordsPerBatch: 5 },
  { bodyKind: 'rest-binary', acks: -1, connectionCount: 2, pipelining: 2, recordsPerBatch: 5 },
] as const)('every record that was answered is in the log: %o', async settings => {
  const topic = await topics.create('test', 2)
  const result = await generate({ ...settings, topic: topic.name })
  await topics.expectRecords(topic, result.messagesInAll)
  expect(result.messages).toBeGreaterThanOrEqual(2000)
  expect(result.messages).toBeLessThanOrEqual(result.messagesInAll)
  expect(result.requestsInAll * settings.recordsPerBatch).toBe(result.messagesInAll)
  expect(result.payloadBytes).toBe(result.messages * 200)
  expect(result.latencyP99Ms).toBeGreaterThan(0)
  const stored = await values(topic)
  expect(stored).toHaveLength(result.messagesInAll)
  expect(new Set(stored.map(value => value.length))).toEqual(new Set([200]))
  // Different messages, not one over and over.
  expect(new Set(stored).size).toBeGreaterThan(50)
  await topics.remove()
})

test('a log that holds other than what was answered fails', async () => {
  const topic = await topics.create('test', 1)
  const result = await generate({ topic: topic.name })
  await fetch(new URL(`/topics/${topic.name}`, broker.httpUrl!), {
    method: 'POST',
    headers: { 'content-type': 'application/octet-stream' },
    body: 'one more',
  })
  await expect(topics.expectRecords(topic, result.messagesInAll)).rejects.toThrow(
    `topic ${topic.name} holds ${result.messagesInAll + 1}`,
  )
  await topics.remove()
})

test.each([1, 4])('pulls over %i connections count what they read', async connectionCount => {
  const topic = await topics.create('test', 1)
  const { host, port } = topic.leader
  const filled = await runLoadProcess('wire', {
    ...{ host, port, topic: topic.name, acks: -1, seconds: 60, warmupSeconds: 0 },
    payloadBytesMax: 5000 * 200,
  })
  const endOffsets = await topics.endsOf(topic)
  expect(endOffsets).toEqual([filled.messagesInAll])
  const pulled = await generate({
    ...{ mode: 'consume', topic: topic.name, endOffsets, connectionCount, pullBytes: 50_000 },
    payloadBytesMax: 12_000 * 200,
  })
  expect(pulled.messages).toBeGreaterThanOrEqual(12_000)
  expect(pulled.requests).toBeGreaterThanOrEqual(12_000 / (50_000 / 200) / 2)
  await topics.expectRecords(topic, filled.messagesInAll)
  await topics.remove()
})

describe('what goes wrong fails the load', () => {
  test("a refusal, with the broker's words", async () => {
    const load = generate({ topic: 'no such name', acks: 1 })
    await expect(load).rejects.toThrow(/answer 4\d\d: .*"message".* after 0 answers/)
  })

  test.each([
    ['a server error', 503, '{"error_code":503,"message":"not now"}', /answer 503: .*not now/],
    ['a redirect', 302, '', /answer 302/],
  ])('%s', async (_what, status, body, message) => {
    await expect(against(status, body, 100)).rejects.toThrow(message)
  })

  test('a server that hangs up', async () => {
    await expect(against(0, '', 100)).rejects.toThrow(/after \d+ answers/)
  })

  test('nobody there', async () => {
    await expect(generate({ url: 'http://127.0.0.1:1' })).rejects.toThrow(/ECONNREFUSED/)
  })

  /** A server that answers so many requests well and then so; 0: that hangs up. */
  async function against(status: number, body: string, goodCount: number): Promise<LoadResult> {
    let count = 0
    const server = createServer((request, response) => {
      request.resume()
      const isGood = ++count <= goodCount
      if (!isGood && status === 0) request.socket.destroy()
      else response.writeHead(isGood ? 200 : status).end(isGood ? '{}' : body)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const { port } = server.address() as AddressInfo
      return await generate({ url: `http://127.0.0.1:${port}`, connectionCount: 2, pipelining: 5 })
    } finally {
      server.closeAllConnections()
      server.close()
    }
  }
})

test('an aborted load ends at once', async () => {
  const abort = new AbortController()
  const topic = await topics.create('test', 1)
  const load = runLoadProcess(
    'http',
    { url: broker.httpUrl!, topic: topic.name, seconds: 3600, payloadBytesMax: 1e15 },
    { signal: abort.signal, onSample: () => abort.abort() },
  )
  await expect(load).rejects.toThrow('the load generator ended')
  await topics.remove({ afterFailure: true })
  expect((await admin.listTopics()).map(({ name }) => name)).toEqual([])
})

test('a topic that a last request makes again after its deletion is deleted again', async () => {
  /** The broker reads what a killed generator had sent after the topic is gone. */
  class WithStraggler extends Admin {
    #hasStraggled = false
    override async deleteTopic(name: string): Promise<void> {
      await super.deleteTopic(name)
      if (!this.#hasStraggled) await this.createTopic({ name })
      this.#hasStraggled = true
    }
  }
  await using straggling = new WithStraggler({ bootstrap: broker.bootstrap })
  const own = new LoadTopics(straggling)
  await own.create('test', 1)
  await own.remove({ afterFailure: true })
  expect((await admin.listTopics()).map(({ name }) => name)).toEqual([])
})

test('topics of a load are named so that anybody sees whose they are', async () => {
  const topic = await topics.create('test', 3)
  expect(topic.name.startsWith(loadTopicPrefix)).toBe(true)
  expect(topics.names).toEqual([topic.name])
  expect((await admin.describeTopic(topic.name)).partitions).toHaveLength(3)
  // Somebody else was faster.
  await admin.deleteTopic(topic.name)
  await topics.remove()
  expect(topics.names).toEqual([])
})

test.each([...bodyKinds])('a body of kind %s holds whole records', (kind: BodyKind) => {
  const body = bodyOf(kind, kind === 'octet-stream' ? 1 : 3, 40, 7).toString('latin1')
  if (kind === 'octet-stream') expect(body).toHaveLength(40)
  else if (kind === 'lines' || kind === 'ndjson') {
    const lines = body.split('\n')
    expect(lines.map(line => line.length)).toEqual([40, 40, 40, 0])
    if (kind === 'ndjson') for (const line of lines.slice(0, 3)) JSON.parse(line)
  } else {
    const { records } = JSON.parse(body) as { records: { value: string }[] }
    const sizes = records.map(({ value }) =>
      kind === 'rest-json' ? JSON.stringify(value).length : Buffer.from(value, 'base64').length,
    )
    expect(sizes).toEqual([40, 40, 40])
  }
})
