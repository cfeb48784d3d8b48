/** Wires the housekeeping of one owner thread to its logs, its metrics and the broker's log lines. */
import { FLUSHED_ENDS_FILE } from '../src/contracts/flushed-ends.ts'
import type { OwnerBoot } from '../src/contracts/owner-boot.ts'
import { Metric } from '../src/metrics.ts'
import { sharedClockMemory } from './clock-memory.ts'
import { ClockTrust } from './clock-trust.ts'
import { Housekeeping } from './housekeeping.ts'
import type { PartitionLog } from './log/log.ts'
import { ownerCompaction } from './owner-compaction.ts'
import type { LogEnv, OwnerLoop } from './owner-loop.ts'
import { ownerScrub } from './owner-scrub.ts'
import { logLine } from './publisher.ts'

export function ownerHousekeeping(boot: OwnerBoot, loop: OwnerLoop): Housekeeping<PartitionLog> {
  const { env, metrics, logs } = loop
  const { clock } = env
  const trust = new ClockTrust({
    clock,
    lastSeenWallMs: lastSeenWallMs(env, boot.settings.dataDirectory),
    memory: sharedClockMemory(boot.clockMemory, clock),
    onPause(reason, pauseMs) {
      // The clocks are the same for all owners: one of them tells.
      if (boot.ownerIndex > 0) return
      const msg = `no records are deleted by age for ${Math.round(pauseMs / 60_000)} minutes: ${reason}`
      logLine(clock, 'warn', { msg })
    },
  })
  const compactor = ownerCompaction(boot, loop, () => trust.look())
  return new Housekeeping({
    compactPass: () => compactor.pass(),
    chores: [ownerScrub(boot, loop), { start() {}, stop: () => compactor.stop() }],
    clock,
    settings: boot.settings,
    logs,
    trust,
    onTrust: isTrusted => metrics.set(Metric.retentionPaused, isTrusted ? 0 : 1),
    onError(log, error) {
      const what = log === null ? 'compaction' : 'retention'
      const msg = `${what} failed, it is tried again later: ${error.message}`
      logLine(clock, 'error', { partition: log?.name, msg })
    },
  })
}

/** The file is written every five seconds while anything changes: the last time the broker was seen alive. */
function lastSeenWallMs({ disk }: LogEnv, dataDirectory: string): number | null {
  const path = `${dataDirectory}/${FLUSHED_ENDS_FILE}`
  return disk.exists(path) ? disk.modifiedMs(path) : null
}
