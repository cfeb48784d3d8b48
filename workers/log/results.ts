/**
 * What the log's hot methods fill in. The owner keeps one of each and passes it to every call, so that a request costs
 * no object. Owner thread only.
 */
import { Errors } from '../../src/protocol/errors.ts'
import type { LogOffsets } from './offsets.ts'

export interface AppendResult {
  /** An `Errors` code; the fields that follow count only when it is NONE. */
  error: number
  baseOffset: number
  lastOffset: number
  /** What the broker stamped, or -1 when the topic keeps the producer's times. */
  logAppendTimeMs: number
  /**
   * The batch was here already (same producer, epoch and sequences): offsets are the original's, nothing is written.
   */
  duplicate: boolean
  /** Index in its batch of the record that breaks a rule of the topic, with its time; -1 when no record is to blame. */
  badRecord: number
  badTimestampMs: number
}

export interface ReadResult {
  /** An `Errors` code; the other fields count only when it is NONE. */
  error: number
  /** The batches are region[start, start + length). */
  start: number
  length: number
  /** Size of the first batch when it fits neither `maxBytes` nor the region; 0 otherwise. */
  neededBytes: number
  /** Where a reader goes on: one past the last record returned, or the fetch offset when nothing was. */
  nextOffset: number
}

/** Where one batch lies; stays true until retention removes the segment. */
export interface BatchLocation {
  readonly baseOffset: number
  readonly position: number
  readonly bytes: number
  /** Base offset of the segment that holds it. */
  readonly segment: number
}

export function newAppendResult(): AppendResult {
  return {
    error: 0,
    baseOffset: -1,
    lastOffset: -1,
    logAppendTimeMs: -1,
    duplicate: false,
    badRecord: -1,
    badTimestampMs: -1,
  }
}

export function newReadResult(): ReadResult {
  return { error: 0, start: 0, length: 0, neededBytes: 0, nextOffset: 0 }
}

/** An answer with nothing in it yet; false when it is complete, as nothing is to be read at that offset. */
export function beginAnswer(
  { logStart, highWatermark, logEnd }: LogOffsets,
  fetchOffset: number,
  into: ReadResult,
): boolean {
  const isInLog = fetchOffset >= logStart && fetchOffset <= logEnd
  into.error = isInLog ? Errors.NONE : Errors.OFFSET_OUT_OF_RANGE
  into.start = 0
  into.length = 0
  into.neededBytes = 0
  into.nextOffset = fetchOffset
  return isInLog && fetchOffset < highWatermark
}
