/**
 * The topics that exist, by name and by id: what request handlers look up. Only the admin service changes it.
 * Dispatcher thread.
 */
import assert from 'node:assert/strict'
import type { LogConfig } from '../contracts/log-config.ts'
import type { Partition } from '../partitions/partition.ts'

export interface Topic {
  readonly name: string
  /** 16 bytes as base64url, Kafka's Uuid.toString (KIP-516). */
  readonly id: string
  /** Configs the topic was given, as text; broker defaults are not in it. */
  configs: Map<string, string>
  /** By partition index, dense. */
  readonly partitions: Partition[]
  log: LogConfig
}

export class TopicRegistry {
  readonly #byName = new Map<string, Topic>()
  readonly #byId = new Map<string, Topic>()

  get(name: string): Topic | undefined {
    return this.#byName.get(name)
  }

  byId(id: string): Topic | undefined {
    return this.#byId.get(id)
  }

  /** The partition, or undefined when the topic or the index does not exist. */
  partition(name: string, index: number): Partition | undefined {
    return this.#byName.get(name)?.partitions[index]
  }

  all(): IterableIterator<Topic> {
    return this.#byName.values()
  }

  get size(): number {
    return this.#byName.size
  }

  add(topic: Topic): void {
    assert(!this.#byName.has(topic.name), `topic ${topic.name} is there already`)
    assert(!this.#byId.has(topic.id), `topic id ${topic.id} is there already`)
    this.#byName.set(topic.name, topic)
    this.#byId.set(topic.id, topic)
  }

  remove(topic: Topic): void {
    assert.equal(this.#byName.get(topic.name), topic)
    this.#byName.delete(topic.name)
    this.#byId.delete(topic.id)
  }
}
