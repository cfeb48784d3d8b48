/** OffsetCommit, OffsetFetch, OffsetDelete over sockets: rows, errors and texts in every version. */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { OffsetCommit } from '../../src/protocol/messages/offset-commit.ts'
import { OffsetFetch } from '../../src/protocol/messages/offset-fetch.ts'
import { zeroUuid } from '../../src/protocol/reader.ts'
import {
  batchOf,
  connect,
  createTopic,
  newTopicName,
  produce,
  sharedBroker,
} from '../broker/fixture.ts'
import { subscriptionTo } from './committed-offsets-kit.ts'
import { commit, deleteOffsets, fetchGroups, fetchOffsets, fetchRows } from './offsets-kit.ts'
import { Member } from './wire-kit.ts'

const broker = sharedBroker()
let groups = 0
const newGroup = (): string => `group-${++groups}`
const commitVersions = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]

describe('OffsetCommit', () => {
  test.each(commitVersions)(
    'v%i is stored with its text, and its epoch where it has one',
    async version => {
      const client = await connect(broker())
      const topic = await createTopic(client, { partitions: 2 })
      const group = newGroup()
      const options = { version, metadata: 'from grüße 🦉', leaderEpoch: 3 }
      const offsets = { [`${topic}-0`]: 5, [`${topic}-1`]: 2 ** 40 }
      expect(await commit(client, group, offsets, options)).toEqual({
        [`${topic}-0`]: 0,
        [`${topic}-1`]: 0,
      })
      const rows = await fetchRows(client, group)
      expect(rows[`${topic}-0`]).toEqual({
        partitionIndex: 0,
        committedOffset: 5,
        committedLeaderEpoch: version >= 6 ? 3 : -1,
        metadata: 'from grüße 🦉',
        errorCode: 0,
      })
      expect(rows[`${topic}-1`].committedOffset).toBe(2 ** 40)
    },
  )

  test('a null text is read as an empty one', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const group = newGroup()
    await commit(client, group, { [`${topic}-0`]: 1 }, { metadata: null, version: 5 })
    expect((await fetchRows(client, group))[`${topic}-0`].metadata).toBe('')
  })

  test('unknown topics and partitions, and too long texts, fail alone', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const group = newGroup()
    const offsets = { [`${topic}-0`]: 1, [`${topic}-1`]: 1, 'nowhere-0': 1 }
    expect(await commit(client, group, offsets)).toEqual({
      [`${topic}-0`]: 0,
      [`${topic}-1`]: Errors.UNKNOWN_TOPIC_OR_PARTITION,
      'nowhere-0': Errors.UNKNOWN_TOPIC_OR_PARTITION,
    })
    const long = { metadata: 'x'.repeat(4097) }
    expect(await commit(client, group, { [`${topic}-0`]: 9 }, long)).toEqual({
      [`${topic}-0`]: Errors.OFFSET_METADATA_TOO_LARGE,
    })
    expect(
      await commit(client, group, { [`${topic}-0`]: 7 }, { metadata: 'x'.repeat(4096) }),
    ).toEqual({
      [`${topic}-0`]: 0,
    })
    const rows = await fetchRows(client, group)
    expect(rows[`${topic}-0`]).toMatchObject({ committedOffset: 7, metadata: 'x'.repeat(4096) })
  })

  test('who claims to be a member of a group that nobody joined is refused', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const group = newGroup()
    const key = `${topic}-0`
    const member = { generation: 3, memberId: 'somebody' }
    const codes = async (version: number) =>
      (await commit(client, group, { [key]: 1 }, { ...member, version }))[key]
    expect(await codes(8)).toBe(Errors.ILLEGAL_GENERATION)
    expect(await codes(9)).toBe(Errors.GROUP_ID_NOT_FOUND)
    expect(await fetchOffsets(client, group)).toEqual({})
    expect((await commit(client, group, { [key]: 1 }))[key]).toBe(0)
    expect(await codes(9)).toBe(Errors.UNKNOWN_MEMBER_ID)
    expect(await fetchOffsets(client, group)).toEqual({ [key]: 1 })
  })

  test('the empty group id is a group like others, one of 256 characters is none', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const key = `${topic}-0`
    expect(await commit(client, '', { [key]: 4 })).toEqual({ [key]: 0 })
    expect((await fetchOffsets(client, ''))[key]).toBe(4)
    const tooLong = await commit(client, 'g'.repeat(256), { [key]: 4 })
    expect(tooLong).toEqual({ [key]: Errors.INVALID_GROUP_ID })
    for (const name of ['__proto__', 'constructor', '../x', 'a\0b', '\u2028']) {
      expect(await commit(client, name, { [key]: 8 })).toEqual({ [key]: 0 })
      expect(await fetchOffsets(client, name)).toEqual({ [key]: 8 })
    }
  })

  test('a partition that is named many times is committed once, as the last of them says', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const group = newGroup()
    const partitions = Array.from({ length: 1000 }, (_, committedOffset) => ({
      partitionIndex: 0,
      committedOffset,
      committedLeaderEpoch: -1,
      commitTimestamp: -1,
      committedMetadata: null,
    }))
    const answer = await client.request(OffsetCommit, 8, {
      groupId: group,
      generationIdOrMemberEpoch: -1,
      memberId: '',
      groupInstanceId: null,
      retentionTimeMs: -1,
      topics: [{ name: topic, partitions }],
    })
    const codes = answer.topics[0].partitions.map(({ errorCode }) => errorCode)
    expect(codes).toEqual(partitions.map(() => 0))
    expect(await fetchOffsets(client, group)).toEqual({ [`${topic}-0`]: 999 })
  })

  test('commits of one connection are answered in their order, and the last one counts', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const group = newGroup()
    const message = (offset: number) => ({
      groupId: group,
      generationIdOrMemberEpoch: -1,
      memberId: '',
      groupInstanceId: null,
      retentionTimeMs: -1,
      topics: [
        {
          name: topic,
          partitions: [
            {
              partitionIndex: 0,
              committedOffset: offset,
              committedLeaderEpoch: -1,
              commitTimestamp: -1,
              committedMetadata: null,
            },
          ],
        },
      ],
    })
    const calls = Array.from({ length: 200 }, (_, i) => ({
      schema: OffsetCommit,
      version: 8,
      message: message(i),
    }))
    const answers = await client.pipeline(calls)
    expect(answers.every(({ topics }) => topics[0].partitions[0].errorCode === 0)).toBe(true)
    expect(await fetchOffsets(client, group)).toEqual({ [`${topic}-0`]: 199 })
  })
})

