/**
 * Topics from outside: create, list, describe, change, grow, delete. What the command line's `topics` is made of.
 * Groups are in admin-groups.ts.
 */
import { zeroUuid } from '../protocol/bytes.ts'
import { Errors, errorName, KafkaError } from '../protocol/errors.ts'
import { CreatePartitions } from '../protocol/messages/create-partitions.ts'
import { CreateTopics } from '../protocol/messages/create-topics.ts'
import { DeleteTopics } from '../protocol/messages/delete-topics.ts'
import { DescribeConfigs } from '../protocol/messages/describe-configs.ts'
import { IncrementalAlterConfigs } from '../protocol/messages/incremental-alter-configs.ts'
import type { Address } from './address.ts'
import { GroupAdmin } from './admin-groups.ts'
import { type ClientOptions, Cluster } from './cluster.ts'
import type { Connection } from './connection.ts'
import { earliestTimestamp, latestTimestamp, listOffsets } from './list-offsets.ts'

export interface NewTopic {
  readonly name: string
  /** -1 (default): the broker's `num.partitions`. */
  readonly partitions?: number
  /** -1 (default): the broker's. */
  readonly replicationFactor?: number
  readonly configs?: ReadonlyMap<string, string>
}

export interface TopicSummary {
  readonly name: string
  readonly id: string
  readonly partitions: number
}

export interface TopicPartition {
  readonly partition: number
  /** Node id, -1 when there is none. */
  readonly leader: number
  /** Null when the leader cannot say. */
  readonly startOffset: number | null
  /** End of what consumers may read. */
  readonly endOffset: number | null
}

export interface TopicConfig {
  readonly name: string
  readonly value: string | null
  /** True unless somebody has set it, for this topic or for the broker. */
  readonly isDefault: boolean
}

export interface TopicDescription {
  readonly name: string
  readonly id: string
  readonly partitions: readonly TopicPartition[]
  readonly configs: readonly TopicConfig[]
}

/** What becomes of a topic's configs; the others stay. */
export interface ConfigChanges {
  readonly set?: ReadonlyMap<string, string>
  /** Go back to their defaults. */
  readonly remove?: Iterable<string>
}

export interface ChangeOptions {
  /** Only asks whether the change would be accepted. */
  readonly validateOnly?: boolean
}

const topicResource = 2
/** IncrementalAlterConfigs' operations. */
const [setConfig, removeConfig] = [0, 1]
/** DescribeConfigs' source of a value that nobody has set. */
const defaultSource = 5
const timeoutMs = 30_000

export class Admin {
  readonly #cluster: Cluster
  readonly groups: GroupAdmin

