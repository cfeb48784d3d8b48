/**
 * Records of __consumer_offsets against bytes of an independent encoder driven by Kafka's own definitions
 * (test/fixtures/golden/group-records.jsonl, made by test/groups/golden-records.ts), and back.
 */
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  decodeGroupRecord,
  groupRecord,
  offsetRecord,
  partitionOfGroup,
} from '../../src/groups/group-records.ts'
import type { CommittedOffset, GroupSnapshot } from '../../src/groups/types.ts'
import type { LogRecord } from '../../src/protocol/records.ts'
import {
  definitions,
  type GoldenRecord,
  goldenRecords,
  goldenRecordsPath,
  goldenRecordsText,
} from './golden-records.ts'

const golden = readFileSync(goldenRecordsPath, 'utf8')
  .trimEnd()
  .split('\n')
  .map(line => JSON.parse(line) as GoldenRecord)

const record = (key: Uint8Array | null, value: Uint8Array | null): LogRecord => ({
  offset: 0,
  timestampMs: 0,
  key,
  value,
  headers: [],
})
const read = ({ key, value }: GoldenRecord) =>
  decodeGroupRecord(
    record(Buffer.from(key, 'hex'), value === null ? null : Buffer.from(value, 'hex')),
  )
const named = (name: string): GoldenRecord => golden.find(one => one.name === name)!
const hex = (bytes: Uint8Array | null) => bytes && Buffer.from(bytes).toString('hex')

const committed: CommittedOffset = {
  offset: 2 ** 40 + 5,
  leaderEpoch: 7,
  metadata: 'grüße 🦉',
  commitTimestampMs: 1_700_000_000_123,
  expireTimestampMs: -1,
}
const group: GroupSnapshot = {
  groupId: 'my group',
  protocolType: 'consumer',
  generation: 42,
  protocol: 'range',
  leader: 'member-1',
  stateTimestampMs: 1_700_000_000_456,
  members: [
    {
      memberId: 'member-1',
      groupInstanceId: null,
      clientId: 'app',
      clientHost: '/127.0.0.1',
      rebalanceTimeoutMs: 60_000,
      sessionTimeoutMs: 10_000,
      subscription: Buffer.from('subscription 1'),
      assignment: Buffer.from('assignment 1'),
    },
    {
      memberId: 'member-2',
      groupInstanceId: 'instance',
      clientId: '',
      clientHost: '/10.1.2.3',
      rebalanceTimeoutMs: 5,
      sessionTimeoutMs: 6,
      subscription: Buffer.alloc(2000, 's'),
      assignment: Buffer.alloc(0),
    },
  ],
}

const plain = (snapshot: unknown): unknown =>
  JSON.parse(
    JSON.stringify(snapshot, (_key, value) =>
      value instanceof Uint8Array || value?.type === 'Buffer'
        ? Buffer.from(value.data ?? value).toString('hex')
        : value,
    ),
  )

