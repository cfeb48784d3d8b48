/** Groups over raw sockets: every version of every request, the order of answers, lost connections, restarts. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { ApiVersions } from '../../src/protocol/messages/api-versions.ts'
import { DeleteGroups } from '../../src/protocol/messages/delete-groups.ts'
import { DescribeGroups } from '../../src/protocol/messages/describe-groups.ts'
import { FindCoordinator } from '../../src/protocol/messages/find-coordinator.ts'
import { Heartbeat } from '../../src/protocol/messages/heartbeat.ts'
import { JoinGroup } from '../../src/protocol/messages/join-group.ts'
import { LeaveGroup } from '../../src/protocol/messages/leave-group.ts'
import { ListGroups } from '../../src/protocol/messages/list-groups.ts'
import { connect, createTopic, launchBroker, sharedBroker, testBroker } from '../broker/fixture.ts'
import type { WireCall } from '../support/wire-client.ts'
import { commit, fetchOffsets } from './offsets-kit.ts'
import { joinRequest, Member } from './wire-kit.ts'

const broker = sharedBroker()
let groups = 0
const newGroup = (): string => `members-${++groups}`
const upTo = (max: number) => Array.from({ length: max + 1 }, (_, version) => version)

const member = async (groupId: string, version?: number) =>
  new Member(await connect(broker()), groupId, version)

/** Two members in a stable group, the first of them the leader. */
async function pair(groupId: string): Promise<[Member, Member]> {
  const [leader, follower] = [await member(groupId), await member(groupId)]
  await leader.join()
  const joining = follower.join()
  await expect.poll(() => leader.heartbeat()).toBe(Errors.REBALANCE_IN_PROGRESS)
  await Promise.all([leader.join(), joining])
  await Promise.all([
    leader.sync({ [leader.memberId]: 'one', [follower.memberId]: 'two' }),
    follower.sync(),
  ])
  return [leader, follower]
}

