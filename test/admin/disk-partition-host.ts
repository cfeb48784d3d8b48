/**
 * A PartitionHost without threads: a partition is a directory with Kafka's partition.metadata. It can be told to fail,
 * as owner threads do when a disk is full or a thread dies.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type {
  DeletedRecords,
  Partition,
  PartitionHost,
  TopicLogSettings,
} from '../../src/partitions/partition.ts'
import { partitionDirectoryName } from '../../src/topics/topic-names.ts'

export class DiskPartitionHost implements PartitionHost {
  readonly #dataDirectory: string
  #slots = 0
  /** Runs before an open touches the disk. */
  beforeOpen: (topic: string) => void | Promise<void> = () => {}
  failOpen: Error | null = null
  failDelete: Error | null = null
  /** Partitions whose log cannot be made: they come back offline. */
  offline = new Set<string>()
  opens = 0
  /** Runs before a config reaches the logs. */
  beforeApply: () => void | Promise<void> = () => {}
  /** By directory name: what applyConfig was last told. */
  readonly applied = new Map<string, TopicLogSettings>()

  constructor(dataDirectory: string) {
    this.#dataDirectory = dataDirectory
  }

  directory(topic: string, index: number): string {
    return join(this.#dataDirectory, partitionDirectoryName(topic, index))
  }

  async replayJournals(): Promise<void> {}

  async open(
    topic: { readonly name: string; readonly id: string; readonly config: TopicLogSettings },
    from: number,
    to: number,
  ): Promise<Partition[]> {
    this.opens++
    await this.beforeOpen(topic.name)
    if (this.failOpen !== null) throw this.failOpen
    const partitions: Partition[] = []
    for (let index = from; index < to; index++) {
      const directory = this.directory(topic.name, index)
      await mkdir(directory, { recursive: true })
      await writeFile(join(directory, 'partition.metadata'), `version: 0\ntopic_id: ${topic.id}\n`)
      const state = this.offline.has(`${topic.name}-${index}`) ? 'offline' : 'online'
      const slot = this.#slots++
      partitions.push({ topic: topic.name, index, slot, generation: 1, ownerIndex: 0, state })
    }
    return partitions
  }

  async delete(partitions: readonly Partition[]): Promise<void> {
    if (this.failDelete !== null) throw this.failDelete
    for (const partition of partitions) {
      partition.state = 'closed'
      await rm(this.directory(partition.topic, partition.index), { recursive: true })
    }
  }

  async applyConfig(partitions: readonly Partition[], config: TopicLogSettings): Promise<void> {
    await this.beforeApply()
    for (const { topic, index } of partitions) this.applied.set(`${topic}-${index}`, config)
  }

  async deleteRecords(_partition: Partition, beforeOffset: number): Promise<DeletedRecords> {
    return { error: 0, logStartOffset: beforeOffset }
  }
}
