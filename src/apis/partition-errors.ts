/** What a partition that takes no commands is answered with. Dispatcher thread. */
import type { Partition } from '../partitions/partition.ts'
import { Errors } from '../protocol/errors.ts'

/** Leader epoch of every partition: one host, one leader, for ever (reported in Metadata, fenced in Fetch). */
export const leaderEpoch = 0

export function unavailableCode(partition: Partition): number {
  return partition.state === 'offline' ? Errors.KAFKA_STORAGE_ERROR : Errors.NOT_LEADER_OR_FOLLOWER
}

/** KIP-320: -1 skips the check; below ours is fenced, above ours is unknown to us. */
export function leaderEpochError(currentLeaderEpoch: number): number {
  if (currentLeaderEpoch === -1 || currentLeaderEpoch === leaderEpoch) return Errors.NONE
  return currentLeaderEpoch < leaderEpoch ? Errors.FENCED_LEADER_EPOCH : Errors.UNKNOWN_LEADER_EPOCH
}
