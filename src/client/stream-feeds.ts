/**
 * The open streams of a consumer and what feeds each: the readers of its partitions, and one fetcher for them. A stream
 * whose partitions or positions change gets a new fetcher; what the old one had asked for is dropped.
 */
import { Errors, KafkaError } from '../protocol/errors.ts'
import type { Cluster } from './cluster.ts'
import type { ConsumerOptions } from './consumer.ts'
import { Fetcher, type FetcherOptions } from './fetcher.ts'
import { MessageStream, type StreamSettings } from './message-stream.ts'
import { PartitionReader } from './partition-reader.ts'
import { isOneForAll, type StartPosition, startOffsets } from './start-offsets.ts'

interface Feed {
  readers: readonly PartitionReader[]
  fetcher: Fetcher | null
}

type FetchTerms = Pick<
  ConsumerOptions,
  | 'bufferBytesMax'
  | 'checkCrc'
  | 'decompressedBytesMax'
  | 'maxBytes'
  | 'maxWaitMs'
  | 'minBytes'
  | 'onWarning'
  | 'partitionMaxBytes'
  | 'requestTimeoutMs'
>

export class StreamFeeds {
  readonly #cluster: Cluster
  readonly #terms: FetchTerms
  readonly #fetcherOptions: FetcherOptions
  readonly #feeds = new Map<MessageStream, Feed>()

  constructor(cluster: Cluster, terms: FetchTerms, onOutOfRange: FetcherOptions['onOutOfRange']) {
    this.#cluster = cluster
    this.#terms = terms
    this.#fetcherOptions = {
      maxWaitMs: terms.maxWaitMs ?? 500,
      minBytes: terms.minBytes ?? 1,
      maxBytes: terms.maxBytes ?? 8 * 1024 * 1024,
      requestTimeoutMs: terms.requestTimeoutMs ?? 30_000,
      onOutOfRange,
      onWarning: terms.onWarning ?? (() => undefined),
    }
  }

  /** A stream without partitions so far. */
  open(topic: string, events: Pick<StreamSettings, 'onClose' | 'onCommit'>): MessageStream {
    const stream = new MessageStream(topic, {
      ...this.#terms,
      ...events,
      bufferBytesMax: this.#terms.bufferBytesMax ?? 4 * 1024 * 1024,
      onClose: closed => {
        this.stop(closed)
        this.#feeds.delete(closed)
        events.onClose(closed)
      },
    })
    this.#feeds.set(stream, { readers: [], fetcher: null })
    return stream
  }

  /** @param untilOffset reading ends before it; the largest safe integer when it does not end */
  reader(index: number, leader: number, fetchOffset: number, untilOffset: number): PartitionReader {
    const maxBytes = this.#terms.partitionMaxBytes ?? 1024 * 1024
    return new PartitionReader(index, leader, fetchOffset, untilOffset, maxBytes)
  }

  /** Feeds a stream from these partitions and no others. */
  feed(stream: MessageStream, readers: readonly PartitionReader[]): void {
    const feed = this.#feeds.get(stream)
    if (feed === undefined) return
    feed.fetcher?.stop()
    feed.readers = readers
    const { length } = readers
    feed.fetcher =
      length > 0 ? new Fetcher(this.#cluster, stream, readers, this.#fetcherOptions) : null
  }

  /** Fetches no more for a stream. */
  stop(stream: MessageStream): void {
    const feed = this.#feeds.get(stream)
    feed?.fetcher?.stop()
    if (feed !== undefined) feed.fetcher = null
  }

  /** As `Consumer.rewind`, which see. In streams that are paused only the position changes. */
  async rewind(topic: string, to: StartPosition): Promise<Map<number, number>> {
    const partitions = partitionsNamed(to) ?? this.#partitionsOf(topic)
    this.#ensureRead(topic, partitions)
    const offsets = await startOffsets(this.#cluster, topic, partitions, to)
    this.#ensureRead(topic, partitions)
    const moved = new Map(partitions.map(partition => [partition, offsets.get(partition) ?? 0]))
    for (const [stream, feed] of this.#feeds) {
      const mine = stream.partitions.filter(partition => moved.has(partition))
      if (stream.topic === topic && mine.length > 0) this.#move(stream, feed, moved)
    }
    return moved
  }

  get streams(): MessageStream[] {
    return [...this.#feeds.keys()]
  }

  close(): void {
    for (const stream of this.streams) stream.close()
  }

  #move(stream: MessageStream, feed: Feed, offsets: ReadonlyMap<number, number>): void {
    const { isPaused } = stream
    feed.fetcher?.stop()
    stream.pause()
    const own = stream.partitions
    for (const reader of feed.readers) {
      const offset = offsets.get(reader.index)
      if (offset === undefined || !own.includes(reader.index)) continue
      reader.fetchOffset = offset
      reader.succeeded()
      stream.place(reader.index, offset)
    }
    if (isPaused) return
    this.feed(stream, feed.readers)
    stream.resume()
  }

  #partitionsOf(topic: string): number[] {
    return this.streams.filter(one => one.topic === topic).flatMap(stream => stream.partitions)
  }

  #ensureRead(topic: string, partitions: readonly number[]): void {
    const read = new Set(this.#partitionsOf(topic))
    const missing = partitions.find(partition => !read.has(partition))
    if (missing === undefined) return
    const message = `${topic}-${missing} is not among this consumer's partitions, or no longer`
    throw new KafkaError(Errors.ILLEGAL_GENERATION, message)
  }
}

/** Null when it is one place for all. */
function partitionsNamed(to: StartPosition): number[] | null {
  if (typeof to === 'string' || to instanceof Date || isOneForAll(to)) return null
  return Array.from(to instanceof Map ? to.keys() : Object.keys(to), Number)
}
