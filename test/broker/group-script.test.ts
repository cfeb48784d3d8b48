/**
 * The script of a classic group over raw sockets, step by step as clients go through it: an id first, a vote, a laggard
 * that is dropped, a static member that is replaced, commits in each state; and who waits for whom meanwhile.
 */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { ApiVersions } from '../../src/protocol/messages/api-versions.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { Heartbeat } from '../../src/protocol/messages/heartbeat.ts'
import { JoinGroup } from '../../src/protocol/messages/join-group.ts'
import { SyncGroup } from '../../src/protocol/messages/sync-group.ts'
import { commit } from '../groups/offsets-kit.ts'
import { type JoinResponse, joinRequest, Member } from '../groups/wire-kit.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRequest,
  lookUp,
  sharedBroker,
  store,
  valuesOf,
} from './fixture.ts'

const broker = sharedBroker()
const newMember = async (groupId: string, version?: number) =>
  new Member(await connect(broker()), groupId, version)
const isRebalancing = (member: Member) =>
  expect.poll(() => member.heartbeat(), { interval: 5 }).toBe(Errors.REBALANCE_IN_PROGRESS)
const protocol = (name: string, metadata = `topics for ${name}`) => ({
  name,
  metadata: Buffer.from(metadata),
})

/** Two members in a stable group, the first of them the leader. */
async function pair(groupId: string): Promise<[leader: Member, follower: Member]> {
  const [leader, follower] = [await newMember(groupId), await newMember(groupId)]
  await leader.join()
  const joining = follower.join()
  await isRebalancing(leader)
  await Promise.all([leader.join(), joining])
  const parts = { [leader.memberId]: 'one', [follower.memberId]: 'two' }
  await Promise.all([leader.sync(parts), follower.sync()])
  return [leader, follower]
}

describe('an id first (KIP-394)', () => {
  test('79 with an id, then the join with it; no rebalance before that', async () => {
    const groupId = 'script-79'
    const [leader] = await pair(groupId)
    const client = await connect(broker())
    const asked = await client.request(JoinGroup, 9, joinRequest(groupId))
    expect(asked).toMatchObject({
      errorCode: Errors.MEMBER_ID_REQUIRED,
      generationId: -1,
      leader: '',
      members: [],
    })
    expect(asked.memberId).toMatch(/^wire-client-/)
    // Who was only given an id is no member.
    expect(await leader.heartbeat()).toBe(Errors.NONE)
    const { memberId } = asked
    const sync = { groupId, generationId: 2, memberId, groupInstanceId: null }
    const more = { protocolType: null, protocolName: null, assignments: [] }
    const early = await client.request(SyncGroup, 4, { ...sync, ...more })
    expect(early.errorCode).toBe(Errors.UNKNOWN_MEMBER_ID)
    const joining = client.request(JoinGroup, 9, joinRequest(groupId, { memberId }))
    await isRebalancing(leader)
    client.close()
    await expect(joining).rejects.toThrow()
  })

  test.each([0, 1, 2, 3])('v%i joins at once, its id in the answer', async version => {
    const client = await connect(broker())
    const answer = await client.request(JoinGroup, version, joinRequest(`script-old-${version}`))
    expect(answer).toMatchObject({ errorCode: 0, generationId: 1, leader: answer.memberId })
  })

  test('an id of another group, or made up, is no id', async () => {
    const [leader] = await pair('script-ids')
    const client = await connect(broker())
    for (const [groupId, memberId] of [
      ['script-other', leader.memberId],
      ['script-ids', 'made-up'],
    ]) {
      const answer = await client.request(JoinGroup, 9, joinRequest(groupId, { memberId }))
      expect(answer.errorCode).toBe(Errors.UNKNOWN_MEMBER_ID)
    }
  })
})

