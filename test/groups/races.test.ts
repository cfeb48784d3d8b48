/**
 * Commits against deletions, full disks and restarts, over raw sockets: what was acknowledged before a deletion goes
 * with it, what is acknowledged after it stays, and a restart finds the same as memory.
 */
import { describe, expect, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { Errors, isRetriable } from '../../src/protocol/errors.ts'
import { AlterConfigs } from '../../src/protocol/messages/alter-configs.ts'
import { DeleteGroups } from '../../src/protocol/messages/delete-groups.ts'
import { DescribeGroups } from '../../src/protocol/messages/describe-groups.ts'
import { IncrementalAlterConfigs } from '../../src/protocol/messages/incremental-alter-configs.ts'
import { ListGroups } from '../../src/protocol/messages/list-groups.ts'
import { OffsetCommit } from '../../src/protocol/messages/offset-commit.ts'
import { diskFaults, faultyOwners } from '../broker/disk-faults.ts'
import { connect, createTopic, launchBroker, testBroker } from '../broker/fixture.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import { commit, committedIn, fetchOffsets } from './offsets-kit.ts'
import { Member } from './wire-kit.ts'

const setFaults = diskFaults()
const patience = { timeout: 20_000, interval: 10 }

async function deleteGroups(client: WireClient, ...groupsNames: string[]): Promise<number[]> {
  const { results } = await client.request(DeleteGroups, 2, { groupsNames })
  return results.map(({ errorCode }) => errorCode)
}

async function expectSameAfterRestart(broker: Broker, dataDirectory: string): Promise<Broker> {
  const before = committedIn(broker)
  await broker.close()
  const again = await testBroker({ dataDirectory })
  expect(committedIn(again)).toEqual(before)
  return again
}

/** A commit without a member, as bytes, to be sent together with others. */
function commitFrame(client: WireClient, groupId: string, topic: string, partition: number) {
  const row = {
    partitionIndex: partition,
    committedOffset: 1,
    committedLeaderEpoch: -1,
    commitTimestamp: -1,
    committedMetadata: '',
  }
  const message = {
    groupId,
    generationIdOrMemberEpoch: -1,
    memberId: '',
    groupInstanceId: null,
    retentionTimeMs: -1,
    topics: [{ name: topic, partitions: [row] }],
  }
  const correlationId = client.nextCorrelationId()
  const bytes = client.frame({ schema: OffsetCommit, version: 9, message }, { correlationId })
  return { bytes, answer: () => client.answer(OffsetCommit, 9, correlationId) }
}

describe('DeleteGroups', () => {
  test('takes a commit along that comes in the same packet before it, not the one behind it', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await launchBroker({ dataDirectory })
    const client = await connect(broker)
    const topic = await createTopic(client, { partitions: 4 })
    await commit(client, 'group', { [`${topic}-0`]: 1 })
    const before = commitFrame(client, 'group', topic, 1)
    const correlationId = client.nextCorrelationId()
    const message = { groupsNames: ['group'] }
    const deletion = client.frame({ schema: DeleteGroups, version: 2, message }, { correlationId })
    const after = commitFrame(client, 'group', topic, 2)
    client.write(Buffer.concat([before.bytes, deletion, after.bytes]))
    const first = await before.answer()
    const deleted = await client.answer(DeleteGroups, 2, correlationId)
    const second = await after.answer()
    expect([
      first.topics[0].partitions[0].errorCode,
      deleted.results[0].errorCode,
      second.topics[0].partitions[0].errorCode,
    ]).toEqual([0, 0, 0])
    expect(await fetchOffsets(client, 'group')).toEqual({ [`${topic}-2`]: 1 })
    await expectSameAfterRestart(broker, dataDirectory)
  })

  test('of a group with members: the commit of the one that left goes, the next life has its own', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await launchBroker({ dataDirectory })
    const client = await connect(broker)
    const topic = await createTopic(client)
    const key = `${topic}-0`
    const member = new Member(await connect(broker), 'group')
    await member.join()
    await member.sync()
    const { memberId, generation } = member
    const committing = commit(member.client, 'group', { [key]: 7 }, { memberId, generation })
    const leaving = member.leave()
    await Promise.all([committing, leaving])
    expect(await deleteGroups(client, 'group')).toEqual([0])
    expect(await fetchOffsets(client, 'group')).toEqual({})
    expect(await commit(client, 'group', { [key]: 3 })).toEqual({ [key]: 0 })
    const stale = await commit(client, 'group', { [key]: 9 }, { memberId, generation })
    expect(stale[key]).not.toBe(0)
    const again = await expectSameAfterRestart(broker, dataDirectory)
    expect(await fetchOffsets(await connect(again), 'group')).toEqual({ [key]: 3 })
  })

  test('among commits from everywhere: nothing comes back that was acknowledged before it', async () => {
    const dataDirectory = await tempDirectory()
    const broker = await launchBroker({ dataDirectory })
    const client = await connect(broker)
    const topic = await createTopic(client, { partitions: 64 })
    let partition = 0
    let isOver = false
    const codes = new Set<number>()
    const committers = Array.from({ length: 6 }, async () => {
      const own = await connect(broker)
      while (!isOver) {
        const key = `${topic}-${partition++ % 64}`
        codes.add((await commit(own, 'group', { [key]: 1 }))[key])
      }
    })
    for (let round = 0; round < 200; round++) {
      codes.add((await deleteGroups(client, 'group'))[0])
      expect(Object.keys(await fetchOffsets(client, 'group')).length).toBeLessThan(64)
    }
    isOver = true
    await Promise.all(committers)
    expect([...codes].filter(code => code !== 0 && code !== Errors.GROUP_ID_NOT_FOUND)).toEqual([])
    expect(await deleteGroups(client, 'group')).toEqual([0])
    expect(committedIn(broker)).toEqual({})
    await expectSameAfterRestart(broker, dataDirectory)
  })

  test('takes a commit along that was answered with a timeout and is written after all', async () => {
    const dataDirectory = await tempDirectory()
    const set = { 'offsets.topic.num.partitions': 1, 'offsets.commit.timeout.ms': 1000 }
    const broker = await launchBroker({ dataDirectory, ownerThreads: faultyOwners, set })
    const [client, other] = [await connect(broker), await connect(broker)]
    const topic = await createTopic(client, { partitions: 2 })
    await commit(client, 'group', { [`${topic}-0`]: 1 })
    setFaults([{ call: 'fdatasync', path: '__consumer_offsets-0/', blockMs: 1500 }])
    const late = (await commit(client, 'group', { [`${topic}-1`]: 1 }))[`${topic}-1`]
    expect(late).toBe(Errors.COORDINATOR_NOT_AVAILABLE)
    const deleted = deleteGroups(other, 'group')
    setFaults([])
    // On a slow machine it times out, too, and is asked for again.
    if ((await deleted)[0] !== 0)
      await expect.poll(() => deleteGroups(other, 'group'), patience).toEqual([0])
    expect(await fetchOffsets(client, 'group')).toEqual({})
    await expectSameAfterRestart(broker, dataDirectory)
  })

  test('of groups that only commit; they are listed and described as empty until then', async () => {
    const broker = await testBroker()
    const client = await connect(broker)
    const topic = await createTopic(client)
    await commit(client, 'simple', { [`${topic}-0`]: 1 })
    const groupIds = async () => {
      const answer = await client.request(ListGroups, 5, {
        statesFilter: ['Empty'],
        typesFilter: [],
      })
      return answer.groups.map(({ groupId }) => groupId)
    }
    const state = async () => {
      const asked = { groups: ['simple'], includeAuthorizedOperations: false }
      return (await client.request(DescribeGroups, 5, asked)).groups[0].groupState
    }
    expect([await groupIds(), await state()]).toEqual([['simple'], 'Empty'])
    expect(await deleteGroups(client, 'simple', 'never')).toEqual([0, Errors.GROUP_ID_NOT_FOUND])
    expect([await groupIds(), await state()]).toEqual([[], 'Dead'])
  })
})