describe('OffsetFetch', () => {
  test.each([0, 1, 2, 3, 4, 5, 6, 7])(
    'v%i: asked partitions, and those without a commit',
    async version => {
      const client = await connect(broker())
      const topic = await createTopic(client, { partitions: 2 })
      const group = newGroup()
      await commit(client, group, { [`${topic}-0`]: 11 }, { leaderEpoch: 2, metadata: 'm' })
      const topics = [
        { name: topic, partitionIndexes: [0, 1] },
        { name: 'nowhere', partitionIndexes: [7] },
      ]
      const answer = await client.request(OffsetFetch, version, {
        groupId: group,
        topics,
        groups: [],
        requireStable: false,
      })
      const none = { committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode: 0 }
      const epoch = version >= 5 ? 2 : -1
      const found = { ...none, committedOffset: 11, committedLeaderEpoch: epoch, metadata: 'm' }
      expect(answer.errorCode).toBe(0)
      expect(answer.topics).toEqual([
        {
          name: topic,
          partitions: [
            { partitionIndex: 0, ...found },
            { partitionIndex: 1, ...none },
          ],
        },
        { name: 'nowhere', partitions: [{ partitionIndex: 7, ...none }] },
      ])
    },
  )

  test.each([2, 7])('v%i: null means all topics of the group', async version => {
    const client = await connect(broker())
    const [a, b] = [await createTopic(client), await createTopic(client)]
    const group = newGroup()
    await commit(client, group, { [`${a}-0`]: 1, [`${b}-0`]: 2 })
    const asked = { groupId: group, topics: null, groups: [], requireStable: true }
    const answer = await client.request(OffsetFetch, version, asked)
    const found = answer.topics.map(({ name, partitions }) => [name, partitions[0].committedOffset])
    expect(found).toEqual([
      [a, 1],
      [b, 2],
    ])
  })

  test('v8 and v9: several groups at once, unknown ones without offsets, none of them twice', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const [one, two] = [newGroup(), newGroup()]
    await commit(client, one, { [`${topic}-0`]: 1 })
    await commit(client, two, { [`${topic}-0`]: 2 })
    const { groups: all } = await fetchGroups(client, [two, 'unknown', one])
    expect(all.map(({ groupId, errorCode }) => [groupId, errorCode])).toEqual([
      [two, 0],
      ['unknown', 0],
      [one, 0],
    ])
    expect(all.map(({ topics }) => topics[0]?.partitions[0].committedOffset)).toEqual([
      2,
      undefined,
      1,
    ])
    const { groups: twice } = await fetchGroups(client, [one, two, one])
    expect(twice.map(({ errorCode }) => errorCode)).toEqual([42, 0, 42])
  })

  test('a small request cannot make a large answer', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const group = newGroup()
    await commit(client, group, { [`${topic}-0`]: 1 }, { metadata: 'x'.repeat(4096) })
    const keys = Array.from({ length: 20_000 }, () => `${topic}-0`)
    const { groups: answered } = await fetchGroups(client, [group], keys)
    expect(answered).toEqual([{ groupId: group, errorCode: Errors.INVALID_REQUEST, topics: [] }])
    expect(await fetchOffsets(client, group)).toEqual({ [`${topic}-0`]: 1 })
  })
})

