/**
 * Keeps one stream supplied: a loop per leader of its partitions, each on a connection of its own, because a fetch that
 * waits for data (long poll) holds up everything behind it.
 *
 *   room in the stream? -> Fetch of all partitions led there -> push what came -> again, at once
 *
 * The next fetch is on its way while the reader works on the last one. Errors that may pass are tried again for as long
 * as the stream is open, with new metadata; the others end it. Its partitions never change: a stream that is given
 * others, in a group, gets another fetcher, and the stopped one pushes nothing more.
 */

import { Errors, KafkaError } from '../protocol/errors.ts'
import { type FetchRequest, fetchRequestFor, fetchTopic } from '../protocol/fetch-request.ts'
import { Fetch } from '../protocol/messages/fetch.ts'
import type { ResponseOf } from '../protocol/schema.ts'
import { type Cluster, canRetry, isUnknownTopic, sleep, topicError } from './cluster.ts'
import type { Connection } from './connection.ts'
import { earliestTimestamp, latestTimestamp, listOffsets } from './list-offsets.ts'
import type { MessageStream } from './message-stream.ts'
import type { PartitionReader } from './partition-reader.ts'
import { nextOffsetAfter } from './record-cursor.ts'

/** Later versions name topics by their id (KIP-516), which a stream does not know. */
const lastByName = 12

export interface FetcherOptions {
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly requestTimeoutMs: number
  /** Where to go on when the log no longer has the offset. */
  readonly onOutOfRange: 'smallest' | 'largest' | 'error'
  readonly onWarning: (message: string) => void
}

type Row = ResponseOf<typeof Fetch>['responses'][number]['partitions'][number]

const partitionBytesLimit = 64 * 1024 * 1024
/** Rot on disk is retriable in Kafka's table; it does not pass. */
const corruptAttemptsMax = 3
/** A deleted topic, as opposed to one that is just being created. */
const unknownTopicMs = 5000

export class Fetcher {
  readonly #cluster: Cluster
  readonly #stream: MessageStream
  readonly #options: FetcherOptions
  #readers: PartitionReader[]
  /** Running loops by leader. */
  readonly #loops = new Map<number, { connection: Connection | null }>()
  #isStopped = false

  constructor(
    cluster: Cluster,
    stream: MessageStream,
    readers: readonly PartitionReader[],
    options: FetcherOptions,
  ) {
    this.#cluster = cluster
    this.#stream = stream
    this.#readers = [...readers]
    this.#options = options
    this.#startLoops()
  }

  /** Ends the loops at once, a fetch that waits at the broker included. */
  stop(): void {
    this.#isStopped = true
    for (const { connection } of this.#loops.values()) connection?.close()
  }

  /** Whether what comes in still has a taker. */
  get #isFetching(): boolean {
    return !this.#isStopped && this.#stream.isFetching
  }

