/**
 * The control plane of an owner thread, called over comlink by the dispatcher: rare, may be slow (a few 100 µs a call).
 * The data plane (append, read) goes over the rings instead. Types only.
 */
import type { LogConfig } from './log-config.ts'
import type { TaskRunner } from './tasks.ts'

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
  /**
   * Everything below was proven on disk once, as this process knows or the last one noted for this topic id; 0 when
   * nobody knows. A bad batch below is rot, and the log does not end before it.
   */
  readonly recoveryPoint: number
  /** The log does not start before, known in the same way; counts where `log-marks` cannot be read. Default 0. */
  readonly logStart?: number
  /**
   * Everything below was flushed, as this process itself knows: the log never ends before it, and with `copyForward` no
   * file is synced again whose sync may have failed. -1 at the first open in this process.
   */
  readonly flushedOffset: number
  /** The flushed end may have been proven by a journal: of the segments, only what their own checkpoints prove is. */
  readonly isJournaled?: boolean
  /**
   * Bytes above the recovery point are not believed, not even when they read back well: the page cache may hold what
   * the disk does not. They are copied into new files, synced and put in place before anything is served. True after
   * an unclean stop of the process (but under `os`, which promises nothing beyond the page cache) and after a failed
   * sync; false when only the owner thread died: then they are written once more where they are.
   */
  readonly copyForward: boolean
}

/** What a recovery scan of one partition's tail found; made by a task that changes nothing but temporary files. */
export interface RecoveryVerdict {
  /** As it was asked for: the temporary indexes are made for it. */
  readonly copyForward: boolean
  /** Where the log goes on. */
  readonly nextOffset: number
  /** Everything below is proven on disk by a checkpoint of the log's own, or by this process. */
  readonly provenOffset: number
  readonly segments: readonly SegmentVerdict[]
}

export interface SegmentVerdict {
  readonly baseOffset: number
  /** Bytes of the longest valid prefix. */
  readonly validBytes: number
  readonly fileBytes: number
  readonly nextOffset: number
  /** From here on nothing proves the bytes; their checksums are right. `validBytes` when there are none. */
  readonly unprovenPosition: number
  /** Of the first batch there, or of the segment if that is all of it: name of the file they are copied to. */
  readonly unprovenOffset: number
  /** Base offsets for which temporary index files were made. */
  readonly indexedBases: readonly number[]
  readonly rotten: readonly RottenRange[]
  readonly error: string | null
}

/** Bytes of one segment that no longer hold what they held. */
export interface RottenRange {
  readonly startPosition: number
  readonly endPosition: number
  /** Offsets from here on are missing, */
  readonly firstOffset: number
  /** up to this one, which is readable again; -1 when the rest of the file is bad. */
  readonly nextOffset: number
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

export interface DeletedRecords {
  /** An `Errors` code: OFFSET_OUT_OF_RANGE, NOT_LEADER_OR_FOLLOWER, KAFKA_STORAGE_ERROR. */
  readonly error: number
  /** Durable, when there is no error. */
  readonly logStartOffset: number
}

/** Why a log stopped taking records. */
export interface LogFailure {
  readonly reason: string
  /** The disk failed (a sync, EIO, a file system gone read-only), as against a file that somebody removed. */
  readonly isDiskFailure: boolean
  /** Everything below is proven on disk. */
  readonly recoveryPoint: number
}

/** What an owner thread asks of the dispatcher and tells it, over a port of its own. Rare. */
export interface OwnerHost extends TaskRunner {
  /** A log went offline while it was open. */
  partitionFailed(slot: number, generation: number, failure: LogFailure): Promise<void>
  /** Produces are refused because the disk is (nearly) full, or are taken again. */
  diskFull(isFull: boolean, freeBytes: number): Promise<void>
}

export interface OwnerControl {
  openPartitions(specs: readonly PartitionSpec[]): Promise<OpenedPartition[]>
  /** Puts what only the owner's journal may have of a log that failed into its segments, before it is opened anew. */
  restoreJournaled(place: PartitionPlace): Promise<void>
  /**
   * Opens the log anew, with recovery, in place of one that failed or never opened. The failed one goes on serving
   * reads until the new one is there, and for good when that fails. Never rejects for the disk's reasons.
   */
  recoverPartition(spec: PartitionSpec): Promise<OpenedPartition>
  /** Every log stops taking records, as after a failed sync: the data directory as a whole is not to be trusted. */
  takeOffline(reason: string): Promise<void>
  /** What the owner's journal holds is needed by nobody but the logs that are open: it may be used. */
  startJournal(): Promise<void>
  /** Closes without flushing and removes the directory, also that of a log which is not open. */
  deletePartitions(places: readonly PartitionPlace[]): Promise<void>
  applyConfig(slot: number, config: LogConfig): Promise<void>
  /**
   * Moves the log start up to `beforeOffset` (-1: the high watermark), durable when it resolves. Below the log start
   * there is nothing to do; above the high watermark it is OFFSET_OUT_OF_RANGE.
   */
  deleteRecords(slot: number, generation: number, beforeOffset: number): Promise<DeletedRecords>
  describe(slots: readonly number[]): Promise<PartitionDescription[]>
  /** Flushes and closes every log. Resolves to true when all of them closed clean. */
  shutdown(): Promise<boolean>
}
