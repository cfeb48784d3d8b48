/** Answers one fetch from a log: which offsets may be asked for, and what a failed read means. Owner thread only. */
import { Errors } from '../../src/protocol/errors.ts'
import type { LogState } from './log-options.ts'
import type { LogReader, Readable } from './log-reader.ts'
import type { LogOffsets } from './offsets.ts'
import { type LostRange, noteReadFailure } from './quarantine.ts'
import { beginAnswer, type ReadResult } from './results.ts'

export interface ReadServer extends Readable {
  readonly offsets: LogOffsets
  readonly reader: LogReader
  readonly state: LogState
  /** These offsets are given up. */
  lost(range: LostRange): void
}

/**
 * See PartitionLog.read. A log that is offline finds nothing lost: a swap or a repair that was not finished has left
 * other files than it knows of, and the next open makes them whole.
 */
export function serveRead(
  log: ReadServer,
  fetchOffset: number,
  maxBytes: number,
  region: Uint8Array,
  into: ReadResult,
): void {
  if (!beginAnswer(log.offsets, fetchOffset, into)) return
  try {
    log.reader.read(fetchOffset, maxBytes, region, into)
    const isNews =
      into.error === Errors.CORRUPT_MESSAGE && log.lostRanges.rangeAt(fetchOffset) === null
    if (isNews && log.state === 'offline') into.error = Errors.KAFKA_STORAGE_ERROR
  } catch (error) {
    // One failed read says nothing about the next.
    into.length = 0
    into.error = Errors.KAFKA_STORAGE_ERROR
    const lost = noteReadFailure(log, fetchOffset, error as Error)
    if (lost !== null) log.lost(lost)
  }
}
