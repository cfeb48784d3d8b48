/** Brokers as processes and as neighbours: how one ends with work under way, and that no one disturbs another. */
import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { startBroker } from '../../src/broker.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { parsePrometheus } from '../http/prometheus-text.ts'
import { failedStart, type SpawnedBroker, spawnBroker } from '../support/spawn-broker.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRequest,
  fetchRow,
  produce,
  readAll,
  store,
  testBroker,
  valuesOf,
} from './fixture.ts'

/** Nothing is flushed before a second has passed: what acks=all waits for, the broker owes meanwhile. */
const slowFlush = { 'flush.policy': 'interval', 'flush.messages': '1000000', 'flush.ms': '1000' }

async function metric(broker: SpawnedBroker, name: string): Promise<number> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text()
  const samples = parsePrometheus(text).get(`odradek_${name}`)?.samples ?? []
  return samples.reduce((sum, { value }) => sum + value, 0)
}

describe('SIGTERM', { timeout: 120_000 }, () => {
  test('with requests under way: they are answered, exit code 0, marked clean', async () => {
    await using directory = await makeTempDirectory()
    const broker = await spawnBroker({ dataDirectory: directory.path })
    const client = await connect(broker)
    const topic = await createTopic(client, { configs: slowFlush })
    const owed = Array.from({ length: 50 }, (_, i) =>
      produce(client, topic, batchOf([`owed ${i}`])),
    )
    const reader = await connect(broker)
    const parked = reader.request(Fetch, 12, fetchRequest(topic, { maxWaitMs: 3_600_000 }))
    // An offset at or below the log end is in range: so the broker has all fifty.
    const watcher = await connect(broker)
    const codeAt = async (offset: number) => (await fetchRow(watcher, topic, { offset })).errorCode
    await expect.poll(() => codeAt(50), { interval: 5 }).toBe(Errors.NONE)
    broker.child.kill('SIGTERM')
    const rows = await Promise.all(owed)
    expect(rows.map(({ errorCode }) => errorCode)).toEqual(owed.map(() => Errors.NONE))
    expect(rows.map(({ baseOffset }) => baseOffset)).toEqual(owed.map((_, i) => i))
    expect((await parked).responses[0].partitions[0].errorCode).toBe(Errors.NONE)
    expect(await broker.exited).toEqual({ code: 0, signal: null })
    expect(existsSync(directory.file('.kafka_cleanshutdown'))).toBe(true)

    await using again = await spawnBroker({ dataDirectory: directory.path })
    expect(await metric(again, 'recovered_bytes_total')).toBe(0)
    expect(existsSync(directory.file('.kafka_cleanshutdown'))).toBe(false)
    expect(await readAll(await connect(again), topic)).toHaveLength(50)
  })

  test('while clients go on producing: whatever they were told is stored', async () => {
    await using directory = await makeTempDirectory()
    const broker = await spawnBroker({ dataDirectory: directory.path })
    const setUp = await connect(broker)
    const topic = await createTopic(setUp, { partitions: 3 })
    const acked = [0, 0, 0]
    const enough = Promise.withResolvers<void>()
    const writers = acked.map(async (_, partition) => {
      const client = await connect(broker)
      for (;;) {
        const stored = Array.from({ length: 5 }, () =>
          store(client, topic, batchOf(['x']), { partition }),
        )
        const settled = await Promise.allSettled(stored)
        acked[partition] += settled.filter(({ status }) => status === 'fulfilled').length
        if (acked[partition] > 300) enough.resolve()
        if (settled.some(({ status }) => status === 'rejected')) return
      }
    })
    await enough.promise
    expect(await broker.stop()).toBe(0)
    await Promise.all(writers)
    await using again = await spawnBroker({ dataDirectory: directory.path })
    const client = await connect(again)
    for (const [partition, count] of acked.entries()) {
      const records = await readAll(client, topic, { partition })
      expect(records.length).toBeGreaterThanOrEqual(count)
    }
  })
})

