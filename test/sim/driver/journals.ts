/** The journal of the simulated owner: the product's own, with small files, and switched on by few logs. */
import type { PartitionSpec } from '../../../src/contracts/control.ts'
import { journalPaths } from '../../../workers/journal/files.ts'
import { OwnerJournal } from '../../../workers/journal/owner-journal.ts'
import { replayJournals } from '../../../workers/journal/replay.ts'
import { runNow } from '../../../workers/log/steps.ts'
import type { SimOwner } from './owner.ts'
import { dataDirectory, directoryOf, type Place, topicIdOf } from './places.ts'
import type { Simulation } from './simulation.ts'

export function startJournal(
  { plan, world }: Simulation,
  { env, logs }: Pick<SimOwner, 'env' | 'logs'>,
): OwnerJournal | undefined {
  if (plan.journal === null) return undefined
  const { bytes, logsMin } = plan.journal
  const paths = journalPaths(dataDirectory, 0)
  return new OwnerJournal({
    ...env,
    paths,
    logsMin,
    prepare: () => env.tasks.run('prepare-journal', { paths, bytes }),
    logs: () => logs,
    onRound: () => world.count('journal rounds'),
    onRefused: () => world.count('journal rounds refused'),
    onEnd(error, isFailure) {
      world.count(isFailure ? 'journals failed' : 'journals not made')
      world.note(() => `owner  journal ends: ${error.message}`)
    },
  })
}

/** What a replay tells of a partition. */
interface Replayed {
  readonly place: Place
  recoveryPoint: number
  isUnreplayed: boolean
}

/** Before any log is opened; blocks, as the start of the process waits for it. */
export function replay(
  { disk, places, plan, world }: Simulation,
  isClean: boolean,
  all: readonly Replayed[],
): void {
  if (plan.journal === null) return
  const steps = replayJournals(disk, {
    dataDirectory,
    ownerCount: 1,
    isClean,
    places: places.map(place => {
      const { partition, slot } = place
      return { directory: directoryOf(place), topicId: topicIdOf(slot), partition }
    }),
  })
  const { rounds, writtenBytes, logs, failed } = runNow(disk, steps)
  if (rounds > 0) world.count('journals replayed')
  if (writtenBytes > 0) world.count('logs filled from a journal')
  world.note(
    () => `host   ${rounds} rounds replayed, ${writtenBytes} bytes, ${failed.length} failed`,
  )
  for (const hosted of all) {
    const directory = directoryOf(hosted.place)
    const end = logs.find(log => log.directory === directory)?.endOffset ?? 0
    hosted.recoveryPoint = Math.max(hosted.recoveryPoint, end)
    hosted.isUnreplayed = failed.some(log => log.directory === directory)
  }
}

/** As the owner's control plane does before a log is brought back. */
export function withJournaled({ env, journal }: SimOwner, spec: PartitionSpec): PartitionSpec {
  const isJournaled = spec.copyForward && spec.isJournaled === true
  if (!isJournaled || journal === undefined) return spec
  if (!runNow(env.disk, journal.restore(spec))) return spec
  return { ...spec, verdict: null }
}
