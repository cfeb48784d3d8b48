/**
 * How much a fetch brings (KIP-74): whole batches within max bytes, but the first partition with data always gets one
 * batch. Random logs and limits against the rules, then a consumer that lives on such answers.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { baseOffsetAt } from '../../src/protocol/record-batch.ts'
import { batches } from '../../src/protocol/records.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  type FetchFrom,
  type FetchOptions,
  fetchRequestOf,
  sharedBroker,
  store,
} from './fixture.ts'

const broker = sharedBroker()

/** Sizes in bytes of each partition's batches; a batch holds one record, so offsets count batches. */
type Logs = readonly (readonly number[])[]

const smallestBatch = batchOf(['']).length

async function makeLogs(client: WireClient, logs: Logs): Promise<string> {
  const topic = await createTopic(client, { partitions: logs.length })
  const stored = logs.flatMap((sizes, partition) =>
    sizes.map(size => store(client, topic, batchOfBytes(size), { partition })),
  )
  await Promise.all(stored)
  return topic
}

/** One record whose batch has about this many bytes: varints make some sizes impossible. */
function batchOfBytes(size: number): Buffer {
  return batchOf(['x'.repeat(Math.max(0, size - smallestBatch))])
}

const sizeOf = (size: number) => batchOfBytes(size).length

interface Answered {
  readonly partition: number
  /** Sizes of the batches it got. */
  readonly sizes: readonly number[]
}

async function fetchSizes(
  client: WireClient,
  from: readonly FetchFrom[],
  limits: FetchOptions,
): Promise<Answered[]> {
  const answer = await client.request(Fetch, 12, fetchRequestOf(from, limits))
  return answer.responses[0].partitions.map(row => {
    expect(row.errorCode).toBe(Errors.NONE)
    const found = [...batches(row.records ?? Buffer.alloc(0))]
    const bytes = found.reduce((sum, batch) => sum + batch.length, 0)
    // No cut batch at the end.
    expect(bytes).toBe(row.records?.length)
    const start = from.find(({ partition }) => partition === row.partitionIndex)?.offset ?? 0
    expect(found.map(batch => baseOffsetAt(batch, 0))).toEqual(found.map((_, i) => start + i))
    return { partition: row.partitionIndex, sizes: found.map(batch => batch.length) }
  })
}

const sum = (sizes: readonly number[]) => sizes.reduce((total, size) => total + size, 0)

/** The rules; throws on the first that an answer breaks. `available` are the sizes left from each start. */
function checkRules(
  answered: readonly Answered[],
  available: ReadonlyMap<number, readonly number[]>,
  maxBytes: number,
  partitionMaxBytes: number,
): void {
  const total = sum(answered.flatMap(({ sizes }) => sizes))
  const first = answered.find(({ partition }) => (available.get(partition)?.length ?? 0) > 0)
  if (first === undefined) {
    expect(total).toBe(0)
    return
  }
  // The first that has anything gets its first batch, whatever its size.
  const [firstSize] = available.get(first.partition) ?? []
  expect(first.sizes[0]).toBe(firstSize)
  expect(total).toBeLessThanOrEqual(Math.max(maxBytes, firstSize))
  for (const { partition, sizes } of answered) {
    const isAlone = partition === first.partition && sizes.length === 1
    if (!isAlone) expect(sum(sizes)).toBeLessThanOrEqual(partitionMaxBytes)
  }
}

const sizes = fc.array(
  fc.oneof(fc.integer({ min: 80, max: 2000 }), fc.integer({ min: 60_000, max: 140_000 })),
  { maxLength: 6 },
)
const limit = fc.oneof(
  fc.constantFrom(0, 1, 1000, 65_536, 1_048_576),
  fc.integer({ min: 1, max: 3000 }),
  fc.integer({ min: 50_000, max: 400_000 }),
)

