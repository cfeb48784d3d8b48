/**
 * What keeps groups: commits survive restarts, crashes of the process and of owner threads, slow and broken disks and
 * compaction; an answer is never ahead of what is durable, and memory is what a restart would read (RELIABILITY P7, P8,
 * invariants 11 and 12).
 */
import { readdirSync } from 'node:fs'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { Errors, isRetriable } from '../../src/protocol/errors.ts'
import { OffsetFetch } from '../../src/protocol/messages/offset-fetch.ts'
import { diskFaults, faultyOwners } from '../broker/disk-faults.ts'
import {
  connect,
  createTopic,
  launchBroker,
  type TestBrokerOptions,
  testBroker,
} from '../broker/fixture.ts'
import { spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import { commit, committedIn, deleteOffsets, fetchGroups, fetchOffsets } from './offsets-kit.ts'

const setFaults = diskFaults()
const patience = { timeout: 20_000, interval: 10 }
/** Compaction runs on threads of the lowest priority: on a busy machine it comes when the others let it. */
const cleanerPatience = { timeout: 120_000, interval: 50 }
/** One partition, so that a test knows where its groups lie. */
const onePartition = { 'offsets.topic.num.partitions': 1 }
const topicName = '__consumer_offsets'

/** Memory before the broker ends, and after another one has read the same directory. */
async function expectSameAfterRestart(broker: Broker, dataDirectory: string): Promise<void> {
  const before = committedIn(broker)
  await broker.close()
  const again = await testBroker({ dataDirectory })
  expect(committedIn(again)).toEqual(before)
}

async function groupError(client: WireClient, groupId: string): Promise<number> {
  return (await fetchGroups(client, [groupId])).groups[0].errorCode
}

describe('a restart', () => {
  test('finds what was committed, moved and taken away, of many groups in all partitions', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await launchBroker({ dataDirectory })
    const client = await connect(broker)
    const topic = await createTopic(client, { partitions: 3 })
    const wanted: Record<string, number> = {}
    for (let i = 0; i < 100; i++) {
      const group = `group ${i}`
      await commit(
        client,
        group,
        { [`${topic}-0`]: i, [`${topic}-1`]: 7 },
        { metadata: `text ${i}` },
      )
      await commit(client, group, { [`${topic}-0`]: i + 1000 })
      wanted[`${group} ${topic}-0`] = i + 1000
      if (i % 2 === 0) wanted[`${group} ${topic}-1`] = 7
      else await deleteOffsets(client, group, [`${topic}-1`])
    }
    await broker.close()
    const again = await testBroker({ dataDirectory })
    expect(committedIn(again)).toEqual(wanted)
    const reader = await connect(again)
    expect(await fetchOffsets(reader, 'group 1')).toEqual({ [`${topic}-0`]: 1001 })
    await commit(reader, 'group 1', { [`${topic}-0`]: 1 })
    await expectSameAfterRestart(again, dataDirectory)
  })

  test('after kill -9 under load finds every commit that was acknowledged', async () => {
    const dataDirectory = await tempDirectory()
    const acked = new Map<string, number>()
    const sent = new Map<string, number>()
    const first = await spawnBroker({ dataDirectory })
    const admin = await connect(first)
    const topic = await createTopic(admin)
    const key = `${topic}-0`
    let isOver = false
    const committers = Array.from({ length: 8 }, async (_, i) => {
      const client = await connect(first)
      const group = `group ${i}`
      for (let offset = 1; !isOver; offset++) {
        sent.set(group, offset)
        const codes = await commit(client, group, { [key]: offset }).catch(() => null)
        if (codes === null) return
        expect(codes[key]).toBe(0)
        acked.set(group, offset)
      }
    })
    await expect
      .poll(() => Math.min(...acked.values(), acked.size * 10), patience)
      .toBeGreaterThan(20)
    await first.kill9()
    isOver = true
    await Promise.all(committers)
    const again = await testBroker({ dataDirectory })
    const client = await connect(again)
    for (const [group, offset] of acked) {
      const found = (await fetchOffsets(client, group))[key]
      expect(found).toBeGreaterThanOrEqual(offset)
      expect(found).toBeLessThanOrEqual(sent.get(group) as number)
    }
  })

  test('takes away the offsets of a topic that was deleted when the broker could not say so any more', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await launchBroker({ dataDirectory })
    const client = await connect(broker)
    const [kept, gone] = [await createTopic(client), await createTopic(client)]
    await commit(client, 'group', { [`${kept}-0`]: 1, [`${gone}-0`]: 2 })
    const { admin } = broker.parts.services
    admin.onDeleted = () => {}
    await admin.deleteTopic({ name: gone })
    await broker.close()
    const again = await testBroker({ dataDirectory })
    await expect.poll(() => committedIn(again)).toEqual({ [`group ${kept}-0`]: 1 })
    await expectSameAfterRestart(again, dataDirectory)
  })
})