test('a full disk costs retriable errors, and commits go on when there is room', async () => {
  const dataDirectory = await tempDirectory()
  const set = { 'offsets.topic.num.partitions': 1 }
  const broker = await launchBroker({ dataDirectory, ownerThreads: faultyOwners, set })
  const client = await connect(broker)
  const topic = await createTopic(client)
  const key = `${topic}-0`
  const member = new Member(await connect(broker), 'members')
  await commit(client, 'group', { [key]: 1 })
  setFaults([{ call: 'write', path: '__consumer_offsets-0/', code: 'ENOSPC' }])
  const refused = (await commit(client, 'group', { [key]: 2 }))[key]
  expect([refused === 0, isRetriable(refused)]).toEqual([false, true])
  await member.join()
  const { errorCode } = await member.sync({ [member.memberId]: 'mine' })
  expect([errorCode === 0, isRetriable(errorCode)]).toEqual([false, true])
  expect(await fetchOffsets(client, 'group')).toEqual({ [key]: 1 })
  setFaults([])
  const again = async () => (await commit(client, 'group', { [key]: 3 }))[key]
  await expect.poll(again, patience).toBe(0)
  await member.join()
  expect((await member.sync({ [member.memberId]: 'mine' })).errorCode).toBe(0)
  await expectSameAfterRestart(broker, dataDirectory)
})

