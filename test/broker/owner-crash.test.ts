/**
 * An owner thread dies under load (RELIABILITY P10): its partitions answer NOT_LEADER_OR_FOLLOWER and come back with
 * all that was acknowledged, the partitions of the other owner notice nothing, and a thread that dies again and again
 * is given up.
 */
import { readdir } from 'node:fs/promises'
import { setEnvironmentData } from 'node:worker_threads'
import { afterAll, describe, expect, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { Producer } from '../../src/client/producer.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import { Break, breakWords } from './break-owner.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRequest,
  launchBroker,
  newTopicName,
  produce,
  readAll,
  testBroker,
} from './fixture.ts'

const words = new Int32Array(new SharedArrayBuffer(8))
setEnvironmentData(breakWords, words.buffer)
afterAll(() => setEnvironmentData(breakWords, undefined))

const preload = ['--import', new URL('./break-owner.ts', import.meta.url).href]
const ownerThreads = { heapMbMax: 48, execArgv: preload }
const partitionCount = 4
const windowSize = 4

/** What one writer was promised, and what it saw. */
interface Written {
  readonly partition: number
  /** Everything sent, acknowledged or not. */
  readonly values: Set<string>
  /** Value by offset, as acknowledged. */
  readonly acked: Map<number, string>
  readonly errors: Set<string>
}

class Load {
  readonly written: Written[] = []
  #isOver = false
  #work: Promise<void>[] = []
  #onAck: (() => void) | null = null

  /** A writer with some requests on the way at all times; a refused record is never sent again. */
  async addWriter(broker: Broker, topic: string, partition: number, acks: number): Promise<void> {
    const client = await connect(broker)
    const written: Written = {
      partition,
      values: new Set(),
      acked: new Map(),
      errors: new Set(),
    }
    const name = `writer ${this.written.push(written)}`
    const writeOn = async (): Promise<void> => {
      while (!this.#isOver) {
        const value = `${name} acks=${acks} ${written.values.size}`
        written.values.add(value)
        const row = await produce(client, topic, batchOf([value]), { partition, acks })
        if (row.errorCode === Errors.NONE) {
          written.acked.set(row.baseOffset, value)
          this.#onAck?.()
        } else {
          written.errors.add(errorName(row.errorCode))
          await new Promise(resolve => setTimeout(resolve, 5))
        }
      }
    }
    for (let i = 0; i < windowSize; i++) this.#work.push(writeOn())
  }

  /** Resolves when every writer has had `count` more acknowledgements. */
  progress(count: number): Promise<void> {
    const goals = this.written.map(({ acked }) => acked.size + count)
    return new Promise(resolve => {
      this.#onAck = () => {
        if (this.written.some(({ acked }, i) => acked.size < (goals[i] ?? 0))) return
        this.#onAck = null
        resolve()
      }
    })
  }

  async end(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#work)
  }
}

/** Every acknowledged record is at its offset, offsets are dense, and nothing is there that nobody sent. */
async function checkPartition(
  client: WireClient,
  topic: string,
  partition: number,
  written: readonly Written[],
): Promise<void> {
  const mine = written.filter(one => one.partition === partition)
  const records = await readAll(client, topic, { partition })
  expect(records.map(({ offset }) => offset)).toEqual(records.map((_, i) => i))
  const values = records.map(({ value }) => String(value))
  for (const { acked } of mine) {
    for (const [offset, value] of acked) expect(values[offset]).toBe(value)
  }
  const strangers = values.filter(value => !mine.some(one => one.values.has(value)))
  expect(strangers).toEqual([])
  expect(new Set(values).size).toBe(values.length)
}

function ownerOf(broker: Broker, topic: string, partition: number): number {
  return broker.parts.services.topics.get(topic)?.partitions[partition]?.ownerIndex ?? -1
}

/** A partition of that owner. */
function partitionOf(broker: Broker, topic: string, owner: number): number {
  const all = Array.from({ length: partitionCount }, (_, partition) => partition)
  return all.find(partition => ownerOf(broker, topic, partition) === owner) ?? -1
}

