/** Offsets of a topic's partitions by time, from the leaders that know them. */
import { Errors } from '../protocol/errors.ts'
import { ListOffsets } from '../protocol/messages/list-offsets.ts'
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

async function askLeader(
  cluster: Cluster,
  topic: string,
  partitions: readonly PartitionInfo[],
  timestamp: number,
  offsets: Map<number, number>,
): Promise<void> {
  const leader = partitions[0].leader
  if (leader < 0) throw topicError(Errors.LEADER_NOT_AVAILABLE, topic)
  const connection = await cluster.connection(leader)
  const answer = await connection.request(ListOffsets, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [
      {
        name: topic,
        partitions: partitions.map(({ index }) => ({
          partitionIndex: index,
          currentLeaderEpoch: -1,
          timestamp,
          maxNumOffsets: 1,
        })),
      },
    ],
  })
  for (const { name, partitions: rows } of answer.topics) {
    for (const row of rows) {
      if (row.errorCode !== Errors.NONE) {
        throw topicError(row.errorCode, `${name}-${row.partitionIndex}`)
      }
      offsets.set(row.partitionIndex, row.offset)
    }
  }
}
