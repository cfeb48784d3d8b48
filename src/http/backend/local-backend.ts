/**
 * The LogBackend of this broker's own log: the same partition commands, high watermark and topics as the Kafka port.
 * Dispatcher thread.
 */
import { refusalOfBatch } from '../../apis/produce-errors.ts'
import { murmur2Partitioner } from '../../client/partitioner.ts'
import { BatchLookup } from '../../fetching/batch-lookup.ts'
import { emptyOffsetView, PartitionState } from '../../partitions/offset-table.ts'
import type { Partition } from '../../partitions/partition.ts'
import { Errors, errorName, KafkaError } from '../../protocol/errors.ts'
import type { Services } from '../../services.ts'
import { isInternalTopic, topicNameError } from '../../topics/topic-names.ts'
import type { Topic } from '../../topics/topic-registry.ts'
import { BatchGatherer } from './batch-gatherer.ts'
import type {
  Acks,
  LogBackend,
  PartitionOffsets,
  ProduceSink,
  ReadCall,
  ReadPage,
  RecordSource,
  Refusal,
  TopicView,
  Unwatch,
} from './log-backend.ts'
import { PartitionRead } from './partition-read.ts'
import { PartitionWatch } from './partition-watch.ts'

const view = emptyOffsetView()

export class LocalBackend implements LogBackend {
  readonly #services: Services
  readonly #gatherer: BatchGatherer

  constructor(services: Services) {
    this.#services = services
    const { dispatcher, metrics, topics } = services
    this.#gatherer = new BatchGatherer(dispatcher, metrics, name => topics.get(name))
  }

  topics(): readonly TopicView[] {
    const views = Array.from(this.#services.topics.all(), topic => this.#viewOf(topic))
    return views.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  topic(name: string): TopicView | null {
    const topic = this.#services.topics.get(name)
    return topic === undefined ? null : this.#viewOf(topic)
  }

  async ensureTopic(name: string): Promise<TopicView | Refusal> {
    const { topics, admin, config } = this.#services
    const present = topics.get(name)
    if (present !== undefined) return this.#viewOf(present)
    const badName = topicNameError(name)
    if (badName !== null) return refusal(Errors.INVALID_TOPIC_EXCEPTION, badName)
    if (!config.autoCreateTopics) {
      const cure = `create it ("odradek topics create ${name}"), or set auto.create.topics.enable`
      const why = `topic ${name} does not exist: ${cure}`
      return refusal(Errors.UNKNOWN_TOPIC_OR_PARTITION, why)
    }
    try {
      return this.#viewOf(await admin.ensureTopic(name))
    } catch (error) {
      if (error instanceof KafkaError) return refusal(error.code, error.message)
      throw error
    }
  }

  partitionFor(name: string, key: Uint8Array | null): number {
    const topic = this.#services.topics.get(name)
    if (topic === undefined) return 0
    if (key === null) return this.#gatherer.stickyPartition(topic)
    return murmur2Partitioner(key, topic.partitions.length)
  }

  produce(
    name: string,
    index: number,
    acks: Acks,
    source: RecordSource,
    sink: ProduceSink,
    tag: number,
  ): boolean {
    const topic = this.#services.topics.get(name)
    const partition = topic?.partitions[index]
    if (topic === undefined || partition === undefined) {
      this.#gatherer.refuse(sink, tag, Errors.UNKNOWN_TOPIC_OR_PARTITION)
      return true
    }
    return this.#gatherer.produce(topic, partition, acks, source, sink, tag)
  }

  whenRoom(retry: () => void): () => void {
    return this.#gatherer.whenRoom(retry)
  }

  isFlushed(name: string): boolean {
    const { topics, config } = this.#services
    return (topics.get(name)?.log ?? config.defaultLog).flushPolicy !== 'os'
  }

  explain(name: string, index: number, errorCode: number): string {
    const { topics, config } = this.#services
    const topic = topics.get(name)
    if (errorCode === Errors.UNKNOWN_TOPIC_OR_PARTITION) return missing(name, index, topic)
    if (errorCode === Errors.INVALID_TOPIC_EXCEPTION) {
      return `topic ${name} is the broker's own: produce to another`
    }
    const log = topic?.log ?? config.defaultLog
    if (errorCode === Errors.MESSAGE_TOO_LARGE || errorCode === Errors.RECORD_LIST_TOO_LARGE) {
      const bytesMax = Math.min(log.batchBytesMax, log.segmentBytesMax)
      return `a record is larger than topic ${name} takes: ${bytesMax} bytes with its batch (max.message.bytes, segment.bytes)`
    }
    if (errorCode === Errors.INVALID_RECORD && log.cleanupCompact) {
      return `topic ${name} is compacted: every record needs a key`
    }
    const { decompressedBytesMax } = config.limits
    const refused = { topic: name, partition: index, batchBytes: 0, log, decompressedBytesMax }
    return refusalOfBatch(errorCode, refused)
  }

  read(call: ReadCall): Promise<ReadPage> {
    return new PartitionRead(call, this.#services).run()
  }

  offsets(name: string, index: number): PartitionOffsets | null {
    const partition = this.#services.topics.partition(name, index)
    if (partition === undefined || !this.#look(partition)) return null
    const { logStart, highWatermark, state } = view
    const isWritable = partition.state === 'online' && state === PartitionState.online
    return { logStart, highWatermark, isWritable }
  }

  async offsetForTime(name: string, index: number, timestampMs: number): Promise<number | Refusal> {
    const { topics } = this.#services
    const partition = topics.partition(name, index)
    if (partition === undefined) {
      const why = missing(name, index, topics.get(name))
      return refusal(Errors.UNKNOWN_TOPIC_OR_PARTITION, why)
    }
    const { errorCode, offset } = await new BatchLookup(
      partition,
      timestampMs,
      this.#services,
    ).run()
    if (errorCode !== Errors.NONE) {
      return refusal(errorCode, `${name}-${index}: ${errorName(errorCode)}, see /readyz`)
    }
    if (offset >= 0) return offset
    return this.offsets(name, index)?.highWatermark ?? 0
  }

  watch(name: string, index: number, moved: () => void): Unwatch {
    const partition = this.#services.topics.partition(name, index)
    if (partition === undefined) return () => {}
    const watch = new PartitionWatch(this.#services.dispatcher, partition, moved)
    return () => watch.close()
  }

  #look({ slot, generation }: Partition): boolean {
    return this.#services.offsets.read(slot, generation, view)
  }

  #viewOf({ name, id, partitions }: Topic): TopicView {
    return {
      name,
      id,
      isInternal: isInternalTopic(name),
      partitionCount: partitions.length,
      configs: () => {
        const entries = this.#services.admin.describeTopicConfigs(name, null)
        return Object.fromEntries(entries.map(entry => [entry.name, entry.value]))
      },
    }
  }
}

function refusal(errorCode: number, message: string): Refusal {
  return { errorCode, message }
}

function missing(name: string, index: number, topic: Topic | undefined): string {
  if (topic === undefined) return `topic ${JSON.stringify(name)} does not exist`
  const last = topic.partitions.length - 1
  return `topic ${name} has partitions 0 to ${last}, no ${index}`
}