describe('every version', () => {
  test.each(upTo(9))('JoinGroup v%i', async version => {
    const groupId = newGroup()
    const one = await member(groupId, version)
    const first = await one.client.request(JoinGroup, version, joinRequest(groupId))
    if (version >= 4) expect(first.errorCode).toBe(Errors.MEMBER_ID_REQUIRED)
    const answer = version >= 4 ? await one.join({ memberId: first.memberId }) : first
    expect(answer).toMatchObject({
      errorCode: 0,
      generationId: 1,
      protocolType: version >= 7 ? 'consumer' : null,
      protocolName: 'range',
      leader: answer.memberId,
      members: [{ memberId: answer.memberId, groupInstanceId: null }],
    })
    expect(answer.memberId).toMatch(/^wire-client-[0-9a-f-]{36}$/)
    const wrong = joinRequest(groupId, { memberId: 'nobody' })
    const refused = await one.client.request(JoinGroup, version, wrong)
    expect(refused).toMatchObject({
      errorCode: Errors.UNKNOWN_MEMBER_ID,
      generationId: -1,
      protocolName: version >= 7 ? null : '',
      leader: '',
      memberId: 'nobody',
      members: [],
    })
  })

  test('JoinGroup v0 has no rebalance timeout: members have as long as their session', async () => {
    const groupId = newGroup()
    const [first, second] = [await member(groupId, 0), await member(groupId, 0)]
    await first.join()
    await first.sync({}, 0)
    const joining = second.join()
    await expect.poll(() => first.heartbeat(0)).toBe(Errors.REBALANCE_IN_PROGRESS)
    // Longer than no time at all would be.
    await delay(500)
    expect(await first.join()).toMatchObject({ errorCode: 0, generationId: 2 })
    expect(await joining).toMatchObject({ errorCode: 0, generationId: 2 })
  })

  test('SyncGroup, Heartbeat', async () => {
    const [leader] = await pair(newGroup())
    for (const version of upTo(5)) {
      const answer = await leader.sync({}, version)
      const protocolType = version >= 5 ? 'consumer' : null
      expect(answer).toMatchObject({ errorCode: 0, protocolType, assignment: 'one' })
    }
    for (const version of upTo(4)) expect(await leader.heartbeat(version)).toBe(Errors.NONE)
    leader.generation--
    for (const version of upTo(4)) {
      expect(await leader.heartbeat(version)).toBe(Errors.ILLEGAL_GENERATION)
    }
  })

  test.each(upTo(5))('LeaveGroup v%i', async version => {
    const one = await member(newGroup())
    const { memberId } = await one.join()
    const unknown = Errors.UNKNOWN_MEMBER_ID
    const rows = (errorCode: number) => [{ memberId, groupInstanceId: null, errorCode }]
    expect(await one.leave(version)).toMatchObject({
      errorCode: 0,
      members: version < 3 ? [] : rows(0),
    })
    expect(await one.leave(version)).toMatchObject({
      errorCode: version < 3 ? unknown : 0,
      members: version < 3 ? [] : rows(unknown),
    })
  })

  test('DescribeGroups', async () => {
    const groupId = newGroup()
    const [leader, follower] = await pair(groupId)
    for (const version of upTo(5)) {
      const answer = await leader.client.request(DescribeGroups, version, {
        groups: [groupId, 'no-such-group'],
        includeAuthorizedOperations: version >= 3,
      })
      expect(answer.groups).toMatchObject([
        {
          errorCode: 0,
          groupState: 'Stable',
          protocolType: 'consumer',
          protocolData: 'range',
          authorizedOperations: version >= 3 ? 0xd48 : -0x8000_0000,
        },
        { errorCode: 0, groupId: 'no-such-group', groupState: 'Dead', members: [] },
      ])
      const members = answer.groups[0].members.map(row => [
        row.memberId,
        row.clientId,
        row.clientHost,
        String(row.memberMetadata),
        String(row.memberAssignment),
      ])
      expect(members).toEqual([
        [leader.memberId, 'wire-client', '/127.0.0.1', 'topics', 'one'],
        [follower.memberId, 'wire-client', '/127.0.0.1', 'topics', 'two'],
      ])
    }
  })

  test('ListGroups, with its filters', async () => {
    const stable = newGroup()
    const simple = newGroup()
    const [{ client }] = await pair(stable)
    const topic = await createTopic(client)
    await commit(client, simple, { [`${topic}-0`]: 1 })
    const list = async (version: number, statesFilter: string[] = [], typesFilter: string[] = []) =>
      (await client.request(ListGroups, version, { statesFilter, typesFilter })).groups.filter(
        ({ groupId }) => groupId === stable || groupId === simple,
      )
    for (const version of upTo(5)) {
      const groupType = version >= 5 ? 'classic' : ''
      const state = (name: string) => (version >= 4 ? name : '')
      expect(await list(version)).toEqual([
        { groupId: stable, protocolType: 'consumer', groupState: state('Stable'), groupType },
        { groupId: simple, protocolType: '', groupState: state('Empty'), groupType },
      ])
    }
    const ids = async (...filters: [string[], string[]?]) =>
      (await list(5, ...filters)).map(({ groupId }) => groupId)
    expect(await ids(['stable'])).toEqual([stable])
    expect(await ids(['Empty', 'Dead'])).toEqual([simple])
    expect(await ids([], ['Classic'])).toEqual([stable, simple])
    expect(await ids([], ['consumer'])).toEqual([])
  })

  test.each(upTo(2))('DeleteGroups v%i', async version => {
    const groupId = newGroup()
    const [leader, follower] = await pair(groupId)
    const { client } = leader
    const topic = await createTopic(client)
    const options = { generation: leader.generation, memberId: leader.memberId }
    expect(await commit(client, groupId, { [`${topic}-0`]: 7 }, options)).toEqual({
      [`${topic}-0`]: 0,
    })
    const remove = async (...groupsNames: string[]) =>
      (await client.request(DeleteGroups, version, { groupsNames })).results.map(
        ({ errorCode }) => errorCode,
      )
    expect(await remove(groupId)).toEqual([Errors.NON_EMPTY_GROUP])
    await Promise.all([leader.leave(), follower.leave()])
    expect(await remove(groupId, 'no-such-group')).toEqual([0, Errors.GROUP_ID_NOT_FOUND])
    expect(await fetchOffsets(client, groupId)).toEqual({})
    expect(await remove(groupId)).toEqual([Errors.GROUP_ID_NOT_FOUND])
  })

  test('FindCoordinator: this broker for groups, nobody for transactions', async () => {
    const client = await connect(broker())
    const [host, port] = broker().bootstrap.split(':')
    const here = { nodeId: 0, host, port: Number(port), errorCode: 0 }
    const nobody = { nodeId: -1, errorCode: Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED }
    const unknown = { nodeId: -1, errorCode: Errors.INVALID_REQUEST }
    for (const version of upTo(6)) {
      const find = async (keyType: number) => {
        const asked = { key: 'k', keyType, coordinatorKeys: ['k', 'l'] }
        const answer = await client.request(FindCoordinator, version, asked)
        return version < 4 ? [answer] : answer.coordinators
      }
      const keys = version < 4 ? [{}] : [{ key: 'k' }, { key: 'l' }]
      const rows = (row: object) => keys.map(key => ({ ...row, ...key }))
      expect(await find(0)).toMatchObject(rows(here))
      if (version === 0) continue
      expect(await find(1)).toMatchObject(rows(nobody))
      expect(await find(7)).toMatchObject(rows(unknown))
    }
  })
})