describe('an owner thread that dies under load', () => {
  test.each([1, 2])(
    'costs retriable errors and no acknowledged commit (%i workers)',
    async workers => {
      const dataDirectory = await tempDirectory()
      const broker = await launchBroker({ dataDirectory, workers })
      const topic = await createTopic(await connect(broker))
      const key = `${topic}-0`
      const acked = new Map<string, number>()
      const codes = new Set<number>()
      let isOver = false
      const committers = Array.from({ length: 12 }, async (_, i) => {
        const client = await connect(broker)
        const group = `group ${i}`
        for (let offset = 1; !isOver; offset++) {
          const code = (await commit(client, group, { [key]: offset }))[key]
          codes.add(code)
          if (code === 0) acked.set(group, offset)
          // What is answered is never behind what was acknowledged, nor ahead of what was sent.
          const found = (await fetchOffsets(client, group))[key] ?? 0
          expect(found).toBeGreaterThanOrEqual(acked.get(group) ?? 0)
          expect(found).toBeLessThanOrEqual(offset)
        }
      })
      const { owners } = broker.parts.host
      const progress = async (count: number): Promise<void> => {
        const goal = new Map([...acked].map(([group, offset]) => [group, offset + count]))
        const isThere = () =>
          acked.size === 12 &&
          [...goal].every(([group, offset]) => (acked.get(group) ?? 0) >= offset)
        await expect.poll(isThere, patience).toBe(true)
      }
      for (let crash = 1; crash <= 3; crash++) {
        await progress(20)
        const owner = owners[crash % workers]
        const crashes = owner.crashes.length
        void owner.terminate()
        await expect.poll(() => owner.crashes.length, patience).toBe(crashes + 1)
      }
      await progress(20)
      isOver = true
      await Promise.all(committers)
      for (const code of codes) expect(code === 0 || isRetriable(code)).toBe(true)
      await expectSameAfterRestart(broker, dataDirectory)
    },
  )
})

