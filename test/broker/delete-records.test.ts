/** DeleteRecords over the wire: what is gone, what stays, what is refused, and all of it after a restart. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { DeleteRecords } from '../../src/protocol/messages/delete-records.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRow,
  launchBroker,
  lookUp,
  produce,
  readAll,
  sharedBroker,
  store,
} from './fixture.ts'

const broker = sharedBroker()
const highWatermark = -1

async function deleteBefore(
  client: WireClient,
  topic: string,
  offset: number,
  { version = 2, partition = 0, timeoutMs = 30_000 } = {},
) {
  const answer = await client.request(DeleteRecords, version, {
    topics: [{ name: topic, partitions: [{ partitionIndex: partition, offset }] }],
    timeoutMs,
  })
  expect(answer.topics[0].name).toBe(topic)
  return answer.topics[0].partitions[0]
}

async function filled(client: WireClient, batches: number, configs = {}): Promise<string> {
  const topic = await createTopic(client, { configs })
  for (let i = 0; i < batches; i++)
    await store(client, topic, batchOf([`${2 * i}`, `${2 * i + 1}`, 'x'.repeat(500)]))
  return topic
}

const startOf = async (client: WireClient, topic: string) =>
  (await lookUp(client, topic, -2)).offset

test.each([0, 1, 2])('v%i moves the log start; what lies before it is out of range', async v => {
  const client = await connect(broker())
  const topic = await filled(client, 5)
  expect(await deleteBefore(client, topic, 4, { version: v })).toEqual({
    partitionIndex: 0,
    lowWatermark: 4,
    errorCode: Errors.NONE,
  })
  expect(await startOf(client, topic)).toBe(4)
  const before = await fetchRow(client, topic, { offset: 3 })
  expect(before.errorCode).toBe(Errors.OFFSET_OUT_OF_RANGE)
  const rest = await readAll(client, topic, { offset: 4 })
  expect(rest.map(({ offset }) => offset)).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14])
  expect((await produce(client, topic, batchOf(['next']))).logStartOffset).toBe(4)
})

test('-1 deletes up to the high watermark, and new records go on behind it', async () => {
  const client = await connect(broker())
  const topic = await filled(client, 3)
  expect(await deleteBefore(client, topic, highWatermark)).toMatchObject({ lowWatermark: 9 })
  expect(await readAll(client, topic, { offset: 9 })).toEqual([])
  expect(await store(client, topic, batchOf(['next']))).toBe(9)
  expect(await readAll(client, topic, { offset: 9 })).toHaveLength(1)
  expect(await deleteBefore(client, topic, 9), 'again, and below').toMatchObject({
    lowWatermark: 9,
  })
  expect(await deleteBefore(client, topic, 2)).toMatchObject({ lowWatermark: 9, errorCode: 0 })
})

test('what cannot be deleted is refused and stays', async () => {
  const client = await connect(broker())
  const topic = await filled(client, 2)
  const compacted = await createTopic(client, { configs: { 'cleanup.policy': 'compact' } })
  const both = await createTopic(client, { configs: { 'cleanup.policy': 'compact,delete' } })
  const refused = (errorCode: number) => ({ lowWatermark: -1, errorCode })
  const cases: [string, number, number, number][] = [
    [topic, 0, 7, Errors.OFFSET_OUT_OF_RANGE],
    [topic, 0, -2, Errors.OFFSET_OUT_OF_RANGE],
    [topic, 1, 0, Errors.UNKNOWN_TOPIC_OR_PARTITION],
    [topic, -1, 0, Errors.UNKNOWN_TOPIC_OR_PARTITION],
    ['no-such-topic', 0, 0, Errors.UNKNOWN_TOPIC_OR_PARTITION],
    [compacted, 0, highWatermark, Errors.POLICY_VIOLATION],
  ]
  for (const [name, partition, offset, code] of cases)
    expect(await deleteBefore(client, name, offset, { partition })).toMatchObject(refused(code))
  expect(await deleteBefore(client, both, highWatermark)).toMatchObject({ lowWatermark: 0 })
  expect(await startOf(client, topic)).toBe(0)
})

test('many partitions in one request, each with its own answer', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client, { partitions: 4 })
  for (let partition = 0; partition < 4; partition++)
    await store(client, topic, batchOf(['a', 'b', 'c']), { partition })
  const asked = [
    [0, 1],
    [1, 9],
    [2, -1],
    [3, 2],
    [3, 1],
  ]
  const { topics } = await client.request(DeleteRecords, 2, {
    topics: [
      {
        name: topic,
        partitions: asked.map(([partitionIndex, offset]) => ({ partitionIndex, offset })),
      },
    ],
    timeoutMs: 30_000,
  })
  const twice = { lowWatermark: -1, errorCode: Errors.INVALID_REQUEST }
  expect(topics[0].partitions).toEqual([
    { partitionIndex: 0, lowWatermark: 1, errorCode: Errors.NONE },
    { partitionIndex: 1, lowWatermark: -1, errorCode: Errors.OFFSET_OUT_OF_RANGE },
    { partitionIndex: 2, lowWatermark: 3, errorCode: Errors.NONE },
    { partitionIndex: 3, ...twice },
    { partitionIndex: 3, ...twice },
  ])
})

test('whole segments leave the disk, and a restart begins where the deletion ended', async () => {
  const directory = await tempDirectory()
  const start = () => launchBroker({ dataDirectory: directory, workers: 1 })
  const segmentsOf = async (topic: string) => {
    const files = await readdir(join(directory, `${topic}-0`))
    const logs = files.filter(file => file.endsWith('.log'))
    return logs.map(file => Number.parseInt(file, 10)).toSorted((a, b) => a - b)
  }
  const first = await start()
  let topic: string
  try {
    const client = await connect(first)
    topic = await filled(client, 12, { 'segment.bytes': '1500' })
    expect(await segmentsOf(topic)).toEqual([0, 6, 12, 18, 24, 30])
    expect(await deleteBefore(client, topic, 20)).toMatchObject({ lowWatermark: 20 })
    await expect.poll(() => segmentsOf(topic), { timeout: 20_000 }).toEqual([18, 24, 30])
  } finally {
    await first.close()
  }
  const second = await start()
  try {
    const client = await connect(second)
    expect(await startOf(client, topic)).toBe(20)
    expect(await readAll(client, topic, { offset: 20 })).toHaveLength(16)
    expect(await deleteBefore(client, topic, highWatermark)).toMatchObject({ lowWatermark: 36 })
  } finally {
    await second.close()
  }
})