  #startLoops(): void {
    if (!this.#isFetching) return
    this.#readers = this.#readers.filter(reader => !reader.isDone)
    if (this.#readers.length === 0) this.#stream.end()
    for (const { leader } of this.#readers) {
      if (this.#loops.has(leader)) continue
      const loop = { connection: null }
      this.#loops.set(leader, loop)
      void this.#run(leader, loop)
    }
  }

  async #run(leader: number, loop: { connection: Connection | null }): Promise<void> {
    try {
      while ((await this.#stream.room()) && !this.#isStopped) {
        const readers = this.#readers.filter(reader => reader.leader === leader)
        if (readers.length === 0) break
        await this.#round(leader, loop, readers)
      }
    } catch (error) {
      this.#fail(error as Error)
    }
    loop.connection?.close()
    this.#loops.delete(leader)
    this.#startLoops()
  }

  /** One fetch, or a pause when every partition has just failed. */
  async #round(
    leader: number,
    loop: { connection: Connection | null },
    readers: readonly PartitionReader[],
  ): Promise<void> {
    const nowMs = performance.now()
    const due = readers.filter(reader => reader.notBeforeMs <= nowMs)
    if (leader < 0) {
      await sleep(250)
      return this.#refresh()
    }
    if (due.length === 0) return sleep(50)
    try {
      if (loop.connection === null || loop.connection.isClosed) {
        loop.connection = await this.#cluster.dedicated(leader)
        if (!this.#isFetching) return
      }
      const timeoutMs = this.#options.maxWaitMs + this.#options.requestTimeoutMs
      const version = Math.min(loop.connection.versionOf(Fetch), lastByName)
      const options = { timeoutMs, version }
      const answer = await loop.connection.request(Fetch, this.#request(due), options)
      await this.#take(due, answer)
    } catch (error) {
      if (!this.#isFetching) return
      if (!canRetry(error)) throw error
      await this.#back(due, error as KafkaError)
    }
  }

  #request(readers: readonly PartitionReader[]): FetchRequest {
    const wishes = readers.map(({ index, fetchOffset, maxBytes }) => ({
      partition: index,
      fetchOffset,
      maxBytes,
    }))
    return fetchRequestFor(this.#options, [fetchTopic(this.#stream.topic, wishes)])
  }

  async #take(readers: readonly PartitionReader[], answer: ResponseOf<typeof Fetch>) {
    if (!this.#isFetching) return
    if (answer.errorCode !== Errors.NONE) throw topicError(answer.errorCode, this.#stream.topic)
    const failed: [PartitionReader, KafkaError][] = []
    for (const { partitions } of answer.responses) {
      for (const row of partitions) {
        const reader = readers.find(one => one.index === row.partitionIndex)
        if (reader === undefined) continue
        if (row.errorCode === Errors.NONE) this.#accept(reader, row)
        else failed.push([reader, topicError(row.errorCode, this.#name(reader))])
      }
    }
    // The first partition of a request always gets something, the others may not: each comes first in turn.
    this.#readers.push(this.#readers.shift()!)
    if (readers.some(reader => reader.isDone)) {
      this.#readers = this.#readers.filter(reader => !reader.isDone)
      if (this.#readers.length === 0) this.#stream.end()
    }
    for (const [reader, error] of failed) await this.#rowFailed(reader, error)
  }

  #accept(reader: PartitionReader, row: Row): void {
    const records = row.records as Buffer | null
    if (reader.failures > 0) reader.succeeded()
    if (records === null || records.length === 0) return
    const nextOffset = nextOffsetAfter(records)
    if (nextOffset < 0) {
      if (reader.maxBytes < partitionBytesLimit) reader.maxBytes *= 2
      else this.#corrupt(reader, `${this.#name(reader)}: no whole batch in ${records.length} bytes`)
      return
    }
    if (nextOffset <= reader.fetchOffset) return
    this.#stream.push({
      partition: reader.index,
      records,
      fromOffset: reader.fetchOffset,
      untilOffset: reader.untilOffset,
      nextOffset: Math.min(nextOffset, reader.untilOffset),
    })
    reader.fetchOffset = nextOffset
  }

  async #rowFailed(reader: PartitionReader, error: KafkaError): Promise<void> {
    if (error.code === Errors.OFFSET_OUT_OF_RANGE) {
      await this.#resetOffset(reader)
    } else if (!canRetry(error)) {
      throw error
    } else if (error.code === Errors.CORRUPT_MESSAGE && reader.failures >= corruptAttemptsMax) {
      this.#corrupt(reader, error.message)
    } else {
      await this.#back([reader], error)
    }
  }

  /** Ends the stream at once: CORRUPT_MESSAGE is retriable in Kafka's table, so throwing it would only try again. */
  #corrupt(reader: PartitionReader, why: string): void {
    const message = `${why} at offset ${reader.fetchOffset}`
    this.#fail(new KafkaError(Errors.CORRUPT_MESSAGE, message))
  }

  #fail(error: Error): void {
    if (!this.#isStopped) this.#stream.fail(error)
  }

  async #resetOffset(reader: PartitionReader): Promise<void> {
    const { onOutOfRange, onWarning } = this.#options
    const where = `offset ${reader.fetchOffset} of ${this.#name(reader)} is not in the log`
    if (onOutOfRange === 'error') throw new KafkaError(Errors.OFFSET_OUT_OF_RANGE, where)
    const timestamp = onOutOfRange === 'smallest' ? earliestTimestamp : latestTimestamp
    const offsets = await listOffsets(this.#cluster, this.#stream.topic, [reader.index], timestamp)
    if (!this.#isFetching) return
    reader.fetchOffset = offsets.get(reader.index) ?? 0
    onWarning(`${where}: going on at ${reader.fetchOffset}`)
  }

  /** Lets the partitions wait and asks who leads them now. */
  async #back(readers: readonly PartitionReader[], error: KafkaError): Promise<void> {
    const nowMs = performance.now()
    if (readers.every(reader => reader.failures === 0)) {
      this.#options.onWarning(`${error.message}: trying again`)
    }
    for (const reader of readers) reader.failed(nowMs)
    await this.#refresh()
  }

  async #refresh(): Promise<void> {
    try {
      const info = await this.#cluster.topic(this.#stream.topic, { refresh: true })
      for (const reader of this.#readers) {
        reader.leader = info.partitions[reader.index]?.leader ?? -1
      }
      this.#startLoops()
    } catch (error) {
      const nowMs = performance.now()
      const isGone = this.#readers.some(
        reader => reader.failures > 0 && nowMs - reader.failingSinceMs > unknownTopicMs,
      )
      if (!canRetry(error) || (isUnknownTopic(error) && isGone)) this.#fail(error as Error)
    }
  }

  #name(reader: PartitionReader): string {
    return `${this.#stream.topic}-${reader.index}`
  }
}