function breakOwner(broker: Broker, how: keyof typeof Break | 'terminate'): void {
  if (how === 'terminate') void broker.parts.host.owners[0]?.terminate()
  else Atomics.store(words, 0, Break[how])
}

function restarts(broker: Broker): number {
  return broker.parts.host.owners[0]?.crashes.length ?? 0
}

async function untilOnline(broker: Broker): Promise<void> {
  const states = () => new Set([...broker.parts.host.partitions()].map(({ state }) => state))
  await expect.poll(states, { interval: 5, timeout: 20_000 }).toEqual(new Set(['online']))
}

describe.each(['terminate', 'throw', 'throwInRound', 'reject', 'heap'] as const)('%s', how => {
  test('only its partitions answer an error, and nothing acknowledged is lost', async () => {
    const broker = await testBroker({ ownerThreads })
    const client = await connect(broker)
    const topic = await createTopic(client, { partitions: partitionCount })
    const load = new Load()
    for (let partition = 0; partition < partitionCount; partition++) {
      for (const acks of [1, -1]) await load.addWriter(broker, topic, partition, acks)
    }
    await load.progress(30)
    const threads = broker.parts.host.owners.map(({ threadId }) => threadId)
    breakOwner(broker, how)
    await expect.poll(() => restarts(broker), { interval: 2, timeout: 20_000 }).toBe(1)
    await load.progress(30)
    await load.end()
    for (const { partition, errors } of load.written) {
      const allowed = ownerOf(broker, topic, partition) === 0 ? ['NOT_LEADER_OR_FOLLOWER'] : []
      expect(new Set(allowed)).toEqual(new Set([...allowed, ...errors]))
      await checkPartition(client, topic, partition, load.written)
    }
    const { owners } = broker.parts.host
    expect(owners[0]?.threadId).not.toBe(threads[0])
    expect(owners[1]?.threadId).toBe(threads[1])
    const { requests, responses } = broker.parts.dispatcher
    const used = () => [requests.usedBytes, responses.arena.usedBytes]
    await expect.poll(used, { timeout: 20_000 }).toEqual([0, 0])
  })
})

describe('what waits for an owner that dies', () => {
  test('is answered at once: parked fetches, acks=all before the flush', async () => {
    const broker = await testBroker({ ownerThreads })
    const client = await connect(broker)
    const configs = {
      'flush.policy': 'interval',
      'flush.messages': '1000000',
      'flush.ms': '3600000',
    }
    const topic = await createTopic(client, { partitions: partitionCount, configs })
    const [mine, other] = [partitionOf(broker, topic, 0), partitionOf(broker, topic, 1)]
    const readers = await Promise.all([connect(broker), connect(broker)])
    const parked = [mine, other].map((partition, i) =>
      readers[i]?.request(Fetch, 12, fetchRequest(topic, { partition, maxWaitMs: 3_600_000 })),
    )
    // It waits until its client goes.
    parked[1]?.catch(() => {})
    await expect.poll(() => broker.parts.dispatcher.purgatory.fetchCount).toBe(2)
    const owed = produce(client, topic, batchOf(['owed']), {
      partition: mine,
      timeoutMs: 3_600_000,
    })
    const written = await connect(broker)
    expect(
      await produce(written, topic, batchOf(['written']), { partition: mine, acks: 1 }),
    ).toMatchObject({ errorCode: Errors.NONE, baseOffset: 1 })
    breakOwner(broker, 'terminate')
    expect((await owed).errorCode).toBe(Errors.NOT_LEADER_OR_FOLLOWER)
    const row = (await parked[0])?.responses[0]?.partitions[0]
    expect(row?.errorCode).toBe(Errors.NOT_LEADER_OR_FOLLOWER)
    expect(broker.parts.dispatcher.purgatory.fetchCount).toBe(1)
    await untilOnline(broker)
    // Both were in the file, and are shown once they are flushed.
    const records = await readAll(client, topic, { partition: mine, end: 2 })
    const values = records.map(one => String(one.value))
    expect(values).toEqual(['owed', 'written'])
  })

  test('a topic that is deleted meanwhile is gone, and its name is free', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await testBroker({ ownerThreads, dataDirectory })
    const client = await connect(broker)
    for (let round = 0; round < 3; round++) {
      const topic = await createTopic(client, { partitions: 20 })
      for (let partition = 0; partition < 20; partition++) {
        await produce(client, topic, batchOf(['x']), { partition, acks: 1 })
      }
      const deleted = broker.parts.services.admin.deleteTopic({ name: topic })
      if (round > 0) await new Promise(resolve => setTimeout(resolve, round))
      breakOwner(broker, 'terminate')
      await deleted
      const names = await readdir(dataDirectory)
      expect(names.filter(name => name.startsWith(topic))).toEqual([])
      await expect.poll(() => restarts(broker), { interval: 2 }).toBe(round + 1)
    }
    expect([...broker.parts.host.partitions()]).toEqual([])
  })
})