describe('a second process on the same data directory', { timeout: 120_000 }, () => {
  test('ends with 1 and says who has it; the first goes on as if nothing had been', async () => {
    await using directory = await makeTempDirectory()
    const broker = await spawnBroker({ dataDirectory: directory.path })
    const client = await connect(broker)
    const topic = await createTopic(client)
    let isOver = false
    const writing = (async () => {
      let count = 0
      while (!isOver) expect(await store(client, topic, batchOf(['x']))).toBe(count++)
      return count
    })()
    for (let attempt = 0; attempt < 3; attempt++) {
      const second = await failedStart({ dataDirectory: directory.path })
      expect(second).toMatchObject({ code: 1, signal: null, stdout: '' })
      expect(second.stderr).toContain(directory.path)
      expect(second.stderr).toContain(`pid ${broker.pid}`)
      expect(second.stderr.trimEnd().split('\n')).toHaveLength(1)
    }
    isOver = true
    const count = await writing
    expect(await broker.stop()).toBe(0)
    await using again = await spawnBroker({ dataDirectory: directory.path })
    expect(await readAll(await connect(again), topic)).toHaveLength(count)
  })

  test('after kill -9 the directory is free at once', async () => {
    await using directory = await makeTempDirectory()
    const broker = await spawnBroker({ dataDirectory: directory.path })
    await broker.kill9()
    const next = await spawnBroker({ dataDirectory: directory.path })
    expect(await next.stop()).toBe(0)
  })
})

describe('two brokers in one process', () => {
  test('on port 0 get ports, data and clients of their own', async () => {
    await using a = await startBroker()
    await using b = await startBroker()
    expect(a.bootstrap).not.toBe(b.bootstrap)
    expect(a.httpUrl).not.toBe(b.httpUrl)
    expect(a.dataDirectory).not.toBe(b.dataDirectory)
    const [clientA, clientB] = await Promise.all([connect(a), connect(b)])
    const topic = await createTopic(clientA)
    const unknown = await produce(clientB, topic, batchOf(['x']))
    expect(unknown.errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
    const topicB = await createTopic(clientB)
    for (const [client, name, text] of [
      [clientA, topic, 'of a'],
      [clientB, topicB, 'of b'],
    ] as const) {
      await Promise.all(Array.from({ length: 50 }, () => store(client, name, batchOf([text]))))
      const values = (await readAll(client, name)).map(({ value }) => String(value))
      expect(values).toEqual(values.map(() => text))
    }
    const readyA = await fetch(`${a.httpUrl}/readyz`)
    const readyB = await fetch(`${b.httpUrl}/readyz`)
    expect([readyA.status, readyB.status]).toEqual([200, 200])
  })

  test('one closes in the middle of the other one’s work', async () => {
    const stays = await testBroker()
    const client = await connect(stays)
    const topic = await createTopic(client)
    for (let round = 0; round < 3; round++) {
      const goes = await startBroker()
      const other = await connect(goes)
      const otherTopic = await createTopic(other)
      const work = [
        ...Array.from({ length: 40 }, (_, i) => store(client, topic, batchOf([`${round} ${i}`]))),
        ...Array.from({ length: 40 }, () => store(other, otherTopic, batchOf(['x'])).catch(String)),
      ]
      await goes.close()
      expect(existsSync(goes.dataDirectory)).toBe(false)
      await Promise.all(work)
      expect(await readAll(client, topic)).toHaveLength(40 * (round + 1))
    }
    const row = await fetchRow(client, topic, { offset: 119 })
    expect(valuesOf(row, 119)).toEqual(['2 39'])
  })

  test('cannot share a data directory either', async () => {
    await using directory = await makeTempDirectory()
    await using first = await startBroker({ dataDirectory: directory.path })
    await expect(startBroker({ dataDirectory: directory.path })).rejects.toThrow(directory.path)
    const client = await connect(first)
    expect(await store(client, await createTopic(client), batchOf(['x']))).toBe(0)
  })
})
