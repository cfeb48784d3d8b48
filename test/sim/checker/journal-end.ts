/**
 * Looks behind the journal, at the platter: what a log has flushed beyond its recovery point must lie there without a
 * gap, in its segments or in whole rounds of a journal. After the death of an owner thread the recovery point says less
 * than the segments hold.
 */
import type { DiskFile } from '../../../src/contracts/disk.ts'
import { journalPaths } from '../../../workers/journal/files.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import type { FileNode } from '../../support/fault-disk-nodes.ts'
import { readJournals } from '../../support/read-journals.ts'
import { dataDirectory } from '../driver/places.ts'
import type { SimDisk } from '../world/disk.ts'
import { demand } from './anomaly.ts'
import type { RottenBatches } from './rotten.ts'

export class JournalEnd {
  readonly #disk: SimDisk
  #checked = -1

  constructor(disk: SimDisk) {
    this.#disk = disk
  }

  reset(): void {
    this.#checked = -1
  }

  check(log: PartitionLog, rotten: RottenBatches): void {
    const { name, topicId, offsets } = log
    const { recoveryPoint, flushedEnd } = offsets
    if (flushedEnd <= recoveryPoint || flushedEnd === this.#checked) return
    this.#checked = flushedEnd
    const ranges = this.#inSegments(log, rotten)
    const paths = journalPaths(dataDirectory, 0)
    for (const { records } of readJournals({ open: path => this.#durable(path) }, paths)) {
      for (const { topicId: owner, baseOffset, endOffset } of records) {
        if (owner === topicId) ranges.push([baseOffset, endOffset])
      }
    }
    ranges.sort((a, b) => a[0] - b[0])
    // Compaction only takes records out of what the segments prove.
    let proven = Math.max(recoveryPoint, offsets.logStart, log.gapsBelowOffset)
    for (const [from, to] of ranges) if (from <= proven) proven = Math.max(proven, to)
    demand(proven >= flushedEnd, 'flushed-beyond-disk', () => {
      return `${name}: flushed end ${flushedEnd}, segments and journal prove ${proven}`
    })
  }

  /** Offsets [from, to) of the batches on the platter. */
  #inSegments({ segments, directory }: PartitionLog, rotten: RottenBatches): [number, number][] {
    const found: [number, number][] = []
    const names = this.#disk.directory(directory).durable
    for (const { path, baseOffset } of segments) {
      const node = names.get(path.slice(path.lastIndexOf('/') + 1)) as FileNode | undefined
      const bytes = node?.durable.bytes ?? Buffer.alloc(0)
      for (const { base, last } of rotten.storedIn(bytes, baseOffset)) found.push([base, last + 1])
    }
    return found
  }

  /** The file as the platter has it; empty where it has no such name. */
  #durable(path: string): DiskFile {
    const name = path.slice(path.lastIndexOf('/') + 1)
    const node = this.#disk.directory(dataDirectory).durable.get(name) as FileNode | undefined
    const bytes = node?.durable.bytes ?? Buffer.alloc(0)
    const refuse = (): never => {
      throw new Error('only for reading')
    }
    return {
      path,
      read(into, position) {
        const found = bytes.subarray(position, position + into.length)
        into.set(found)
        return found.length
      },
      sizeBytes: () => bytes.length,
      close() {},
      write: refuse,
      writeGathered: refuse,
      startTouch: refuse,
      startSync: refuse,
      sync: refuse,
      truncate: refuse,
    }
  }
}
