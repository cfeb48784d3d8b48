/** Committed offsets over raw sockets: what most tests of them send, and what they look at. */
import type { Broker } from '../../src/broker.ts'
import { OffsetCommit } from '../../src/protocol/messages/offset-commit.ts'
import { OffsetDelete } from '../../src/protocol/messages/offset-delete.ts'
import { OffsetFetch } from '../../src/protocol/messages/offset-fetch.ts'
import type { ResponseOf } from '../../src/protocol/schema.ts'
import type { WireClient } from '../support/wire-client.ts'

/** `topic-partition` -> offset. */
export type Offsets = Readonly<Record<string, number>>

export interface CommitOptions {
  readonly version?: number
  readonly generation?: number
  readonly memberId?: string
  readonly metadata?: string | null
  readonly retentionTimeMs?: number
  readonly leaderEpoch?: number
}

export type FetchedRow = ResponseOf<
  typeof OffsetFetch
>['groups'][number]['topics'][number]['partitions'][number]

/** `orders-3` -> topic and partition. */
function placeOf(key: string): { topic: string; partition: number } {
  const dash = key.lastIndexOf('-')
  return { topic: key.slice(0, dash), partition: Number(key.slice(dash + 1)) }
}

function byTopic<T>(
  keys: readonly string[],
  toRow: (partition: number, key: string) => T,
): { name: string; rows: T[] }[] {
  const topics = Map.groupBy(keys, key => placeOf(key).topic)
  return [...topics].map(([name, group]) => ({
    name,
    rows: group.map(key => toRow(placeOf(key).partition, key)),
  }))
}

/** @returns the error of each row by `topic-partition` */
export async function commit(
  client: WireClient,
  groupId: string,
  offsets: Offsets,
  options: CommitOptions = {},
): Promise<Record<string, number>> {
  const { version = 9, generation = -1, memberId = '', metadata = '' } = options
  const { retentionTimeMs = -1, leaderEpoch = -1 } = options
  const answer = await client.request(OffsetCommit, version, {
    groupId,
    generationIdOrMemberEpoch: generation,
    memberId,
    groupInstanceId: null,
    retentionTimeMs,
    topics: byTopic(Object.keys(offsets), (partitionIndex, key) => ({
      partitionIndex,
      committedOffset: offsets[key],
      committedLeaderEpoch: leaderEpoch,
      commitTimestamp: -1,
      committedMetadata: metadata,
    })).map(({ name, rows }) => ({ name, partitions: rows })),
  })
  const rows = answer.topics.flatMap(({ name, partitions }) =>
    partitions.map(row => [`${name}-${row.partitionIndex}`, row.errorCode] as const),
  )
  return Object.fromEntries(rows)
}

/** All offsets of a group, or those of some partitions; -1 where nothing is committed. Throws on an error. */
export async function fetchOffsets(
  client: WireClient,
  groupId: string,
  keys: readonly string[] | null = null,
): Promise<Record<string, number>> {
  const rows = await fetchRows(client, groupId, keys)
  return Object.fromEntries(Object.entries(rows).map(([key, row]) => [key, row.committedOffset]))
}

export async function fetchRows(
  client: WireClient,
  groupId: string,
  keys: readonly string[] | null = null,
): Promise<Record<string, FetchedRow>> {
  const group = (await fetchGroups(client, [groupId], keys)).groups[0]
  if (group.errorCode !== 0) throw new Error(`group error ${group.errorCode}`)
  return Object.fromEntries(
    group.topics.flatMap(({ name, partitions }) =>
      partitions.map(row => [`${name}-${row.partitionIndex}`, row] as const),
    ),
  )
}

export function fetchGroups(
  client: WireClient,
  groupIds: readonly string[],
  keys: readonly string[] | null = null,
): Promise<ResponseOf<typeof OffsetFetch>> {
  const topics =
    keys &&
    byTopic(keys, partition => partition).map(({ name, rows }) => ({
      name,
      partitionIndexes: rows,
    }))
  return client.request(OffsetFetch, 9, {
    groupId: '',
    topics: [],
    groups: groupIds.map(groupId => ({ groupId, memberId: null, memberEpoch: -1, topics })),
    requireStable: true,
  })
}

export function deleteOffsets(
  client: WireClient,
  groupId: string,
  keys: readonly string[],
): Promise<ResponseOf<typeof OffsetDelete>> {
  return client.request(OffsetDelete, 0, {
    groupId,
    topics: byTopic(keys, partitionIndex => ({ partitionIndex })).map(({ name, rows }) => ({
      name,
      partitions: rows,
    })),
  })
}

/** What the broker has in memory of all groups: `group topic-partition` -> offset. */
export function committedIn(broker: Broker): Record<string, number> {
  const { committed } = broker.parts.services
  const all: Record<string, number> = {}
  for (const groupId of [...committed.groupIds()].sort()) {
    for (const [topic, partitions] of committed.all(groupId)) {
      for (const [partition, { offset }] of partitions)
        all[`${groupId} ${topic}-${partition}`] = offset
    }
  }
  return all
}
