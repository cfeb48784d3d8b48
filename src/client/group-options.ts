/** How a consumer takes part in a group: the options, their defaults, and the bounds that hold whatever is given. */
import { Errors, KafkaError } from '../protocol/errors.ts'

/** Where a group stands in a partition: `offset` is the next one it will read. */
export interface PartitionOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** A text kept beside the offset. */
  readonly metadata?: string
}

export interface AssignedPartition {
  readonly topic: string
  readonly partition: number
}

/**
 * `assigned`: these partitions are read from now on, all of them. `revoked`: a rebalance begins, these may go to
 * others; `commit()` still works in the callback, which is waited for. `lost`: others may have them already.
 */
export interface RebalanceEvent {
  readonly kind: 'assigned' | 'revoked' | 'lost'
  readonly partitions: readonly AssignedPartition[]
}

export interface GroupOptions {
  /** Consumers with the same id share the partitions of their topics. Default: none, this consumer reads alone. */
  readonly groupId?: string
  /**
   * Makes it a static member: started again under the same name within the session timeout it gets its partitions back,
   * and nobody else notices. It does not leave the group on close.
   */
  readonly groupInstanceId?: string
  /**
   * Every so many milliseconds, when partitions are taken away and on close, what was processed is committed: records
   * whose reader has asked for the next one. 0: only `commit()` commits. Default 5000.
   */
  readonly autoCommitMs?: number
  /** Without a sign of life for so long the broker gives the partitions to others. Default 30,000. */
  readonly sessionTimeoutMs?: number
  /** How often to give a sign of life. Default: a tenth of the session timeout, at most 1000. */
  readonly heartbeatMs?: number
  /** How long a rebalance waits for a member to come again. Default 60,000. */
  readonly rebalanceTimeoutMs?: number
  /**
   * How long a rebalance, or `close()`, waits for readers to finish the record in their hands, by asking for the next
   * one. Who takes longer will see its record read by somebody else again. Default 1000.
   */
  readonly revokeGraceMs?: number
  /** How often the leader of the group looks for new partitions. Default 30,000. */
  readonly metadataRefreshMs?: number
  /** Told what this consumer is given and what is taken away. Default: nobody. */
  readonly onRebalance?: (event: RebalanceEvent) => void | Promise<void>
}

export interface GroupTerms {
  readonly groupId: string
  readonly groupInstanceId: string | null
  readonly autoCommitMs: number
  readonly sessionTimeoutMs: number
  readonly heartbeatMs: number
  readonly rebalanceTimeoutMs: number
  readonly revokeGraceMs: number
  readonly metadataRefreshMs: number
}

/** @throws KafkaError INVALID_REQUEST for a number that cannot be */
export function groupTerms(groupId: string, options: GroupOptions): GroupTerms {
  const sessionTimeoutMs = number('sessionTimeoutMs', options.sessionTimeoutMs ?? 30_000, 1)
  const rebalanceTimeoutMs = number('rebalanceTimeoutMs', options.rebalanceTimeoutMs ?? 60_000, 1)
  const heartbeatMs = options.heartbeatMs ?? Math.min(1000, Math.ceil(sessionTimeoutMs / 10))
  const graceMs = number('revokeGraceMs', options.revokeGraceMs ?? 1000, 0)
  if (groupId === '') throw new KafkaError(Errors.INVALID_GROUP_ID, 'a group id is not empty')
  return {
    groupId,
    groupInstanceId: options.groupInstanceId ?? null,
    autoCommitMs: number('autoCommitMs', options.autoCommitMs ?? 5000, 0),
    sessionTimeoutMs,
    heartbeatMs: number('heartbeatMs', heartbeatMs, 1),
    rebalanceTimeoutMs,
    // Who is later than the rebalance waits would be dropped from the group.
    revokeGraceMs: Math.min(graceMs, Math.ceil(rebalanceTimeoutMs / 2)),
    metadataRefreshMs: number('metadataRefreshMs', options.metadataRefreshMs ?? 30_000, 1),
  }
}

function number(name: string, value: number, min: number): number {
  if (Number.isInteger(value) && value >= min && value <= 0x7fff_ffff) return value
  throw new KafkaError(
    Errors.INVALID_REQUEST,
    `${name} ${value}: give whole milliseconds from ${min} on`,
  )
}
