/**
 * One try to bring an offline partition back while the others serve. Dispatcher thread.
 *
 *   what only the journal has is put into the segments → scan of the tail (task pool) → new generation
 *     → the owner opens the log anew, tail copied forward and synced, in steps between which it serves
 *     → it worked: commands go to the new log; those that waited for the old one look again
 *     → it failed: the old log goes on serving what was flushed, if it was open
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { OpenedPartition, PartitionSpec } from '../contracts/control.ts'
import type { Logger } from '../log.ts'
import { type Hosted, nameOf, notOpened, placeOf } from './hosted.ts'
import type { OfflinePartitions } from './offline-partitions.ts'
import { emptyOffsetView, type OffsetTable, PartitionState } from './offset-table.ts'
import type { Owner } from './owner.ts'

/** What a try needs of the partition host. */
export interface BringBackPort {
  readonly owners: readonly Owner[]
  readonly offline: OfflinePartitions
  readonly offsets: OffsetTable
  readonly log: Logger
  /** How to open it, under a new generation. */
  specFor(hosted: Hosted): Promise<PartitionSpec>
  /** Deleted meanwhile, or the broker closes. */
  isOver(hosted: Hosted): boolean
  /** It is open under the generation of `spec`. */
  opened(hosted: Hosted, spec: PartitionSpec, result: OpenedPartition): void
}

const toldMsMax = 5000
const toldLookMs = 5
const view = emptyOffsetView()

/** Resolves to what became of the partition, also when it was online all the time. Never rejects. */
export function bringBack(hosted: Hosted, port: BringBackPort): Promise<OpenedPartition> {
  hosted.recovery ??= tryOnce(hosted, port).finally(() => {
    hosted.recovery = null
  })
  return hosted.recovery
}

async function tryOnce(hosted: Hosted, port: BringBackPort): Promise<OpenedPartition> {
  const { slot, ownerIndex } = hosted.partition
  await failureTold(hosted, port)
  const settled = settledAlready(hosted, port)
  if (settled !== null) return settled
  const owner = port.owners[ownerIndex]
  const { directoryReason } = port.offline
  let spec: PartitionSpec | null = null
  const reopened = async (): Promise<OpenedPartition> => {
    if (hosted.flushedOffset >= 0) {
      await owner.call(control => control.restoreJournaled(placeOf(hosted)))
    }
    spec = await port.specFor(hosted)
    if (port.isOver(hosted)) return notOpened(slot, 'it is being closed')
    const opened = await owner.call(control => control.recoverPartition(spec as PartitionSpec))
    return opened ?? notOpened(slot, `owner thread ${ownerIndex} died over it`)
  }
  const result = await reopened().catch((error: Error) => notOpened(slot, error.message))
  if (port.isOver(hosted)) return result
  if (result.error === null && spec !== null) {
    // Meanwhile everything was taken offline, and this log with it, now or in a moment.
    const doom = directoryReason === null ? port.offline.directoryReason : null
    if (doom !== null) hosted.failedGeneration = (spec as PartitionSpec).generation
    port.opened(hosted, spec, result)
    if (doom === null) return result
    port.offline.stillOffline(hosted, doom)
    return notOpened(slot, doom)
  }
  const why = result.error as string
  port.log.error({ partition: nameOf(hosted) }, `partition was not recovered: ${why}`)
  port.offline.stillOffline(hosted, why)
  return result
}

/**
 * Its clients may know that a log has failed before its owner has told this thread how far it was flushed: without that
 * nothing can be opened, nor said to be well.
 */
async function failureTold(hosted: Hosted, port: BringBackPort): Promise<void> {
  const untilMs = performance.now() + toldMsMax
  while (isFailedUntold(hosted, port) && performance.now() < untilMs) await sleep(toldLookMs)
}

function isFailedUntold(hosted: Hosted, port: BringBackPort): boolean {
  const { slot, generation, state, ownerIndex } = hosted.partition
  if (state !== 'online' || port.offline.reasonOf(hosted) !== null) return false
  if (!port.owners[ownerIndex].alive || port.isOver(hosted)) return false
  return port.offsets.read(slot, generation, view) && view.state === PartitionState.offline
}

/** What is answered about a partition that cannot be tried now, or need not; null for all others. */
function settledAlready(hosted: Hosted, port: BringBackPort): OpenedPartition | null {
  const { slot, generation, state, ownerIndex } = hosted.partition
  if (state === 'opening') return notOpened(slot, 'it is being opened')
  if (!port.owners[ownerIndex].alive) {
    return notOpened(slot, `owner thread ${ownerIndex} is down: restart the broker`)
  }
  if (state === 'offline' || port.offline.reasonOf(hosted) !== null) return null
  if (isFailedUntold(hosted, port)) return notOpened(slot, 'its owner is busy failing: try again')
  port.offsets.read(slot, generation, view)
  const { logStart: logStartOffset, logEnd: logEndOffset } = view
  return { slot, error: null, logStartOffset, logEndOffset, recoveredBytes: 0, truncatedBytes: 0 }
}
