/**
 * What members say of themselves and are given, in Kafka's ConsumerProtocol, so that any tool can show it:
 *
 *   subscription  version i16 | topics: count i32, texts | user data: length i32, bytes | ... in later versions
 *   assignment    version i16 | topics: count i32, each text, partitions: count i32, i32 ... | user data
 *   user data     version i16 | topics: count i32, each text, streams i32         (ours, of a subscription)
 *
 * Two ways of assigning are offered. `stream-range` is the paper's: a member takes part in a topic once for each of its
 * streams. `range` is Kafka's, where a member counts once: for groups shared with other clients that know it.
 */
import { Errors, KafkaError } from '../protocol/errors.ts'
import { ProtocolError, Reader } from '../protocol/reader.ts'
import { Writer } from '../protocol/writer.ts'
import { assignMembers, type StreamOwner } from './group-assign.ts'

export const protocolType = 'consumer'
/** In the order of preference. */
export const protocolNames = ['stream-range', 'range'] as const

/** Topic -> streams. */
export type Subscription = ReadonlyMap<string, number>
/** Topic -> partitions. */
export type Assignment = ReadonlyMap<string, readonly number[]>

export interface GroupMemberRow {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly metadata: Uint8Array
}

const userDataVersion = 0

export function encodeSubscription(subscription: Subscription): Uint8Array {
  const userData = encoded(writer => {
    writer.int16(userDataVersion)
    writer.array(subscription.size)
    for (const [topic, streams] of subscription) {
      writer.string(topic)
      writer.int32(streams)
    }
  })
  return encoded(writer => {
    writer.int16(0)
    writer.array(subscription.size)
    for (const topic of subscription.keys()) writer.string(topic)
    writer.nullableBytes(userData)
  })
}

/**
 * Of any client: topics without a stream count of ours have one stream.
 * @throws ProtocolError
 */
export function decodeSubscription(metadata: Uint8Array): Map<string, number> {
  const reader = new Reader(metadata)
  reader.int16()
  const streams = new Map<string, number>()
  for (let left = reader.int32(); left > 0; left--) streams.set(reader.string(), 1)
  const userData = reader.remaining >= 4 ? reader.nullableBytes() : null
  for (const [topic, count] of streamCounts(userData)) {
    if (streams.has(topic)) streams.set(topic, count)
  }
  return streams
}

/** Other clients put whatever they like there: what is not ours counts as nothing. */
function streamCounts(userData: Uint8Array | null): [string, number][] {
  try {
    const reader = new Reader(userData ?? new Uint8Array(0))
    if (reader.remaining < 6 || reader.int16() !== userDataVersion) return []
    const counts: [string, number][] = []
    for (let left = reader.int32(); left > 0; left--) {
      counts.push([reader.string(), Math.max(1, reader.int32())])
    }
    return reader.remaining === 0 ? counts : []
  } catch (error) {
    if (error instanceof ProtocolError) return []
    throw error
  }
}

export function encodeAssignment(assignment: Assignment): Uint8Array {
  return encoded(writer => {
    writer.int16(0)
    writer.array(assignment.size)
    for (const [topic, partitions] of assignment) {
      writer.string(topic)
      writer.array(partitions.length)
      for (const partition of partitions) writer.int32(partition)
    }
    writer.nullableBytes(null)
  })
}

/**
 * No bytes at all are an empty assignment.
 * @throws KafkaError INCONSISTENT_GROUP_PROTOCOL for what no assignor of the type `consumer` gives
 */
export function decodeAssignment(bytes: Uint8Array): Map<string, number[]> {
  const assignment = new Map<string, number[]>()
  if (bytes.length === 0) return assignment
  try {
    const reader = new Reader(bytes)
    reader.int16()
    for (let left = reader.int32(); left > 0; left--) {
      const topic = reader.string()
      const partitions: number[] = []
      for (let count = reader.int32(); count > 0; count--) partitions.push(reader.int32())
      assignment.set(topic, partitions)
    }
    return assignment
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    const message = `the leader of the group gave an assignment that cannot be read: ${error.message}`
    throw new KafkaError(Errors.INCONSISTENT_GROUP_PROTOCOL, message)
  }
}

/** Topics that somebody in the group reads. */
export function topicsOf(members: readonly GroupMemberRow[]): Set<string> {
  return new Set(members.flatMap(({ metadata }) => [...subscriptionOf(metadata).keys()]))
}

/**
 * What the leader does: every topic on its own, over the members that read it.
 * @param partitionsOf partition numbers of a topic, none when it does not exist
 * @returns member id -> assignment, for every member
 */
export function assignGroup(
  protocol: string,
  members: readonly GroupMemberRow[],
  partitionsOf: (topic: string) => readonly number[],
): Map<string, Map<string, number[]>> {
  const assignments = new Map(members.map(({ memberId }) => [memberId, new Map()]))
  const owners = new Map<string, StreamOwner[]>()
  for (const { memberId, groupInstanceId, metadata } of members) {
    for (const [topic, count] of subscriptionOf(metadata)) {
      const streams = protocol === 'stream-range' ? count : 1
      const rows = owners.get(topic) ?? []
      rows.push({ memberId, groupInstanceId, streams })
      owners.set(topic, rows)
    }
  }
  for (const [topic, rows] of owners) {
    for (const [memberId, partitions] of assignMembers(partitionsOf(topic), rows)) {
      if (partitions.length > 0) assignments.get(memberId)!.set(topic, partitions)
    }
  }
  return assignments
}

/** Who says nothing that can be read gets nothing. */
function subscriptionOf(metadata: Uint8Array): Map<string, number> {
  try {
    return decodeSubscription(metadata)
  } catch (error) {
    if (error instanceof ProtocolError) return new Map()
    throw error
  }
}

function encoded(write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer(1024)
  writer.begin()
  write(writer)
  // A frame's size stands in front.
  return Buffer.concat(writer.end()).subarray(4)
}
