/** Wires the compaction of one owner thread to its logs, its metrics and the broker's log lines. */
import type { OwnerBoot } from '../src/contracts/owner-boot.ts'
import { Metric } from '../src/metrics.ts'
import { reserveBytesOf } from './disk-space.ts'
import { Compactor } from './log/compaction/compactor.ts'
import type { PartitionLog } from './log/log.ts'
import type { OwnerLoop } from './owner-loop.ts'
import { logLine } from './publisher.ts'

/** @param isClockTrusted what the wall clock says may be acted on. */
export function ownerCompaction(
  { settings }: OwnerBoot,
  { env, metrics, logs }: OwnerLoop,
  isClockTrusted: () => boolean,
): Compactor<PartitionLog> {
  const { disk, clock, tasks } = env
  return new Compactor({
    disk,
    clock,
    tasks,
    logs,
    backoffMs: settings.cleanerBackoffMs,
    mapBytes: settings.cleanerMapBytes,
    decompressedBytesMax: settings.decompressedBytesMax,
    bytesPerSecondMax: settings.cleanerBytesPerSecondMax,
    reserveBytes: () => reserveBytesOf(disk, settings.dataDirectory, settings.diskReserveBytes),
    isClockTrusted,
    onPass(_, output) {
      metrics.add(Metric.compactions, 1)
      metrics.add(Metric.compactionReadBytes, output.readBytes)
      metrics.add(Metric.compactionWrittenBytes, output.writtenBytes)
      metrics.add(Metric.compactedRecords, output.recordsRemoved)
    },
    onFailure(log, error, retryMs) {
      metrics.add(Metric.compactionFailures, 1)
      const msg = `compaction failed, next try in ${Math.ceil(retryMs / 1000)} s: ${error.message}`
      logLine(clock, 'error', { partition: log.name, msg })
    },
    onLook(dirtyRatioMax, uncleanableCount) {
      metrics.set(Metric.dirtyRatioMax, dirtyRatioMax)
      metrics.set(Metric.uncleanableLogs, uncleanableCount)
    },
  })
}
