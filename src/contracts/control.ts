/**
 * The control plane of an owner thread, called over comlink by the dispatcher: rare, may be slow (a few 100 µs a call).
 * The data plane (append, read) goes over the rings instead. Types only.
 */
import type { LogConfig } from './log-config.ts'

/** One partition and its files. */
export interface PartitionPlace {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  /** Index in the offset table and in the owner's own table. */
  readonly slot: number
  /** Absolute path of `<topic>-<partition>`. */
  readonly directory: string
}

export interface PartitionSpec extends PartitionPlace {
  /** Generation of the slot: a command that names another one is refused. */
  readonly generation: number
  readonly config: LogConfig
  /** True when the last process that had this directory did not mark a clean shutdown, or an owner thread died. */
  readonly recover: boolean
  /** Verdict of the recovery task, when one ran; null lets the owner scan by itself (small tails). */
  readonly verdict: RecoveryVerdict | null
  /** Everything below is proven on disk; recovery starts here. 0 when unknown. */
  readonly recoveryPoint: number
}

/** What a recovery scan of one partition's tail found; made by a task that changes nothing but temporary files. */
export interface RecoveryVerdict {
  readonly segments: readonly SegmentVerdict[]
}

export interface SegmentVerdict {
  readonly baseOffset: number
  /** Bytes of the longest valid prefix. */
  readonly validBytes: number
  readonly fileBytes: number
  readonly nextOffset: number
  readonly maxTimestampMs: number
  /** Temporary files with the rebuilt indexes, to be renamed by the owner; null when the segment is empty. */
  readonly offsetIndexPath: string | null
  readonly timeIndexPath: string | null
  readonly error: string | null
}

export interface OpenedPartition {
  readonly slot: number
  /** Null when open; else why it stays offline, for log and metrics. */
  readonly error: string | null
  readonly logStartOffset: number
  readonly logEndOffset: number
  readonly recoveredBytes: number
  readonly truncatedBytes: number
}

export interface PartitionDescription {
  readonly slot: number
  readonly logStartOffset: number
  readonly highWatermark: number
  readonly logEndOffset: number
  readonly sizeBytes: number
  readonly segmentCount: number
  readonly state: 'online' | 'offline' | 'read-only'
  readonly reason: string | null
}

export interface OwnerControl {
  openPartitions(specs: readonly PartitionSpec[]): Promise<OpenedPartition[]>
  /** Flushes and closes; files stay. */
  closePartitions(slots: readonly number[]): Promise<void>
  /** Closes without flushing and removes the directory, also that of a log which is not open. */
  deletePartitions(places: readonly PartitionPlace[]): Promise<void>
  applyConfig(slot: number, config: LogConfig): Promise<void>
  describe(slots: readonly number[]): Promise<PartitionDescription[]>
  /** Flushes and closes every log. Resolves to true when all of them closed clean. */
  shutdown(): Promise<boolean>
}
