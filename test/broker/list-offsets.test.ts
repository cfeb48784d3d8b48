/** ListOffsets: the special timestamps by version, and look-up by time against a list of all records. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { ListOffsets } from '../../src/protocol/messages/list-offsets.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  launchBroker,
  lookUp,
  sharedBroker,
  store,
  timedBatch,
} from './fixture.ts'

const broker = sharedBroker()
const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
const nothing = { errorCode: Errors.NONE, offset: -1, timestamp: -1, leaderEpoch: -1 }

/** Offsets of a look-up request with any rows. */
async function ask(
  client: WireClient,
  version: number,
  rows: readonly { topic: string; partition: number; timestamp: number }[],
) {
  const byTopic = Map.groupBy(rows, ({ topic }) => topic)
  const answer = await client.request(ListOffsets, version, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [...byTopic].map(([name, partitions]) => ({
      name,
      partitions: partitions.map(({ partition, timestamp }) => ({
        partitionIndex: partition,
        currentLeaderEpoch: -1,
        timestamp,
        maxNumOffsets: 1,
      })),
    })),
  })
  return answer.topics.flatMap(({ name, partitions }) =>
    partitions.map(row => ({ topic: name, ...row })),
  )
}

describe('special timestamps', () => {
  /** The batches [100 300] [200]. */
  async function aLog() {
    const client = await connect(broker())
    const topic = await createTopic(client)
    await store(client, topic, timedBatch([100, 300], { codec: 'gzip' }))
    await store(client, topic, timedBatch([200]))
    return { client, topic }
  }

  const cases = [
    { name: 'latest', timestamp: -1, since: 0, found: { offset: 3, timestamp: -1 } },
    { name: 'earliest', timestamp: -2, since: 0, found: { offset: 0, timestamp: -1 } },
    { name: 'largest timestamp', timestamp: -3, since: 7, found: { offset: 1, timestamp: 300 } },
    { name: 'earliest local', timestamp: -4, since: 8, found: { offset: 0, timestamp: -1 } },
    { name: 'latest tiered', timestamp: -5, since: 9, found: { offset: -1, timestamp: -1 } },
  ]

  test.each(cases)(
    '$name ($timestamp) from version $since on',
    async ({ timestamp, since, found }) => {
      const { client, topic } = await aLog()
      for (let version = 1; version <= 9; version++) {
        const row = await lookUp(client, topic, timestamp, { version })
        if (version < since) {
          expect(row).toMatchObject({ errorCode: Errors.UNSUPPORTED_VERSION, offset: -1 })
        } else {
          const leaderEpoch = version >= 4 && found.offset >= 0 ? 0 : -1
          expect(row).toMatchObject({ errorCode: Errors.NONE, ...found, leaderEpoch })
        }
      }
    },
  )

  test.each([-6, -7, -100, -0x1f_ffff_ffff_ffff])('%i is none', async timestamp => {
    const { client, topic } = await aLog()
    for (const version of [0, 1, 9]) {
      const row = await lookUp(client, topic, timestamp, { version })
      expect(row.errorCode).toBe(Errors.UNSUPPORTED_VERSION)
    }
  })

  test('version 0 answers with a list', async () => {
    const { client, topic } = await aLog()
    for (const [timestamp, offsets] of [
      [-1, [3]],
      [-2, [0]],
      [150, [1]],
      [301, []],
    ] as const) {
      const row = await lookUp(client, topic, timestamp, { version: 0 })
      expect(row).toMatchObject({ errorCode: Errors.NONE, oldStyleOffsets: offsets })
    }
  })

  test.each([0, 1])(
    'read_committed ends where the log ends: there are no transactions (%i)',
    async i => {
      const { client, topic } = await aLog()
      expect(await lookUp(client, topic, -1, { isolationLevel: i })).toMatchObject({ offset: 3 })
    },
  )

  test('of an empty log', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const found = await Promise.all([-1, -2, -3, -4, -5, 0].map(t => lookUp(client, topic, t)))
    expect(found.map(({ errorCode }) => errorCode)).toEqual([0, 0, 0, 0, 0, 0])
    expect(found.map(({ offset }) => offset)).toEqual([0, 0, -1, 0, -1, -1])
  })
})

describe('rows', () => {
  test('are answered each for itself', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 2 })
    await store(client, topic, batchOf(['a']), { partition: 1 })
    const answered = await ask(client, 9, [
      { topic, partition: 1, timestamp: -1 },
      { topic, partition: 2, timestamp: -1 },
      { topic, partition: 0, timestamp: -9 },
      { topic: 'no-such-topic', partition: 0, timestamp: -1 },
    ])
    const rows = answered.map(row => [row.topic, row.partitionIndex, row.errorCode, row.offset])
    expect(rows).toEqual([
      [topic, 1, Errors.NONE, 1],
      [topic, 2, Errors.UNKNOWN_TOPIC_OR_PARTITION, -1],
      [topic, 0, Errors.UNSUPPORTED_VERSION, -1],
      ['no-such-topic', 0, Errors.UNKNOWN_TOPIC_OR_PARTITION, -1],
    ])
  })

  test('of a partition asked for twice are refused, both', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 2 })
    const answered = await ask(client, 9, [
      { topic, partition: 1, timestamp: -1 },
      { topic, partition: 0, timestamp: -1 },
      { topic, partition: 1, timestamp: -2 },
    ])
    expect(answered.map(({ partitionIndex, errorCode }) => [partitionIndex, errorCode])).toEqual([
      [1, Errors.INVALID_REQUEST],
      [0, Errors.NONE],
      [1, Errors.INVALID_REQUEST],
    ])
  })
})