describe('a disk that fails', () => {
  const faulty: TestBrokerOptions = { ownerThreads: faultyOwners, set: onePartition, http: true }

  test('commits are refused, what was durable is answered, and the partition comes back', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await launchBroker({ ...faulty, dataDirectory })
    const client = await connect(broker)
    const topic = await createTopic(client)
    const key = `${topic}-0`
    expect(await commit(client, 'group', { [key]: 1 })).toEqual({ [key]: 0 })
    setFaults([{ call: 'fdatasync', path: `${topicName}-0/`, code: 'EIO' }])
    expect(await commit(client, 'group', { [key]: 2 })).toEqual({ [key]: Errors.NOT_COORDINATOR })
    expect(await commit(client, 'group', { [key]: 3 })).toEqual({ [key]: Errors.NOT_COORDINATOR })
    expect(await fetchOffsets(client, 'group')).toEqual({ [key]: 1 })
    setFaults([])
    const { host } = broker.parts
    // The owner's word of it may come later than its answers.
    await expect.poll(() => host.offline.count, patience).toBe(1)
    const [partition] = broker.parts.services.topics.get(topicName)!.partitions
    expect((await host.recover(partition)).error).toBeNull()
    expect(await commit(client, 'other', { [key]: 9 })).toEqual({ [key]: 0 })
    // Whether the second commit is there now is the log's to say; the third never got that far.
    expect([1, 2]).toContain((await fetchOffsets(client, 'group'))[key])
    await expectSameAfterRestart(broker, dataDirectory)
  })

  test('a slow one: commits time out with a retriable error, and show when they are durable', async () => {
    const dataDirectory = await tempDirectory()
    const set = { ...onePartition, 'offsets.commit.timeout.ms': 100 }
    const broker = await launchBroker({ ...faulty, set, dataDirectory })
    const client = await connect(broker)
    const other = await connect(broker)
    const topic = await createTopic(client)
    const key = `${topic}-0`
    // On a slow machine the timeout is short for a commit that nothing blocks, too.
    const commits = (groupId: string, offset: number) =>
      expect.poll(() => commit(client, groupId, { [key]: offset }), patience).toEqual({ [key]: 0 })
    await commits('group', 1)
    setFaults([{ call: 'fdatasync', path: `${topicName}-0/`, blockMs: 3000 }])
    const slow = await commit(client, 'group', { [key]: 2 })
    expect(slow).toEqual({ [key]: Errors.COORDINATOR_NOT_AVAILABLE })
    // It waited in vain for the one before: it is not written.
    const behind = await commit(other, 'other', { [key]: 3 })
    expect(behind).toEqual({ [key]: Errors.COORDINATOR_NOT_AVAILABLE })
    expect(await fetchOffsets(client, 'group')).toEqual({ [key]: 1 })
    setFaults([])
    await expect.poll(() => fetchOffsets(client, 'group'), patience).toEqual({ [key]: 2 })
    expect(await fetchOffsets(client, 'other')).toEqual({})
    await commits('other', 4)
    await expectSameAfterRestart(broker, dataDirectory)
  })

  test('a partition that does not open: its groups are told to ask again, not that they have nothing', async () => {
    const dataDirectory = await tempDirectory()
    const first = await launchBroker({ dataDirectory, set: onePartition })
    const topic = await createTopic(await connect(first))
    const key = `${topic}-0`
    await commit(await connect(first), 'group', { [key]: 5 })
    await first.close()
    const identity = join(dataDirectory, `${topicName}-0`, 'partition.metadata')
    const content = await readFile(identity, 'utf8')
    await writeFile(identity, content.replace(/topic_id: .*/, 'topic_id: AAAAAAAAAAAAAAAAAAAAAQ'))
    const broker = await testBroker({ dataDirectory })
    const client = await connect(broker)
    expect(await groupError(client, 'group')).toBe(Errors.NOT_COORDINATOR)
    for (const version of [1, 2, 7]) {
      const topics = [{ name: topic, partitionIndexes: [0] }]
      const asked = { groupId: 'group', topics, groups: [], requireStable: false }
      const answer = await client.request(OffsetFetch, version, asked)
      const rowError = answer.topics[0]?.partitions[0].errorCode
      expect(version < 2 ? rowError : answer.errorCode).toBe(Errors.NOT_COORDINATOR)
    }
    expect(await commit(client, 'group', { [key]: 6 })).toEqual({ [key]: Errors.NOT_COORDINATOR })
    expect((await deleteOffsets(client, 'group', [key])).errorCode).toBe(Errors.NOT_COORDINATOR)
    await writeFile(identity, content)
    const [partition] = broker.parts.services.topics.get(topicName)!.partitions
    expect((await broker.parts.host.recover(partition)).error).toBeNull()
    await expect.poll(() => groupError(client, 'group'), patience).toBe(0)
    expect(await fetchOffsets(client, 'group')).toEqual({ [key]: 5 })
    expect(await commit(client, 'group', { [key]: 6 })).toEqual({ [key]: 0 })
  })

  test('rot costs the commits it hit, and the start goes on', async () => {
    const dataDirectory = await tempDirectory()
    const first = await launchBroker({ dataDirectory, set: onePartition })
    const client = await connect(first)
    const topic = await createTopic(client)
    const key = `${topic}-0`
    for (const offset of [1, 2, 3]) await commit(client, 'early', { [key]: offset })
    for (const offset of [1, 2, 3]) await commit(client, `late ${offset}`, { [key]: offset })
    await first.close()
    const path = join(dataDirectory, `${topicName}-0`, `${'0'.repeat(20)}.log`)
    const bytes = await readFile(path)
    // The third batch: its last byte but one.
    let at = 0
    for (let batch = 0; batch < 3; batch++) at += 12 + bytes.readInt32BE(at + 8)
    const file = await open(path, 'r+')
    await file.write(Buffer.from([bytes[at - 2] ^ 0xff]), 0, 1, at - 2)
    await file.close()
    const broker = await testBroker({ dataDirectory })
    expect(committedIn(broker)).toEqual({
      [`early ${key}`]: 2,
      [`late 1 ${key}`]: 1,
      [`late 2 ${key}`]: 2,
      [`late 3 ${key}`]: 3,
    })
  })
})

