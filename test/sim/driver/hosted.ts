/** What the simulated process keeps of a partition, as src/partitions/hosted.ts does. */
import type { PartitionSpec } from '../../../src/contracts/control.ts'
import type { LogConfig } from '../../../src/contracts/log-config.ts'
import type { Waiting } from './acks.ts'
import { directoryOf, type Place, topicIdOf } from './places.ts'
import type { Simulation } from './simulation.ts'

export interface Hosted {
  readonly place: Place
  generation: number
  state: 'opening' | 'online' | 'offline' | 'closed'
  recoveryPoint: number
  logStart: number
  /** What this process knows to be flushed; -1 at the first open. */
  flushedOffset: number
  readonly waiting: Waiting[]
  /** It went offline, or did not open, and has not come back since. */
  isFailed: boolean
  /** What a journal has of it could not be put into its segments: it stays closed. */
  isUnreplayed: boolean
}

/** How to open it. */
export function specOf(
  { host, plan }: Simulation,
  { place, generation, recoveryPoint, flushedOffset, logStart }: Hosted,
  recover: boolean,
  copyForward: boolean,
): PartitionSpec {
  const { topic, partition, slot } = place
  return {
    topic,
    topicId: topicIdOf(slot),
    partition,
    slot,
    generation,
    directory: directoryOf(place),
    config: host.configs[slot] as LogConfig,
    recover,
    verdict: null,
    recoveryPoint,
    flushedOffset,
    logStart,
    isJournaled: plan.journal !== null && flushedOffset >= 0,
    copyForward,
  }
}
