/** Wires the scrub of one owner thread to its logs, its metrics and the broker's log lines. */
import type { OwnerBoot } from '../src/contracts/owner-boot.ts'
import { Metric } from '../src/metrics.ts'
import { Scrubber } from './log/scrubber.ts'
import type { OwnerLoop } from './owner-loop.ts'
import { logLine } from './publisher.ts'

export function ownerScrub({ settings }: OwnerBoot, { env, metrics, logs }: OwnerLoop): Scrubber {
  const { clock, tasks } = env
  return new Scrubber({
    clock,
    tasks,
    logs,
    intervalMs: settings.scrubIntervalMs,
    bytesPerSecondMax: settings.scrubBytesPerSecondMax,
    onProgress(bytes, isPassDone) {
      metrics.add(Metric.scrubbedBytes, bytes)
      if (isPassDone) metrics.add(Metric.scrubPasses, 1)
    },
    onFailure(slot, error) {
      metrics.add(Metric.scrubFailures, 1)
      const msg = `the scrub could not read a segment, it tries again next time: ${error.message}`
      logLine(clock, 'error', { partition: logs[slot]?.name, msg })
    },
  })
}
