/**
 * The paper's producer (section 2): make one, wrap messages in a set, `send(topic, set)`. Records of many calls are
 * gathered into one batch a partition; batches of many partitions travel in one request.
 *
 *   send / append -> PartitionQueue (open batch) -> Sender -> broker
 *
 * `send` costs a promise a call, `append` none: bulk writers append and flush.
 */
import { type CodecName, codecNames } from '../protocol/compression.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import type { Bytes, Headers } from './batch-builder.ts'
import { type ClientOptions, Cluster, isUnknownTopic, type TopicInfo } from './cluster.ts'
import { checkMessage, checkPartition, headerList, type MessageLike } from './message.ts'
import { murmur2Partitioner, type Partitioner } from './partitioner.ts'
import { PartitionQueue, ProduceBatch } from './produce-batch.ts'
import { Sender } from './sender.ts'

export interface ProducerOptions extends ClientOptions {
  /** When the broker answers: 'all' once the batch is on disk (default), 1 once it is in the file, 0 never. */
  readonly acks?: 0 | 1 | -1 | 'all'
  /** Compression of batches. Default 'none'. */
  readonly codec?: CodecName
  /** Wait this long for more records before a batch leaves that is not full. Default 0: the end of this turn. */
  readonly lingerMs?: number
  /** A batch leaves when it has this many bytes, uncompressed. Default 128 KiB. */
  readonly batchBytesMax?: number
  /** Upper bound of one request. Default 4 MiB. */
  readonly requestBytesMax?: number
  /** Records not yet acknowledged; `send` waits above it. Default 32 MiB. */
  readonly bufferBytesMax?: number
  /** A record is given up after this time. Default 120,000. */
  readonly deliveryTimeoutMs?: number
  /** Repeats after a lost answer are stored once (KIP-98). Default true with acks 'all'; impossible with acks 0. */
  readonly idempotent?: boolean
  /** For keyed records without a partition. Default: Kafka's murmur2. */
  readonly partitioner?: Partitioner
}

/** Where a run of messages of one `send` went; runs are in the order of the messages. */
export interface SendResult {
  readonly partition: number
  /** Offset of the run's first message; -1 when the broker did not say (acks=0). */
  readonly baseOffset: number
  readonly count: number
}

export interface TopicWriter {
  readonly partitionCount: number
  append(message: MessageLike): void
  /** A record without key whose value is a copy of `source[start, end)`. */
  appendSlice(source: Buffer, start: number, end: number, partition?: number): void
}

interface TopicState {
  readonly name: string
  queues: PartitionQueue[]
  /** Where records without key and partition go; moves on with every batch. */
  sticky: number
}

interface Run {
  readonly batch: ProduceBatch
  readonly firstIndex: number
  count: number
}

const unknownTopicRetryMs = 3000
/** Memory of acknowledged batches kept for the next ones. */
const spareMax = 16

export class Producer {
  readonly #cluster: Cluster
  readonly #sender: Sender
  readonly #codec: CodecName
  readonly #batchBytesMax: number
  readonly #bufferBytesMax: number
  readonly #deliveryTimeoutMs: number
  readonly #partitioner: Partitioner
  readonly #topics = new Map<string, TopicState>()
  readonly #opening = new Map<string, Promise<TopicState>>()
  readonly #spare: Buffer[] = []
  #bufferedBytes = 0
  #room: PromiseWithResolvers<void> | null = null
  #waitingCount = 0
  #failure: Error | null = null
  #isClosed = false

