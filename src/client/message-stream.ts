/**
 * One of the n streams of `createMessageStreams`: an iterator over a flow that does not end (the paper, section 2). It
 * waits when nothing is left until something is published, and its partitions are fetched ahead only up to a limit.
 *
 *   Fetcher --answers--> queue of blobs (one partition each) --RecordCursor--> records, one at a time or a blob at once
 *
 * Records of one partition come in offset order; between partitions there is none.
 *
 * Whoever asks for the next record says that it is done with the one before: that is what "processed" means here, and
 * what a group commits. In a group the partitions change; while they do the stream is paused: nothing is handed out,
 * readers wait, and the record still in a reader's hands is remembered.
 */
import { Errors, KafkaError } from '../protocol/errors.ts'
import type { FetchedPartition } from './partition-reader.ts'
import { RecordCursor, type RecordCursorOptions, type RecordHeader } from './record-cursor.ts'

/**
 * A consumed record. Key, value and header values are views of the fetched answer: fast, and safe to keep, but keeping
 * one keeps the whole answer (up to megabytes) in memory; `Buffer.from(value)` makes a copy of its own.
 */
export interface ConsumedMessage {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

/**
 * A run of records of one partition, walked with `advance()`. Valid until the next chunk of the stream is asked for.
 */
export class MessageChunk extends RecordCursor {
  topic = ''
  partition = -1

  message(): ConsumedMessage {
    return {
      topic: this.topic,
      partition: this.partition,
      offset: this.offset,
      timestampMs: this.timestampMs,
      key: this.key(),
      value: this.value(),
      headers: this.headers(),
    }
  }
}

export interface StreamSettings extends RecordCursorOptions {
  readonly bufferBytesMax: number
  readonly onClose: (stream: MessageStream) => void
  /** What `commit()` does; without it there is no group to commit to. */
  readonly onCommit?: (stream: MessageStream) => Promise<void>
}

/** What a pause took out of a reader's hands, or rather what it could not. */
interface InHand {
  readonly partition: number
  /** Processed up to here; up to `nextOffset` once the reader asks for more. */
  readonly fromOffset: number
  readonly nextOffset: number
  /** Its partition was taken away: nobody will count it. */
  isLost: boolean
}

const done: IteratorReturnResult<undefined> = { done: true, value: undefined }
const noRecords: FetchedPartition = {
  partition: -1,
  records: Buffer.alloc(0),
  fromOffset: 0,
  untilOffset: 0,
  nextOffset: 0,
}

export class MessageStream implements AsyncIterableIterator<ConsumedMessage> {
  readonly topic: string
  readonly #bufferBytesMax: number
  readonly #onClose: (stream: MessageStream) => void
  readonly #onCommit: ((stream: MessageStream) => Promise<void>) | null
  readonly #chunk: MessageChunk
  #queue: FetchedPartition[] = []
  #bufferedBytes = 0
  #isOpenChunk = false
  /** What the open chunk was made of, and whether its reader takes it as a whole. */
  #open = noRecords
  #isByChunk = false
  /** Partition -> processed up to here, the open chunk not counted. Its keys are the stream's partitions. */
  readonly #processed = new Map<number, number>()
  #isPaused = false
  #inHand: InHand | null = null
  #state: 'open' | 'ended' | 'closed' = 'open'
  #failure: Error | null = null
  /** Somebody waits for data; told when there is some, or the end. */
  #arrival: PromiseWithResolvers<void> | null = null
  /** A fetcher waits for room. */
  #room: PromiseWithResolvers<void> | null = null
  /** A rebalance waits for the reader to be done with its record. */
  #settling: PromiseWithResolvers<void> | null = null

  constructor(topic: string, settings: StreamSettings) {
    this.topic = topic
    this.#bufferBytesMax = settings.bufferBytesMax
    this.#onClose = settings.onClose
    this.#onCommit = settings.onCommit ?? null
    this.#chunk = new MessageChunk(settings)
    this.#chunk.topic = topic
  }

