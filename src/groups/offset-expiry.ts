/**
 * When a committed offset has been kept long enough (KIP-211; PROTOCOL.md 3.8 point 12). Pure.
 *
 *   a time of its own (retention_time_ms of OffsetCommit 2-4)    when that has come
 *   the group is empty                                           retention after it turned empty or a later commit
 *   nobody ever joined, or members read other topics             retention after the commit
 *   a rebalance is under way                                     not now
 */
import type { CommittedOffset, GroupGate } from './types.ts'

export interface Retention {
  readonly from: number | 'commit' | 'never'
  readonly retentionMs: number
}

/** From when on the offsets of a group age. */
export function retentionOf(groups: GroupGate, groupId: string, retentionMs: number): Retention {
  return { from: groups.has(groupId) ? groups.retentionFrom(groupId) : 'commit', retentionMs }
}

/** Whether the offset goes; `from` as `Retention.from`. */
export function isExpired(
  { commitTimestampMs, expireTimestampMs }: CommittedOffset,
  from: number | 'commit',
  nowMs: number,
  retentionMs: number,
): boolean {
  if (expireTimestampMs !== -1) return nowMs >= expireTimestampMs
  // Kafka lets an offset that an administrator has just set go with the empty group's others.
  const fromMs = from === 'commit' ? commitTimestampMs : Math.max(from, commitTimestampMs)
  return nowMs - fromMs >= retentionMs
}
