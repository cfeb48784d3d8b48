/**
 * The paper's consumer (section 2) without groups: `createMessageStreams(topic, n)` spreads all partitions of a topic
 * evenly over n streams. How far each has read is the reader's own business: it starts where it is told to.
 */
import { Errors, KafkaError } from '../protocol/errors.ts'
import { type ClientOptions, Cluster, isUnknownTopic, type TopicInfo } from './cluster.ts'
import { Fetcher, type FetcherOptions } from './fetcher.ts'
import { earliestTimestamp, latestTimestamp, listOffsets } from './list-offsets.ts'
import { MessageStream } from './message-stream.ts'
import { PartitionReader } from './partition-reader.ts'
import type { RecordCursorOptions } from './record-cursor.ts'

/**
 * Where reading starts: the oldest record there is, the end of the log, the first record at or after a time, one offset
 * for all partitions, or an offset for each (partitions not named start at the smallest).
 */
export type StartPosition =
  | 'smallest'
  | 'largest'
  | Date
  | { readonly offset: number }
  | Readonly<Record<number, number>>
  | ReadonlyMap<number, number>

export interface ConsumerOptions extends ClientOptions, RecordCursorOptions {
  /** Default 'smallest'. */
  readonly from?: StartPosition
  /** Where a partition goes on whose offset retention has removed. Default: as `from`, 'error' for given offsets. */
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
  /** Only these partitions. Default: all. */
  readonly partitions?: readonly number[]
  /** True: streams are done once they have read what was there when they were created. Default false: never. */
  readonly untilEnd?: boolean
}

export class Consumer {
  readonly #cluster: Cluster
  readonly #options: ConsumerOptions
  /** Null for a stream without partitions. */
  readonly #streams = new Map<MessageStream, Fetcher | null>()

  constructor(options: ConsumerOptions = {}) {
    this.#options = options
    this.#cluster = new Cluster(options)
  }

  /** Tries once to reach a broker. Not needed; tells early what is wrong. */
  async connect(): Promise<void> {
    await this.#cluster.connection()
  }

  /**
   * `count` streams over the partitions of a topic, each partition in one of them; with fewer partitions than streams
   * some stay empty. Partitions added later are not read. When it resolves, every start offset is known: what is
   * published later will be seen.
   * @throws KafkaError when the topic, or a partition asked for, does not exist
   */
  async createMessageStreams(
    topic: string,
    count: number,
    options: StreamOptions = {},
  ): Promise<MessageStream[]> {
    if (!Number.isInteger(count) || count < 1) {
      throw new KafkaError(Errors.INVALID_REQUEST, `${count} streams: give a number from 1 on`)
    }
    const info = await this.#cluster.retrying(() => this.#cluster.topic(topic, { refresh: true }), {
      isFinal: isUnknownTopic,
    })
    const indexes = chosenPartitions(info, options.partitions)
    const starts = await this.#startOffsets(topic, indexes)
    const ends = options.untilEnd ? await this.#ends(topic, indexes) : null
    return spread(indexes, count).map(part => {
      const readers = part.map(
        index =>
          new PartitionReader(
            index,
            info.partitions[index].leader,
            starts.get(index) ?? 0,
            ends?.get(index) ?? Number.MAX_SAFE_INTEGER,
            this.#options.partitionMaxBytes ?? 1024 * 1024,
          ),
      )
      return this.#openStream(topic, part, readers, ends !== null)
    })
  }

  /** Ends all streams and closes all connections. */
  async close(): Promise<void> {
    for (const stream of this.#streams.keys()) stream.close()
    await this.#cluster.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #openStream(
    topic: string,
    partitions: readonly number[],
    readers: readonly PartitionReader[],
    untilEnd: boolean,
  ): MessageStream {
    const stream = new MessageStream(topic, partitions, {
      ...this.#options,
      bufferBytesMax: this.#options.bufferBytesMax ?? 4 * 1024 * 1024,
      onClose: closed => {
        this.#streams.get(closed)?.stop()
        this.#streams.delete(closed)
      },
    })
    if (readers.length > 0) {
      const fetcher = new Fetcher(this.#cluster, stream, readers, this.#fetcherOptions())
      this.#streams.set(stream, fetcher)
    } else {
      // Without partitions it waits like any other, unless it is to end where the log ends now.
      this.#streams.set(stream, null)
      if (untilEnd) stream.end()
    }
    return stream
  }

  #fetcherOptions(): FetcherOptions {
    const { from = 'smallest', onOutOfRange, ...options } = this.#options
    const asFrom = from === 'smallest' || from === 'largest' ? from : 'error'
    return {
      maxWaitMs: options.maxWaitMs ?? 500,
      minBytes: options.minBytes ?? 1,
      maxBytes: options.maxBytes ?? 8 * 1024 * 1024,
      requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
      onOutOfRange: onOutOfRange ?? asFrom,
      onWarning: options.onWarning ?? (() => undefined),
    }
  }

  async #startOffsets(
    topic: string,
    indexes: readonly number[],
  ): Promise<ReadonlyMap<number, number>> {
    const { from = 'smallest' } = this.#options
    if (from === 'largest') return this.#ends(topic, indexes)
    if (from === 'smallest') return listOffsets(this.#cluster, topic, indexes, earliestTimestamp)
    if (from instanceof Date) {
      const offsets = await listOffsets(this.#cluster, topic, indexes, from.getTime())
      const after = indexes.filter(index => (offsets.get(index) ?? -1) < 0)
      const ends = after.length > 0 ? await this.#ends(topic, after) : new Map<number, number>()
      return new Map([...offsets, ...ends])
    }
    if ('offset' in from) return new Map(indexes.map(index => [index, from.offset]))
    const given: ReadonlyMap<number, number> =
      from instanceof Map
        ? from
        : new Map(Object.entries(from).map(([index, offset]) => [Number(index), offset]))
    const others = indexes.filter(index => !given.has(index))
    if (others.length === 0) return given
    const smallest = await listOffsets(this.#cluster, topic, others, earliestTimestamp)
    return new Map([...smallest, ...given])
  }

  #ends(topic: string, indexes: readonly number[]): Promise<Map<number, number>> {
    return listOffsets(this.#cluster, topic, indexes, latestTimestamp)
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

/**
 * Contiguous ranges, the first ones longer by one where it does not divide evenly: what the paper's Algorithm 1 gives
 * to `count` streams.
 */
export function spread(partitions: readonly number[], count: number): number[][] {
  const each = Math.floor(partitions.length / count)
  const longer = partitions.length % count
  const parts: number[][] = []
  for (let i = 0, at = 0; i < count; i++) {
    const length = each + (i < longer ? 1 : 0)
    parts.push(partitions.slice(at, at + length))
    at += length
  }
  return parts
}