test('an idempotent producer stores every record once and in order through three crashes', async () => {
  const broker = await testBroker({ ownerThreads })
  const client = await connect(broker)
  const topic = await createTopic(client, { partitions: partitionCount })
  const partition = partitionOf(broker, topic, 0)
  const producer = new Producer({ bootstrap: broker.bootstrap, acks: 'all', batchBytesMax: 500 })
  const values: string[] = []
  for (const how of ['terminate', 'throwInRound', 'terminate'] as const) {
    const crashes = restarts(broker)
    const sent: Promise<unknown>[] = []
    for (let i = 0; i < 200; i++) {
      const value = `${values.length}`
      values.push(value)
      sent.push(producer.send(topic, [{ value, partition }]))
      if (i === 100) breakOwner(broker, how)
      if (i % 10 === 0) await sent.at(-1)
    }
    await Promise.all(sent)
    await expect.poll(() => restarts(broker), { interval: 2 }).toBe(crashes + 1)
    await untilOnline(broker)
  }
  await producer.close()
  const records = await readAll(client, topic, { partition })
  expect(records.map(({ value }) => String(value))).toEqual(values)
})

describe('five crashes in a minute', () => {
  test('leave its partitions offline; others serve, and a restart of the broker brings all back', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await launchBroker({ ownerThreads, dataDirectory })
    const client = await connect(broker)
    const topic = await createTopic(client, { partitions: partitionCount })
    for (let partition = 0; partition < partitionCount; partition++) {
      await produce(client, topic, batchOf([`before ${partition}`]), { partition })
    }
    const { owners } = broker.parts.host
    try {
      breakOwner(broker, 'throwAlways')
      await expect.poll(() => restarts(broker), { timeout: 30_000 }).toBe(5)
    } finally {
      Atomics.store(words, 0, Break.none)
    }
    expect(owners.map(({ alive }) => alive)).toEqual([false, true])
    const codes = []
    for (let partition = 0; partition < partitionCount; partition++) {
      const row = await produce(client, topic, batchOf([`after ${partition}`]), { partition })
      codes.push(row.errorCode === Errors.NONE)
      if (row.errorCode !== Errors.NONE) expect(row.errorCode).toBe(Errors.KAFKA_STORAGE_ERROR)
    }
    const isUp = codes.map((_, partition) => ownerOf(broker, topic, partition) === 1)
    expect(codes).toEqual(isUp)
    const down = partitionOf(broker, topic, 0)
    const [failed] = [...broker.parts.host.partitions()].filter(({ index }) => index === down)
    expect((await broker.parts.host.recover(failed)).error).toMatch('restart the broker')
    const { admin } = broker.parts.services
    const creation = admin.createTopic({
      name: newTopicName(),
      partitions: 2,
      replicationFactor: 1,
      configs: [],
    })
    await expect(creation).rejects.toMatchObject({ code: Errors.KAFKA_STORAGE_ERROR })
    await broker.close()

    const again = await testBroker({ dataDirectory })
    const reader = await connect(again)
    for (const [partition, served] of isUp.entries()) {
      const records = await readAll(reader, topic, { partition })
      const expected = served
        ? [`before ${partition}`, `after ${partition}`]
        : [`before ${partition}`]
      expect(records.map(({ value }) => String(value))).toEqual(expected)
    }
  })
})
