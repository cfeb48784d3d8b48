/** Subscriptions and assignments as bytes: ours read by kafkajs, kafkajs' read by us, nonsense from anybody. */
import kafkajs from 'kafkajs'
import { describe, expect, test } from 'vitest'
import {
  assignGroup,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  topicsOf,
} from '../../src/client/group-protocol.ts'
import { topicsOf as topicsByBroker } from '../../src/groups/subscription.ts'
import { Errors } from '../../src/protocol/errors.ts'

const { MemberMetadata, MemberAssignment } = kafkajs.AssignerProtocol
const streams = new Map([
  ['clicks', 3],
  ['views', 1],
])
const member = (memberId: string, metadata: Uint8Array) => ({
  memberId,
  groupInstanceId: null,
  metadata,
})

describe('subscriptions', () => {
  test('come back with their streams; others, and the broker, see the topics', () => {
    const bytes = encodeSubscription(streams)
    expect(decodeSubscription(bytes)).toEqual(streams)
    expect(MemberMetadata.decode(Buffer.from(bytes))).toMatchObject({
      version: 0,
      topics: ['clicks', 'views'],
    })
    expect(topicsByBroker(bytes)).toEqual(['clicks', 'views'])
  })

  test.each([
    ['none', Buffer.alloc(0)],
    ['text', Buffer.from('{"some":"json"}')],
    ['our version and nothing else', Buffer.from([0, 0])],
    ['a count without topics', Buffer.from([0, 0, 0x7f, 0xff, 0xff, 0xff])],
  ])("another client's, with user data of its own (%s), is one stream a topic", (_, userData) => {
    const bytes = MemberMetadata.encode({ version: 1, topics: ['a', 'b'], userData })
    expect(decodeSubscription(bytes)).toEqual(
      new Map([
        ['a', 1],
        ['b', 1],
      ]),
    )
  })

  test('what cannot be read counts as no topics for the leader', () => {
    const rows = [member('m', Buffer.from([0])), member('n', encodeSubscription(streams))]
    expect([...topicsOf(rows)]).toEqual(['clicks', 'views'])
    expect(assignGroup('range', rows, () => [0]).get('m')).toEqual(new Map())
  })
})

describe('assignments', () => {
  const assignment = new Map([
    ['clicks', [0, 1, 2]],
    ['views', [7]],
  ])

  test('come back; kafkajs reads them, and we read its', () => {
    const bytes = encodeAssignment(assignment)
    expect(decodeAssignment(bytes)).toEqual(assignment)
    const decoded = MemberAssignment.decode(Buffer.from(bytes))
    expect(decoded?.assignment).toEqual({ clicks: [0, 1, 2], views: [7] })
    const theirs = MemberAssignment.encode({
      version: 1,
      assignment: { clicks: [3] },
      userData: Buffer.alloc(0),
    })
    expect(decodeAssignment(theirs)).toEqual(new Map([['clicks', [3]]]))
  })

  test('no bytes are no partitions; broken ones are said to be', () => {
    expect(decodeAssignment(new Uint8Array(0))).toEqual(new Map())
    const cut = encodeAssignment(assignment).subarray(0, 20)
    expect(() => decodeAssignment(cut)).toThrow(
      expect.objectContaining({ code: Errors.INCONSISTENT_GROUP_PROTOCOL }),
    )
  })

  test('under stream-range streams count, under range members do; only readers of a topic share it', () => {
    const rows = [
      member('a', encodeSubscription(new Map([['t', 3]]))),
      member(
        'b',
        encodeSubscription(
          new Map([
            ['t', 1],
            ['u', 1],
          ]),
        ),
      ),
    ]
    const partitions = () => [0, 1, 2, 3]
    expect(assignGroup('stream-range', rows, partitions)).toEqual(
      new Map([
        ['a', new Map([['t', [0, 1, 2]]])],
        [
          'b',
          new Map([
            ['t', [3]],
            ['u', [0, 1, 2, 3]],
          ]),
        ],
      ]),
    )
    expect(assignGroup('range', rows, partitions).get('a')).toEqual(new Map([['t', [0, 1]]]))
  })

  test('a topic that does not exist is given to nobody', () => {
    const rows = [member('a', encodeSubscription(new Map([['gone', 2]])))]
    expect(assignGroup('stream-range', rows, () => []).get('a')).toEqual(new Map())
  })
})
