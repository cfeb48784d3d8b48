/**
 * How a consumer instance can share partitions with other members of its group. Pure functions.
 *
 *   range         each topic in contiguous parts over the members that read it         Kafka, librdkafka, our client
 *   roundrobin    all partitions in turn over all members                              Kafka, librdkafka
 *   stream-range  the paper's, a member counts once for each of its streams            our client
 *
 * A group takes the one that all its members know; an instance counts as a single stream.
 */
import {
  type Assignment,
  assignGroup,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from '../../client/group-protocol.ts'
import type { JoinedMember, MemberProtocol } from '../../groups/calls.ts'
import { ProtocolError } from '../../protocol/reader.ts'

const names = ['range', 'roundrobin', 'stream-range'] as const

export function protocolsFor(topics: readonly string[]): MemberProtocol[] {
  const metadata = encodeSubscription(new Map(topics.map(topic => [topic, 1])))
  return names.map(name => ({ name, metadata }))
}

/**
 * What the leader does.
 * @param counts topic -> number of partitions. @returns one row for each member; none when there are no members to see
 */
export function assignmentsFor(
  protocol: string,
  members: readonly JoinedMember[],
  counts: ReadonlyMap<string, number>,
): { memberId: string; assignment: Uint8Array }[] {
  const partitionsOf = (topic: string): number[] => [...Array(counts.get(topic) ?? 0).keys()]
  const assigned =
    protocol === 'roundrobin'
      ? roundRobin(members, partitionsOf)
      : assignGroup(protocol, members, partitionsOf)
  return Array.from(assigned, ([memberId, assignment]) => ({
    memberId,
    assignment: encodeAssignment(assignment),
  }))
}

/** Partitions by topic and number, members by id; who does not read the topic is passed over. */
function roundRobin(
  members: readonly JoinedMember[],
  partitionsOf: (topic: string) => readonly number[],
): Map<string, Assignment> {
  const sorted = members.toSorted((a, b) => (a.memberId < b.memberId ? -1 : 1))
  const topics = sorted.map(topicsOfOne)
  const assigned = new Map(sorted.map(({ memberId }) => [memberId, new Map<string, number[]>()]))
  let next = 0
  for (const topic of [...new Set(topics.flatMap(set => [...set]))].sort()) {
    for (const partition of partitionsOf(topic)) {
      while (!topics[next % sorted.length].has(topic)) next++
      const parts = assigned.get(sorted[next++ % sorted.length].memberId)!
      const own = parts.get(topic)
      if (own === undefined) parts.set(topic, [partition])
      else own.push(partition)
    }
  }
  return assigned
}

/** Who says nothing that can be read gets nothing. */
function topicsOfOne({ metadata }: JoinedMember): ReadonlySet<string> {
  try {
    return new Set(decodeSubscription(metadata).keys())
  } catch (error) {
    if (error instanceof ProtocolError) return new Set()
    throw error
  }
}