describe('OffsetDelete', () => {
  test('takes away what was committed, and says which partitions it does not know', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 3 })
    const group = newGroup()
    await commit(client, group, { [`${topic}-0`]: 1, [`${topic}-1`]: 2 })
    const answer = await deleteOffsets(client, group, [
      `${topic}-0`,
      `${topic}-2`,
      `${topic}-9`,
      'nowhere-0',
    ])
    expect(answer.errorCode).toBe(0)
    const codes = answer.topics.flatMap(({ partitions }) => partitions.map(row => row.errorCode))
    expect(codes).toEqual([0, 0, 3, 3])
    expect(await fetchOffsets(client, group)).toEqual({ [`${topic}-1`]: 2 })
  })

  test('of topics that a member reads stay, those of others go', async () => {
    const client = await connect(broker())
    const [read, other] = [await createTopic(client), await createTopic(client)]
    const member = new Member(await connect(broker()), newGroup())
    const { groupId } = member
    await commit(client, groupId, { [`${read}-0`]: 1, [`${other}-0`]: 2 })
    const metadata = Buffer.from(subscriptionTo(read), 'latin1')
    await member.join({ protocols: [{ name: 'range', metadata }] })
    await member.sync()
    const { errorCode, topics } = await deleteOffsets(client, groupId, [`${read}-0`, `${other}-0`])
    const codes = topics.flatMap(({ partitions }) => partitions.map(row => row.errorCode))
    expect([errorCode, codes]).toEqual([0, [Errors.GROUP_SUBSCRIBED_TO_TOPIC, 0]])
    expect(await fetchOffsets(client, groupId)).toEqual({ [`${read}-0`]: 1 })
  })

  test('of members of another protocol, of which nobody knows what they read: all stay', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const member = new Member(await connect(broker()), newGroup())
    await commit(client, member.groupId, { [`${topic}-0`]: 1 })
    await member.join({ protocolType: 'connect' })
    const refused = await deleteOffsets(client, member.groupId, [`${topic}-0`])
    expect(refused).toMatchObject({ errorCode: Errors.NON_EMPTY_GROUP, topics: [] })
    expect(await fetchOffsets(client, member.groupId)).toEqual({ [`${topic}-0`]: 1 })
  })

  test('a group that does not exist, and one without a name, are refused as a whole', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const unknown = await deleteOffsets(client, newGroup(), [`${topic}-0`])
    expect(unknown).toMatchObject({ errorCode: Errors.GROUP_ID_NOT_FOUND, topics: [] })
    const nameless = await deleteOffsets(client, '', [`${topic}-0`])
    expect(nameless).toMatchObject({ errorCode: Errors.INVALID_GROUP_ID, topics: [] })
  })
})

describe('the topic __consumer_offsets', () => {
  test('is listed as internal, and nobody but the broker may write, delete or extend it', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    await commit(client, newGroup(), { [`${topic}-0`]: 1 })
    const asked = [{ topicId: zeroUuid, name: '__consumer_offsets' }]
    const answer = await client.request(Metadata, 12, {
      topics: asked,
      allowAutoTopicCreation: false,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    })
    expect(answer.topics[0]).toMatchObject({ isInternal: true, errorCode: 0 })
    expect(answer.topics[0].partitions).toHaveLength(4)
    const row = await produce(client, '__consumer_offsets', batchOf(['x'], {}))
    expect(row.errorCode).toBe(Errors.INVALID_TOPIC_EXCEPTION)
    const { admin } = broker().parts.services
    const name = '__consumer_offsets'
    const refused = { code: Errors.INVALID_TOPIC_EXCEPTION }
    await expect(admin.deleteTopic({ name })).rejects.toMatchObject(refused)
    const growth = { name, count: 9, assignments: null }
    await expect(admin.createPartitions(growth)).rejects.toMatchObject(refused)
  })

  test('a deleted topic takes its offsets along', async () => {
    const client = await connect(broker())
    const [kept, gone] = [await createTopic(client), await createTopic(client)]
    const group = newGroup()
    await commit(client, group, { [`${kept}-0`]: 1, [`${gone}-0`]: 2 })
    await broker().parts.services.admin.deleteTopic({ name: gone })
    await expect.poll(() => fetchOffsets(client, group)).toEqual({ [`${kept}-0`]: 1 })
    expect(newTopicName()).not.toBe(gone)
  })
})