describe('a parked join', () => {
  test('holds back the answers behind it, in order, and nobody on other connections', async () => {
    const groupId = newGroup()
    const [leader, follower] = await pair(groupId)
    const { client } = leader
    const calls: WireCall<never, unknown>[] = [
      {
        schema: JoinGroup,
        version: 9,
        message: joinRequest(groupId, { memberId: leader.memberId }),
      },
      { schema: Heartbeat, version: 4, message: leader.heartbeatRequest() },
      {
        schema: ApiVersions,
        version: 3,
        message: { clientSoftwareName: 'a', clientSoftwareVersion: '1' },
      },
    ] as unknown as WireCall<never, unknown>[]
    const answers = client.pipeline(calls)
    await expect.poll(() => follower.heartbeat()).toBe(Errors.REBALANCE_IN_PROGRESS)
    expect(client.unclaimedBytes).toBe(0)
    await follower.join()
    const [joined, beat] = (await answers) as { errorCode: number; generationId?: number }[]
    expect(joined).toMatchObject({ errorCode: 0, generationId: leader.generation + 1 })
    expect(beat.errorCode).toBe(Errors.REBALANCE_IN_PROGRESS)
  })

  test('of a client that leaves behind it: both are answered, the group goes on', async () => {
    const groupId = newGroup()
    const [leader, follower] = await pair(groupId)
    const { memberId } = leader
    const members = [{ memberId, groupInstanceId: null, reason: 'closing' }]
    const answers = leader.client.pipeline([
      { schema: JoinGroup, version: 9, message: joinRequest(groupId, { memberId }) },
      { schema: LeaveGroup, version: 5, message: { groupId, memberId: '', members } },
    ] as unknown as WireCall<never, { errorCode: number }>[])
    const codes = (await answers).map(({ errorCode }) => errorCode)
    expect(codes).toEqual([Errors.UNKNOWN_MEMBER_ID, 0])
    expect(await follower.join()).toMatchObject({ errorCode: 0, leader: follower.memberId })
  })

  test('of a connection that is closed ends; a member nobody can be any more goes with it', async () => {
    const groupId = newGroup()
    const [leader, follower] = await pair(groupId)
    const lost = await member(groupId, 3)
    const joining = lost.join().catch(() => 'closed')
    await expect.poll(() => leader.heartbeat()).toBe(Errors.REBALANCE_IN_PROGRESS)
    lost.client.close()
    expect(await joining).toBe('closed')
    const both = await Promise.all([leader.join(), follower.join()])
    expect(both.map(({ errorCode }) => errorCode)).toEqual([0, 0])
    expect(both[0].members).toHaveLength(2)
  })
})

