/** Offsets of a topic's partitions by time, from the leaders that know them. */
import { Errors } from '../protocol/errors.ts'
import { ListOffsets } from '../protocol/messages/list-offsets.ts'
import type { ResponseOf } from '../protocol/schema.ts'
import { type Cluster, isUnknownTopic, type PartitionInfo, topicError } from './cluster.ts'

/** ListOffsets' words for times that are none. */
export const latestTimestamp = -1
export const earliestTimestamp = -2

/**
 * For each partition the first offset with a timestamp at or after `timestampMs`, -1 when there is none;
 * `latestTimestamp` gives the end of what consumers may read, `earliestTimestamp` the start.
 * @throws KafkaError when a partition does not exist, or is still without a leader after the time for retries
 */
export function listOffsets(
  cluster: Cluster,
  topic: string,
  partitions: readonly number[],
  timestampMs: number,
): Promise<Map<number, number>> {
  let refresh = false
  return cluster.retrying(
    async () => {
      const info = await cluster.topic(topic, { refresh })
      refresh = true
      const offsets = new Map<number, number>()
      const wanted = info.partitions.filter(({ index }) => partitions.includes(index))
      const leaders = new Set(wanted.map(({ leader }) => leader))
      for (const leader of leaders) {
        const led = wanted.filter(partition => partition.leader === leader)
        await askLeader(cluster, topic, led, timestampMs, offsets)
      }
      return offsets
    },
    { isFinal: isUnknownTopic },
  )
}

/** Topic -> partition numbers. */
export type Partitions = ReadonlyMap<string, Iterable<number>>

/**
 * As `listOffsets`, of many topics in one try, for whoever wants to show what can be known now: partitions that do not
 * exist, have no leader or answer with an error are not in it.
 */
export async function peekOffsets(
  cluster: Cluster,
  wanted: Partitions,
  timestampMs: number,
): Promise<Map<string, Map<number, number>>> {
  const found = new Map<string, Map<number, number>>()
  if (wanted.size === 0) return found
  const byLeader = new Map<number, Map<string, number[]>>()
  for (const { name, partitions } of (await cluster.metadata([...wanted.keys()])).topics) {
    const numbers = new Set(wanted.get(name ?? ''))
    for (const { leaderId, partitionIndex } of partitions) {
      if (leaderId < 0 || !numbers.has(partitionIndex)) continue
      const topics = byLeader.get(leaderId) ?? new Map<string, number[]>()
      byLeader.set(leaderId, topics)
      const asked = topics.get(name ?? '') ?? []
      topics.set(name ?? '', asked)
      asked.push(partitionIndex)
    }
  }
  for (const [leader, topics] of byLeader) {
    for (const { name, partitions } of await ask(cluster, leader, topics, timestampMs)) {
      const rows = partitions.filter(({ errorCode }) => errorCode === Errors.NONE)
      const offsets = rows.map(row => [row.partitionIndex, row.offset] as const)
      found.set(name, new Map([...(found.get(name) ?? []), ...offsets]))
    }
  }
  return found
}

async function ask(
  cluster: Cluster,
  leader: number,
  partitions: Partitions,
  timestamp: number,
): Promise<ResponseOf<typeof ListOffsets>['topics']> {
  const connection = await cluster.connection(leader)
  const answer = await connection.request(ListOffsets, {
    replicaId: -1,
    isolationLevel: 0,
    topics: Array.from(partitions, ([name, numbers]) => ({
      name,
      partitions: Array.from(numbers, partitionIndex => ({
        partitionIndex,
        currentLeaderEpoch: -1,
        timestamp,
        maxNumOffsets: 1,
      })),
    })),
  })
  return answer.topics
}

async function askLeader(
  cluster: Cluster,
  topic: string,
  partitions: readonly PartitionInfo[],
  timestamp: number,
  offsets: Map<number, number>,
): Promise<void> {
  const leader = partitions[0].leader
  if (leader < 0) throw topicError(Errors.LEADER_NOT_AVAILABLE, topic)
  const wanted = new Map([[topic, partitions.map(({ index }) => index)]])
  const topics = await ask(cluster, leader, wanted, timestamp)
  for (const { name, partitions: rows } of topics) {
    for (const row of rows) {
      if (row.errorCode !== Errors.NONE) {
        throw topicError(row.errorCode, `${name}-${row.partitionIndex}`)
      }
      offsets.set(row.partitionIndex, row.offset)
    }
  }
}