  constructor(options: ClientOptions = {}) {
    this.#cluster = new Cluster({ retryMsMax: 5000, ...options })
    this.groups = new GroupAdmin(this.#cluster)
  }

  /** Tries once to reach a broker. Not needed; tells early what is wrong. */
  async connect(): Promise<void> {
    await this.#cluster.connection()
  }

  /** @throws KafkaError TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION, INVALID_CONFIG, ... */
  async createTopic(topic: NewTopic): Promise<TopicSummary> {
    const configs = [...(topic.configs ?? [])].map(([name, value]) => ({ name, value }))
    const connection = await this.#controller()
    const answer = await connection.request(CreateTopics, {
      topics: [
        {
          name: topic.name,
          numPartitions: topic.partitions ?? -1,
          replicationFactor: topic.replicationFactor ?? -1,
          assignments: [],
          configs,
        },
      ],
      timeoutMs,
      validateOnly: false,
    })
    const row = answer.topics[0]
    if (row.errorCode !== Errors.NONE) {
      throw refused(row.errorCode, topic.name, row.errorMessage)
    }
    return { name: row.name, id: row.topicId, partitions: row.numPartitions }
  }

  /** @throws KafkaError UNKNOWN_TOPIC_OR_PARTITION, TOPIC_DELETION_DISABLED */
  async deleteTopic(name: string): Promise<void> {
    const connection = await this.#controller()
    const answer = await connection.request(DeleteTopics, {
      topics: [{ name, topicId: zeroUuid }],
      topicNames: [name],
      timeoutMs,
    })
    const row = answer.responses[0]
    if (row.errorCode !== Errors.NONE) {
      throw refused(row.errorCode, name, row.errorMessage)
    }
    this.#cluster.forget(name)
  }

  /** `count` is the new total. @throws KafkaError INVALID_PARTITIONS unless that is more than there are */
  async createPartitions(
    name: string,
    count: number,
    { validateOnly = false }: ChangeOptions = {},
  ): Promise<void> {
    const connection = await this.#controller()
    const answer = await connection.request(CreatePartitions, {
      topics: [{ name, count, assignments: null }],
      timeoutMs,
      validateOnly,
    })
    const row = answer.results[0]
    if (row.errorCode !== Errors.NONE) {
      throw refused(row.errorCode, name, row.errorMessage)
    }
    this.#cluster.forget(name)
  }

  /** All of it or nothing. @throws KafkaError INVALID_CONFIG, UNKNOWN_TOPIC_OR_PARTITION */
  async alterTopicConfigs(
    name: string,
    { set = new Map(), remove = [] }: ConfigChanges,
    { validateOnly = false }: ChangeOptions = {},
  ): Promise<void> {
    const sets = [...set].map(([key, value]) => ({
      name: key,
      configOperation: setConfig,
      value,
    }))
    const removals = [...remove].map(key => ({
      name: key,
      configOperation: removeConfig,
      value: null,
    }))
    const connection = await this.#controller()
    const answer = await connection.request(IncrementalAlterConfigs, {
      resources: [
        { resourceType: topicResource, resourceName: name, configs: [...sets, ...removals] },
      ],
      validateOnly,
    })
    const row = answer.responses[0]
    if (row.errorCode !== Errors.NONE) {
      throw refused(row.errorCode, name, row.errorMessage)
    }
  }

  /** All topics, by name. */
  async listTopics(): Promise<TopicSummary[]> {
    const { topics } = await this.#cluster.metadata(null)
    return topics
      .filter(({ errorCode }) => errorCode === Errors.NONE)
      .map(({ name, topicId, partitions }) => ({
        name: name ?? '',
        id: topicId,
        partitions: partitions.length,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** @throws KafkaError UNKNOWN_TOPIC_OR_PARTITION */
  async describeTopic(name: string): Promise<TopicDescription> {
    const { id, partitions } = await this.#cluster.topic(name, { refresh: true })
    const described: TopicPartition[] = []
    for (const { index, leader } of partitions) {
      described.push({
        partition: index,
        leader,
        startOffset: await this.#offset(name, index, earliestTimestamp),
        endOffset: await this.#offset(name, index, latestTimestamp),
      })
    }
    return { name, id, partitions: described, configs: await this.topicConfigs(name) }
  }

  /** Who leads each partition of a topic, by partition; null while there is nobody. */
  async leaders(name: string): Promise<(Address | null)[]> {
    const { partitions } = await this.#cluster.topic(name, { refresh: true })
    return partitions.map(({ leader }) => this.#cluster.addressOf(leader))
  }

  /** End of what consumers may read, by partition; null where the leader cannot say. */
  async endOffsets(name: string): Promise<(number | null)[]> {
    const { partitions } = await this.#cluster.topic(name)
    return await Promise.all(
      partitions.map(({ index }) => this.#offset(name, index, latestTimestamp)),
    )
  }

  /** Every config of a topic with the value in force. */
  async topicConfigs(name: string): Promise<TopicConfig[]> {
    const connection = await this.#cluster.connection()
    const answer = await connection.request(DescribeConfigs, {
      resources: [{ resourceType: topicResource, resourceName: name, configurationKeys: null }],
      includeSynonyms: false,
      includeDocumentation: false,
    })
    const row = answer.results[0]
    if (row.errorCode !== Errors.NONE) {
      throw refused(row.errorCode, name, row.errorMessage)
    }
    return row.configs.map(config => ({
      name: config.name,
      value: config.value,
      isDefault: config.configSource === defaultSource || config.isDefault,
    }))
  }

  async close(): Promise<void> {
    await this.#cluster.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** An offline partition has no offsets to tell; the others have. */
  async #offset(topic: string, partition: number, timestamp: number): Promise<number | null> {
    try {
      const offsets = await listOffsets(this.#cluster, topic, [partition], timestamp)
      return offsets.get(partition) ?? null
    } catch {
      return null
    }
  }

  async #controller(): Promise<Connection> {
    const { controllerId } = await this.#cluster.metadata([])
    return this.#cluster.connection(controllerId)
  }
}

/** The broker's own words where it has some, they name the topic; else ours. */
function refused(code: number, topic: string, detail: string | null): KafkaError {
  if (code === Errors.UNKNOWN_TOPIC_OR_PARTITION) {
    return new KafkaError(code, `topic ${topic} does not exist`)
  }
  return new KafkaError(code, detail ?? `topic ${topic}: ${errorName(code)}`)
}
