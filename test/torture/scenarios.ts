/** Every scenario by name, and how one is run. */
import { inspect } from 'node:util'
import { diskFull } from './disk-full.ts'
import { flips } from './flips.ts'
import { fsyncGate } from './fsync-gate.ts'
import { groups, groupsPowerCut } from './groups.ts'
import { kill9 } from './kill9.ts'
import { powerCut } from './power-cut.ts'
import { readOnly } from './read-only.ts'
import { removed } from './removed.ts'
import { type RunOptions, type Scenario, TortureRun } from './scenario.ts'
import { signals } from './signals.ts'
import { syscalls } from './syscalls.ts'
import { workers } from './workers.ts'

export const scenarios: readonly Scenario[] = [
  kill9,
  powerCut,
  fsyncGate,
  diskFull,
  syscalls,
  readOnly,
  removed,
  flips,
  signals,
  workers,
  groups,
  groupsPowerCut,
]

export interface Report {
  readonly scenario: string
  readonly seed: number
  readonly cycles: number
  readonly seconds: number
  readonly counts: Record<string, number>
  /** What was found; null when every promise was kept. */
  readonly violation: string | null
  /** Where the data is kept when something was found. */
  readonly directory: string | null
}

/** Runs one scenario to its end or to the first violation. */
export async function torture(scenario: Scenario, options: RunOptions): Promise<Report> {
  const run = await TortureRun.begin(scenario.name, options)
  const startedMs = performance.now()
  // Disks are unmounted and brokers ended on Ctrl-C too, and when the time is over.
  const onInterrupt = (): void => void run.end(false).finally(() => process.exit(130))
  process.once('SIGINT', onInterrupt).once('SIGTERM', onInterrupt)
  let violation: string | null = null
  try {
    await scenario.run(run)
  } catch (error) {
    violation = inspect(error)
  } finally {
    await run.end(violation !== null)
    process.off('SIGINT', onInterrupt).off('SIGTERM', onInterrupt)
  }
  return {
    scenario: scenario.name,
    seed: run.seed,
    cycles: run.cyclesDone,
    seconds: (performance.now() - startedMs) / 1000,
    counts: Object.fromEntries(run.counts),
    violation,
    directory: violation === null ? null : run.directory,
  }
}
