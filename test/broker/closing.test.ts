/** A broker that is told to stop: what it owes it answers, what it does not owe it no longer takes. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { emptyOffsetView } from '../../src/partitions/offset-table.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRequest,
  launchBroker,
  produceRequest,
  smallArenas,
  store,
  testBroker,
} from './fixture.ts'

function logEndOf(broker: Broker, topic: string): number {
  const view = emptyOffsetView()
  const [partition] = broker.parts.services.topics.get(topic)?.partitions ?? []
  if (partition === undefined) return -1
  broker.parts.services.offsets.read(partition.slot, partition.generation, view)
  return view.logEnd
}

describe('a broker that closes', () => {
  test('under a flood answers what it took, takes no more, and keeps what it acknowledged', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await launchBroker({ set: smallArenas, dataDirectory })
    const client = await connect(broker)
    const topic = await createTopic(client)
    let end = 0
    const floods = Array.from({ length: 4 }, async (_, seed) => {
      const flood = await connect(broker)
      const sending = sendUntilClosed(flood, topic, batchOf([`${seed}`.repeat(100_000)]))
      for (let correlationId = 0; ; correlationId++) {
        const answer = await flood.answer(Produce, 9, correlationId).catch(() => null)
        const row = answer?.responses[0]?.partitionResponses[0]
        if (row === undefined) break
        expect(row.errorCode).toBe(Errors.NONE)
        end = Math.max(end, row.baseOffset + 1)
      }
      await sending
    })
    await expect.poll(() => end, { interval: 2 }).toBeGreaterThan(20)
    await broker.close()
    await Promise.all(floods)
    expect(broker.parts.listener.requestsInFlight).toBe(0)
    const again = await testBroker({ dataDirectory })
    await connect(again)
    expect(logEndOf(again, topic)).toBeGreaterThanOrEqual(end)
  })

  test('answers parked fetches at once, with what there is', async () => {
    const broker = await launchBroker()
    const client = await connect(broker)
    const topic = await createTopic(client)
    await store(client, topic, batchOf(['there']))
    const fetches = [
      fetchRequest(topic, { offset: 1, maxWaitMs: 3_600_000 }),
      fetchRequest(topic, { offset: 0, minBytes: 1_000_000, maxWaitMs: 3_600_000 }),
    ]
    const answers = fetches.map(async message => {
      const reader = await connect(broker)
      return await reader.request(Fetch, 12, message)
    })
    await expect.poll(() => broker.parts.dispatcher.purgatory.fetchCount).toBe(2)
    await broker.close()
    const rows = (await Promise.all(answers)).map(({ responses }) => responses[0]?.partitions[0])
    expect(rows.map(row => row?.errorCode)).toEqual([Errors.NONE, Errors.NONE])
    expect(rows.map(row => row?.highWatermark)).toEqual([1, 1])
    expect(rows.map(row => (row?.records?.length ?? 0) > 0)).toEqual([false, true])
  })
})

/** Frames without a pause, with correlation ids from 0 on. */
async function sendUntilClosed(client: WireClient, topic: string, batch: Buffer): Promise<void> {
  const message = produceRequest(topic, batch, { acks: 1 })
  for (let correlationId = 0; client.socket.writable; correlationId++) {
    client.write(client.frame({ schema: Produce, version: 9, message }, { correlationId }))
    do await sleep(1)
    while (client.socket.writable && client.socket.writableNeedDrain)
  }
}
