/** Group id -> topic -> partition -> committed offset; what is empty is not in it. Pure. */
import type { CommittedOffset } from './types.ts'

export type OffsetsByPartition = ReadonlyMap<number, CommittedOffset>
export type OffsetsByTopic = ReadonlyMap<string, OffsetsByPartition>

const noOffsets: OffsetsByTopic = new Map()

export class OffsetMap {
  readonly #groups = new Map<string, Map<string, Map<number, CommittedOffset>>>()

  get size(): number {
    return this.#groups.size
  }

  get groups(): ReadonlyMap<string, OffsetsByTopic> {
    return this.#groups
  }

  has(groupId: string): boolean {
    return this.#groups.has(groupId)
  }

  get(groupId: string, topic: string, partition: number): CommittedOffset | undefined {
    return this.#groups.get(groupId)?.get(topic)?.get(partition)
  }

  all(groupId: string): OffsetsByTopic {
    return this.#groups.get(groupId) ?? noOffsets
  }

  /** Null takes the offset away. */
  put(groupId: string, topic: string, partition: number, offset: CommittedOffset | null): void {
    if (offset === null) {
      this.#delete(groupId, topic, partition)
      return
    }
    let topics = this.#groups.get(groupId)
    if (topics === undefined) {
      topics = new Map()
      this.#groups.set(groupId, topics)
    }
    let partitions = topics.get(topic)
    if (partitions === undefined) {
      partitions = new Map()
      topics.set(topic, partitions)
    }
    partitions.set(partition, offset)
  }

  #delete(groupId: string, topic: string, partition: number): void {
    const topics = this.#groups.get(groupId)
    const partitions = topics?.get(topic)
    partitions?.delete(partition)
    if (partitions?.size === 0) topics?.delete(topic)
    if (topics?.size === 0) this.#groups.delete(groupId)
  }
}
