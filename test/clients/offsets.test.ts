/**
 * What real clients commit outlives brokers and owner threads: kafkajs and kcat go on where they had committed, and
 * administrators of both kinds read, set and delete offsets.
 */
import type kafkajs from 'kafkajs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { Producer } from '../../src/client/producer.ts'
import { freePort } from '../support/free-port.ts'
import { requireCommand, requireThat } from '../support/requires.ts'
import { type SpawnedBroker, spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { kcat } from './kcat.ts'
import { kafkajsOf, platformatic, platformaticMissing } from './producers.ts'

const partitions = 4
const patience = { timeout: 60_000, interval: 20 }
/** kafkajs waits for its long polls and for its own back-offs; on a machine under load that adds up. */
const slow = { timeout: 240_000 }
const numbersFrom = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => from + i)
const sorted = (numbers: Iterable<number>) => [...numbers].toSorted((a, b) => a - b)

async function makeTopic(bootstrap: string, name: string): Promise<string> {
  await using admin = new Admin({ bootstrap })
  await admin.createTopic({ name, partitions })
  return name
}

/** Values `from`...`to - 1`, spread over all partitions. */
async function produce(bootstrap: string, topic: string, from: number, to: number) {
  await using producer = new Producer({ bootstrap })
  await producer.send(
    topic,
    numbersFrom(from, to).map(value => ({ value: `${value}`, partition: value % partitions })),
  )
}

interface Reader {
  readonly values: number[]
  /** Next offset by partition, as committed and acknowledged. */
  readonly committed: Map<number, number>
}

/** Commits after every message, and counts what was acknowledged. */
async function committingReader(
  bootstrap: string,
  groupId: string,
  topic: string,
): Promise<Reader & { stop(): Promise<void> }> {
  const consumer = kafkajsOf(bootstrap).consumer({
    groupId,
    heartbeatInterval: 100,
    maxWaitTimeInMs: 100,
    retry: { retries: 50, maxRetryTime: 200 },
  })
  const values: number[] = []
  const committed = new Map<number, number>()
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      values.push(Number(message.value))
      const next = Number(message.offset) + 1
      await consumer.commitOffsets([{ topic, partition, offset: `${next}` }])
      committed.set(partition, next)
    },
  })
  let stopped: Promise<void> | null = null
  const stop = () => {
    stopped ??= consumer.disconnect()
    return stopped
  }
  onTestFinished(stop)
  return { values, committed, stop }
}

