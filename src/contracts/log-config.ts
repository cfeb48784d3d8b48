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
}
