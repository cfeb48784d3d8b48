/**
 * Looks behind the journal, at the platter: what a log has flushed beyond its recovery point must follow from whole
 * rounds that lie there, without a gap.
 */
import type { DiskFile } from '../../../src/contracts/disk.ts'
import { journalPaths } from '../../../workers/journal/files.ts'
import { readJournals } from '../../../workers/journal/read-journal.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import type { FileNode } from '../../support/fault-disk-nodes.ts'
import { dataDirectory } from '../driver/places.ts'
import type { SimDisk } from '../world/disk.ts'
import { demand } from './anomaly.ts'

export class JournalEnd {
  readonly #disk: SimDisk
  #checked = -1

  constructor(disk: SimDisk) {
    this.#disk = disk
  }

  reset(): void {
    this.#checked = -1
  }

  check({ name, topicId, offsets }: PartitionLog): void {
    const { recoveryPoint, flushedEnd } = offsets
    if (flushedEnd <= recoveryPoint || flushedEnd === this.#checked) return
    this.#checked = flushedEnd
    let proven = Math.max(recoveryPoint, offsets.logStart)
    const paths = journalPaths(dataDirectory, 0)
    for (const { records } of readJournals({ open: path => this.#durable(path) }, paths)) {
      for (const { topicId: owner, baseOffset, endOffset } of records) {
        if (owner === topicId && baseOffset <= proven) proven = Math.max(proven, endOffset)
      }
    }
    demand(proven >= flushedEnd, 'flushed-beyond-disk', () => {
      return `${name}: flushed end ${flushedEnd}, segments and journal prove ${proven}`
    })
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
