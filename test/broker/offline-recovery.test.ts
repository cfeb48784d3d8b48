/**
 * A log whose sync or write failed while the broker serves (RELIABILITY P11, A8, A9, A11, B7): it takes no records any
 * more, what was flushed stays readable, neighbours notice nothing, and it comes back by itself or by command.
 */
import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import { diskFaults, faultyOwners } from './disk-faults.ts'
import {
  batchOf,
  connect,
  createTopic,
  launchBroker,
  produce,
  readAll,
  store,
  type TestBrokerOptions,
  testBroker,
} from './fixture.ts'

const setFaults = diskFaults()
const patience = { timeout: 20_000, interval: 10 }
const base: TestBrokerOptions = { http: true, ownerThreads: faultyOwners }

interface Readyz {
  readonly ready: boolean
  readonly unavailable: string[]
  readonly reasons: string[]
}

async function readyz(broker: Broker): Promise<{ status: number } & Readyz> {
  const answer = await fetch(`${broker.httpUrl}/readyz`)
  return { status: answer.status, ...((await answer.json()) as Readyz) }
}

async function recover(broker: Broker, topic: string, partition: number) {
  const url = `${broker.httpUrl}/v1/logs/${topic}/${partition}/recover`
  const answer = await fetch(url, { method: 'POST' })
  return { status: answer.status, ...((await answer.json()) as { message?: string }) }
}

