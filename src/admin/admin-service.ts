/**
 * Topics as plain functions: create, delete, grow, list. Wire handlers and HTTP routes call these,
 * neither calls the other. The client's mistakes are KafkaErrors with a code and a message that names
 * the culprit. Dispatcher thread.
 *
 * Order of a creation: metadata durable → directories → registry → reply. Of a deletion: out of the
 * registry → mark durable → directories gone → record gone. So a crash leaves either a topic that opens
 * at the next start or a mark that the next start finishes. Configs: durable → registry → logs → reply.
 */
import type { BrokerConfig } from '../config/config.ts'
import { toLogConfig } from '../config/topic-configs.ts'
import type { Partition, PartitionHost } from '../partitions/partition.ts'
import { Errors, errorName, KafkaError } from '../protocol/errors.ts'
import { isInternalTopic } from '../topics/topic-names.ts'
import type { Topic, TopicRegistry } from '../topics/topic-registry.ts'
import type { TopicRecord, TopicStore } from '../topics/topic-store.ts'
import { newUuid } from '../topics/uuid.ts'
import { type ConfigEntry, describeBroker, describeTopic } from './config-entries.ts'
import { type ConfigChange, isSame, planConfigs } from './config-plan.ts'
import { refuseInternal, refuseUnfitConfigs } from './internal-topics.ts'
import { removeTopicDirectories } from './leftovers.ts'
import { TopicCatalog } from './topic-catalog.ts'
import {
  type CreateTopic,
  type Growth,
  planGrowth,
  planTopic,
  type TopicPlan,
} from './topic-plan.ts'

export type { ConfigEntry } from './config-entries.ts'
export type { ConfigChange, ConfigStep } from './config-plan.ts'
export type { CreateTopic, Growth } from './topic-plan.ts'

export interface AdminOptions {
  readonly config: BrokerConfig
  /** Absolute. */
  readonly dataDirectory: string
  readonly nodeId: number
  readonly topics: TopicRegistry
  readonly store: TopicStore
  readonly host: PartitionHost
}

export interface CreatedTopic {
  readonly name: string
  /** Null after `validateOnly`. */
  readonly id: string | null
  readonly partitions: number
  readonly replicationFactor: number
  readonly configs: readonly ConfigEntry[]
}

/** By name or by id. */
export type TopicRef = { readonly name: string } | { readonly id: string }

export class AdminService {
  readonly #config: BrokerConfig
  readonly #dataDirectory: string
  readonly #nodeId: number
  readonly #topics: TopicRegistry
  readonly #host: PartitionHost
  readonly #catalog: TopicCatalog
  /** Told when a topic is gone for good; a crash before that is made up for at the next start. */
  onDeleted: (name: string) => void = () => {}
  /** Last operation on each name that is being changed: one at a time per topic. */
  readonly #turns = new Map<string, Promise<unknown>>()

  constructor(options: AdminOptions) {
    this.#config = options.config
    this.#dataDirectory = options.dataDirectory
    this.#nodeId = options.nodeId
    this.#topics = options.topics
    this.#host = options.host
    this.#catalog = new TopicCatalog(options.store)
  }

