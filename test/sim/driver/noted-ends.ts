/**
 * The file `flushed-ends` on the simulated disk. Its bytes are the product's; writing it is the dispatcher's business
 * and is not simulated: it is there as a whole, or as it was before.
 */
import type { PartitionSpec } from '../../../src/contracts/control.ts'
import {
  decodeFlushedEnds,
  encodeFlushedEnds,
  FLUSHED_ENDS_FILE,
  type FlushedEnd,
  flushedEndKey,
} from '../../../src/contracts/flushed-ends.ts'
import { replaceFile, syncFile } from '../../../workers/log/files.ts'
import type { NotedBefore } from '../checker/rotten.ts'
import type { SimDisk } from '../world/disk.ts'
import { dataDirectory, type Place, topicIdOf } from './places.ts'

const path = `${dataDirectory}/${FLUSHED_ENDS_FILE}`

export type Noted = Pick<FlushedEnd, 'flushedEnd' | 'logStart'>

export function writeNoted(disk: SimDisk, ends: readonly (Noted & { place: Place })[]): void {
  const text = encodeFlushedEnds(
    ends.map(({ place: { slot, partition }, flushedEnd, logStart }) => {
      return { topicId: topicIdOf(slot), partition, flushedEnd, logStart }
    }),
  )
  observing(disk, () => {
    replaceFile(disk, `${path}.tmp`, Buffer.from(text))
    syncFile(disk, `${path}.tmp`)
    disk.rename(`${path}.tmp`, path)
    disk.syncDirectory(dataDirectory)
  })
}

export function readNoted(disk: SimDisk, { slot, partition }: Place): Noted {
  const nothing = { flushedEnd: 0, logStart: 0 }
  if (!disk.exists(path)) return nothing
  const text = observing(disk, () => disk.readFile(path).toString('latin1'))
  return decodeFlushedEnds(text).get(flushedEndKey(topicIdOf(slot), partition)) ?? nothing
}

/** All that recovery has to go by. A clean stop leaves nothing to be taken for a torn end. */
export function notedBefore(disk: SimDisk, spec: PartitionSpec): NotedBefore {
  const { directory, recoveryPoint, flushedOffset, recover, logStart = 0 } = spec
  if (!recover) return { flushedEnd: Number.POSITIVE_INFINITY, logStart }
  let flushedEnd = Math.max(recoveryPoint, flushedOffset)
  const names = disk.exists(directory) ? disk.directory(directory).names.keys() : []
  for (const name of names) {
    if (/^\d{20}\.window$/.test(name)) flushedEnd = Math.max(flushedEnd, Number(name.slice(0, 20)))
  }
  return { flushedEnd, logStart }
}

/** Nothing of it is counted, and nothing fails. */
function observing<T>(disk: SimDisk, work: () => T): T {
  const before = disk.isObserved
  disk.isObserved = true
  try {
    return work()
  } finally {
    disk.isObserved = before
  }
}