test('where the topic cannot be made, commits are refused for now, and work when it can', async () => {
  const set = { 'max.partitions': 3, 'offsets.topic.num.partitions': 2 }
  const broker = await testBroker({ set })
  const client = await connect(broker)
  const [topic, other] = [await createTopic(client), await createTopic(client)]
  const key = `${topic}-0`
  const refused = { [key]: Errors.COORDINATOR_NOT_AVAILABLE }
  expect(await commit(client, 'group', { [key]: 1 })).toEqual(refused)
  expect(await commit(client, 'group', { [key]: 1 })).toEqual(refused)
  expect(await fetchOffsets(client, 'group')).toEqual({})
  await broker.parts.services.admin.deleteTopic({ name: other })
  await expect.poll(() => commit(client, 'group', { [key]: 2 }), patience).toEqual({ [key]: 0 })
  expect(await fetchOffsets(client, 'group')).toEqual({ [key]: 2 })
})

test('compaction takes old commits out while new ones come, and loses none', async () => {
  const dataDirectory = await tempDirectory()
  const set = {
    ...onePartition,
    'offsets.topic.segment.bytes': 64 * 1024,
    'log.cleaner.backoff.ms': 20,
  }
  const broker = await launchBroker({ dataDirectory, set })
  onTestFinished(() => broker.close())
  const client = await connect(broker)
  const topic = await createTopic(client, { partitions: 4 })
  const directory = join(dataDirectory, `${topicName}-0`)
  const compactedTo = (): number => {
    const marks = readdirSync(directory).filter(name => name.endsWith('.compacted'))
    return Math.max(0, ...marks.map(name => Number.parseInt(name, 10)))
  }
  const metadata = 'm'.repeat(1000)
  let offset = 0
  await commit(client, 'once', { [`${topic}-0`]: 77 })
  await commit(client, 'gone', { [`${topic}-0`]: 77 })
  await deleteOffsets(client, 'gone', [`${topic}-0`])
  const commitMore = async (): Promise<void> => {
    offset++
    const offsets = Object.fromEntries([0, 1, 2, 3].map(index => [`${topic}-${index}`, offset]))
    await commit(client, `group ${offset % 3}`, offsets, { metadata })
  }
  while (compactedTo() < 500 && offset < 5000) await commitMore()
  await expect.poll(compactedTo, cleanerPatience).toBeGreaterThanOrEqual(500)
  const found = committedIn(broker)
  expect(found[`once ${topic}-0`]).toBe(77)
  expect(Object.keys(found)).toHaveLength(13)
  const logBytes = (): number => {
    return readdirSync(directory).filter(name => name.endsWith('.log')).length * 64 * 1024
  }
  // Half of it may be dirty; the cleaner comes behind what was written last.
  const keptShare = async (): Promise<number> => {
    await commitMore()
    return logBytes() / (offset * 4 * 1000)
  }
  await expect.poll(keptShare, cleanerPatience).toBeLessThan(0.8)
  await expectSameAfterRestart(broker, dataDirectory)
}, 300_000)
