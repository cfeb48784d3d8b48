/**
 * The settings of one log as its owner thread needs them: every number with its unit. From topic configs (src/config).
 */
export type FlushPolicy = 'group-commit' | 'interval' | 'os'

export interface LogConfig {
  /** Kafka's segment.bytes */
  readonly segmentBytesMax: number
  /** Kafka's segment.ms */
  readonly segmentAgeMsMax: number
  /** Kafka's segment.index.bytes: size of a full offset index; a full index rolls the segment */
  readonly indexBytesMax: number
  /** Kafka's index.interval.bytes */
  readonly indexIntervalBytes: number
  /** Kafka's max.message.bytes: a whole batch with its 12-byte prefix */
  readonly batchBytesMax: number
  /** Kafka's message.timestamp.type */
  readonly timestampType: 'CreateTime' | 'LogAppendTime'
  readonly flushPolicy: FlushPolicy
  /** Kafka's flush.messages, under `interval` */
  readonly flushMessages: number
  /** Kafka's flush.ms, under `interval` */
  readonly flushMs: number
  /** Kafka's cleanup.policy: `delete` and `compact`, one or both */
  readonly cleanupDelete: boolean
  readonly cleanupCompact: boolean
  /** Kafka's retention.ms, by the broker's time of append; Infinity for never */
  readonly retentionMs: number
  /** Kafka's retention.bytes; Infinity for no limit */
  readonly retentionBytes: number
  /** Kafka's delete.retention.ms: how long a tombstone stays readable after it was compacted */
  readonly deleteRetentionMs: number
  /** Kafka's min.cleanable.dirty.ratio */
  readonly minCleanableRatio: number
  /** Kafka's min.compaction.lag.ms and max.compaction.lag.ms; Infinity for never */
  readonly minCompactionLagMs: number
  readonly maxCompactionLagMs: number
  /** Kafka's message.timestamp.before.max.ms and message.timestamp.after.max.ms; Infinity for any */
  readonly timestampBeforeMsMax: number
  readonly timestampAfterMsMax: number
  /** The broker's own topics may use the disk reserve. */
  readonly isInternal: boolean
}
