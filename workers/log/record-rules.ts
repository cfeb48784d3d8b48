/**
 * Rules on single records that a topic's configs demand, checked before a batch gets its offsets. Owner thread only.
 *
 *   cleanup.policy has compact              every record has a key                              INVALID_RECORD
 *   message.timestamp.after.max.ms          no record is further ahead of the broker's clock    INVALID_TIMESTAMP
 *   message.timestamp.before.max.ms         none is further behind it                           INVALID_TIMESTAMP
 *
 * Batches are stored as they came, so they are decompressed and walked through only where a rule needs it. The first
 * time rule is read off the header, which names the largest timestamp; the other two need the records. Nobody reads the
 * producer's timestamps under LogAppendTime, so the time rules rest. A batch is refused whole, by its first bad record.
 */
import type { LogConfig } from '../../src/contracts/log-config.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { ProtocolError } from '../../src/protocol/reader.ts'
import { maxTimestampAt } from '../../src/protocol/record-batch.ts'
import { decompressedBytesMaxDefault, type LogRecord, records } from '../../src/protocol/records.ts'
import type { AppendResult } from './results.ts'

/** A record without a time of its own; the time rules let it pass. */
const NO_TIMESTAMP = -1

/**
 * Checks a batch whose header has been checked and whose base offset is still 0, at `wallMs`. Returns an `Errors` code;
 * where one record is to blame, `into.badRecord` is its index and `into.badTimestampMs` its time.
 */
export function checkRecords(
  batch: Uint8Array,
  config: LogConfig,
  wallMs: number,
  into: AppendResult,
  decompressedBytesMax: number = decompressedBytesMaxDefault,
): number {
  const { cleanupCompact, timestampBeforeMsMax, timestampAfterMsMax } = config
  const isTimed = config.timestampType === 'CreateTime'
  const hasEarliest = isTimed && timestampBeforeMsMax !== Number.POSITIVE_INFINITY
  const hasLatest = isTimed && timestampAfterMsMax !== Number.POSITIVE_INFINITY
  if (!cleanupCompact && !hasEarliest && !hasLatest) return Errors.NONE
  const earliestMs = hasEarliest ? wallMs - timestampBeforeMsMax : Number.NEGATIVE_INFINITY
  const latestMs = hasLatest ? wallMs + timestampAfterMsMax : Number.POSITIVE_INFINITY
  const isAhead = maxTimestampAt(batch, 0) > latestMs
  if (!isAhead && !hasEarliest && !cleanupCompact) return Errors.NONE
  const error = walk(
    records(batch, { decompressedBytesMax }),
    cleanupCompact,
    earliestMs,
    latestMs,
    into,
  )
  // The header says so, whatever the records do.
  return isAhead && error === Errors.NONE ? Errors.INVALID_TIMESTAMP : error
}

function walk(
  batch: Iterable<LogRecord>,
  needsKeys: boolean,
  earliestMs: number,
  latestMs: number,
  into: AppendResult,
): number {
  let index = 0
  try {
    for (const { offset, timestampMs, key } of batch) {
      // Compaction keeps records by their offsets: two with the same one would make it lose the wrong one.
      if (offset !== index) return Errors.INVALID_RECORD
      const isKeyMissing = needsKeys && key === null
      const isUntimely = timestampMs < earliestMs || timestampMs > latestMs
      if (isKeyMissing || (isUntimely && timestampMs !== NO_TIMESTAMP)) {
        into.badRecord = index
        into.badTimestampMs = timestampMs
        return isKeyMissing ? Errors.INVALID_RECORD : Errors.INVALID_TIMESTAMP
      }
      index++
    }
    return Errors.NONE
  } catch (error) {
    // The CRC was right: the producer made it like this, and sending it again would not help.
    if (error instanceof ProtocolError) return Errors.INVALID_RECORD
    throw error
  }
}
