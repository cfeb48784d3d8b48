/**
 * kill -9 under load: whatever was acknowledged is there, at its offset, and what is there is what was sent, in order.
 * acks=1 promises that too for a crash of the process alone.
 */
import { describe, expect, test } from 'vitest'
import { Admin } from '../../src/client/admin.ts'
import { Producer } from '../../src/client/producer.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { type SpawnedBroker, spawnBroker } from '../support/spawn-broker.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'
import { ConnectionClosed, WireClient } from '../support/wire-client.ts'
import { batchOf, produce, readAll } from './fixture.ts'

const topic = 'survives'
const partitionCount = 4
/** Batches a writer has on the way: some are always cut off. */
const windowSize = 8

/** What one writer sent to its partition in one life of the broker. */
interface Sent {
  readonly values: string[]
  /** Acknowledged: offset of each batch's first record by the index of that record. */
  readonly acked: Map<number, number>
}

/** Sends batches of 1 to 3 records until the broker is gone. */
async function writeUntilGone(
  broker: SpawnedBroker,
  partition: number,
  acks: number,
  onAck: () => void,
): Promise<Sent> {
  const sent: Sent = { values: [], acked: new Map() }
  const client = await WireClient.connect(broker.bootstrap)
  const sendOne = async (): Promise<void> => {
    const index = sent.values.length
    const count = 1 + (index % 3)
    const values = Array.from({ length: count }, (_, i) => `${broker.pid} ${index + i}`)
    sent.values.push(...values)
    const codec = index % 5 === 0 ? 'gzip' : 'none'
    const row = await produce(client, topic, batchOf(values, { codec }), { partition, acks })
    expect(row.errorCode).toBe(Errors.NONE)
    sent.acked.set(index, row.baseOffset)
    onAck()
  }
  const sender = async (): Promise<void> => {
    while (!client.isClosed) await sendOne()
  }
  const ended = await Promise.allSettled(Array.from({ length: windowSize }, sender))
  for (const one of ended) {
    if (one.status === 'rejected' && !(one.reason instanceof ConnectionClosed)) throw one.reason
  }
  return sent
}

/** Lets writers at every partition work until `ackCount` answers have come, then kills the broker. */
async function liveAndDie(
  broker: SpawnedBroker,
  acks: number,
  ackCount: number,
): Promise<readonly Sent[]> {
  let count = 0
  const onAck = (): void => {
    if (++count === ackCount) void broker.kill9()
  }
  const partitions = Array.from({ length: partitionCount }, (_, partition) => partition)
  const sent = await Promise.all(
    partitions.map(partition => writeUntilGone(broker, partition, acks, onAck)),
  )
  await broker.kill9()
  return sent
}

async function readPartition(broker: SpawnedBroker, partition: number): Promise<string[]> {
  const client = await WireClient.connect(broker.bootstrap)
  const records = await readAll(client, topic, { partition })
  client.close()
  expect(records.map(({ offset }) => offset)).toEqual(records.map((_, i) => i))
  return records.map(({ value }) => String(value))
}

/**
 * The log must be, life after life, the beginning of what was sent then, and long enough to hold every acknowledged
 * record at its offset.
 */
function checkLog(log: readonly string[], lives: readonly Sent[]): void {
  let at = 0
  for (const { values, acked } of lives) {
    const start = at
    while (at - start < values.length && log[at] === values[at - start]) at++
    for (const [index, offset] of acked) {
      expect(offset, values[index]).toBe(start + index)
      expect(offset, `${values[index]} was acknowledged`).toBeLessThan(at)
    }
  }
  expect(log.slice(at), 'records nobody sent, or out of order').toEqual([])
}

describe.each([
  ['acks=all, group-commit', -1, 'group-commit'],
  ['acks=1, group-commit', 1, 'group-commit'],
  ['acks=1, os', 1, 'os'],
])('%s', (_, acks, policy) => {
  test('nothing acknowledged is lost in any of three lives', { timeout: 120_000 }, async () => {
    await using directory = await makeTempDirectory()
    const start = () => spawnBroker({ dataDirectory: directory.path, args: ['--workers', '2'] })
    let broker = await start()
    const admin = new Admin({ bootstrap: broker.bootstrap })
    const configs = new Map([
      ['flush.policy', policy],
      ['segment.bytes', '65536'],
    ])
    await admin.createTopic({ name: topic, partitions: partitionCount, configs })
    await admin.close()
    const lives: (readonly Sent[])[] = []
    for (const ackCount of [1, 700, 2500]) {
      lives.push(await liveAndDie(broker, acks, ackCount))
      broker = await start()
      for (let partition = 0; partition < partitionCount; partition++) {
        checkLog(
          await readPartition(broker, partition),
          lives.map(life => life[partition]),
        )
      }
    }
    expect(await broker.stop()).toBe(0)
  })
})

test('our idempotent producer rides through kill -9: every record once, in order', async () => {
  await using directory = await makeTempDirectory()
  let broker = await spawnBroker({ dataDirectory: directory.path })
  const producer = new Producer({ bootstrap: broker.bootstrap, codec: 'lz4' })
  const values = Array.from({ length: 4000 }, (_, i) => `record ${i}`)
  const writing: Promise<unknown>[] = []
  for (let i = 0; i < values.length; i += 20) {
    writing.push(producer.send(topic, values.slice(i, i + 20)))
    if (i === 1000 || i === 2500) {
      // Some are acknowledged, some on the way, some not even sent.
      await writing[writing.length >> 1]
      await broker.kill9()
      broker = await spawnBroker({
        dataDirectory: directory.path,
        args: ['--kafka', broker.bootstrap],
      })
    }
  }
  await Promise.all(writing)
  await producer.close()
  const client = await WireClient.connect(broker.bootstrap)
  const records = await readAll(client, topic)
  client.close()
  expect(records.map(({ value }) => String(value))).toEqual(values)
  expect(await broker.stop()).toBe(0)
}, 120_000)