async function metric(broker: Broker, name: string): Promise<number> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text()
  return Number(new RegExp(`^odradek_${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}

async function codeOf(client: WireClient, topic: string, partition: number, acks = -1) {
  const row = await produce(client, topic, batchOf(['x']), { partition, acks })
  return errorName(row.errorCode)
}

async function values(client: WireClient, topic: string, partition: number): Promise<string[]> {
  return (await readAll(client, topic, { partition })).map(({ value }) => String(value))
}

/** A topic with a record in every partition; then syncs of partition 0 fail, and it has noticed. */
async function brokenTopic(broker: Broker, partitions = 2) {
  const client = await connect(broker)
  const topic = await createTopic(client, { partitions })
  for (let partition = 0; partition < partitions; partition++) {
    await store(client, topic, batchOf(['flushed']), { partition })
  }
  setFaults([{ call: 'fdatasync', path: `${topic}-0/`, code: 'EIO' }])
  expect(await codeOf(client, topic, 0)).toBe('KAFKA_STORAGE_ERROR')
  return { client, topic }
}

describe('a failed sync', () => {
  test('takes its partition offline: the flushed records stay readable, others serve', async () => {
    const broker = await testBroker(base)
    const { client, topic } = await brokenTopic(broker)
    setFaults([])
    expect(await codeOf(client, topic, 0)).toBe('KAFKA_STORAGE_ERROR')
    expect(await codeOf(client, topic, 0, 1)).toBe('KAFKA_STORAGE_ERROR')
    expect(await values(client, topic, 0)).toEqual(['flushed'])
    expect(await codeOf(client, topic, 1)).toBe('NONE')
    const ready = await readyz(broker)
    expect(ready).toMatchObject({ status: 503, unavailable: [`${topic}-0`] })
    expect(ready.reasons).toEqual([expect.stringMatching(`^${topic}-0: EIO`)])
    expect(await metric(broker, 'partitions\\{state="offline"\\}')).toBe(1)
    expect(await metric(broker, 'flush_failures_total')).toBe(1)
  })

  test('is tried once, automatically: everything acknowledged is there, and it takes records', async () => {
    const broker = await testBroker({ ...base, retryMs: 200 })
    const { client, topic } = await brokenTopic(broker)
    setFaults([])
    await expect.poll(() => codeOf(client, topic, 0), patience).toBe('NONE')
    expect((await values(client, topic, 0)).slice(0, 1)).toEqual(['flushed'])
    expect(await readyz(broker)).toMatchObject({ status: 200, ready: true })
    expect(await metric(broker, 'partitions_recovered_total')).toBe(1)
    expect(await metric(broker, 'partitions\\{state="offline"\\}')).toBe(0)
  })

  test('whose try fails, too, leaves it readable and offline until somebody asks again', async () => {
    const broker = await testBroker({ ...base, retryMs: 50 })
    const { client, topic } = await brokenTopic(broker)
    setFaults([
      { call: 'fdatasync', path: `${topic}-0/`, code: 'EIO' },
      { call: 'write', path: `${topic}-0/`, code: 'ENOSPC' },
    ])
    await expect
      .poll(async () => (await readyz(broker)).reasons, patience)
      .toEqual([expect.stringMatching('ENOSPC|EIO.*recover')])
    expect(await values(client, topic, 0)).toEqual(['flushed'])
    const refused = await recover(broker, topic, 0)
    expect(refused.status).toBe(503)
    expect(refused.message).toContain(`${topic}-0 stays offline`)
    setFaults([])
    expect(await recover(broker, topic, 0)).toMatchObject({ status: 200, state: 'online' })
    expect(await codeOf(client, topic, 0)).toBe('NONE')
    expect(await values(client, topic, 1)).toEqual(['flushed'])
    // Asking once more does no harm.
    expect(await recover(broker, topic, 0)).toMatchObject({ status: 200, state: 'online' })
    expect(await recover(broker, topic, 2)).toMatchObject({ status: 404 })
    expect(await recover(broker, 'no-such-topic', 0)).toMatchObject({ status: 404 })
  })

  test('wakes a fetch that waited for the log of before', async () => {
    const broker = await testBroker(base)
    const { client, topic } = await brokenTopic(broker)
    setFaults([])
    const reader = await connect(broker)
    const waiting = readAll(reader, topic, { end: 2 }).then(
      records => records.length,
      (error: Error) => error.message,
    )
    expect(await recover(broker, topic, 0)).toMatchObject({ status: 200 })
    await store(client, topic, batchOf(['news']))
    // It may be told to look for the leader again, or see the records.
    expect([2, 3, 'fetch: NOT_LEADER_OR_FOLLOWER']).toContain(await waiting)
    expect((await values(client, topic, 0)).at(-1)).toBe('news')
  })

  test('leaves no clean mark, and the next start serves everything acknowledged', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await launchBroker({ ...base, dataDirectory })
    const { topic } = await brokenTopic(broker)
    await broker.close()
    setFaults([])
    expect(existsSync(join(dataDirectory, '.kafka_cleanshutdown'))).toBe(false)
    const again = await testBroker({ ...base, dataDirectory })
    const client = await connect(again)
    expect((await values(client, topic, 0))[0]).toBe('flushed')
    expect(await codeOf(client, topic, 0)).toBe('NONE')
  })

  test('is not forgotten by the next owner thread', async () => {
    const broker = await testBroker(base)
    const { client, topic } = await brokenTopic(broker)
    const partition = broker.parts.services.topics.get(topic)?.partitions[0]
    const owner = broker.parts.host.owners[partition?.ownerIndex ?? 0]
    await owner?.terminate()
    await expect.poll(() => owner?.alive, patience).toBe(true)
    expect(await codeOf(client, topic, 0)).toBe('KAFKA_STORAGE_ERROR')
    setFaults([])
    await expect.poll(async () => (await recover(broker, topic, 0)).status, patience).toBe(200)
    expect((await values(client, topic, 0))[0]).toBe('flushed')
  })

  test('of a topic that is deleted before the try: nothing comes back', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await testBroker({ ...base, dataDirectory, retryMs: 100 })
    const { client, topic } = await brokenTopic(broker)
    const [failed] = broker.parts.services.topics.get(topic)?.partitions ?? []
    setFaults([])
    await broker.parts.services.admin.deleteTopic({ name: topic })
    await new Promise(resolve => setTimeout(resolve, 300))
    expect(failed?.state).toBe('closed')
    expect((await readdir(dataDirectory)).filter(name => name.startsWith(topic))).toEqual([])
    expect(await readyz(broker)).toMatchObject({ status: 200 })
    client.close()
  })
})

test.each(['EIO', 'EROFS'])('a write that fails with %s is as final', async code => {
  const broker = await testBroker(base)
  const client = await connect(broker)
  const topic = await createTopic(client, { partitions: 2 })
  await store(client, topic, batchOf(['flushed']))
  setFaults([{ call: 'write', path: `${topic}-0/`, code }])
  expect(await codeOf(client, topic, 0)).toBe('KAFKA_STORAGE_ERROR')
  setFaults([])
  expect(await codeOf(client, topic, 0)).toBe('KAFKA_STORAGE_ERROR')
  expect(await codeOf(client, topic, 1)).toBe('NONE')
  expect(await recover(broker, topic, 0)).toMatchObject({ status: 200, log_end_offset: '1' })
  expect(await codeOf(client, topic, 0)).toBe('NONE')
})

describe('three partitions that fail', () => {
  test('take the whole data directory offline, until each is asked for', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await launchBroker({ ...base, dataDirectory, retryMs: 50 })
    const client = await connect(broker)
    const topic = await createTopic(client, { partitions: 4 })
    const all = [0, 1, 2, 3]
    for (const partition of all) await store(client, topic, batchOf(['flushed']), { partition })
    const broken = [0, 1, 2].map(partition => `${topic}-${partition}/`)
    setFaults(broken.map(path => ({ call: 'fdatasync', path, code: 'EIO' }) as const))
    for (const partition of [0, 1, 2]) {
      expect(await codeOf(client, topic, partition)).toBe('KAFKA_STORAGE_ERROR')
    }
    await expect.poll(() => codeOf(client, topic, 3), patience).toBe('KAFKA_STORAGE_ERROR')
    setFaults([])
    for (const partition of all) {
      expect((await values(client, topic, partition))[0]).toBe('flushed')
    }
    const ready = await readyz(broker)
    expect(ready.status).toBe(503)
    expect(ready.unavailable).toHaveLength(4)
    expect(ready.reasons[0]).toMatch(/^the data directory is offline: /)
    expect(await metric(broker, 'data_directory_offline')).toBe(1)
    await expect(createTopic(client)).rejects.toThrow('not created')
    // No automatic try comes any more.
    await new Promise(resolve => setTimeout(resolve, 300))
    expect((await readyz(broker)).unavailable).toHaveLength(4)
    for (const partition of all) {
      expect(await recover(broker, topic, partition)).toMatchObject({ status: 200 })
      expect(await codeOf(client, topic, partition)).toBe('NONE')
      expect((await readyz(broker)).unavailable ?? []).toHaveLength(3 - partition)
    }
    expect(await readyz(broker)).toMatchObject({ status: 200 })
    expect(await metric(broker, 'data_directory_offline')).toBe(0)
    await createTopic(client)
    await broker.close()
    expect(existsSync(join(dataDirectory, '.kafka_cleanshutdown'))).toBe(true)
  })
})

describe('somebody removes under the broker', () => {
  test.each(['the segment', 'the directory'])('%s: only that partition stops', async what => {
    const dataDirectory = await tempDirectory()
    const broker = await testBroker({ ...base, dataDirectory })
    const client = await connect(broker)
    const topic = await createTopic(client, { partitions: 2 })
    for (const partition of [0, 1]) await store(client, topic, batchOf(['one']), { partition })
    const directory = join(dataDirectory, `${topic}-0`)
    const doomed =
      what === 'the directory' ? directory : join(directory, '00000000000000000000.log')
    await rm(doomed, { recursive: true })
    // Nothing is acknowledged that would not be there after a restart.
    expect(await codeOf(client, topic, 0)).toBe('KAFKA_STORAGE_ERROR')
    expect(await codeOf(client, topic, 1)).toBe('NONE')
    expect((await readyz(broker)).unavailable).toEqual([`${topic}-0`])
    // An empty log in its place would make the loss official.
    expect(await recover(broker, topic, 0)).toMatchObject({ status: 503 })
    expect(await codeOf(client, topic, 0)).toBe('KAFKA_STORAGE_ERROR')
  })
})

test('a partition that did not open comes back without a restart', async () => {
  const dataDirectory = await tempDirectory()
  const first = await launchBroker({ ...base, dataDirectory })
  const client = await connect(first)
  const topic = await createTopic(client, { partitions: 2 })
  await store(client, topic, batchOf(['kept']))
  await first.close()
  setFaults([{ call: 'open', path: `${topic}-0/`, code: 'EMFILE' }])
  const broker = await testBroker({ ...base, dataDirectory })
  const again = await connect(broker)
  expect(await codeOf(again, topic, 0)).toBe('KAFKA_STORAGE_ERROR')
  expect(await recover(broker, topic, 0)).toMatchObject({ status: 503 })
  expect(await codeOf(again, topic, 1)).toBe('NONE')
  setFaults([])
  expect(await recover(broker, topic, 0)).toMatchObject({ status: 200, log_end_offset: '1' })
  expect(await values(again, topic, 0)).toEqual(['kept'])
  const row = await produce(again, topic, batchOf(['more']))
  expect(row).toMatchObject({ errorCode: Errors.NONE, baseOffset: 1 })
})