  /**
   * Loads the metadata, finishes deletions a crash cut short, and opens every partition. Called once, before clients
   * are served. A log that cannot open leaves its partition offline; unreadable metadata rejects.
   */
  async start(): Promise<void> {
    await this.#catalog.load()
    const unfinished = this.#catalog.all().filter(record => record.state === 'deleting')
    for (const record of unfinished) {
      await removeTopicDirectories(this.#dataDirectory, record)
      this.#catalog.drop(record.name)
    }
    if (unfinished.length > 0) await this.#catalog.save()
    await this.#host.replayJournals(this.#catalog.all())
    const opened = await Promise.all(this.#catalog.all().map(record => this.#open(record)))
    for (const topic of opened) this.#topics.add(topic)
  }

  /** All topics, internal ones too, in order of creation. */
  listTopics(): Topic[] {
    return [...this.#topics.all()]
  }

  /**
   * Creates a topic. -1 partitions or replicas mean the broker's default. Rejects with KafkaError:
   * TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS, INVALID_REPLICATION_FACTOR,
   * INVALID_REPLICA_ASSIGNMENT, INVALID_REQUEST, INVALID_CONFIG, POLICY_VIOLATION (too many partitions),
   * KAFKA_STORAGE_ERROR (not created).
   */
  createTopic(request: CreateTopic): Promise<CreatedTopic> {
    return this.#inTurn(request.name, async () => {
      const plan = planTopic(request, this.#planContext())
      if (isInternalTopic(request.name))
        throw new KafkaError(
          Errors.INVALID_TOPIC_EXCEPTION,
          `Topic ${request.name} is reserved for the broker: use another name`,
        )
      const topic = request.validateOnly === true ? null : await this.#create(plan)
      return {
        name: plan.name,
        id: topic === null ? null : topic.id,
        partitions: plan.partitions,
        replicationFactor: 1,
        configs: describeTopic(plan.configs, this.#config, null),
      }
    })
  }

  /**
   * The topic, created with the broker's defaults when it does not exist. Concurrent calls share one creation. Whether
   * auto-creation is allowed is the caller's question. Rejects like createTopic.
   */
  ensureTopic(name: string): Promise<Topic> {
    const present = this.#topics.get(name)
    if (present !== undefined) return Promise.resolve(present)
    return this.#inTurn(name, () => {
      const created = this.#topics.get(name)
      if (created !== undefined) return Promise.resolve(created)
      if (isInternalTopic(name))
        throw new KafkaError(Errors.UNKNOWN_TOPIC_OR_PARTITION, `Topic ${name} does not exist`)
      return this.#create(
        planTopic(
          { name, partitions: -1, replicationFactor: -1, configs: [] },
          this.#planContext(),
        ),
      )
    })
  }