describe('golden bytes', () => {
  test('the versions that Kafka 4.1 writes are written as Kafka writes them', () => {
    const offset = offsetRecord('my group', { topic: 'orders', partition: 3, offset: committed })
    const [key, value] = [hex(offset.key), hex(offset.value)]
    expect({ key, value }).toEqual(pick(named('offset 3')))
    const timed = { ...committed, leaderEpoch: -1, expireTimestampMs: 1_800_000_000_000 }
    const withTime = offsetRecord('my group', { topic: 'orders', partition: 3, offset: timed })
    expect(hex(withTime.value)).toBe(named('offset 1').value)
    const whole = groupRecord('my group', group)
    expect({ key: hex(whole.key), value: hex(whole.value) }).toEqual(pick(named('group 3')))
  })

  test('tombstones are a key without a value', () => {
    const gone = offsetRecord('my group', { topic: 'orders', partition: 3, offset: null })
    expect({ key: hex(gone.key), value: gone.value }).toEqual({
      key: named('offset 3').key,
      value: null,
    })
    expect(groupRecord('my group', null)).toMatchObject({ value: null })
    expect(hex(groupRecord('my group', null).key)).toBe(named('group 3').key)
  })

  test.each([0, 1, 2, 3, 4])('an offset of value version %i is read', version => {
    const expected = {
      ...committed,
      leaderEpoch: version >= 3 ? 7 : -1,
      expireTimestampMs: version === 1 ? 1_800_000_000_000 : -1,
    }
    const row = { topic: 'orders', partition: 3, offset: expected }
    const change = read(named(`offset ${version}`))
    expect(change).toEqual({ kind: 'offset', groupId: 'my group', row })
  })

  test('an offset under the key of old brokers is read', () => {
    const row = { topic: 'orders', partition: 3, offset: { ...committed, leaderEpoch: -1 } }
    expect(read(named('legacy offset'))).toEqual({ kind: 'offset', groupId: 'my group', row })
  })

  test.each([0, 1, 2, 3, 4])('a group of value version %i is read', version => {
    const members = group.members.map(member => ({
      ...member,
      groupInstanceId: version >= 3 ? member.groupInstanceId : null,
      rebalanceTimeoutMs: version >= 1 ? member.rebalanceTimeoutMs : member.sessionTimeoutMs,
    }))
    const stateTimestampMs = version >= 2 ? group.stateTimestampMs : -1
    const change = read(named(`group ${version}`))
    const expected = { ...group, stateTimestampMs, members }
    expect(plain(change)).toEqual(plain({ kind: 'group', groupId: 'my group', group: expected }))
  })

  test('keys of other kinds are named by their number', () => {
    const key = Buffer.from('0003000367726f7570', 'hex')
    expect(decodeGroupRecord(record(key, Buffer.from('0000', 'hex')))).toEqual({
      kind: 'other',
      version: 3,
    })
  })

  test.skipIf(!existsSync(definitions))('are what the generator makes of the definitions', () => {
    expect(readFileSync(goldenRecordsPath, 'utf8')).toBe(goldenRecordsText(goldenRecords()))
  })
})

function pick({ key, value }: GoldenRecord): { key: string; value: string | null } {
  return { key, value }
}

test('what is read does not change when the bytes do', () => {
  const { key, value } = groupRecord('g', group)
  const copy = new Uint8Array(value!)
  const change = decodeGroupRecord(record(key, copy))
  copy.fill(0xff)
  expect(plain(change)).toEqual(
    plain({ kind: 'group', groupId: 'g', group: { ...group, groupId: 'g' } }),
  )
})

test('every cut of a record is refused, none crashes', () => {
  for (const { key, value } of golden) {
    const [keyBytes, valueBytes] = [Buffer.from(key, 'hex'), Buffer.from(value ?? '', 'hex')]
    for (let at = 0; at < keyBytes.length; at++) {
      expect(() => decodeGroupRecord(record(keyBytes.subarray(0, at), valueBytes))).toThrow(
        RangeError,
      )
    }
    for (let at = 0; at < valueBytes.length; at++) {
      expect(() => decodeGroupRecord(record(keyBytes, valueBytes.subarray(0, at)))).toThrow(
        RangeError,
      )
    }
  }
  expect(() => decodeGroupRecord(record(null, null))).toThrow(RangeError)
  const future = Buffer.from('0005', 'hex')
  const key = Buffer.from(named('offset 3').key, 'hex')
  expect(() => decodeGroupRecord(record(key, future))).toThrow('version 5')
})

test('a group lies in the partition where Kafka looks for it', () => {
  // String.hashCode of the JVM, modulo 50: computed by java, the last two are negative and the smallest of all.
  const wanted: [string, number][] = [
    ['', 0],
    ['a', 47],
    ['my-group', 12],
    ['console-consumer-12345', 6],
    ['grüße-🦉', 39],
    ['polygenelubricants', 0],
  ]
  const found = wanted.map(([groupId]) => [groupId, partitionOfGroup(groupId, 50)])
  expect(found).toEqual(wanted)
})
