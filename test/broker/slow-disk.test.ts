/**
 * A disk whose syncs take long (RELIABILITY A19): acks=all of that partition wait, nothing else does, and nothing is
 * acknowledged before its sync.
 */
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { diskFaults, faultyOwners } from './disk-faults.ts'
import { batchOf, connect, createTopic, fetchRow, produce, store, testBroker } from './fixture.ts'

const setFaults = diskFaults()

test('acks=all waits for its own sync; acks=1 and other partitions do not', async () => {
  const broker = await testBroker({ ownerThreads: faultyOwners, workers: 1 })
  const client = await connect(broker)
  const topic = await createTopic(client, { partitions: 2 })
  for (const partition of [0, 1]) await store(client, topic, batchOf(['before']), { partition })
  setFaults([{ call: 'fdatasync', path: `${topic}-0/`, blockMs: 3000 }])
  const slow = await connect(broker)
  let isAcked = false
  const waiting = produce(slow, topic, batchOf(['slow'])).then(row => {
    isAcked = true
    return row
  })
  await store(client, topic, batchOf(['quick']), { acks: 1 })
  for (let i = 0; i < 20; i++) await store(client, topic, batchOf(['other']), { partition: 1 })
  // All that took its time, and the first is still not answered; no consumer sees it either.
  expect(isAcked).toBe(false)
  expect(await fetchRow(client, topic, { offset: 1 })).toMatchObject({ highWatermark: 1 })
  setFaults([])
  expect(await waiting).toMatchObject({ errorCode: Errors.NONE })
  expect(await fetchRow(client, topic, { offset: 1 })).toMatchObject({ errorCode: Errors.NONE })
})

test('a request that waits longer than its own time-out is told so, and the record stays', async () => {
  const broker = await testBroker({ ownerThreads: faultyOwners, workers: 1 })
  const client = await connect(broker)
  const topic = await createTopic(client)
  await store(client, topic, batchOf(['before']))
  setFaults([{ call: 'fdatasync', path: `${topic}-0/`, blockMs: 4000 }])
  const row = await produce(client, topic, batchOf(['late']), { timeoutMs: 100 })
  expect(row.errorCode).toBe(Errors.REQUEST_TIMED_OUT)
  const arrived = await fetchRow(client, topic, { offset: 1, maxWaitMs: 3_600_000 })
  expect(arrived).toMatchObject({ errorCode: Errors.NONE, highWatermark: 2 })
})
