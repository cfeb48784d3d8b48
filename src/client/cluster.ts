/**
 * What a client knows of the brokers: their addresses, who leads which partition, and one shared connection to each.
 * Starts from any bootstrap address, learns the rest from Metadata, goes back to the bootstrap addresses when
 * everybody known is gone.
 */
import { zeroUuid } from '../protocol/bytes.ts'
import { Errors, errorName, isRetriable, KafkaError } from '../protocol/errors.ts'
import { Metadata } from '../protocol/messages/metadata.ts'
import type { ResponseOf } from '../protocol/schema.ts'
import { type Address, defaultBootstrap, formatAddress, parseBootstrap } from './address.ts'
import { Connection, type ConnectionOptions } from './connection.ts'

export interface ClientOptions extends ConnectionOptions {
  /** `HOST:PORT[,HOST:PORT...]`. Default 127.0.0.1:9092. */
  readonly bootstrap?: string
  /** How long one call goes on trying when the broker is away or answers with a retriable error. Default 60,000. */
  readonly retryMsMax?: number
}

export interface TopicInfo {
  readonly name: string
  readonly id: string
  /** By partition index. */
  readonly partitions: readonly PartitionInfo[]
}

export interface PartitionInfo {
  readonly index: number
  /** Node id of the leader, -1 while there is none. */
  readonly leader: number
}

export type MetadataAnswer = ResponseOf<typeof Metadata>

const backoffMsMin = 50
const backoffMsMax = 1000

export class Cluster {
  readonly options: ClientOptions
  readonly #bootstrap: readonly Address[]
  readonly #brokers = new Map<number, Address>()
  readonly #topics = new Map<string, TopicInfo>()
  readonly #loading = new Map<string, Promise<TopicInfo>>()
  /** Shared connections by `host:port`; a closed one is replaced at the next use. */
  readonly #connections = new Map<string, Promise<Connection>>()
  #controllerId = -1
  #closed = false

  constructor(options: ClientOptions) {
    this.options = options
    this.#bootstrap = parseBootstrap(options.bootstrap ?? defaultBootstrap)
  }

  get isClosed(): boolean {
    return this.#closed
  }

  get controllerId(): number {
    return this.#controllerId
  }

  /** A shared connection to a node, or to any broker that answers. */
  async connection(nodeId = -1): Promise<Connection> {
    const known = this.#brokers.get(nodeId)
    if (known !== undefined) return this.#shared(known)
    if (nodeId >= 0) throw new KafkaError(Errors.LEADER_NOT_AVAILABLE, `node ${nodeId} is unknown`)
    return this.#firstOf(address => this.#shared(address))
  }

  /** A connection of the caller's own, for requests that may take long: on a shared one others would wait behind. */
  async dedicated(nodeId: number): Promise<Connection> {
    const known = this.#brokers.get(nodeId)
    if (known === undefined) {
      throw new KafkaError(Errors.LEADER_NOT_AVAILABLE, `node ${nodeId} is unknown`)
    }
    this.#ensureOpen()
    return Connection.open(known, this.options)
  }

  /**
   * The topic's partitions, from memory unless `refresh`. Concurrent callers share one request.
   * @throws KafkaError the topic's error; with `create` the broker makes a topic it does not have, if it is set so
   */
  topic(
    name: string,
    { refresh = false, create = false }: { refresh?: boolean; create?: boolean } = {},
  ): Promise<TopicInfo> {
    const known = this.#topics.get(name)
    if (known !== undefined && !refresh) return Promise.resolve(known)
    const key = `${create} ${name}`
    let loading = this.#loading.get(key)
    if (loading === undefined) {
      loading = this.#loadTopic(name, create).finally(() => this.#loading.delete(key))
      this.#loading.set(key, loading)
    }
    return loading
  }

  /** Node id of a partition's leader as far as it is known here; -1 else. */
  leaderOf(topic: string, partition: number): number {
    return this.#topics.get(topic)?.partitions[partition]?.leader ?? -1
  }

  /** Where a node serves, as it told itself in the newest metadata. */
  addressOf(nodeId: number): Address | null {
    return this.#brokers.get(nodeId) ?? null
  }

  /** Forgets a topic (it was deleted): the next use asks again. */
  forget(name: string): void {
    this.#topics.delete(name)
  }