test('a static member that comes back after a restart of the broker has its part, without a rebalance', async () => {
  const dataDirectory = await tempDirectory()
  const before = await launchBroker({ dataDirectory })
  const first = new Member(await connect(before), 'group')
  first.instanceId = 'one'
  const protocols = ['range', 'other'].map(name => ({ name, metadata: Buffer.from('topics') }))
  await first.join({ protocols })
  await first.sync({ [first.memberId]: 'mine' })
  await before.close()
  const after = await testBroker({ dataDirectory })
  const next = new Member(await connect(after), 'group')
  next.instanceId = 'one'
  const joined = await next.join({ protocols })
  expect(joined).toMatchObject({ errorCode: 0, skipAssignment: true, leader: next.memberId })
  expect(joined.generationId).toBe(first.generation)
  expect(next.memberId).not.toBe(first.memberId)
  expect((await next.sync()).assignment).toBe('mine')
  const { memberId, generation } = first
  const fenced = Object.assign(new Member(await connect(after), 'group'), { memberId, generation })
  fenced.instanceId = 'one'
  expect(await fenced.heartbeat()).toBe(Errors.FENCED_INSTANCE_ID)
})

test('__consumer_offsets stays compacted, and takes commits, whatever configs are asked for', async () => {
  const broker = await testBroker()
  const client = await connect(broker)
  const topic = await createTopic(client)
  await commit(client, 'group', { [`${topic}-0`]: 1 })
  const resourceName = '__consumer_offsets'
  const alter = async (configs: { name: string; value: string }[]) => {
    const resources = [{ resourceType: 2, resourceName, configs }]
    return (await client.request(AlterConfigs, 2, { resources, validateOnly: false })).responses[0]
  }
  const segment = { name: 'segment.bytes', value: '1000000' }
  expect(await alter([segment])).toMatchObject({
    errorCode: Errors.INVALID_CONFIG,
    errorMessage: expect.stringContaining('leave cleanup.policy=compact') as string,
  })
  const policy = { name: 'cleanup.policy', value: 'compact,delete' }
  expect((await alter([policy, segment])).errorCode).toBe(Errors.INVALID_CONFIG)
  const set = async (name: string, value: string) => {
    const configs = [{ name, configOperation: 0, value }]
    const resources = [{ resourceType: 2, resourceName, configs }]
    const answer = await client.request(IncrementalAlterConfigs, 1, {
      resources,
      validateOnly: false,
    })
    return answer.responses[0].errorCode
  }
  // A batch that does not fit, a flush that never comes, a record that is refused: nobody could commit any more.
  for (const [name, value] of [
    ['max.message.bytes', '1'],
    ['segment.bytes', '1000000'],
    ['flush.policy', 'interval'],
    ['message.timestamp.after.max.ms', '0'],
    ['message.timestamp.before.max.ms', '0'],
  ]) {
    expect(await set(name, value), name).toBe(Errors.INVALID_CONFIG)
  }
  expect(await set('segment.ms', '1000000')).toBe(0)
  expect(await commit(client, 'group', { [`${topic}-0`]: 2 })).toEqual({ [`${topic}-0`]: 0 })
})
