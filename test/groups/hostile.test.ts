/** What a client may send to make the broker keep or answer too much, or forget: it gets less than it hopes for. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { topicsOf } from '../../src/groups/subscription.ts'
import { Timeline, timelineLengthMax } from '../../src/groups/timeline.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { DescribeGroups } from '../../src/protocol/messages/describe-groups.ts'
import { JoinGroup } from '../../src/protocol/messages/join-group.ts'
import { connect, createTopic, launchBroker, testBroker } from '../broker/fixture.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { commit, fetchGroups, fetchOffsets } from './offsets-kit.ts'
import { Scene, settle } from './scene.ts'
import { joinRequest, Member } from './wire-kit.ts'

test('a time of expiry beyond all clocks is the end of them, after a restart too', async () => {
  const dataDirectory = await tempDirectory()
  const broker = await launchBroker({ dataDirectory })
  const client = await connect(broker)
  const topic = await createTopic(client)
  const key = `${topic}-0`
  const options = { version: 4, retentionTimeMs: Number.MAX_SAFE_INTEGER }
  expect(await commit(client, 'group', { [key]: 5 }, options)).toEqual({ [key]: 0 })
  await broker.close()
  const again = await connect(await testBroker({ dataDirectory }))
  expect(await fetchOffsets(again, 'group')).toEqual({ [key]: 5 })
})

test('a client that tries one group id after the other fills the room for groups, and no more; known ones go on', async () => {
  const broker = await testBroker({ set: { 'max.groups': 20 } })
  const client = await connect(broker)
  const topic = await createTopic(client)
  const key = `${topic}-0`
  expect(await commit(client, 'known', { [key]: 1 })).toEqual({ [key]: 0 })
  const ids = Array.from({ length: 500 }, (_, index) => `scan-${index}`)
  const joins = await client.pipeline(
    ids.map(id => ({ schema: JoinGroup, version: 9, message: joinRequest(id) })),
  )
  const codes = Object.groupBy(joins, ({ errorCode }) => errorName(errorCode))
  expect(codes.MEMBER_ID_REQUIRED).toHaveLength(20)
  expect(codes.GROUP_MAX_SIZE_REACHED).toHaveLength(480)
  const committed = await Promise.all(ids.slice(20).map(id => commit(client, id, { [key]: 1 })))
  expect(committed.filter(row => row[key] === 0)).toHaveLength(19)
  expect(await commit(client, 'known', { [key]: 2 })).toEqual({ [key]: 0 })
  expect((await fetchGroups(client, ids)).groups).toHaveLength(500)
  const { groups, committed: offsets } = broker.parts.services
  expect([groups.list().length, [...offsets.groupIds()].length]).toEqual([20, 20])
})

test('a group that DescribeGroups names a thousand times is described once', async () => {
  const member = new Member(await connect(await testBroker()), 'group')
  await member.join({ protocols: [{ name: 'range', metadata: Buffer.alloc(900_000, 'm') }] })
  const { groups } = await member.client.request(DescribeGroups, 5, {
    groups: Array.from({ length: 1000 }, () => 'group'),
    includeAuthorizedOperations: false,
  })
  expect(groups.map(({ groupId }) => groupId)).toEqual(['group'])
})

test('many protocols with short names are as much as they take in memory', () => {
  const scene = new Scene({ memberBytesMax: 10_000 })
  const protocols = Array.from({ length: 40 }, (_, index) => `p${index}`)
  const { answer } = scene.join({ protocols, metadata: '' })
  expect(answer?.errorCode).toBe(Errors.INVALID_REQUEST)
})

test('where all memory for groups is used up, those who are in may join and sync again, as long as they grow no more', async () => {
  const scene = new Scene({ groupsBytesMax: 5000, memberBytesMax: 4000 })
  const metadata = 'm'.repeat(1000)
  const [memberId] = await scene.stable(1, { metadata })
  const assignments = { [memberId]: 'a'.repeat(1000) }
  scene.join({ memberId, metadata })
  scene.sync(memberId, 2, assignments)
  await settle()
  // The rest of the memory, somewhere else.
  let others = 0
  while (scene.join({ groupId: `g${++others}` }).answer?.errorCode === Errors.MEMBER_ID_REQUIRED);
  const full = { errorCode: Errors.GROUP_MAX_SIZE_REACHED }
  expect(scene.join({ groupId: 'new' }).answer).toMatchObject(full)
  const again = scene.join({ memberId, metadata })
  expect(again.answer).toMatchObject({ errorCode: 0, generation: 3 })
  const larger = scene.sync(memberId, 3, { [memberId]: 'a'.repeat(2000) })
  expect(larger.answer?.errorCode).toBe(Errors.INVALID_REQUEST)
  const synced = scene.sync(memberId, 3, assignments)
  await settle()
  expect(synced.answer?.errorCode).toBe(0)
  expect(scene.join({ memberId, metadata: 'm'.repeat(3000) }).answer).toMatchObject(full)
})

test('long reasons do not stay in memory', () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const timeline = new Timeline()
  collect()
  const before = process.memoryUsage()
  for (let i = 0; i < timelineLengthMax; i++) {
    const reason = Buffer.alloc(32_000, `reason ${i} `).toString()
    timeline.add(
      { wallMs: 0, generation: 1 },
      'rejoined',
      null,
      `the leader joins again: ${reason}`,
    )
  }
  collect()
  const keptBytes = process.memoryUsage().heapUsed - before.heapUsed
  expect(keptBytes).toBeLessThan(timelineLengthMax * 4000)
  expect(timeline.list()[0].detail).toMatch(/^the leader joins again: reason 0 reason 0 /)
})

test('a subscription to more topics than anybody has is not read', () => {
  const topics = (count: number) =>
    Buffer.concat([Buffer.of(0, 0, 0, 0, count >> 8, count & 255), Buffer.alloc(2 * count)])
  expect(topicsOf(topics(10_000))).toHaveLength(10_000)
  expect(topicsOf(topics(10_001))).toBeNull()
})
