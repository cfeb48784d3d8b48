/** What people and metrics are told about a log. Owner thread only. */
import type { PartitionDescription } from '../../src/contracts/control.ts'
import type { PartitionLog } from './log.ts'

export function describeLog(log: PartitionLog): PartitionDescription {
  let sizeBytes = 0
  for (const segment of log.segments) sizeBytes += segment.sizeBytes
  return {
    slot: log.slot,
    logStartOffset: log.offsets.logStart,
    highWatermark: log.offsets.highWatermark,
    logEndOffset: log.offsets.logEnd,
    sizeBytes,
    segmentCount: log.segments.length,
    state: log.state,
    reason: log.reason,
  }
}
