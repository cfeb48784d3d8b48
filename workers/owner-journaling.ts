/** Wires the journal of one owner thread to its logs, its metrics and the broker's log lines. */
import type { OwnerBoot } from '../src/contracts/owner-boot.ts'
import { Metric, type ThreadMetrics } from '../src/metrics.ts'
import { journalPaths } from './journal/files.ts'
import { type JournaledLog, OwnerJournal } from './journal/owner-journal.ts'
import type { LogEnv } from './owner-loop.ts'
import { logLine } from './publisher.ts'

/** Undefined when it is switched off. */
export function ownerJournal(
  boot: OwnerBoot,
  env: LogEnv,
  metrics: ThreadMetrics,
  logs: Iterable<JournaledLog | undefined>,
): OwnerJournal | undefined {
  const { dataDirectory, journalBytes } = boot.settings
  if (journalBytes === 0) return undefined
  const paths = journalPaths(dataDirectory, boot.ownerIndex)
  return new OwnerJournal({
    ...env,
    paths,
    prepare: () => env.tasks.run('prepare-journal', { paths, bytes: journalBytes }),
    logs: () => logs,
    onRound(bytes) {
      metrics.add(Metric.journalRounds, 1)
      metrics.add(Metric.journalBytes, bytes)
    },
    onRefused: () => metrics.add(Metric.journalFull, 1),
    onEnd(error, isFailure) {
      metrics.add(Metric.journalFailures, 1)
      const what = isFailure ? 'the journal failed' : 'there is no journal'
      const msg = `${what}, segments are flushed one by one until a restart: ${error.message}`
      logLine(env.clock, isFailure ? 'error' : 'warn', { owner: boot.ownerIndex, msg })
    },
  })
}