  /** @throws KafkaError INVALID_CONFIG when options contradict each other */
  constructor(options: ProducerOptions = {}) {
    const acks = options.acks === 'all' || options.acks === undefined ? -1 : options.acks
    const idempotent = options.idempotent ?? acks === -1
    this.#codec = options.codec ?? 'none'
    check([-1, 0, 1].includes(acks), `acks ${acks} is none of 0, 1, 'all'`)
    check(!idempotent || acks === -1, "an idempotent producer needs acks 'all'")
    check(
      codecNames.includes(this.#codec),
      `codec '${this.#codec}' is none of ${codecNames.join(', ')}`,
    )
    this.#batchBytesMax = options.batchBytesMax ?? 128 * 1024
    this.#bufferBytesMax = options.bufferBytesMax ?? 32 * 1024 * 1024
    this.#deliveryTimeoutMs = options.deliveryTimeoutMs ?? 120_000
    this.#partitioner = options.partitioner ?? murmur2Partitioner
    this.#cluster = new Cluster({ retryMsMax: this.#deliveryTimeoutMs, ...options })
    this.#sender = new Sender(this.#cluster, {
      acks,
      codec: this.#codec,
      isIdempotent: idempotent,
      lingerMs: options.lingerMs ?? 0,
      requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
      requestBytesMax: options.requestBytesMax ?? 4 * 1024 * 1024,
      onSettled: (batch, error) => this.#onSettled(batch, error),
    })
  }

  /** Tries once to reach a broker. Not needed before `send`; tells early what is wrong. */
  async connect(): Promise<void> {
    await this.#cluster.connection()
  }

  /**
   * Sends a set of messages and resolves when all of them are acknowledged. Messages with the same key, and those
   * without key within a batch, go to one partition and keep their order.
   * @throws KafkaError when a message was not stored; others of the same call may have been
   */
  async send(topic: string, messages: readonly MessageLike[]): Promise<SendResult[]> {
    this.#ensureOpen()
    const state = this.#topics.get(topic) ?? (await this.#open(topic))
    if (!this.hasRoom || this.#waitingCount > 0) await this.#queueForRoom()
    for (const message of messages) checkMessage(message, state.queues.length)
    const runs: Run[] = []
    for (const message of messages) {
      const batch = this.#append(state, message)
      const last = runs.at(-1)
      if (last?.batch === batch) last.count++
      else runs.push({ batch, firstIndex: batch.builder.count - 1, count: 1 })
    }
    await Promise.all(runs.map(run => run.batch.done()))
    return runs.map(({ batch, firstIndex, count }) => ({
      partition: batch.queue.index,
      baseOffset: batch.offsetAt(firstIndex),
      count,
    }))
  }

  /**
   * A topic to append to without a promise a record. Pause while `hasRoom` is false; `flush` tells what failed.
   * The topic is created where the broker allows that.
   */
  async topic(name: string): Promise<TopicWriter> {
    this.#ensureOpen()
    const state = this.#topics.get(name) ?? (await this.#open(name))
    return {
      partitionCount: state.queues.length,
      append: message => {
        checkMessage(message, state.queues.length)
        this.#append(state, message)
      },
      appendSlice: (source, start, end, partition = state.sticky) => {
        checkPartition(partition, state.queues.length)
        this.#appendSlice(state, state.queues[partition], source, start, end)
      },
    }
  }

  /** False when appending should pause until `ready()`. */
  get hasRoom(): boolean {
    return this.#bufferedBytes < this.#bufferBytesMax
  }

  /** Resolves when there is room for more records. */
  async ready(): Promise<void> {
    if (this.hasRoom) return
    this.#room ??= Promise.withResolvers<void>()
    await this.#room.promise
  }

  /**
   * Sends what waits and resolves when everything is acknowledged.
   * @throws the first failure of appended records since the last flush
   */
  async flush(): Promise<void> {
    await this.#sender.flush()
    const failure = this.#failure
    this.#failure = null
    if (failure !== null) throw failure
  }

  /** The first failure since the last flush, for bulk writers that want to stop early. */
  get failure(): Error | null {
    return this.#failure
  }

  /** Flushes, then closes. Further calls of `send` are refused. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      await this.flush()
    } finally {
      this.#sender.abort(new KafkaError(Errors.BROKER_NOT_AVAILABLE, 'the producer is closed'))
      await this.#cluster.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** First come, first served: a call that finds room must not overtake those that wait for it. */
  async #queueForRoom(): Promise<void> {
    this.#waitingCount++
    do await this.ready()
    while (!this.hasRoom)
    this.#waitingCount--
  }

  #ensureOpen(): void {
    if (this.#isClosed) throw new KafkaError(Errors.BROKER_NOT_AVAILABLE, 'the producer is closed')
  }

  #open(topic: string): Promise<TopicState> {
    let opening = this.#opening.get(topic)
    if (opening === undefined) {
      opening = this.#load(topic).finally(() => this.#opening.delete(topic))
      this.#opening.set(topic, opening)
    }
    return opening
  }

  async #load(topic: string): Promise<TopicState> {
    const startedMs = performance.now()
    // Kafka creates a topic only after it has answered that there is none: ask again for a while.
    const isFinal = (error: unknown): boolean =>
      isUnknownTopic(error) && performance.now() - startedMs > unknownTopicRetryMs
    const info = await this.#cluster.retrying(
      () => this.#cluster.topic(topic, { create: true, refresh: true }),
      { isFinal },
    )
    const state = { name: topic, queues: queuesOf(info), sticky: 0 }
    check(state.queues.length > 0, `topic ${topic} has no partitions`)
    state.sticky = Math.floor(Math.random() * state.queues.length)
    this.#topics.set(topic, state)
    return state
  }

  #append(state: TopicState, message: MessageLike): ProduceBatch {
    if (typeof message === 'string' || message instanceof Uint8Array) {
      return this.#add(state, state.queues[state.sticky], null, message, Date.now(), undefined)
    }
    const { value, timestampMs = Date.now() } = message
    let key = message.key ?? null
    let index = message.partition ?? state.sticky
    if (message.partition === undefined && key !== null) {
      if (typeof key === 'string') key = Buffer.from(key)
      index = this.#partitioner(key, state.queues.length)
    }
    const headers = message.headers === undefined ? undefined : headerList(message.headers)
    return this.#add(state, state.queues[index], key, value, timestampMs, headers)
  }

  #add(
    state: TopicState,
    queue: PartitionQueue,
    key: Bytes,
    value: Bytes,
    timestampMs: number,
    headers: Headers | undefined,
  ): ProduceBatch {
    const sizeBytes = (key?.length ?? 0) + (value?.length ?? 0)
    const batch = this.#batchFor(state, queue, sizeBytes)
    batch.builder.append(key, value, timestampMs, headers)
    this.#charge(batch)
    return batch
  }

  #appendSlice(
    state: TopicState,
    queue: PartitionQueue,
    source: Buffer,
    start: number,
    end: number,
  ): void {
    const batch = this.#batchFor(state, queue, end - start)
    batch.builder.appendSlice(source, start, end, Date.now())
    this.#charge(batch)
  }

  /** The queue's open batch, or a new one where the record does not fit any more. */
  #batchFor(state: TopicState, queue: PartitionQueue, recordBytes: number): ProduceBatch {
    const open = queue.open
    if (open !== null) {
      if (open.builder.sizeBytes + recordBytes <= this.#batchBytesMax) return open
      queue.seal(this.#codec)
      if (queue === state.queues[state.sticky])
        state.sticky = (state.sticky + 1) % state.queues.length
    }
    this.#ensureOpen()
    const nowMs = performance.now()
    queue.open = new ProduceBatch(queue, nowMs, nowMs + this.#deliveryTimeoutMs, this.#spare.pop())
    this.#sender.add(queue)
    return queue.open
  }

  #charge(batch: ProduceBatch): void {
    this.#bufferedBytes += batch.builder.sizeBytes - batch.chargedBytes
    batch.chargedBytes = batch.builder.sizeBytes
  }

  #onSettled(batch: ProduceBatch, error: Error | null): void {
    this.#bufferedBytes -= batch.chargedBytes
    if (error !== null && !batch.isAwaited) this.#failure ??= error
    const memory = batch.builder.release()
    if (error === null && memory.length >= this.#batchBytesMax && this.#spare.length < spareMax) {
      this.#spare.push(memory)
    }
    if (this.#room !== null && this.hasRoom) {
      this.#room.resolve()
      this.#room = null
    }
  }
}

function queuesOf({ name, partitions }: TopicInfo): PartitionQueue[] {
  return partitions.map(({ index, leader }) => new PartitionQueue(name, index, leader))
}

function check(ok: boolean, message: string): void {
  if (!ok) throw new KafkaError(Errors.INVALID_CONFIG, message)
}
