/**
 * When a produce request is answered: acks=1 once the batch is in the file, acks=all once it is flushed. The flush is
 * held back by a topic that flushes every third record and never by time.
 */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { InitProducerId } from '../../src/protocol/messages/init-producer-id.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRow,
  lookUp,
  type ProduceRow,
  produce,
  produceRequest,
  readAll,
  sharedBroker,
  valuesOf,
} from './fixture.ts'

const broker = sharedBroker()

const everyThird = {
  'flush.policy': 'interval',
  'flush.messages': '3',
  'flush.ms': '3600000',
}

/** An answer to come, and whether it has. */
function watched(answer: Promise<ProduceRow>) {
  const state = { answer, isAnswered: false }
  void answer.then(() => {
    state.isAnswered = true
  })
  return state
}

/** Resolves when the log, not what is flushed of it, ends at `offset`: only then is it in range. */
async function endsAt(client: WireClient, topic: string, offset: number): Promise<void> {
  const codeAt = async (at: number) => (await fetchRow(client, topic, { offset: at })).errorCode
  await expect.poll(() => codeAt(offset), { interval: 5 }).toBe(Errors.NONE)
  expect(await codeAt(offset + 1)).toBe(Errors.OFFSET_OUT_OF_RANGE)
}

describe('acks=all', () => {
  test('is answered when the flush has passed the batch, not before', async () => {
    const client = await connect(broker())
    const watcher = await connect(broker())
    const topic = await createTopic(watcher, { configs: everyThird })
    const one = watched(produce(client, topic, batchOf(['one'])))
    const two = watched(produce(client, topic, batchOf(['two'])))
    await endsAt(watcher, topic, 2)
    expect(await lookUp(watcher, topic, -1)).toMatchObject({ offset: 0 })
    expect([one.isAnswered, two.isAnswered]).toEqual([false, false])
    const three = produce(client, topic, batchOf(['three']))
    const rows = await Promise.all([one.answer, two.answer, three])
    expect(rows.map(({ errorCode }) => errorCode)).toEqual([0, 0, 0])
    expect(rows.map(({ baseOffset }) => baseOffset)).toEqual([0, 1, 2])
    expect(await lookUp(watcher, topic, -1)).toMatchObject({ offset: 3 })
    const fetched = await fetchRow(watcher, topic)
    expect(valuesOf(fetched)).toEqual(['one', 'two', 'three'])
  })

  test('of several partitions is answered when the last of them is flushed', async () => {
    const client = await connect(broker())
    const watcher = await connect(broker())
    const slow = await createTopic(watcher, { configs: everyThird })
    const quick = await createTopic(watcher)
    const request = produceRequest(quick, batchOf(['quick']))
    request.topicData.unshift(...produceRequest(slow, batchOf(['slow'])).topicData)
    let isAnswered = false
    const pending = client.request(Produce, 11, request).finally(() => {
      isAnswered = true
    })
    await endsAt(watcher, slow, 1)
    // What is flushed is shown, though its producer has no answer yet.
    expect(await readAll(watcher, quick, { end: 1 })).toHaveLength(1)
    expect(isAnswered).toBe(false)
    await produce(watcher, slow, batchOf(['two', 'three']))
    const codes = (await pending).responses.map(
      ({ partitionResponses }) => partitionResponses[0].errorCode,
    )
    expect(codes).toEqual([Errors.NONE, Errors.NONE])
  })

  test('of a batch sent again waits for the flush of the original', async () => {
    const client = await connect(broker())
    const watcher = await connect(broker())
    const topic = await createTopic(watcher, { configs: everyThird })
    const { producerId, producerEpoch } = await watcher.request(InitProducerId, 5, {
      transactionalId: null,
      transactionTimeoutMs: 60_000,
      producerId: -1,
      producerEpoch: -1,
    })
    const batch = batchOf(['once'], { producerId, producerEpoch, baseSequence: 0 })
    expect((await produce(watcher, topic, batch, { acks: 1 })).errorCode).toBe(Errors.NONE)
    const again = watched(produce(client, topic, batch))
    await lookUp(watcher, topic, 0)
    await endsAt(watcher, topic, 1)
    expect(again.isAnswered).toBe(false)
    await produce(watcher, topic, batchOf(['two', 'three']))
    expect(await again.answer).toMatchObject({ errorCode: Errors.NONE, baseOffset: 0 })
    expect(await readAll(watcher, topic)).toHaveLength(3)
  })

  test('gives up after its own time-out; the record is there all the same', async () => {
    const client = await connect(broker())
    const watcher = await connect(broker())
    const topic = await createTopic(watcher, { configs: everyThird })
    const row = await produce(client, topic, batchOf(['late']), { timeoutMs: 1 })
    expect(row).toMatchObject({ errorCode: Errors.REQUEST_TIMED_OUT, baseOffset: -1 })
    await endsAt(watcher, topic, 1)
    await produce(watcher, topic, batchOf(['two', 'three']))
    expect(await readAll(watcher, topic)).toHaveLength(3)
  })

  test('under flush.policy=os is answered as acks=1, and read at once', async () => {
    const client = await connect(broker())
    const configs = { ...everyThird, 'flush.policy': 'os' }
    const topic = await createTopic(client, { configs })
    for (const [offset, acks] of [-1, 1, -1].entries()) {
      const row = await produce(client, topic, batchOf([`${offset}`]), { acks })
      expect(row).toMatchObject({ errorCode: Errors.NONE, baseOffset: offset })
      expect(valuesOf(await fetchRow(client, topic, { offset }), offset)).toEqual([`${offset}`])
    }
  })
})

describe('acks=1', () => {
  test('is answered before any flush, and shows nothing of it to consumers', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs: everyThird })
    for (const offset of [0, 1]) {
      const row = await produce(client, topic, batchOf(['early']), { acks: 1 })
      expect(row).toMatchObject({ errorCode: Errors.NONE, baseOffset: offset })
      expect(await lookUp(client, topic, -1)).toMatchObject({ offset: 0 })
      expect((await fetchRow(client, topic)).records).toHaveLength(0)
    }
    await produce(client, topic, batchOf(['third']), { acks: 1 })
    expect(await readAll(client, topic, { end: 3 })).toHaveLength(3)
  })
})
