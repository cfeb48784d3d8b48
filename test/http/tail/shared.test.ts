/** Many tails of one topic: what they share, those that fall behind, those that do not read. */
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { expect, test } from 'vitest'
import type { Broker } from '../../../src/broker.ts'
import { newTopicName } from '../../broker/fixture.ts'
import {
  httpOf,
  metric,
  named,
  openEvents,
  openSocket,
  openUnread,
  producer,
  recordsOf,
  tailBroker,
} from './tail-kit.ts'

const KIB = 1024

async function topicOn(broker: Broker): Promise<{ topic: string; url: string }> {
  const topic = newTopicName()
  await producer(broker).send(topic, [{ value: 'first' }])
  return { topic, url: `${httpOf(broker)}/topics/${topic}/events` }
}

/** Appends `count` records of 64 KiB that begin with their number. */
async function sendLarge(broker: Broker, topic: string, count: number, from = 0): Promise<void> {
  const sender = producer(broker)
  for (let i = from; i < from + count; i++) {
    await sender.send(topic, [{ value: `${i} `.padEnd(64 * KIB, 'x') }])
  }
}

test('tails at the end share one read and get the same bytes', async () => {
  const broker = await tailBroker()
  const { topic, url } = await topicOn(broker)
  const tails = await Promise.all(Array.from({ length: 60 }, () => openEvents(url)))
  const shared = () => metric(httpOf(broker), 'tail_reads_total{by="shared"}')
  const before = await shared()
  const sender = producer(broker)
  const rounds = 20
  for (let i = 0; i < rounds; i++) {
    await sender.send(topic, [{ value: `${i}` }, { value: `${i}'` }])
  }
  const expected = Array.from({ length: rounds }, (_, i) => [`${i}`, `${i}'`]).flat()
  for (const tail of tails) {
    await expect
      .poll(() => named(tail.events, 'record').map(({ data }) => data.value))
      .toEqual(expected)
  }
  expect(new Set(tails.map(tail => tail.text())).size).toBe(1)
  // Never more than one for each append, although there are sixty tails.
  expect((await shared()) - before).toBeLessThanOrEqual(rounds)
  expect(await metric(httpOf(broker), 'tail_reads_total{by="own"}')).toBe(0)
  expect(await metric(httpOf(broker), 'tail_records_total')).toBe(60 * expected.length)
})

test('tails that begin at different places all get everything from there, while records keep coming', async () => {
  const broker = await tailBroker({ 'http.tail.reads.max': 2 })
  const { topic, url } = await topicOn(broker)
  const sender = producer(broker)
  let sent = 1
  let isDone = false
  const sending = (async () => {
    while (!isDone) {
      await sender.send(topic, [{ value: `v${sent}`.padEnd(200, '.') }])
      sent++
    }
  })()
  const tails = []
  for (let i = 0; i < 12; i++) {
    const from = i % 3 === 0 ? 'latest' : String(Math.min(i * 3, sent))
    tails.push(await openEvents(`${url}?from=${from}`))
  }
  await expect.poll(() => sent).toBeGreaterThan(150)
  isDone = true
  await sending
  for (const tail of tails) {
    const begin = Number(tail.events.find(({ event }) => event === 'position')?.id.slice(2))
    const offsets = () => named(tail.events, 'record').map(({ data }) => Number(data.offset))
    await expect.poll(() => offsets().at(-1), { timeout: 20_000 }).toBe(sent - 1)
    expect(offsets()).toEqual(Array.from({ length: sent - begin }, (_, i) => begin + i))
  }
})

/** Everything the socket is sent from now on. */
function collect(socket: Socket): () => string {
  let text = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return () => text
}

const idsIn = (text: string) => [...text.matchAll(/^id: 0:(\d+)$/gm)].map(match => Number(match[1]))

