/**
 * Records of `__consumer_offsets` in Kafka's schemas (GroupMetadataKey/Value, OffsetCommitKey/Value of Kafka 4.1), so
 * that Kafka's tools read the files. Pure.
 *
 *   key    | i16 0 or 1 | group | topic | partition i32 |     a committed offset
 *          | i16 2 | group |                                  a group
 *   value  | i16 version | ... |       none: the offset, or the group, is no more
 *
 * Written are the versions that Kafka 4.1 writes (offsets 3, or 1 with a time of expiry; groups 3), read are all.
 */
import { codec } from '../protocol/compile.ts'
import type { RecordToEncode } from '../protocol/encode-batch.ts'
import { ProtocolError, Reader } from '../protocol/reader.ts'
import type { LogRecord } from '../protocol/records.ts'
import {
  api,
  array,
  between,
  bytes,
  int32,
  int64,
  nullableString,
  since,
  string,
  tagged,
  uuid,
} from '../protocol/schema.ts'
import { Writer } from '../protocol/writer.ts'
import type { CommittedOffset, GroupSnapshot, MemberSnapshot, OffsetRow } from './types.ts'

/** What a record says; null as the value takes away. */
export type GroupChange =
  | { readonly kind: 'offset'; readonly groupId: string; readonly row: OffsetRow }
  | { readonly kind: 'group'; readonly groupId: string; readonly group: GroupSnapshot | null }
  /** Of a kind that is not known here, such as the groups of KIP-848; `version` is the key's. */
  | { readonly kind: 'other'; readonly version: number }

const offsetKeyVersion = 1
const groupKeyVersion = 2

/** Keys have no versions of their own: their number says what they are. Values are versioned. */
const OffsetRecord = api({
  name: 'OffsetRecord',
  key: offsetKeyVersion,
  versions: [0, 4],
  flexible: 4,
  request: { group: string, topic: string, partition: int32 },
  response: {
    offset: int64,
    leaderEpoch: since(3, int32, -1),
    metadata: string,
    commitTimestamp: int64,
    expireTimestamp: between(1, 1, int64, -1),
    topicId: since(4, tagged(0, uuid)),
  },
})

const GroupRecord = api({
  name: 'GroupRecord',
  key: groupKeyVersion,
  versions: [0, 4],
  flexible: 4,
  request: { group: string },
  response: {
    protocolType: string,
    generation: int32,
    protocol: nullableString,
    leader: nullableString,
    currentStateTimestamp: since(2, int64, -1),
    members: array({
      memberId: string,
      groupInstanceId: since(3, nullableString),
      clientId: string,
      clientHost: string,
      rebalanceTimeout: since(1, int32, -1),
      sessionTimeout: int32,
      subscription: bytes,
      assignment: bytes,
    }),
  },
})

const keyCodec = { offset: codec(OffsetRecord, 0).request, group: codec(GroupRecord, 0).request }
const writer = new Writer()
const reader = new Reader()
const sizeBytes = 4

/** The record of one committed offset, or its tombstone. */
export function offsetRecord(
  groupId: string,
  { topic, partition, offset }: OffsetRow,
): RecordToEncode {
  const key = encode(offsetKeyVersion, () =>
    keyCodec.offset.write(writer, { group: groupId, topic, partition }),
  )
  return { key, value: offset === null ? null : offsetValue(offset) }
}

function offsetValue(committed: CommittedOffset): Uint8Array {
  const { offset, leaderEpoch, metadata, commitTimestampMs, expireTimestampMs } = committed
  // Only version 1 has a time of expiry, and it has no leader epoch.
  const version = expireTimestampMs === -1 ? 3 : 1
  return encode(version, () =>
    codec(OffsetRecord, version).response.write(writer, {
      offset,
      leaderEpoch,
      metadata,
      commitTimestamp: commitTimestampMs,
      expireTimestamp: expireTimestampMs,
      topicId: OffsetRecord.response.topicId.absent as string,
    }),
  )
}

