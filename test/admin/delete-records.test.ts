/** DeleteRecords while the owner thread takes its time, or refuses. */
import { expect, test } from 'vitest'
import { deleteRecords } from '../../src/apis/delete-records.ts'
import type { DeletedRecords, Partition } from '../../src/partitions/partition.ts'
import { Errors } from '../../src/protocol/errors.ts'
import type { Services } from '../../src/services.ts'
import { FileTopicStore } from '../../src/topics/topic-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { startAdmin, topicRequest } from './admin-fixture.ts'
import { askRow } from './api-fixture.ts'

async function setUp(directory?: string) {
  const { admin, host, topics } = await startAdmin(directory ?? (await tempDirectory()))
  const clock = new FakeClock()
  const services = { admin, dispatcher: { clock } } as unknown as Services
  /** Offset by partition of topic `t`. */
  const ask = async (offsets: readonly number[], timeoutMs: number, name = 't') => {
    const partitions = offsets.map((offset, partitionIndex) => ({ partitionIndex, offset }))
    const answer = await askRow(
      deleteRecords,
      2,
      { topics: [{ name, partitions }], timeoutMs },
      services,
    )
    return answer.topics[0].partitions.map(row => [row.errorCode, row.lowWatermark])
  }
  return { admin, host, topics, clock, ask }
}

test('what is not done in time is answered so, the rest with its low watermark', async () => {
  const { admin, host, clock, ask } = await setUp()
  await admin.createTopic(topicRequest('t', { partitions: 2 }))
  const slow = Promise.withResolvers<DeletedRecords>()
  host.deleteRecords = ({ index }: Partition, offset) =>
    index === 0 ? Promise.resolve({ error: 0, logStartOffset: offset }) : slow.promise
  let answered = false
  const asking = ask([7, 8], 5000).finally(() => {
    answered = true
  })
  await new Promise(setImmediate)
  clock.advance(4999)
  await new Promise(setImmediate)
  expect(answered).toBe(false)
  clock.advance(1)
  expect(await asking).toEqual([
    [Errors.NONE, 7],
    [Errors.REQUEST_TIMED_OUT, -1],
  ])
  // It comes too late for anybody.
  slow.resolve({ error: 0, logStartOffset: 8 })
  await new Promise(setImmediate)
  expect(await ask([7, 8], 0), 'no time given, none needed').toEqual([
    [Errors.NONE, 7],
    [Errors.NONE, 8],
  ])
})

test('what the owner refuses is passed on', async () => {
  const { admin, host, ask } = await setUp()
  await admin.createTopic(topicRequest('t'))
  for (const error of [
    Errors.OFFSET_OUT_OF_RANGE,
    Errors.NOT_LEADER_OR_FOLLOWER,
    Errors.KAFKA_STORAGE_ERROR,
  ]) {
    host.deleteRecords = () => Promise.resolve({ error, logStartOffset: -1 })
    expect(await ask([1], 1000)).toEqual([[error, -1]])
  }
})

test('the broker’s own topics keep their records', async () => {
  const directory = await tempDirectory()
  const first = await setUp(directory)
  await first.admin.createTopic(topicRequest('t'))
  const store = new FileTopicStore(directory)
  const [record] = await store.load()
  await store.save([{ ...record, name: '__consumer_offsets' }])
  const { ask } = await setUp(directory)
  expect(await ask([0], 1000, '__consumer_offsets')).toEqual([[Errors.INVALID_TOPIC_EXCEPTION, -1]])
})
