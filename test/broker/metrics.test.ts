/** Every metric that a produce and a fetch should move has a writer, and /metrics shows it. */
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { parsePrometheus } from '../http/prometheus-text.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRequest,
  produce,
  readAll,
  testBroker,
} from './fixture.ts'

test('the metrics of requests, threads and logs move', async () => {
  const broker = await testBroker({ http: true, set: { 'connection.requests.max': 4 } })
  const client = await connect(broker)
  const topic = await createTopic(client, { configs: { 'segment.bytes': '16384' } })
  const values = Array.from({ length: 100 }, (_, i) => `${i}`.padEnd(500, '.'))
  const rows = await Promise.all(values.map(value => produce(client, topic, batchOf([value]))))
  expect(rows.every(({ errorCode }) => errorCode === Errors.NONE)).toBe(true)
  expect(await readAll(client, topic)).toHaveLength(100)
  const reader = await connect(broker)
  const message = fetchRequest(topic, { offset: 100, maxWaitMs: 3_600_000 })
  reader.request(Fetch, 12, message).catch(() => {})
  await expect.poll(() => broker.parts.dispatcher.purgatory.fetchCount).toBe(1)

  const families = parsePrometheus(await (await fetch(`${broker.httpUrl}/metrics`)).text())
  const sampled = (name: string, labels: Record<string, string> = {}): number => {
    for (const family of families.values()) {
      const samples = family.samples.filter(
        sample =>
          sample.name === `odradek_${name}` &&
          Object.entries(labels).every(([key, value]) => sample.labels.get(key) === value),
      )
      if (samples.length > 0) return samples.reduce((sum, { value }) => sum + value, 0)
    }
    return Number.NaN
  }
  expect(sampled('request_seconds_count', { api: 'Produce' })).toBe(100)
  expect(sampled('request_seconds_count', { api: 'Fetch' })).toBeGreaterThan(1)
  expect(sampled('request_seconds_sum', { api: 'Produce' })).toBeGreaterThan(0)
  expect(sampled('requests_in_flight')).toBe(1)
  expect(sampled('purgatory_size')).toBe(1)
  expect(sampled('mutes_total', { reason: 'requests' })).toBeGreaterThan(0)
  expect(sampled('fetched_records_total')).toBe(100)
  expect(sampled('read_bytes_total')).toBeGreaterThanOrEqual(sampled('fetched_bytes_total'))
  expect(sampled('fetched_bytes_total')).toBeGreaterThan(100 * 500)
  expect(sampled('segments_rolled_total')).toBeGreaterThanOrEqual(3)
  expect(sampled('flushes_total')).toBeGreaterThan(0)
  expect(sampled('flush_seconds_count')).toBe(sampled('flushes_total'))
  expect(sampled('disk_full_total')).toBe(0)
  for (const thread of ['dispatcher', 'owner-0', 'owner-1']) {
    expect(sampled('heap_used_bytes', { thread })).toBeGreaterThan(0)
  }
  expect(sampled('busy_seconds_total', { thread: 'dispatcher' })).toBeGreaterThan(0)
  expect(sampled('doorbells_total')).toBeGreaterThan(0)
})
