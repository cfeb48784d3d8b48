/**
 * The traps of traps.test.ts that concern groups: what is committed comes back, rebalances are as few as they can be,
 * nobody is lost when many join at once, and the sixtieth time is as the first.
 */
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { DeleteGroups } from '../../src/protocol/messages/delete-groups.ts'
import { DeleteTopics } from '../../src/protocol/messages/delete-topics.ts'
import { JoinGroup } from '../../src/protocol/messages/join-group.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { commit, fetchOffsets, fetchRows } from '../groups/offsets-kit.ts'
import { joinRequest, Member } from '../groups/wire-kit.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  lookUp,
  newTopicName,
  produce,
  readAll,
  sharedBroker,
  store,
} from './fixture.ts'

const broker = sharedBroker()
const range = (min: number, max: number) => Array.from({ length: max - min + 1 }, (_, i) => min + i)
const newMember = async (groupId: string, version?: number) =>
  new Member(await connect(broker()), groupId, version)

/** Joins, and joins again whenever the group asks for it, until the group has `size` members and all are synced. */
async function settle(members: readonly Member[], assignment: (memberId: string) => string) {
  const one = async (member: Member): Promise<string> => {
    for (;;) {
      const joined = await member.join()
      expect(joined.errorCode).toBe(Errors.NONE)
      const isLeader = joined.leader === member.memberId
      const parts = isLeader
        ? Object.fromEntries(joined.members.map(({ memberId }) => [memberId, assignment(memberId)]))
        : {}
      const synced = await member.sync(parts)
      if (synced.errorCode === Errors.REBALANCE_IN_PROGRESS) continue
      expect(synced.errorCode).toBe(Errors.NONE)
      // As a client does between its polls: it hears of a rebalance here.
      const beat = await nextNews(member, members)
      if (beat === 'settled') return synced.assignment
    }
  }
  return await Promise.all(members.map(one))
}

/** Heartbeats until the group rebalances, or all members are in one generation. */
async function nextNews(member: Member, all: readonly Member[]): Promise<'again' | 'settled'> {
  for (;;) {
    const code = await member.heartbeat()
    if (code === Errors.REBALANCE_IN_PROGRESS) return 'again'
    expect(code).toBe(Errors.NONE)
    if (all.every(({ generation }) => generation === member.generation)) return 'settled'
  }
}

test.each(range(0, 9))(
  'trap 5: what OffsetCommit v%i says of an offset comes back',
  async version => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const key = `${topic}-0`
    const texts = ['', 'x', '{"host":"a","n":1}', 'grüße 🦉 \0 \u2028', 'm'.repeat(4096), null]
    for (const [i, metadata] of texts.entries()) {
      const groupId = `texts-${version}-${i}`
      expect(await commit(client, groupId, { [key]: i }, { version, metadata })).toEqual({
        [key]: 0,
      })
      const rows = await fetchRows(client, groupId, [key])
      expect(rows[key]).toMatchObject({ committedOffset: i, metadata: metadata ?? '' })
    }
  },
)

test('trap 7: a group rebalances when something changed, and then once', async () => {
  const groupId = 'no-extra-rebalances'
  const members = await Promise.all(range(1, 3).map(() => newMember(groupId)))
  await settle(members, id => id)
  const [first, second, third] = members
  const { generation } = first
  const topic = await createTopic(first.client)
  for (let round = 0; round < 20; round++) {
    for (const member of members) {
      expect(await member.heartbeat()).toBe(Errors.NONE)
      const options = { generation, memberId: member.memberId }
      const key = `${topic}-0`
      expect(await commit(member.client, groupId, { [key]: round }, options)).toEqual({ [key]: 0 })
    }
    // A follower that asks again and has nothing new to say is told what it knows.
    const follower = members.find(({ memberId }) => memberId !== first.memberId) as Member
    const leaderId = await leaderOf(follower)
    for (const member of members.filter(({ memberId }) => memberId !== leaderId)) {
      expect(await member.join()).toMatchObject({ errorCode: 0, generationId: generation })
      expect(await member.sync()).toMatchObject({ errorCode: 0, assignment: member.memberId })
    }
  }
  // One leaves: one rebalance. It comes back: one more.
  await third.leave()
  await settle([first, second], id => id)
  expect([first.generation, second.generation]).toEqual([generation + 1, generation + 1])
  third.memberId = ''
  const back = settle([third], id => id)
  await expect.poll(() => first.heartbeat()).toBe(Errors.REBALANCE_IN_PROGRESS)
  await Promise.all([settle([first, second], id => id), back])
  expect(members.map(member => member.generation)).toEqual(Array(3).fill(generation + 2))

  async function leaderOf(follower: Member): Promise<string> {
    const { memberId } = follower
    const request = joinRequest(groupId, { memberId })
    return (await follower.client.request(JoinGroup, 9, request)).leader || first.memberId
  }
})

