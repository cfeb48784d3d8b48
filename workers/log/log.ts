/**
 * One partition: stage and commit appends, read, find by time, flush. Owner thread only, all calls synchronous.
 *
 *   stage  stage  stage | commit                        | read
 *   check, assign offsets | one write, roll, index, count | whole batches into a region
 *
 * A round is all or nothing: when `commit` fails, every batch staged since the last one has failed and the file is cut
 * back. Syncs are started by the flush policy and reported through `onAdvance` (offsets moved) or `onFailure` (the log
 * is offline for good). The caller publishes `offsets` in `onAdvance`.
 */
import type { Clock } from '../../src/contracts/clock.ts'
import type { PartitionDescription, PartitionSpec } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import type { LogConfig } from '../../src/contracts/log-config.ts'
import { Errors } from '../../src/protocol/errors.ts'
import {
  analyzeBatch,
  baseSequenceAt,
  lastOffsetDeltaAt,
  maxTimestampAt,
  patchAppend,
  producerEpochAt,
  producerIdAt,
  stampLogAppendTime,
} from '../../src/protocol/record-batch.ts'
import { errorCode, readFully } from './files.ts'
import { type Flushable, Flusher } from './flush-policy.ts'
import { floorSegment, LogReader, type Readable } from './log-reader.ts'
import { findByTime, findMaxTimestamp } from './log-search.ts'
import { LogOffsets } from './offsets.ts'
import { type LoadedLog, openLog } from './open-log.ts'
import { encodeSnapshot, encodeWindow, WindowFiles } from './producer-files.ts'
import { type ProducerState, sequenceAfter } from './producer-state.ts'
import { removeLog } from './remove-log.ts'
import type { AppendResult, BatchLocation, ReadResult } from './results.ts'
import { Round } from './round.ts'
import type { Segment } from './segment.ts'

export type LogState = 'online' | 'offline' | 'read-only'

export interface LogEnv {
  readonly disk: Disk
  readonly clock: Clock
}

export interface OpenLogOptions {
  readonly spec: PartitionSpec
  readonly env: LogEnv
  /** Some of `offsets` or `state` have moved: after a commit that took records, and after a flush. */
  onAdvance(log: PartitionLog): void
  /** The log went offline: a sync or a write failed in a way that only a restart can repair. */
  onFailure(log: PartitionLog, error: Error): void
}