describe('whole batches within the limits', () => {
  test('random logs, starts, limits and orders of partitions', async () => {
    const client = await connect(broker())
    const property = fc.asyncProperty(
      fc.array(sizes, { minLength: 1, maxLength: 5 }),
      fc.array(fc.tuple(limit, limit, fc.nat(), fc.nat()), { minLength: 20, maxLength: 20 }),
      async (logs, fetches) => {
        const topic = await makeLogs(client, logs)
        // Batches of a partition were sent at once, but on one connection: their order is that of sending.
        const real = logs.map(log => log.map(sizeOf))
        for (const [maxBytes, partitionMaxBytes, order, start] of fetches) {
          const from = logs.map((_, i) => {
            const partition = (i + order) % logs.length
            return { topic, partition, offset: start % (logs[partition].length + 1) }
          })
          const available = new Map(
            from.map(({ partition, offset }) => [partition, real[partition].slice(offset)]),
          )
          const answered = await fetchSizes(client, from, { maxBytes, partitionMaxBytes })
          checkRules(answered, available, maxBytes, partitionMaxBytes)
        }
      },
    )
    await fc.assert(property, { numRuns: 15 })
  })

  test('with room for all, everything comes', async () => {
    const client = await connect(broker())
    const logs = [[100, 50_000], [], [70_000, 90, 90], [140_000]]
    const topic = await makeLogs(client, logs)
    const from = logs.map((_, partition) => ({ topic, partition, offset: 0 }))
    const answered = await fetchSizes(client, from, {})
    expect(answered.map(row => row.sizes)).toEqual(logs.map(log => log.map(sizeOf)))
  })
})

describe('a first batch larger than every limit', () => {
  test('comes whole and alone', async () => {
    const client = await connect(broker())
    const topic = await makeLogs(client, [[300_000, 100, 100]])
    const from = [{ topic, partition: 0, offset: 0 }]
    const limits = { maxBytes: 1, partitionMaxBytes: 1 }
    const [{ sizes: got }] = await fetchSizes(client, from, limits)
    expect(got).toEqual([sizeOf(300_000)])
  })

  test('in the first partition is not starved by small batches of others', async () => {
    const client = await connect(broker())
    const topic = await makeLogs(client, [[300_000], [100, 100], [100]])
    const from = [0, 1, 2].map(partition => ({ topic, partition, offset: 0 }))
    const answered = await fetchSizes(client, from, { maxBytes: 200_000, partitionMaxBytes: 1000 })
    expect(answered[0].sizes).toEqual([sizeOf(300_000)])
  })

  test('behind the first partition waits for its turn', async () => {
    const client = await connect(broker())
    const topic = await makeLogs(client, [[100], [300_000], [100]])
    const order = (...partitions: number[]) =>
      partitions.map(partition => ({ topic, partition, offset: 0 }))
    const limits = { maxBytes: 200_000, partitionMaxBytes: 1000 }
    const before = await fetchSizes(client, order(0, 1, 2), limits)
    expect(before.map(row => row.sizes)).toEqual([[sizeOf(100)], [], [sizeOf(100)]])
    const after = await fetchSizes(client, order(1, 2, 0), limits)
    expect(after[0].sizes).toEqual([sizeOf(300_000)])
  })
})

test('a consumer with tiny limits, going round the partitions, gets everything once and in order', async () => {
  const client = await connect(broker())
  const logs = [
    Array.from({ length: 12 }, (_, i) => (i % 5 === 0 ? 90_000 : 200)),
    Array.from({ length: 30 }, () => 150),
    [250_000, 80, 250_000],
    [],
  ]
  const topic = await makeLogs(client, logs)
  const next = logs.map(() => 0)
  const got: number[][] = logs.map(() => [])
  for (let round = 0; next.some((offset, i) => offset < logs[i].length); round++) {
    expect(round).toBeLessThan(200)
    const from = logs.map((_, i) => {
      const partition = (i + round) % logs.length
      return { topic, partition, offset: next[partition] }
    })
    for (const { partition, sizes: found } of await fetchSizes(client, from, {
      maxBytes: 1500,
      partitionMaxBytes: 500,
    })) {
      got[partition].push(...found)
      next[partition] += found.length
    }
  }
  expect(got).toEqual(logs.map(log => log.map(sizeOf)))
})
