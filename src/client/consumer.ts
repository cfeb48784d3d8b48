/**
 * The paper's consumer (section 2): `createMessageStreams(topic, n)` spreads partitions evenly over n streams.
 *
 *   without a group   all partitions of the topic; how far each is read is the reader's own business
 *   with `groupId`    the part that the group gives (group-consumer.ts), from where the group stands
 */
import { Errors, KafkaError } from '../protocol/errors.ts'
import { type ClientOptions, Cluster, isUnknownTopic, type TopicInfo } from './cluster.ts'
import { spread } from './group-assign.ts'
import { GroupConsumer } from './group-consumer.ts'
import { type GroupOptions, groupTerms, type PartitionOffset } from './group-options.ts'
import type { MessageStream } from './message-stream.ts'
import type { RecordCursorOptions } from './record-cursor.ts'
import { endOffsets, type StartPosition, startOffsets } from './start-offsets.ts'
import { StreamFeeds } from './stream-feeds.ts'

export interface ConsumerOptions extends ClientOptions, RecordCursorOptions, GroupOptions {
  /** Where reading starts; in a group, where the group has not committed anything. Default 'smallest'. */
  readonly from?: StartPosition
  /**
   * Where a partition goes on whose offset retention has removed. Default: in a group 'smallest', else as `from`, which
   * is 'error' for given offsets.
   */
  readonly onOutOfRange?: 'smallest' | 'largest' | 'error'
  /** How long the broker may hold back an answer with less than `minBytes`. Default 500. */
  readonly maxWaitMs?: number
  /** Default 1. */
  readonly minBytes?: number
  /** Upper bound of an answer. Default 8 MiB. */
  readonly maxBytes?: number
  /** Upper bound of one partition's part. Default 1 MiB. */
  readonly partitionMaxBytes?: number
  /** Bytes fetched ahead of a stream's reader. Default 4 MiB. */
  readonly bufferBytesMax?: number
  /** Told of what passes by itself: a broker that is away, a start offset that is gone. Default: nobody. */
  readonly onWarning?: (message: string) => void
}

export interface StreamOptions {
  /** Only these partitions, not in a group. Default: all. */
  readonly partitions?: readonly number[]
  /** True: streams are done once they have read what was there when they were created. Default false: never. */
  readonly untilEnd?: boolean
}

export class Consumer {
  readonly #cluster: Cluster
  readonly #options: ConsumerOptions
  readonly #feeds: StreamFeeds
  readonly #group: GroupConsumer | null
  #closing: Promise<void> | null = null

  constructor(options: ConsumerOptions = {}) {
    this.#options = options
    this.#cluster = new Cluster(options)
    const { from = 'smallest', onOutOfRange, groupId } = options
    const asFrom = from === 'smallest' || from === 'largest' ? from : 'error'
    this.#feeds = new StreamFeeds(this.#cluster, options, onOutOfRange ?? asFrom)
    this.#group =
      groupId === undefined
        ? null
        : new GroupConsumer(this.#cluster, groupTerms(groupId, options), options)
  }

  /** Tries once to reach a broker. Not needed; tells early what is wrong. */
  async connect(): Promise<void> {
    await this.#cluster.connection()
  }

  /**
   * `count` streams over the partitions of a topic, each partition in one of them; with fewer partitions than streams
   * some stay empty. When it resolves, every start offset is known: what is published later will be seen.
   *
   * In a group the partitions are those that the group gives to these streams, of all its streams in all processes, and
   * they change with its members. It resolves when the group has been joined. A stream that is closed leaves its part
   * to the others. Without a group, partitions added later are not read.
   * @throws KafkaError when the topic, or a partition asked for, does not exist, or the group cannot be joined
   */
  async createMessageStreams(
    topic: string,
    count: number,
    options: StreamOptions = {},
  ): Promise<MessageStream[]> {
    if (!Number.isInteger(count) || count < 1) {
      throw new KafkaError(Errors.INVALID_REQUEST, `${count} streams: give a number from 1 on`)
    }
    if (this.#group !== null) return this.#group.createMessageStreams(topic, count, options)
    const info = await this.#cluster.retrying(() => this.#cluster.topic(topic, { refresh: true }), {
      isFinal: isUnknownTopic,
    })
    const indexes = chosenPartitions(info, options.partitions)
    const { from = 'smallest' } = this.#options
    const starts = await startOffsets(this.#cluster, topic, indexes, from)
    const ends = options.untilEnd ? await endOffsets(this.#cluster, topic, indexes) : null
    return spread(indexes, count).map(part => {
      const stream = this.#feeds.open(topic, { onClose: () => undefined })
      const readers = part.map(index => {
        const fetchOffset = starts.get(index) ?? 0
        const untilOffset = ends?.get(index) ?? Number.MAX_SAFE_INTEGER
        stream.place(index, fetchOffset)
        return this.#feeds.reader(index, info.partitions[index].leader, fetchOffset, untilOffset)
      })
      this.#feeds.feed(stream, readers)
      // Without partitions it waits like any other, unless it is to end where the log ends now.
      if (readers.length === 0 && ends !== null) stream.end()
      return stream
    })
  }

  /**
   * Lets the group go on, after a crash or a rebalance, behind what was processed by all streams of this consumer:
   * every record whose reader has asked for the next one. From inside a loop over a stream, `stream.commit()` also
   * counts the record at hand. Or at the offsets given: `offset` is the next one to read. Resolves when the broker has
   * it on disk.
   * @throws KafkaError ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID when the partitions are somebody
   *     else's by now: nothing was committed, their owner reads from the last commit on. INVALID_GROUP_ID without one
   */
  async commit(offsets?: Iterable<PartitionOffset>): Promise<void> {
    if (this.#group !== null) return this.#group.commit(offsets)
    throw new KafkaError(Errors.INVALID_GROUP_ID, 'commit: this consumer has no groupId')
  }

  /**
   * Goes back, or forward, on purpose: all partitions of the topic that are read here, or, given offsets by partition,
   * those named. What was fetched ahead is dropped; the next commit commits the new place.
   * @returns partition -> the offset where it goes on
   * @throws KafkaError ILLEGAL_GENERATION for a partition that is not read here
   */
  rewind(topic: string, to: StartPosition): Promise<Map<number, number>> {
    return (this.#group ?? this.#feeds).rewind(topic, to)
  }

  /**
   * Ends all streams and closes all connections. In a group: first waits a moment for the records in hand
   * (`revokeGraceMs`), commits what was processed unless `autoCommitMs` is 0, and leaves.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(): Promise<void> {
    await this.#group?.close()
    this.#feeds.close()
    await this.#cluster.close()
  }
}

function chosenPartitions(info: TopicInfo, wanted: readonly number[] | undefined): number[] {
  const all = info.partitions.map(({ index }) => index)
  for (const index of wanted ?? []) {
    if (!all.includes(index)) {
      throw new KafkaError(
        Errors.UNKNOWN_TOPIC_OR_PARTITION,
        `partition ${index} does not exist, topic ${info.name} has ${all.length}`,
      )
    }
  }
  return wanted === undefined ? all : [...new Set(wanted)].sort((a, b) => a - b)
}