/** All records of a log as (offset, timestamp), and what look-up by time must find in them. */
class Model {
  readonly timestamps: number[] = []

  firstAt(timestampMs: number) {
    const offset = this.timestamps.findIndex(at => at >= timestampMs)
    if (offset === -1) return nothing
    return { errorCode: 0, offset, timestamp: this.timestamps[offset], leaderEpoch: 0 }
  }

  largest() {
    const timestamp = Math.max(...this.timestamps)
    return { errorCode: 0, offset: this.timestamps.indexOf(timestamp), timestamp, leaderEpoch: 0 }
  }

  /** Times around every record and beyond both ends. */
  interesting(): number[] {
    const near = this.timestamps.flatMap(at => [at - 1, at, at + 1])
    return [...new Set([0, ...near, Number.MAX_SAFE_INTEGER])].filter(at => at >= 0)
  }
}

async function expectFindsAll(client: WireClient, topic: string, model: Model): Promise<void> {
  const times = model.interesting()
  const rows = await Promise.all(times.map(timestamp => lookUp(client, topic, timestamp)))
  for (const [i, timestamp] of times.entries()) {
    expect(rows[i], `timestamp ${timestamp}`).toMatchObject(model.firstAt(timestamp))
  }
  expect(await lookUp(client, topic, -3)).toMatchObject(model.largest())
}

describe('by time', () => {
  test.each(codecs)('finds the record inside a %s batch, not only the batch', async codec => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const model = new Model()
    for (const times of [[10, 20, 30], [31], [50, 40, 70, 60], [70, 70], [65]]) {
      await store(client, topic, timedBatch(times, { codec }))
      model.timestamps.push(...times)
    }
    await expectFindsAll(client, topic, model)
  })

  test('random logs of many segments, in any order of time, before and after a restart', async () => {
    const batch = fc.record({
      codec: fc.constantFrom(...codecs),
      times: fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 12 }),
    })
    const property = fc.asyncProperty(
      fc.array(batch, { minLength: 1, maxLength: 60 }),
      async log => {
        await using directory = await makeTempDirectory()
        const first = await launchBroker({ dataDirectory: directory.path, workers: 1 })
        const client = await connect(first)
        const configs = { 'segment.bytes': '1024', 'index.interval.bytes': '100' }
        const topic = await createTopic(client, { configs })
        const model = new Model()
        for (const { codec, times } of log) {
          await store(client, topic, timedBatch(times, { codec }), { acks: 1 })
          model.timestamps.push(...times)
        }
        await expect
          .poll(async () => (await lookUp(client, topic, -1)).offset, { interval: 5 })
          .toBe(model.timestamps.length)
        await expectFindsAll(client, topic, model)
        await first.close()
        const second = await launchBroker({ dataDirectory: directory.path, workers: 1 })
        try {
          await expectFindsAll(await connect(second), topic, model)
        } finally {
          await second.close()
        }
      },
    )
    await fc.assert(property, { numRuns: 5 })
  })

  test('a timestamp in the far future or at zero is a timestamp like any other', async () => {
    const client = await connect(broker())
    const anyTime = { 'message.timestamp.after.max.ms': '9223372036854775807' }
    const topic = await createTopic(client, { configs: anyTime })
    await store(client, topic, timedBatch([0, 9_007_199_254_740_000, 1]))
    expect(await lookUp(client, topic, 0)).toMatchObject({ offset: 0, timestamp: 0 })
    expect(await lookUp(client, topic, 2)).toMatchObject({ offset: 1 })
    expect(await lookUp(client, topic, 9_007_199_254_740_001)).toMatchObject(nothing)
  })

  test('a batch without timestamps (-1) is passed over', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    await store(client, topic, timedBatch([-1, -1]))
    await store(client, topic, timedBatch([500]))
    expect(await lookUp(client, topic, 0)).toMatchObject({ offset: 2, timestamp: 500 })
  })

  test('under LogAppendTime the time of the append counts, whatever the producer wrote', async () => {
    const client = await connect(broker())
    const configs = { 'message.timestamp.type': 'LogAppendTime' }
    const topic = await createTopic(client, { configs })
    const future = Date.now() + 10_000_000
    const before = Date.now()
    await store(client, topic, timedBatch([future, future + 1, future + 2], { codec: 'zstd' }))
    await store(client, topic, timedBatch([5, 6]))
    const first = await lookUp(client, topic, before)
    expect(first).toMatchObject({ errorCode: Errors.NONE, offset: 0 })
    expect(first.timestamp).toBeGreaterThanOrEqual(before)
    expect(first.timestamp).toBeLessThanOrEqual(Date.now())
    expect(await lookUp(client, topic, future)).toMatchObject(nothing)
    const largest = await lookUp(client, topic, -3)
    expect(largest.timestamp).toBeLessThanOrEqual(Date.now())
    expect(largest.offset).toBe(largest.timestamp === first.timestamp ? 0 : 3)
  })
})
