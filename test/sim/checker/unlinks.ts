/**
 * Nothing of the log goes before it may (RELIABILITY P13): a records file is unlinked only when the durable log start
 * lies at its end or behind, or a decided swap stands for it, or nothing of the log is in it.
 */
import type { FileNode } from '../../support/fault-disk-nodes.ts'
import type { SimDisk } from '../world/disk.ts'
import { Anomaly } from './anomaly.ts'
import { storedBatches } from './batch-list.ts'
import type { PartitionModel } from './model.ts'
import { durableLogStart } from './white-box.ts'

export class UnlinkRule {
  readonly #disk: SimDisk

  /** It says where the log of a directory ends: what was written behind was never counted. */
  readonly #modelOf: (directory: string) => PartitionModel | undefined

  constructor(disk: SimDisk, modelOf: (directory: string) => PartitionModel | undefined) {
    this.#disk = disk
    this.#modelOf = modelOf
  }

  /** What is wrong with unlinking `path` now. */
  check(path: string): Anomaly | null {
    const match = /^(.*)\/(\d{20})\.log$/.exec(path)
    if (match === null || !this.#disk.exists(path)) return null
    const directory = match[1] as string
    const base = Number(match[2])
    const node: FileNode = this.#disk.node(path)
    const stored = [...storedBatches(node.cache.bytes)].at(-1)?.last ?? -1
    // What recovery moved into a file of its own may still lie behind.
    const end = Math.min(stored, this.#nextBase(directory, base) - 1)
    const model = this.#modelOf(directory)
    if (base >= (model?.written ?? 0) || model?.rotten.areMarksRotten === true) return null
    if (end < base || node.cache.bytes.length === 0) return null
    const logStart = durableLogStart(this.#disk, directory)
    if (logStart > end || this.#isReplaced(directory, base)) return null
    const detail = `${path} holds records up to ${end} and goes, the durable log start is ${logStart}`
    return new Anomaly('wrong-deletion', detail)
  }

  #nextBase(directory: string, base: number): number {
    let next = Number.POSITIVE_INFINITY
    for (const name of this.#disk.directory(directory).names.keys()) {
      const other = /^\d{20}\.log$/.test(name) ? Number(name.slice(0, 20)) : -1
      if (other > base && other < next) next = other
    }
    return next
  }

  /** A swap of its range is on the platter. */
  #isReplaced(directory: string, base: number): boolean {
    for (const name of this.#disk.directory(directory).durable.keys()) {
      const match = /^(\d{20})-(\d{20})\.log\.swap$/.exec(name)
      if (match !== null && Number(match[1]) <= base && base < Number(match[2])) return true
    }
    return false
  }
}