test('two protocols: each votes for its first that all have, and the leader sees its metadata', async () => {
  const groupId = 'script-vote'
  const wishes = [
    [protocol('sticky'), protocol('range')],
    [protocol('range'), protocol('sticky')],
    [protocol('mine alone'), protocol('range'), protocol('sticky')],
  ]
  const members = await Promise.all(wishes.map(() => newMember(groupId)))
  await members[0].join({ protocols: wishes[0] })
  const joining = members.slice(1).map((member, i) => member.join({ protocols: wishes[i + 1] }))
  await expect.poll(() => broker().parts.services.groups.describe(groupId).members.length).toBe(3)
  const answers = await Promise.all([members[0].join({ protocols: wishes[0] }), ...joining])
  for (const answer of answers) {
    expect(answer).toMatchObject({ errorCode: 0, protocolName: 'range', protocolType: 'consumer' })
  }
  const told = answers.filter(({ members: rows }) => rows.length > 0)
  expect(told).toHaveLength(1)
  expect(told[0].memberId).toBe(told[0].leader)
  const metadata = told[0].members.map(row => String(row.metadata))
  expect(metadata).toEqual(Array(3).fill('topics for range'))
  const stranger = await newMember(groupId)
  const refused = await stranger.join({ protocols: [protocol('roundrobin')] })
  expect(refused.errorCode).toBe(Errors.INCONSISTENT_GROUP_PROTOCOL)
})

test('a laggard is dropped when the rebalance timeout is over, and told so', async () => {
  const groupId = 'script-laggard'
  const [leader, laggard] = [await newMember(groupId), await newMember(groupId)]
  const hasty = { rebalanceTimeoutMs: 200 }
  await leader.join(hasty)
  const joining = laggard.join(hasty)
  await isRebalancing(leader)
  await Promise.all([leader.join(hasty), joining])
  await Promise.all([leader.sync(), laggard.sync()])
  // The leader joins again; the other one does not.
  const { errorCode, generationId, members } = await leader.join(hasty)
  expect({ errorCode, generationId }).toEqual({ errorCode: 0, generationId: 3 })
  expect(members.map(({ memberId }) => memberId)).toEqual([leader.memberId])
  expect(await laggard.heartbeat()).toBe(Errors.UNKNOWN_MEMBER_ID)
  expect((await laggard.sync()).errorCode).toBe(Errors.UNKNOWN_MEMBER_ID)
  expect((await laggard.join(hasty)).errorCode).toBe(Errors.UNKNOWN_MEMBER_ID)
})

describe('a static member that is restarted', () => {
  test.each([5, 7, 9])('takes its place again, and fences its former self (v%i)', async version => {
    const groupId = `script-static-${version}`
    const [leader, former] = [await newMember(groupId, version), await newMember(groupId, version)]
    leader.instanceId = 'a'
    former.instanceId = 'b'
    await leader.join()
    const joining = former.join()
    await isRebalancing(leader)
    await Promise.all([leader.join(), joining])
    const parts = { [leader.memberId]: 'for a', [former.memberId]: 'for b' }
    await Promise.all([leader.sync(parts), former.sync()])
    const { generation } = former

    const again = await newMember(groupId, version)
    again.instanceId = 'b'
    const answer: JoinResponse = await again.join()
    expect(answer).toMatchObject({
      errorCode: 0,
      generationId: generation,
      leader: leader.memberId,
    })
    expect(again.memberId).not.toBe(former.memberId)
    expect(await again.sync()).toMatchObject({ errorCode: 0, assignment: 'for b' })
    expect(await leader.heartbeat()).toBe(Errors.NONE)

    const fenced = Errors.FENCED_INSTANCE_ID
    expect(await former.heartbeat()).toBe(fenced)
    expect((await former.sync()).errorCode).toBe(fenced)
    expect((await former.join()).errorCode).toBe(fenced)
    expect((await former.leave()).members).toMatchObject([{ errorCode: fenced }])
  })
})