  /** One Metadata request; null asks for all topics. Takes note of brokers and controller. */
  async metadata(
    topics: readonly string[] | null,
    allowAutoTopicCreation = false,
  ): Promise<MetadataAnswer> {
    const connection = await this.connection()
    const answer = await connection.request(Metadata, {
      topics: topics === null ? null : topics.map(name => ({ topicId: zeroUuid, name })),
      allowAutoTopicCreation,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    })
    this.#brokers.clear()
    for (const broker of answer.brokers) {
      this.#brokers.set(broker.nodeId, { host: broker.host, port: broker.port })
    }
    this.#controllerId = answer.controllerId
    return answer
  }

  /**
   * Runs `attempt` until it succeeds, fails for good, or the time for retries is over; then the last error is thrown.
   * `isFinal` may name retriable errors that are final here. Between attempts it waits 50 ms, doubling up to 1 s.
   */
  async retrying<T>(
    attempt: () => Promise<T>,
    { isFinal = () => false }: { isFinal?: (error: unknown) => boolean } = {},
  ): Promise<T> {
    const deadlineMs = performance.now() + (this.options.retryMsMax ?? 60_000)
    for (let backoffMs = backoffMsMin; ; backoffMs = Math.min(backoffMs * 2, backoffMsMax)) {
      try {
        return await attempt()
      } catch (error) {
        if (!canRetry(error) || isFinal(error) || this.#closed) throw error
        if (performance.now() + backoffMs > deadlineMs) throw error
        await sleep(backoffMs)
      }
    }
  }

  /** Closes every shared connection, what is written but not yet sent included in what the broker gets. */
  async close(): Promise<void> {
    this.#closed = true
    const connections = [...this.#connections.values()]
    this.#connections.clear()
    await Promise.all(
      connections.map(opening =>
        opening.then(
          connection => connection.end(),
          () => undefined,
        ),
      ),
    )
  }

  async #loadTopic(name: string, create: boolean): Promise<TopicInfo> {
    const answer = await this.metadata([name], create)
    const row = answer.topics.find(topic => topic.name === name)
    const errorCode = row?.errorCode ?? Errors.UNKNOWN_TOPIC_OR_PARTITION
    if (row === undefined || errorCode !== Errors.NONE) {
      this.#topics.delete(name)
      throw topicError(errorCode, name)
    }
    const partitions = row.partitions
      .map(partition => ({ index: partition.partitionIndex, leader: partition.leaderId }))
      .sort((a, b) => a.index - b.index)
    const info = { name, id: row.topicId, partitions }
    this.#topics.set(name, info)
    return info
  }

  /** Known brokers first, then the bootstrap list; the error of the last one when nobody answers. */
  async #firstOf(open: (address: Address) => Promise<Connection>): Promise<Connection> {
    const seen = new Map<string, Address>()
    for (const address of [...this.#brokers.values(), ...this.#bootstrap]) {
      seen.set(formatAddress(address), address)
    }
    let failure: unknown
    for (const address of seen.values()) {
      try {
        return await open(address)
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  async #shared(address: Address): Promise<Connection> {
    this.#ensureOpen()
    const key = formatAddress(address)
    const present = this.#connections.get(key)
    if (present !== undefined) {
      const connection = await present
      if (!connection.isClosed) return connection
      if (this.#connections.get(key) === present) this.#connections.delete(key)
      return this.#shared(address)
    }
    const opening = Connection.open(address, this.options)
    this.#connections.set(key, opening)
    try {
      return await opening
    } catch (error) {
      if (this.#connections.get(key) === opening) this.#connections.delete(key)
      throw error
    }
  }

  #ensureOpen(): void {
    if (this.#closed) throw new KafkaError(Errors.BROKER_NOT_AVAILABLE, 'the client is closed')
  }
}

/** Whether the same call may succeed later. */
export function canRetry(error: unknown): boolean {
  return error instanceof KafkaError && isRetriable(error.code)
}

export function isUnknownTopic(error: unknown): boolean {
  return error instanceof KafkaError && error.code === Errors.UNKNOWN_TOPIC_OR_PARTITION
}

/** Turns an error code of a topic or partition row into an error that names it. */
export function topicError(code: number, subject: string, detail?: string | null): KafkaError {
  if (code === Errors.UNKNOWN_TOPIC_OR_PARTITION && !detail) {
    return new KafkaError(code, `topic ${subject} does not exist`)
  }
  return new KafkaError(code, `${subject}: ${detail || errorName(code)}`)
}

export function sleep(delayMs: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, delayMs))
}