describe('a commit', () => {
  test('in every state of the group, by members and by others', async () => {
    const groupId = newGroup()
    const [leader, follower] = await pair(groupId)
    const { client } = await member(groupId)
    const topic = await createTopic(client)
    const key = `${topic}-0`
    const by = async (who: { memberId: string; generation: number }) =>
      (await commit(client, groupId, { [key]: 1 }, who))[key]
    const nobody = { memberId: '', generation: -1 }
    const { memberId, generation } = leader
    const older = { memberId, generation: generation - 1 }
    // Stable.
    expect(await by(leader)).toBe(Errors.NONE)
    expect(await by(older)).toBe(Errors.ILLEGAL_GENERATION)
    expect(await by({ memberId: 'x', generation })).toBe(Errors.UNKNOWN_MEMBER_ID)
    expect(await by(nobody)).toBe(Errors.UNKNOWN_MEMBER_ID)
    // PreparingRebalance: what was read may still be committed.
    const joining = leader.join()
    await expect.poll(() => follower.heartbeat()).toBe(Errors.REBALANCE_IN_PROGRESS)
    expect(await by(follower)).toBe(Errors.NONE)
    // CompletingRebalance.
    await Promise.all([joining, follower.join()])
    expect(await by(follower)).toBe(Errors.REBALANCE_IN_PROGRESS)
    expect(await by(older)).toBe(Errors.ILLEGAL_GENERATION)
    // Empty.
    await Promise.all([leader.leave(), follower.leave()])
    expect(await by(follower)).toBe(Errors.UNKNOWN_MEMBER_ID)
    expect(await by(nobody)).toBe(Errors.NONE)
    // None at all: before v9 clients do not know GROUP_ID_NOT_FOUND.
    const other = newGroup()
    const stranger = { memberId: 'x', generation: 1 }
    for (const [version, code] of [
      [8, Errors.ILLEGAL_GENERATION],
      [9, Errors.GROUP_ID_NOT_FOUND],
    ] as const) {
      const answer = await commit(client, other, { [key]: 1 }, { ...stranger, version })
      expect(answer).toEqual({ [key]: code })
    }
  })
})

describe('the broker', () => {
  test('stops: whoever waits is told to look for the coordinator again', async () => {
    const stopping = await testBroker()
    const [one, two] = [await connect(stopping), await connect(stopping)]
    const leader = new Member(one, 'g')
    await leader.join()
    const joining = new Member(two, 'g').join()
    await expect.poll(() => leader.heartbeat()).toBe(Errors.REBALANCE_IN_PROGRESS)
    await stopping.close()
    expect((await joining).errorCode).toBe(Errors.COORDINATOR_NOT_AVAILABLE)
  })

  test('starts again: the members are still in their generation, with their parts', async () => {
    const dataDirectory = await mkdtemp(join(tmpdir(), 'odradek-groups-'))
    onTestFinished(() => rm(dataDirectory, { recursive: true, force: true }))
    const before = await launchBroker({ dataDirectory })
    const leader = new Member(await connect(before), 'g')
    await leader.join()
    await leader.sync({ [leader.memberId]: 'mine' })
    const idle = new Member(await connect(before), 'other')
    await idle.join()
    await idle.sync()
    await idle.leave()
    await before.close()
    const after = await testBroker({ dataDirectory })
    const { memberId, generation } = leader
    const again = Object.assign(new Member(await connect(after), 'g'), { memberId, generation })
    expect(await again.heartbeat()).toBe(Errors.NONE)
    expect(await again.sync()).toMatchObject({ errorCode: 0, assignment: 'mine' })
    const back = new Member(await connect(after), 'other')
    expect(await back.join()).toMatchObject({ generationId: idle.generation + 2 })
  })
})