test('a commit in each state: Empty, PreparingRebalance, CompletingRebalance, Stable, Dead', async () => {
  const groupId = 'script-commits'
  const client = await connect(broker())
  const key = `${await createTopic(client)}-0`
  const by = async (who: { memberId: string; generation: number }) =>
    (await commit(client, groupId, { [key]: 1 }, who))[key]
  const nobody = { memberId: '', generation: -1 }
  const stranger = { memberId: 'stranger', generation: 1 }
  expect(await by(stranger)).toBe(Errors.GROUP_ID_NOT_FOUND)
  expect(await by(nobody)).toBe(Errors.NONE)
  const [leader, follower] = await pair(groupId)
  expect(await by(leader)).toBe(Errors.NONE)
  expect(await by(nobody)).toBe(Errors.UNKNOWN_MEMBER_ID)
  expect(await by(stranger)).toBe(Errors.UNKNOWN_MEMBER_ID)
  const rejoining = leader.join()
  await isRebalancing(follower)
  expect(await by(follower)).toBe(Errors.NONE)
  await Promise.all([rejoining, follower.join()])
  expect(await by(follower)).toBe(Errors.REBALANCE_IN_PROGRESS)
  await Promise.all([leader.sync(), follower.sync()])
  const older = { memberId: follower.memberId, generation: follower.generation - 1 }
  expect(await by(follower)).toBe(Errors.NONE)
  expect(await by(older)).toBe(Errors.ILLEGAL_GENERATION)
  await Promise.all([leader.leave(), follower.leave()])
  expect(await by(follower)).toBe(Errors.UNKNOWN_MEMBER_ID)
  expect(await by(nobody)).toBe(Errors.NONE)
})

describe('who waits for whom', () => {
  const software = { clientSoftwareName: 'wire-client', clientSoftwareVersion: '1' }
  const isServed = async (client: WireClient) =>
    (await client.request(ApiVersions, 3, software)).errorCode === Errors.NONE

  test('a parked join, sync and fetch, each on a connection of its own, hold up nobody else', async () => {
    const [leader, follower] = await pair('script-parked')
    const topic = await createTopic(leader.client)
    const bystander = await connect(broker())
    const fetching = (await connect(broker())).request(
      Fetch,
      12,
      fetchRequest(topic, { maxWaitMs: 3_600_000 }),
    )
    const joining = leader.join()
    await isRebalancing(follower)
    expect(await isServed(bystander)).toBe(true)
    await Promise.all([joining, follower.join()])
    const syncing = follower.sync()
    expect(await isServed(bystander)).toBe(true)
    // Others write, look up and join meanwhile.
    await pair('script-others')
    expect(await lookUp(bystander, topic, -1)).toMatchObject({ offset: 0 })
    await leader.sync({ [follower.memberId]: 'at last' })
    expect((await syncing).assignment).toBe('at last')
    await store(bystander, topic, batchOf(['news']))
    const { responses } = await fetching
    expect(valuesOf(responses[0].partitions[0])).toEqual(['news'])
  })

  test('on one connection answers keep the order of requests, behind a parked sync as well', async () => {
    const [leader, follower] = await pair('script-order')
    await Promise.all([leader.join(), isRebalancing(follower).then(() => follower.join())])
    const { groupId, generation: generationId, memberId, client } = follower
    const sync = { groupId, generationId, memberId, groupInstanceId: null, protocolType: null }
    const answers = client.pipeline([
      {
        schema: SyncGroup,
        version: 4,
        message: { ...sync, protocolName: null, assignments: [] },
      },
      { schema: Heartbeat, version: 4, message: follower.heartbeatRequest() },
      { schema: ApiVersions, version: 3, message: software },
    ] as unknown as Parameters<WireClient['pipeline']>[0])
    expect(await leader.heartbeat()).toBe(Errors.NONE)
    expect(await isServed(leader.client)).toBe(true)
    expect(client.unclaimedBytes).toBe(0)
    await leader.sync({ [memberId]: 'mine' })
    const [synced, beat] = (await answers) as { errorCode: number; assignment?: Buffer }[]
    expect([String(synced.assignment), synced.errorCode, beat.errorCode]).toEqual(['mine', 0, 0])
  })
})