test('a tail that does not read for a while gets all of it once it does, and holds up nobody', async () => {
  const broker = await tailBroker({ 'http.tail.backlog.bytes': 64 * KIB })
  const { topic, url } = await topicOn(broker)
  const paused = await openUnread(url)
  await expect.poll(() => metric(httpOf(broker), 'tails{kind="sse"}')).toBe(1)
  const quick = await openEvents(url)
  // More than the system's buffers and the chunks that are kept for tails a little behind.
  const count = 250
  await sendLarge(broker, topic, count)
  await expect.poll(() => recordsOf(quick.events).length, { timeout: 30_000 }).toBe(count)
  await expect
    .poll(() => metric(httpOf(broker), 'tail_waiting_bytes'))
    .toBeLessThanOrEqual(64 * KIB + 2 * 65 * KIB)
  const text = collect(paused)
  const all = Array.from({ length: count + 1 }, (_, i) => i + 1)
  await expect.poll(() => idsIn(text()), { timeout: 30_000 }).toEqual(all)
  expect(await metric(httpOf(broker), 'tail_reads_total{by="own"}')).toBeGreaterThan(0)
}, 90_000)

test('an event stream that is not read is ended with the reason, and its last id is exact', async () => {
  const broker = await tailBroker({
    'http.tail.backlog.bytes': 64 * KIB,
    'http.tail.send.timeout.ms': 1000,
  })
  const { topic, url } = await topicOn(broker)
  const slow = await openUnread(url)
  await expect.poll(() => metric(httpOf(broker), 'tails{kind="sse"}')).toBe(1)
  await sendLarge(broker, topic, 200)
  const ended = () => metric(httpOf(broker), 'tails_ended_total{reason="slow"}')
  await expect.poll(ended, { timeout: 30_000, interval: 20 }).toBe(1)
  const text = collect(slow)
  await once(slow, 'close')
  const last = text().slice(text().lastIndexOf('event: error'))
  expect(last).toContain('"reason":"slow"')
  expect(last).toContain('bytes unread for 1 s')
  const ids = idsIn(text())
  const position = ids.at(-1) as number
  expect(ids.slice(0, -1)).toEqual(Array.from({ length: position }, (_, i) => i + 1))
  const again = await openEvents(url, `0:${position}`)
  await expect.poll(() => recordsOf(again.events).length, { timeout: 30_000 }).toBe(201 - position)
}, 90_000)

test('a WebSocket that is not read is closed with 1013 and the reason', async () => {
  const broker = await tailBroker({
    'http.tail.backlog.bytes': 64 * KIB,
    'http.tail.send.timeout.ms': 1000,
  })
  const { topic, url } = await topicOn(broker)
  const tail = await openSocket(url.replace('/events', '/socket'))
  await expect.poll(() => tail.messages).toHaveLength(1)
  tail.socket.send('{"credit":1000}')
  tail.socket.pause()
  await sendLarge(broker, topic, 200)
  const ended = () => metric(httpOf(broker), 'tails_ended_total{reason="slow"}')
  await expect.poll(ended, { timeout: 30_000, interval: 20 }).toBe(1)
  tail.socket.resume()
  const { code, reason } = await tail.closed
  expect(code).toBe(1013)
  expect(reason).toMatch(/^slow: the client has left \d+ bytes unread for 1 s$/)
  expect(tail.messages.at(-1)).toMatchObject({ event: 'error', reason: 'slow' })
}, 90_000)

test('a tail whose client has gone is forgotten, the others go on', async () => {
  const broker = await tailBroker()
  const { topic, url } = await topicOn(broker)
  const tails = await Promise.all(Array.from({ length: 5 }, () => openEvents(url)))
  for (const tail of tails.slice(0, 4)) tail.close()
  await expect.poll(() => metric(httpOf(broker), 'tails{kind="sse"}')).toBe(1)
  await producer(broker).send(topic, [{ value: 'still' }])
  await expect.poll(() => recordsOf(tails[4].events)).toEqual(['0:1=still'])
  tails[4].close()
  await expect.poll(() => metric(httpOf(broker), 'tails{kind="sse"}')).toBe(0)
  expect(await metric(httpOf(broker), 'tails_ended_total{reason="client"}')).toBe(5)
})
