/**
 * Consumer groups as people look at them: who is in which state, who reads what, how far behind. Plain functions over
 * the coordinator, the committed offsets and the offset table; HTTP and metrics ask them. Dispatcher thread.
 */
import type { OffsetsByTopic } from '../groups/offset-map.ts'
import { assignmentOf } from '../groups/subscription.ts'
import type { TimelineEvent } from '../groups/timeline.ts'
import type { CommittedOffset } from '../groups/types.ts'
import { emptyOffsetView } from '../partitions/offset-table.ts'
import { Errors } from '../protocol/errors.ts'
import type { Services } from '../services.ts'

export interface GroupSummary {
  readonly groupId: string
  /** As Kafka names it: Empty, PreparingRebalance, CompletingRebalance, Stable. */
  readonly state: string
  /** Empty for groups that nobody ever joined. */
  readonly protocolType: string
  readonly members: number
  readonly committedOffsets: number
}

export interface GroupView {
  readonly groupId: string
  readonly state: string
  readonly protocolType: string
  /** What its members agreed on; empty unless it is stable. */
  readonly protocol: string
  readonly generation: number
  readonly leader: string | null
  readonly members: readonly GroupMemberView[]
  readonly offsets: readonly GroupOffsetView[]
  /** Oldest first. */
  readonly timeline: readonly TimelineEvent[]
}

export interface GroupMemberView {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  /** Topic -> partitions; null when the group is not stable, is none of consumers, or has assigned too much to tell. */
  readonly assignment: ReadonlyMap<string, readonly number[]> | null
}

export interface GroupOffsetView {
  readonly topic: string
  readonly partition: number
  readonly committed: CommittedOffset
  /** Null while the partition is not online. */
  readonly logStart: number | null
  /** Of what consumers may read. */
  readonly logEnd: number | null
  /** Log end less committed offset, as everywhere with Kafka; below zero when the log has lost its end. */
  readonly lag: number | null
}

type GroupServices = Pick<Services, 'groups' | 'committed' | 'topics' | 'offsets'>

const view = emptyOffsetView()
/** Of all members of a group, for people: about a million partitions. Reading more would hold up requests. */
const assignedBytesMax = 4 * 1024 * 1024

/** All groups, those that only commit offsets included; by name. */
export function listGroups({ groups, committed }: GroupServices): GroupSummary[] {
  const count = (groupId: string): number => offsetCount(committed.all(groupId))
  const summaries: GroupSummary[] = groups.list().map(group => ({
    ...group,
    committedOffsets: count(group.groupId),
  }))
  for (const groupId of committed.groupIds()) {
    if (groups.has(groupId)) continue
    const none = { state: 'Empty', protocolType: '', members: 0 }
    summaries.push({ groupId, ...none, committedOffsets: count(groupId) })
  }
  return summaries.sort((a, b) => (a.groupId < b.groupId ? -1 : 1))
}

/** @returns null when there is no such group, a code of `Errors` when it cannot be told now */
export function viewGroup(services: GroupServices, groupId: string): GroupView | number | null {
  const { groups, committed } = services
  const code = committed.availability(groupId)
  if (code !== Errors.NONE) return code
  const isKnown = groups.has(groupId)
  if (!isKnown && !committed.has(groupId)) return null
  const { members, ...described } = groups.describe(groupId)
  const assignedBytes = members.reduce((sum, { assignment }) => sum + assignment.length, 0)
  const isToldOf =
    described.state === 'Stable' &&
    described.protocolType === 'consumer' &&
    assignedBytes <= assignedBytesMax
  return {
    ...described,
    state: isKnown ? described.state : 'Empty',
    members: members.map(({ assignment, ...member }) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      sessionTimeoutMs: member.sessionTimeoutMs,
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      assignment: isToldOf ? assignmentOf(assignment) : null,
    })),
    offsets: [...offsetsOf(services, groupId)].sort(byPartition),
    timeline: groups.timeline(groupId),
  }
}

/**
 * How far every group is behind, in records over all its partitions. Nothing when there are so many offsets that
 * looking at them would hold up requests.
 */
export function* groupLags(services: GroupServices): Generator<[groupId: string, lag: number]> {
  if (services.committed.count > lagOffsetsMax) return
  for (const groupId of services.committed.groupIds()) {
    let total = 0
    for (const { lag } of offsetsOf(services, groupId)) total += Math.max(0, lag ?? 0)
    yield [groupId, total]
  }
}

/** Looked at in about 20 ms. */
const lagOffsetsMax = 50_000

function* offsetsOf(services: GroupServices, groupId: string): Generator<GroupOffsetView> {
  const { committed, topics, offsets } = services
  for (const [topic, partitions] of committed.all(groupId)) {
    for (const [partition, offset] of partitions) {
      const row = { topic, partition, committed: offset }
      const place = topics.partition(topic, partition)
      const isOnline = place?.state === 'online' && offsets.read(place.slot, place.generation, view)
      if (isOnline) {
        const { logStart, highWatermark: logEnd } = view
        yield { ...row, logStart, logEnd, lag: logEnd - offset.offset }
      } else yield { ...row, logStart: null, logEnd: null, lag: null }
    }
  }
}

function byPartition(a: GroupOffsetView, b: GroupOffsetView): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1
  return a.partition - b.partition
}

function offsetCount(topics: OffsetsByTopic): number {
  let count = 0
  for (const partitions of topics.values()) count += partitions.size
  return count
}
