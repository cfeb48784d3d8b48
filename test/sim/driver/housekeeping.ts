/** The housekeeping of a simulated owner: the product's own, with tasks that run on the simulated disk. */

import type { ScrubInput } from '../../../src/contracts/scrub.ts'
import type { TaskName, TaskRunner } from '../../../src/contracts/tasks.ts'
import { ClockTrust } from '../../../workers/clock-trust.ts'
import { Housekeeping } from '../../../workers/housekeeping.ts'
import { prepareJournal } from '../../../workers/journal/files.ts'
import {
  type CompactTaskInput,
  compactSegments,
} from '../../../workers/log/compaction/compact-segments.ts'
import { Compactor } from '../../../workers/log/compaction/compactor.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import { scrubSlice } from '../../../workers/log/scrub-slice.ts'
import { Scrubber } from '../../../workers/log/scrubber.ts'
import type { PrepareInput } from '../../../workers/tasks/prepare-journal.ts'
import { type Anomaly, demand } from '../checker/anomaly.ts'
import { checkCompacted } from '../checker/compacted.ts'
import { CrashError } from '../world/disk.ts'
import { forever } from '../world/world.ts'
import type { SimOwner } from './owner.ts'
import type { Simulation } from './simulation.ts'

/** The task pool: a task outlives the owner that asked for it, and nobody hears of its end then. */
export function simulatedTasks(sim: Simulation): TaskRunner {
  const { world, broker } = sim
  const { life } = world
  return {
    run(task, input) {
      const copy = structuredClone(input)
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      world.after(world.random.logRange(1, 500), `task ${task}`, forever, () => {
        // The pool ends with the process.
        if (sim.broker === null || (broker !== null && sim.broker !== broker)) return
        try {
          const output = runTask(sim, task, copy)
          if (life === world.life && !sim.disk.crashed) resolve(structuredClone(output))
        } catch (error) {
          if (error instanceof CrashError || sim.disk.crashed || life !== world.life) return
          demand('code' in (error as Error) || sim.faults.isHealed === false, 'crash', () => {
            return `task ${task}: ${(error as Error).stack}`
          })
          reject(error)
        }
      })
      return promise
    },
  }
}

function runTask({ disk, world }: Simulation, task: TaskName, input: unknown): unknown {
  world.count(`task ${task}`)
  if (task === 'scrub-segment') return scrubSlice(disk, input as ScrubInput)
  if (task === 'prepare-journal') {
    const { paths, bytes } = input as PrepareInput
    return prepareJournal(disk, paths, bytes)
  }
  return compactSegments(disk, input as CompactTaskInput, () => {})
}

export function startHousekeeping(sim: Simulation, owner: SimOwner): Housekeeping<PartitionLog> {
  const { plan, world, host } = sim
  const { clock, disk, tasks } = owner.env
  const { logs } = owner
  const { settings } = plan
  const trust = new ClockTrust({
    clock,
    lastSeenWallMs: host.lastSeenWallMs,
    memory: {
      read: () => host.clockLook,
      write(look) {
        host.clockLook = look
      },
    },
    onPause: reason => world.note(() => `owner  does not trust the clock: ${reason}`),
  })
  const compactor = new Compactor<PartitionLog>({
    disk,
    clock,
    tasks,
    logs,
    backoffMs: settings.cleanerBackoffMs,
    mapBytes: settings.cleanerMapBytes,
    bytesPerSecondMax: 2 ** 30,
    isClockTrusted: () => trust.look(),
    onPass(log, { recordsRemoved }) {
      world.count('compactions')
      if (recordsRemoved > 0) world.count('compactions that removed records')
      try {
        checkCompacted(sim, log)
      } catch (error) {
        sim.broken(error as Anomaly)
      }
      world.note(() => `owner  ${log.name} compacted, ${recordsRemoved} records removed`)
    },
    onFailure(log, error) {
      world.count('compactions failed')
      world.note(() => `owner  compaction of ${log.name} failed: ${error.message}`)
    },
    onLook() {},
  })
  const scrubber = new Scrubber({
    clock,
    tasks,
    logs,
    intervalMs: plan.operations.has('scrub') ? settings.scrubIntervalMs : 0,
    bytesPerSecondMax: 2 ** 30,
    onProgress: () => world.count('scrub slices'),
    onFailure: () => world.count('scrubs failed'),
  })
  const housekeeping = new Housekeeping<PartitionLog>({
    clock,
    settings,
    logs,
    trust,
    onTrust() {},
    onError(log, error) {
      if (sim.disk.crashed) return
      world.note(() => `owner  housekeeping of ${log?.name} failed: ${error.message}`)
      world.count('housekeeping failed')
      sim.checkOwnError(error)
    },
    compactPass: () => compactor.pass(),
    chores: [scrubber],
  })
  housekeeping.start()
  return housekeeping
}