  /** A topic of the broker's own, created when it does not exist. Rejects as createTopic does. */
  ensureInternalTopic(
    name: string,
    partitions: number,
    configs: CreateTopic['configs'],
  ): Promise<Topic> {
    return this.#inTurn(name, async () => {
      const request = { name, partitions, replicationFactor: 1, configs }
      return this.#topics.get(name) ?? (await this.#create(planTopic(request, this.#planContext())))
    })
  }

  /**
   * Deletes a topic and its files. Rejects with UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, TOPIC_DELETION_DISABLED,
   * INVALID_TOPIC_EXCEPTION (a topic of the broker), KAFKA_STORAGE_ERROR.
   */
  async deleteTopic(ref: TopicRef): Promise<{ name: string; id: string }> {
    const { name } = this.#find(ref)
    refuseInternal(name, 'deleted')
    if (!this.#config.deleteTopics)
      throw new KafkaError(
        Errors.TOPIC_DELETION_DISABLED,
        'Topics cannot be deleted: delete.topic.enable is false',
      )
    return await this.#inTurn(name, async () => {
      const topic = this.#find(ref)
      this.#topics.remove(topic)
      const record = this.#catalog.get(name) as TopicRecord
      this.#catalog.put({ ...record, state: 'deleting' })
      await this.#catalog.save().catch(error => {
        this.#catalog.put(record)
        this.#topics.add(topic)
        throw storageError(`Topic ${name} was not deleted`, error)
      })
      this.onDeleted(name)
      await this.#host.delete(topic.partitions).catch(error => {
        throw storageError(`Files of topic ${name} stay until the next start`, error)
      })
      this.#catalog.drop(name)
      // Not fatal: the mark is durable, the next start drops the record.
      await this.#catalog.save().catch(() => {})
      return { name, id: topic.id }
    })
  }

  /**
   * Grows a topic to `count` partitions. Rejects with UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS,
   * INVALID_REPLICA_ASSIGNMENT, INVALID_TOPIC_EXCEPTION (a topic of the broker), POLICY_VIOLATION, KAFKA_STORAGE_ERROR.
   */
  createPartitions(growth: Growth): Promise<void> {
    return this.#inTurn(growth.name, async () => {
      const topic = this.#find({ name: growth.name })
      refuseInternal(growth.name, 'extended')
      const present = topic.partitions.length
      planGrowth(growth, present, this.#planContext())
      if (growth.validateOnly === true) return
      const record = this.#catalog.get(growth.name) as TopicRecord
      this.#catalog.put({ ...record, partitions: growth.count })
      try {
        await this.#catalog.save()
        topic.partitions.push(...(await this.#openPartitions(topic, present, growth.count)))
      } catch (error) {
        this.#catalog.put(record)
        await this.#catalog.save().catch(() => {})
        throw storageError(`Topic ${growth.name} was not extended`, error)
      }
    })
  }

  /**
   * Changes the configs of a topic; its logs follow them from the next round on. Rejects with
   * UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST, INVALID_CONFIG (nothing was changed), KAFKA_STORAGE_ERROR.
   */
  alterTopicConfigs(name: string, change: ConfigChange, validateOnly = false): Promise<void> {
    return this.#inTurn(name, async () => {
      const topic = this.#find({ name })
      const configs = planConfigs(topic.configs, change, this.#config.topicDefaults)
      refuseUnfitConfigs(name, topic.configs, configs)
      if (validateOnly || isSame(configs, topic.configs)) return
      const record = this.#catalog.get(name) as TopicRecord
      this.#catalog.put({ ...record, configs: [...configs] })
      try {
        await this.#catalog.save()
      } catch (error) {
        this.#catalog.put(record)
        await this.#catalog.save().catch(() => {})
        throw storageError(`Configs of topic ${name} were not changed`, error)
      }
      Object.assign(topic, this.#settingsOf(name, configs))
      await this.#host.applyConfig(topic.partitions, topic.log).catch(error => {
        throw storageError(`Configs of topic ${name} are stored, not in all logs`, error)
      })
    })
  }

  /**
   * Makes records below `beforeOffset` (-1: the high watermark) unreadable, for good. Resolves to the log start offset
   * once that is durable. Rejects with UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION (a topic of the broker),
   * POLICY_VIOLATION (a topic that is only compacted), OFFSET_OUT_OF_RANGE, NOT_LEADER_OR_FOLLOWER,
   * KAFKA_STORAGE_ERROR.
   */
  async deleteRecords(name: string, index: number, beforeOffset: number): Promise<number> {
    const topic = this.#find({ name })
    const partition = topic.partitions[index]
    if (partition === undefined)
      throw new KafkaError(
        Errors.UNKNOWN_TOPIC_OR_PARTITION,
        `Topic ${name} has no partition ${index}`,
      )
    if (topic.log.isInternal)
      throw new KafkaError(
        Errors.INVALID_TOPIC_EXCEPTION,
        `Records of ${name} are the broker's to delete`,
      )
    if (!topic.log.cleanupDelete)
      throw new KafkaError(
        Errors.POLICY_VIOLATION,
        `Records of topic ${name} cannot be deleted: its cleanup.policy has no "delete"`,
      )
    if (beforeOffset < -1)
      throw new KafkaError(Errors.OFFSET_OUT_OF_RANGE, `There is no offset ${beforeOffset}`)
    const { error, logStartOffset } = await this.#host.deleteRecords(partition, beforeOffset)
    if (error === Errors.NONE) return logStartOffset
    throw new KafkaError(error, `Records of ${name}-${index} were not deleted: ${errorName(error)}`)
  }

  /** Configs of a topic with defaults and sources; `names` null = all. Throws UNKNOWN_TOPIC_OR_PARTITION. */
  describeTopicConfigs(name: string, names: readonly string[] | null): ConfigEntry[] {
    return describeTopic(this.#find({ name }).configs, this.#config, names)
  }

  /** Broker settings in force; `names` null = all. */
  describeBrokerConfigs(names: readonly string[] | null): ConfigEntry[] {
    return describeBroker(this.#config, names)
  }

  #planContext() {
    return { config: this.#config, nodeId: this.#nodeId, catalog: this.#catalog }
  }

  #find(ref: TopicRef): Topic {
    if ('name' in ref) {
      const topic = this.#topics.get(ref.name)
      if (topic !== undefined) return topic
      throw new KafkaError(
        Errors.UNKNOWN_TOPIC_OR_PARTITION,
        `Topic ${JSON.stringify(ref.name.slice(0, 300))} does not exist: create it, or check its name`,
      )
    }
    const topic = this.#topics.byId(ref.id)
    if (topic !== undefined) return topic
    throw new KafkaError(
      Errors.UNKNOWN_TOPIC_ID,
      `No topic has the id ${ref.id}: ask for the metadata again`,
    )
  }

  async #create(plan: TopicPlan): Promise<Topic> {
    const { name, partitions, configs } = plan
    const record: TopicRecord = {
      name,
      id: newUuid(),
      partitions,
      configs: [...configs],
      state: 'live',
    }
    this.#catalog.put(record)
    let topic: Topic | null = null
    try {
      await this.#catalog.save()
      topic = await this.#open(record)
      refuseUnopened(topic)
      this.#topics.add(topic)
      return topic
    } catch (error) {
      await this.#undoCreation(record, topic)
      throw storageError(`Topic ${name} was not created`, error)
    }
  }

  async #undoCreation(record: TopicRecord, topic: Topic | null): Promise<void> {
    try {
      if (topic !== null) await this.#host.delete(topic.partitions)
      this.#catalog.drop(record.name)
    } catch {
      // The name stays taken until the next start has removed the files.
      this.#catalog.put({ ...record, state: 'deleting' })
    }
    // When this fails too, the next start finds the topic and opens it: nobody was told that it is not there for good.
    await this.#catalog.save().catch(() => {})
  }

  async #open(record: TopicRecord): Promise<Topic> {
    const { name, id } = record
    const settings = this.#settingsOf(name, new Map(record.configs))
    const topic: Topic = { name, id, partitions: [], ...settings }
    topic.partitions.push(...(await this.#openPartitions(topic, 0, record.partitions)))
    return topic
  }

  #settingsOf(name: string, configs: Map<string, string>) {
    const { topicDefaults } = this.#config
    return {
      configs,
      log: toLogConfig(configs, topicDefaults, isInternalTopic(name)),
    }
  }

  #openPartitions(topic: Topic, from: number, to: number): Promise<Partition[]> {
    return this.#host.open({ name: topic.name, id: topic.id, config: topic.log }, from, to)
  }

  /** Runs one change of a topic after those before it on the same name. */
  #inTurn<T>(name: string, change: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(name) ?? Promise.resolve()
    const turn = before.then(change, change)
    this.#turns.set(name, turn)
    const done = () => {
      if (this.#turns.get(name) === turn) this.#turns.delete(name)
    }
    turn.then(done, done)
    return turn
  }
}

/** A new topic whose logs cannot be made is no topic: the disk is full or read-only, no descriptors are left. */
function refuseUnopened({ partitions }: Topic): void {
  const failed = partitions.find(partition => partition.state === 'offline')
  if (failed !== undefined)
    throw new Error(`the log of partition ${failed.index} cannot be made, see the broker's log`)
}

function storageError(what: string, error: unknown): KafkaError {
  if (error instanceof KafkaError) return error
  const { message } = error as Error
  return new KafkaError(Errors.KAFKA_STORAGE_ERROR, `${what}: ${message}`, { cause: error })
}