test.each([3, 9])(
  'trap 8: twenty members that join at once are all there, with every byte they were assigned (v%i)',
  async version => {
    const groupId = `crowd-${version}`
    const members = await Promise.all(range(1, 20).map(() => newMember(groupId, version)))
    const big = (memberId: string) => `${memberId} ${'part '.repeat(10_000)}`
    const got = await settle(members, big)
    expect(got).toEqual(members.map(({ memberId }) => big(memberId)))
    expect(new Set(members.map(({ memberId }) => memberId)).size).toBe(20)
    expect(new Set(members.map(({ generation }) => generation)).size).toBe(1)
    for (const member of members) expect(await member.heartbeat()).toBe(Errors.NONE)
  },
)

/** What clients' test suites do again and again. @returns what was seen, without names and ids */
async function visit(client: WireClient, index: number): Promise<unknown> {
  const topic = await createTopic(client, { partitions: 2 })
  const offsets = [
    await store(client, topic, batchOf(['a', 'b'])),
    await store(client, topic, batchOf(['c']), { acks: 1 }),
  ]
  const refused = (await produce(client, topic, Buffer.from('no batch'))).errorCode
  const groupId = `visit-${index}`
  const member = await newMember(groupId)
  const { generationId, errorCode, members } = await member.join()
  const { assignment } = await member.sync({ [member.memberId]: 'all' })
  const options = { generation: member.generation, memberId: member.memberId }
  const committed = Object.values(await commit(client, groupId, { [`${topic}-0`]: 2 }, options))
  const fetched = Object.values(await fetchOffsets(client, groupId))
  const left = await member.leave()
  const values = (await readAll(client, topic, { end: 3 })).map(({ value }) => String(value))
  const end = await lookUp(client, topic, -1)
  const unknown = await client.request(Metadata, 12, {
    topics: [{ topicId: 'AAAAAAAAAAAAAAAAAAAAAA', name: newTopicName('missing') }],
    allowAutoTopicCreation: false,
    includeClusterAuthorizedOperations: false,
    includeTopicAuthorizedOperations: false,
  })
  const groups = await client.request(DeleteGroups, 2, { groupsNames: [groupId, groupId] })
  const topics = await client.request(DeleteTopics, 6, {
    topics: [{ name: topic, topicId: 'AAAAAAAAAAAAAAAAAAAAAA' }],
    topicNames: [],
    timeoutMs: 30_000,
  })
  member.client.close()
  return {
    offsets,
    refused,
    joined: { generationId, errorCode, members: members.length, assignment },
    committed,
    fetched,
    left: [left.errorCode, left.members.map(row => row.errorCode)],
    values,
    end: [end.offset, end.errorCode],
    unknown: unknown.topics[0].errorCode,
    groups: groups.results.map(row => row.errorCode),
    topics: topics.responses.map(row => row.errorCode),
  }
}

test('trap 12: the sixtieth visit of one broker is as the first', async () => {
  const client = await connect(broker())
  const first = await visit(client, 0)
  expect(first).toMatchObject({
    offsets: [0, 2],
    values: ['a', 'b', 'c'],
    groups: [0],
    topics: [0],
  })
  for (let index = 1; index < 60; index++) {
    expect(await visit(client, index), `visit ${index}`).toEqual(first)
  }
})
