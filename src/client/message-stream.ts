/**
 * One of the n streams of `createMessageStreams`: an iterator over a flow that does not end (the paper, section 2). It
 * waits when nothing is left until something is published, and its partitions are fetched ahead only up to a limit.
 *
 *   Fetcher --answers--> queue of blobs (one partition each) --RecordCursor--> records, one at a time or a blob at once
 *
 * Records of one partition come in offset order; between partitions there is none.
 */
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

const done: IteratorReturnResult<undefined> = { done: true, value: undefined }

export class MessageStream implements AsyncIterableIterator<ConsumedMessage> {
  readonly topic: string
  /** Indexes of the partitions this stream reads. */
  readonly partitions: readonly number[]
  readonly #bufferBytesMax: number
  readonly #onClose: (stream: MessageStream) => void
  readonly #chunk: MessageChunk
  readonly #queue: FetchedPartition[] = []
  #bufferedBytes = 0
  #isOpenChunk = false
  #state: 'open' | 'ended' | 'closed' = 'open'
  #failure: Error | null = null
  /** Somebody waits for data; told when there is some, or the end. */
  #arrival: PromiseWithResolvers<void> | null = null
  /** A fetcher waits for room. */
  #room: PromiseWithResolvers<void> | null = null

  constructor(
    topic: string,
    partitions: readonly number[],
    options: RecordCursorOptions & {
      readonly bufferBytesMax: number
      readonly onClose: (stream: MessageStream) => void
    },
  ) {
    this.topic = topic
    this.partitions = partitions
    this.#bufferBytesMax = options.bufferBytesMax
    this.#onClose = options.onClose
    this.#chunk = new MessageChunk(options)
    this.#chunk.topic = topic
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
    this.#isOpenChunk = false
    while (!this.#openNext()) {
      if (this.#state !== 'open') return null
      await this.#arrived()
    }
    return this.#chunk
  }

  /** True when `nextChunk()` would not have to wait. */
  get hasData(): boolean {
    return this.#queue.length > 0
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
    this.#state = 'closed'
    this.#queue.length = 0
    this.#isOpenChunk = false
    this.#wake()
    this.#onClose(this)
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
      this.#isOpenChunk = this.#openNext()
      if (this.#isOpenChunk) continue
      if (this.#state !== 'open') return done
      await this.#arrived()
    }
  }

  #arrived(): Promise<void> {
    this.#arrival ??= Promise.withResolvers<void>()
    return this.#arrival.promise
  }

  #openNext(): boolean {
    const fetched = this.#queue.shift()
    if (fetched === undefined) {
      if (this.#failure !== null && this.#state === 'open') throw this.#broken(this.#failure)
      return false
    }
    this.#bufferedBytes -= fetched.records.length
    if (this.#room !== null && this.#bufferedBytes < this.#bufferBytesMax) this.#wakeFetcher()
    this.#chunk.partition = fetched.partition
    this.#chunk.reset(fetched.records, fetched.fromOffset, fetched.untilOffset)
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