describe('kafkajs', () => {
  test(
    'goes on at its commits when the broker is killed and started again on the same port',
    slow,
    async () => {
      const dataDirectory = await tempDirectory()
      const args = ['--kafka', `127.0.0.1:${await freePort()}`]
      const start = async (): Promise<SpawnedBroker> => {
        const broker = await spawnBroker({ dataDirectory, args })
        onTestFinished(async () => void (await broker.stop()))
        return broker
      }
      const first = await start()
      const topic = await makeTopic(first.bootstrap, 'killed')
      await produce(first.bootstrap, topic, 0, 400)
      const reader = await committingReader(first.bootstrap, 'group', topic)
      await expect.poll(() => reader.values.length, patience).toBeGreaterThan(50)
      const promised = new Map(reader.committed)
      await first.kill9()
      const second = await start()
      await produce(second.bootstrap, topic, 400, 420)
      const all = () => sorted(new Set(reader.values))
      await expect.poll(() => all().length, patience).toBe(420)
      expect(all()).toEqual(numbersFrom(0, 420))
      await reader.stop()
      // Nothing below a commit that was acknowledged was read again.
      for (const [partition, next] of promised) {
        for (let offset = 0; offset < next; offset++) {
          const value = offset * partitions + partition
          expect(reader.values.filter(one => one === value)).toHaveLength(1)
        }
      }
      const again = await committingReader(second.bootstrap, 'group', topic)
      await produce(second.bootstrap, topic, 420, 424)
      await expect.poll(() => again.values.length, patience).toBe(4)
      expect(sorted(again.values)).toEqual([420, 421, 422, 423])
    },
  )

  test('reads everything while owner threads die', slow, async () => {
    const broker = await startBroker({ workers: 2, logLevel: 'silent' })
    onTestFinished(() => broker.close())
    const topic = await makeTopic(broker.bootstrap, 'owners')
    await produce(broker.bootstrap, topic, 0, 400)
    const reader = await committingReader(broker.bootstrap, 'group', topic)
    for (const owner of broker.parts.host.owners) {
      const seen = reader.values.length
      await expect.poll(() => reader.values.length, patience).toBeGreaterThan(seen + 50)
      void owner.terminate()
    }
    const all = () => sorted(new Set(reader.values))
    await expect.poll(() => all().length, patience).toBe(400)
    await expect.poll(() => sum(reader.committed), patience).toBe(400)
    const { committed } = broker.parts.services
    const kept = [...(committed.all('group').get(topic) ?? [])]
    expect(new Map(kept.map(([partition, { offset }]) => [partition, offset]))).toEqual(
      reader.committed,
    )
  })

  test('its admin sets, resets and reads offsets with their texts', slow, async () => {
    const broker = await startBroker({ logLevel: 'silent' })
    onTestFinished(() => broker.close())
    const topic = await makeTopic(broker.bootstrap, 'administered')
    await produce(broker.bootstrap, topic, 0, 40)
    const admin = kafkajsOf(broker.bootstrap).admin()
    await admin.connect()
    onTestFinished(() => admin.disconnect())
    const groupId = 'group'
    const rows = [{ partition: 0, offset: '7', metadata: 'by hand' }]
    await admin.setOffsets({ groupId, topic, partitions: rows as kafkajs.SeekEntry[] })
    const fetched = async () => {
      const [found] = await admin.fetchOffsets({ groupId, topics: [topic] })
      return found.partitions
        .toSorted((a, b) => a.partition - b.partition)
        .map(({ offset }) => Number(offset))
    }
    expect(await fetched()).toEqual([7, -1, -1, -1])
    await admin.resetOffsets({ groupId, topic, earliest: true })
    const [all] = await admin.fetchOffsets({ groupId, resolveOffsets: true })
    expect(all.partitions.map(({ offset }) => Number(offset))).toEqual([0, 0, 0, 0])
    await admin.resetOffsets({ groupId, topic, earliest: false })
    const [latest] = await admin.fetchOffsets({ groupId, resolveOffsets: true })
    expect(latest.partitions.map(({ offset }) => Number(offset))).toEqual([10, 10, 10, 10])
  })
})

const sum = (numbers: ReadonlyMap<number, number>): number =>
  [...numbers.values()].reduce((total, number) => total + number, 0)

test('kcat -G goes on at its commits after a restart of the broker', async context => {
  requireCommand(context, 'kcat')
  const dataDirectory = await tempDirectory()
  const readToEnd = async ({ bootstrap }: Broker): Promise<number[]> => {
    const settings = ['-X', 'auto.offset.reset=earliest']
    const out = await kcat(bootstrap, ['-q', '-e', ...settings, '-G', 'group', 'restarted'])
    return sorted(String(out).split('\n').filter(Boolean).map(Number))
  }
  for (const round of [0, 1, 2]) {
    const broker = await startBroker({ dataDirectory, logLevel: 'silent' })
    onTestFinished(() => broker.close())
    if (round === 0) await makeTopic(broker.bootstrap, 'restarted')
    const [from, to] = [round * 50, round * 50 + 50]
    await produce(broker.bootstrap, 'restarted', from, to)
    expect(await readToEnd(broker)).toEqual(numbersFrom(from, to))
    await broker.close()
  }
})

test('@platformatic/kafka as administrator sets, reads and deletes offsets', async context => {
  if (platformaticMissing !== null) requireThat(context, false, ...platformaticMissing)
  const broker = await startBroker({ logLevel: 'silent' })
  onTestFinished(() => broker.close())
  const topic = await makeTopic(broker.bootstrap, 'administered')
  const admin = new platformatic!.Admin({
    clientId: 'test',
    bootstrapBrokers: [broker.bootstrap],
  })
  onTestFinished(() => admin.close())
  const groupId = 'group'
  const partitionOffsets = [
    { partition: 0, offset: 5n },
    { partition: 2, offset: 2n ** 40n },
  ]
  await admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionOffsets }] })
  const offsets = async () => {
    const [group] = await admin.listConsumerGroupOffsets({ groups: [groupId] })
    return group.topics.flatMap(({ partitions: found }) =>
      found.map(({ partitionIndex, committedOffset }) => [partitionIndex, committedOffset]),
    )
  }
  expect(await offsets()).toEqual([
    [0, 5n],
    [2, 2n ** 40n],
  ])
  await admin.deleteConsumerGroupOffsets({
    groupId,
    topics: [{ name: topic, partitionIndexes: [0] }],
  })
  expect(await offsets()).toEqual([[2, 2n ** 40n]])
})
