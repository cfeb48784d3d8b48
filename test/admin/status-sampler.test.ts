/** Rates and sizes as they are told: from a real broker's counters, by a clock of the test's own. */
import { describe, expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { StatusSampler } from '../../src/admin/status-sampler.ts'
import type { Broker } from '../../src/broker.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRow,
  store,
  type TestBrokerOptions,
  testBroker,
} from '../broker/fixture.ts'
import { FakeClock } from '../support/fake-clock.ts'

async function scene(options: TestBrokerOptions = {}) {
  const broker = await testBroker(options)
  const clock = new FakeClock()
  const sampler = samplerOf(broker, clock)
  const client = await connect(broker)
  /** As somebody sees it who looks so much later. */
  const look = (ms: number): Promise<Status> => {
    clock.advance(ms)
    return sampler.status()
  }
  return { broker, client, sampler, look }
}

function samplerOf({ parts }: Broker, clock: FakeClock): StatusSampler {
  const { services, host, listener } = parts
  return new StatusSampler({
    services,
    owners: host.owners,
    hosted: () => host.hosted(),
    whyUnavailable: hosted => host.offline.reasonOf(hosted),
    kafkaConnections: () => listener.connectionCount,
    clock,
  })
}

function topicOf(status: Status, name: string) {
  const topic = status.topics.find(one => one.name === name)
  if (topic === undefined) throw new Error(`no topic ${name}`)
  return topic
}

describe('rates', () => {
  test('are what came in and went out between two looks, by time', async () => {
    const { client, look } = await scene()
    const name = await createTopic(client, { partitions: 3 })
    const first = await look(0)
    expect(first.rates).toBeNull()
    expect(topicOf(first, name).rates).toBeNull()
    const batch = batchOf(['one', 'two', 'three', 'four'])
    await store(client, name, batch, { partition: 1 })
    await store(client, name, batch, { partition: 1 })
    await fetchRow(client, name, { partition: 1 })
    await fetchRow(client, name, { partition: 1, offset: 6 })
    const status = await look(2000)
    const rates = {
      recordsIn: 8 / 2,
      bytesIn: (2 * batch.length) / 2,
      recordsOut: (8 + 2) / 2,
      bytesOut: (3 * batch.length) / 2,
    }
    expect(status.ratesOverMs).toBe(2000)
    expect(status.rates).toEqual(rates)
    const topic = topicOf(status, name)
    expect(topic.rates).toEqual(rates)
    expect(topic.partitions.map(partition => partition.rates?.recordsIn)).toEqual([0, 4, 0])
    const { worker } = topic.partitions[1]
    expect(status.workers.map(one => one.rates?.bytesIn)).toEqual(
      status.workers.map(({ index }) => (index === worker ? rates.bytesIn : 0)),
    )
    expect(status.workers[worker].flushesPerSecond).toBeGreaterThan(0)
    expect(status.workers[worker].flushMeanMs).toBeGreaterThan(0)
    expect((await look(1000)).rates).toEqual({
      recordsIn: 0,
      bytesIn: 0,
      recordsOut: 0,
      bytesOut: 0,
    })
  })

  test('of a topic that is new, and of one that took the place of another', async () => {
    const { broker, client, look } = await scene()
    const old = await createTopic(client)
    await store(client, old, batchOf(Array(50).fill('old')))
    await look(0)
    await broker.parts.services.admin.deleteTopic({ name: old })
    const name = await createTopic(client)
    await store(client, name, batchOf(['new', 'newer']))
    const status = await look(1000)
    expect(status.topics.map(topic => topic.name)).toEqual([name])
    expect(topicOf(status, name).rates?.recordsIn).toBe(2)
  })

  test('none are told when nobody looked for long', async () => {
    const { client, look } = await scene()
    const name = await createTopic(client)
    await look(0)
    await store(client, name, batchOf(['x']))
    const late = await look(60_000)
    expect(late.rates).toBeNull()
    expect(late.dispatcherLoad).toBeNull()
    expect((await look(1000)).rates?.recordsIn).toBe(0)
  })

  test('those who ask within a second get the same answer, and cost nothing', async () => {
    const { client, look } = await scene()
    const name = await createTopic(client)
    const first = await look(0)
    await store(client, name, batchOf(['x']))
    expect(await look(500)).toBe(first)
    const second = await look(500)
    expect(second).not.toBe(first)
    expect(second.rates?.recordsIn).toBe(1)
  })
})

describe('what is there', () => {
  test('offsets, sizes, owners, and only what consumers may read', async () => {
    const { broker, client, look } = await scene()
    const name = await createTopic(client, { partitions: 2 })
    await store(client, name, batchOf(['one', 'two', 'three']))
    await broker.parts.services.admin.deleteRecords(name, 0, 1)
    await expect
      .poll(async () => topicOf(await look(3000), name).sizeBytes)
      .toBe(batchOf(['one', 'two', 'three']).length)
    const status = await look(1000)
    const { partitions, records, isInternal } = topicOf(status, name)
    expect({ records, isInternal }).toEqual({ records: 2, isInternal: false })
    expect(partitions[0]).toMatchObject({ index: 0, state: 'online', logStart: 1, logEnd: 3 })
    expect(partitions[0].reason).toBeNull()
    expect(new Set(partitions.map(({ worker }) => worker))).toEqual(new Set([0, 1]))
    expect(status.workers.map(({ isUp, partitions: held }) => [isUp, held])).toEqual([
      [true, 1],
      [true, 1],
    ])
    for (const { load } of status.workers) expect(load).toBeLessThanOrEqual(1)
    expect(status.kafkaConnections).toBe(1)
    expect(status.diskFreeBytes).toBeGreaterThan(0)
  })

  test('a high watermark that lags behind: its records count as come in, and are not told of', async () => {
    const set = { 'log.flush.policy': 'interval', 'log.flush.interval.ms': 3_600_000 }
    const { client, look } = await scene({ set })
    const name = await createTopic(client)
    await look(0)
    await store(client, name, batchOf(['one', 'two']), { acks: 1 })
    const status = await look(1000)
    const topic = topicOf(status, name)
    expect(topic.rates?.recordsIn).toBe(2)
    expect(topic.partitions[0]).toMatchObject({ logStart: 0, logEnd: 0 })
    expect(topic.records).toBe(0)
    expect(status.unflushedRecords).toBe(2)
  })

  test('an owner thread that died and came back', async () => {
    const { broker, client, look } = await scene({ workers: 1 })
    const name = await createTopic(client)
    await store(client, name, batchOf(['one']))
    await look(0)
    await broker.parts.host.owners[0].terminate()
    const status = await look(1000)
    expect(status.workers[0].load).toBeNull()
    await expect.poll(async () => (await look(1000)).workers[0].isUp).toBe(true)
    await expect
      .poll(async () => topicOf(await look(1000), name).partitions[0])
      .toMatchObject({ state: 'online', logEnd: 1 })
    expect((await look(1000)).workerRestarts).toBe(1)
  })
})
