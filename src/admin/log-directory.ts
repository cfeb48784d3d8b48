/** Bytes of partitions and of the disk that they lie on, asked of the owners when somebody looks. Dispatcher thread. */
import { statfs } from 'node:fs/promises'
import type { PartitionDescription } from '../contracts/control.ts'
import type { Owner } from '../partitions/owner.ts'
import type { Partition } from '../partitions/partition.ts'

export interface DiskSize {
  readonly totalBytes: number
  readonly usableBytes: number
}

export class LogDirectory {
  /** Absolute. */
  readonly path: string
  readonly #owners: readonly Owner[]

  constructor(path: string, owners: readonly Owner[]) {
    this.path = path
    this.#owners = owners
  }

  /** By slot; partitions whose log is not open, or whose owner dies over the question, are left out. */
  async describe(partitions: readonly Partition[]): Promise<Map<number, PartitionDescription>> {
    const byOwner = Map.groupBy(partitions, ({ ownerIndex }) => ownerIndex)
    const asked = [...byOwner].map(([index, group]) => {
      const slots = group.map(({ slot }) => slot)
      return this.#owners[index]?.call(control => control.describe(slots)) ?? null
    })
    const answers = (await Promise.all(asked)).flatMap(answer => answer ?? [])
    return new Map(answers.map(answer => [answer.slot, answer]))
  }

  /** Throws as the file system does. */
  async diskSize(): Promise<DiskSize> {
    const { bavail, blocks, bsize } = await statfs(this.path)
    return { totalBytes: blocks * bsize, usableBytes: bavail * bsize }
  }
}