  /** Indexes of the partitions this stream reads; in a group they change with every rebalance. */
  get partitions(): readonly number[] {
    return [...this.#processed.keys()].sort((a, b) => a - b)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  /** The next record; waits for one. Done when the stream was closed, or has reached the end it was given. */
  next(): Promise<IteratorResult<ConsumedMessage, undefined>> {
    try {
      if (this.#isOpenChunk && this.#chunk.advance()) {
        return Promise.resolve({ done: false, value: this.#chunk.message() })
      }
    } catch (error) {
      return Promise.reject(this.#broken(error))
    }
    return this.#nextOfLater()
  }

  /** Ends iteration early (`break` in `for await`): the stream is closed. */
  return(): Promise<IteratorReturnResult<undefined>> {
    this.close()
    return Promise.resolve(done)
  }

  /**
   * The records that came in one piece, for readers that count time by the million: no promise and no object per
   * record. Null when the stream is done. Not to be mixed with `next()`.
   */
  async nextChunk(): Promise<MessageChunk | null> {
    this.#finishOpen()
    while (!this.#openNext()) {
      if (this.#isDone) return null
      await this.#arrived()
    }
    this.#isByChunk = true
    return this.#chunk
  }

  /**
   * Commits what this stream has handed out, the record in the reader's hands included (of a chunk: up to the record it
   * stands on), for its group to go on behind it.
   * @throws KafkaError INVALID_GROUP_ID without a group, ILLEGAL_GENERATION when the partition of the record in hand
   *     was taken away meanwhile: its new owner reads that record again
   */
  async commit(): Promise<void> {
    if (this.#onCommit !== null) return this.#onCommit(this)
    throw new KafkaError(Errors.INVALID_GROUP_ID, 'commit: this consumer has no groupId')
  }

  /** True when `nextChunk()` would not have to wait. */
  get hasData(): boolean {
    return this.#queue.length > 0 && !this.#isPaused
  }

  get isClosed(): boolean {
    return this.#state === 'closed'
  }

  /** For fetchers: false once the stream is closed, complete or broken. */
  get isFetching(): boolean {
    return this.#state === 'open' && this.#failure === null
  }

  /** Stops fetching; a reader that waits gets the end. Records already fetched are dropped. */
  close(): void {
    if (this.#state === 'closed') return
    if (this.#isOpenChunk) this.#processed.set(this.#open.partition, this.#openPosition(false))
    this.#state = 'closed'
    this.#queue.length = 0
    this.#isOpenChunk = false
    this.#inHand = null
    this.#wake()
    this.#settling?.resolve()
    this.#onClose(this)
  }

  /** Nothing is handed out any more; what was fetched and not handed out stays. */
  pause(): void {
    this.#isPaused = true
    if (!this.#isOpenChunk) return
    const open = this.#open
    const fromOffset = this.#openPosition(false)
    const nextOffset = this.#openPosition(true)
    this.#inHand = { partition: open.partition, fromOffset, nextOffset, isLost: false }
    this.#processed.set(open.partition, fromOffset)
    this.#queue.unshift({ ...open, fromOffset: nextOffset })
    this.#bufferedBytes += open.records.length
    this.#isOpenChunk = false
    this.#chunk.reset(noRecords.records)
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** Resolves when no reader has a record in its hands; for paused streams. */
  async settled(): Promise<void> {
    while (this.#inHand !== null) {
      this.#settling ??= Promise.withResolvers<void>()
      await this.#settling.promise
    }
  }

  resume(): void {
    this.#isPaused = false
    this.#wake()
  }

  /** Takes a partition on, from `offset`; one that it has already goes there, and what was fetched of it is dropped. */
  place(partition: number, offset: number): void {
    this.forget(partition)
    if (this.#inHand?.partition === partition) this.#inHand = null
    this.#processed.set(partition, offset)
  }

  /** Gives a partition up, with what was fetched of it. For paused streams. */
  forget(partition: number): void {
    this.#queue = this.#queue.filter(fetched => fetched.partition !== partition)
    this.#bufferedBytes = this.#queue.reduce((sum, { records }) => sum + records.length, 0)
    if (this.#inHand?.partition === partition) this.#inHand.isLost = true
    this.#processed.delete(partition)
  }

  /**
   * Up to where a partition was processed, or, `inclusive`, handed out.
   * @returns the next offset; undefined for a partition that is not its own
   */
  position(partition: number, inclusive = false): number | undefined {
    if (this.#isOpenChunk && this.#open.partition === partition) {
      return this.#openPosition(inclusive)
    }
    const inHand = this.#inHand
    if (inclusive && inHand?.partition === partition && !inHand.isLost) return inHand.nextOffset
    return this.#processed.get(partition)
  }

  /** The record in the reader's hands belongs to somebody else by now: `topic-partition at offset`. */
  get lostInHand(): string | null {
    const inHand = this.#inHand
    if (inHand === null || !inHand.isLost) return null
    return `${this.topic}-${inHand.partition} at offset ${inHand.nextOffset - 1}`
  }

  /** For fetchers: adds what one answer held of one partition. */
  push(fetched: FetchedPartition): void {
    if (this.#state !== 'open') return
    this.#queue.push(fetched)
    this.#bufferedBytes += fetched.records.length
    this.#wakeReader()
  }

  /** For fetchers: no more will be pushed; what is queued is still read. */
  end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    this.#wake()
  }

  /** For fetchers: reading goes on up to here, then throws. */
  fail(error: Error): void {
    if (this.#state !== 'open') return
    this.#failure = error
    this.#wake()
  }

  /** For fetchers: resolves when more may be fetched, false when nothing shall be any more. */
  async room(): Promise<boolean> {
    while (this.isFetching && this.#bufferedBytes >= this.#bufferBytesMax) {
      this.#room ??= Promise.withResolvers<void>()
      await this.#room.promise
    }
    return this.isFetching
  }

  async #nextOfLater(): Promise<IteratorResult<ConsumedMessage, undefined>> {
    for (;;) {
      try {
        if (this.#isOpenChunk && this.#chunk.advance()) {
          return { done: false, value: this.#chunk.message() }
        }
      } catch (error) {
        throw this.#broken(error)
      }
      this.#finishOpen()
      if (this.#openNext()) {
        this.#isByChunk = false
        continue
      }
      if (this.#isDone) return done
      await this.#arrived()
    }
  }

  get #isDone(): boolean {
    return this.#state === 'closed' || (this.#state === 'ended' && !this.#isPaused)
  }

  /** The reader asks for more: it is done with what it has. */
  #finishOpen(): void {
    if (this.#isOpenChunk) this.#processed.set(this.#open.partition, this.#open.nextOffset)
    this.#isOpenChunk = false
    const inHand = this.#inHand
    if (inHand === null) return
    if (!inHand.isLost) this.#processed.set(inHand.partition, inHand.nextOffset)
    this.#inHand = null
    this.#settling?.resolve()
    this.#settling = null
  }

  /** Position within the open chunk, as `position`. A chunk that is taken as a whole is processed as a whole. */
  #openPosition(inclusive: boolean): number {
    const { fromOffset, untilOffset } = this.#open
    // Advancing may have seen one record beyond the end.
    const current = Math.min(this.#chunk.offset, untilOffset - 1)
    if (inclusive) return current + 1
    return this.#isByChunk ? fromOffset : Math.max(fromOffset, current)
  }

  #arrived(): Promise<void> {
    this.#arrival ??= Promise.withResolvers<void>()
    return this.#arrival.promise
  }

  #openNext(): boolean {
    const fetched = this.#isPaused ? undefined : this.#queue.shift()
    if (fetched === undefined) {
      if (this.#failure !== null && this.#state === 'open') throw this.#broken(this.#failure)
      return false
    }
    this.#bufferedBytes -= fetched.records.length
    if (this.#room !== null && this.#bufferedBytes < this.#bufferBytesMax) this.#wakeFetcher()
    this.#open = fetched
    this.#isOpenChunk = true
    this.#chunk.partition = fetched.partition
    this.#chunk.reset(fetched.records, fetched.fromOffset, fetched.untilOffset)
    this.#chunk.offset = fetched.fromOffset - 1
    return true
  }

  /** An iterator that has thrown is done. */
  #broken(error: unknown): Error {
    this.close()
    return error as Error
  }

  #wake(): void {
    this.#wakeReader()
    this.#wakeFetcher()
  }

  #wakeReader(): void {
    this.#arrival?.resolve()
    this.#arrival = null
  }

  #wakeFetcher(): void {
    this.#room?.resolve()
    this.#room = null
  }
}