/** The record of a group; without a snapshot its tombstone. */
export function groupRecord(groupId: string, snapshot: GroupSnapshot | null): RecordToEncode {
  const key = encode(groupKeyVersion, () => keyCodec.group.write(writer, { group: groupId }))
  return { key, value: snapshot === null ? null : groupValue(snapshot) }
}

function groupValue(snapshot: GroupSnapshot): Uint8Array {
  const { generation, protocol, leader, members } = snapshot
  return encode(3, () =>
    codec(GroupRecord, 3).response.write(writer, {
      protocolType: snapshot.protocolType ?? '',
      generation,
      protocol,
      leader,
      currentStateTimestamp: snapshot.stateTimestampMs,
      members: members.map(member => ({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        rebalanceTimeout: member.rebalanceTimeoutMs,
        sessionTimeout: member.sessionTimeoutMs,
        subscription: member.subscription,
        assignment: member.assignment,
      })),
    }),
  )
}

/** A frame of the Writer without its size. */
function encode(version: number, write: () => void): Uint8Array {
  writer.begin()
  writer.int16(version)
  write()
  return Buffer.concat(writer.end()).subarray(sizeBytes)
}

/**
 * What a record of the topic says. Throws ProtocolError for one that no broker writes. Nothing of the record is kept:
 * its bytes may be overwritten.
 */
export function decodeGroupRecord({ key, value }: LogRecord): GroupChange {
  if (key === null) throw new ProtocolError('a group record without a key')
  const r = reader.reset(key)
  const version = r.int16()
  if (version === offsetKeyVersion || version === 0) {
    const { group, topic, partition } = keyCodec.offset.read(r)
    const offset = value === null ? null : readOffset(value)
    return { kind: 'offset', groupId: group, row: { topic, partition, offset } }
  }
  if (version !== groupKeyVersion) return { kind: 'other', version }
  const { group: groupId } = keyCodec.group.read(r)
  return { kind: 'group', groupId, group: value === null ? null : readGroup(groupId, value) }
}

function readOffset(value: Uint8Array): CommittedOffset {
  const r = reader.reset(value)
  const read = codec(OffsetRecord, valueVersion(r)).response.read(r)
  return {
    offset: read.offset,
    leaderEpoch: read.leaderEpoch,
    metadata: read.metadata,
    commitTimestampMs: read.commitTimestamp,
    expireTimestampMs: read.expireTimestamp,
  }
}

function readGroup(groupId: string, value: Uint8Array): GroupSnapshot {
  const r = reader.reset(value)
  const read = codec(GroupRecord, valueVersion(r)).response.read(r)
  return {
    groupId,
    protocolType: read.protocolType === '' ? null : read.protocolType,
    generation: read.generation,
    protocol: read.protocol,
    leader: read.leader,
    stateTimestampMs: read.currentStateTimestamp,
    members: read.members.map(
      (member): MemberSnapshot => ({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        // Version 0 has none: as Kafka reads it.
        rebalanceTimeoutMs:
          member.rebalanceTimeout === -1 ? member.sessionTimeout : member.rebalanceTimeout,
        sessionTimeoutMs: member.sessionTimeout,
        subscription: new Uint8Array(member.subscription),
        assignment: new Uint8Array(member.assignment),
      }),
    ),
  }
}

/** All later versions would be incompatible (KIP-915). */
function valueVersion(r: Reader): number {
  const version = r.int16()
  if (version < 0 || version > 4) throw new ProtocolError(`value version ${version}`)
  return version
}

/** The partition that keeps a group, as Kafka finds it: String.hashCode over UTF-16, modulo the partitions. */
export function partitionOfGroup(groupId: string, partitions: number): number {
  let hash = 0
  for (let i = 0; i < groupId.length; i++) {
    hash = (Math.imul(hash, 31) + groupId.charCodeAt(i)) | 0
  }
  return (hash === -0x8000_0000 ? 0 : Math.abs(hash)) % partitions
}
