/**
 * Sends sealed batches to the leaders of their partitions and deals with what comes back.
 *
 *   queues with data --take one batch each--> one Produce request per leader --> answer: settle, or put back
 *
 * At most five requests a leader and, with idempotence, five batches a partition are in flight; without it one a
 * partition, because nothing else would keep the order when a batch has to be sent again. A batch is tried again until
 * its deadline; with idempotence the broker recognises a repeat (KIP-98), without it it may be stored twice.
 */
import type { CodecName } from '../protocol/compression.ts'
import { Errors, isRetriable, KafkaError } from '../protocol/errors.ts'
import { InitProducerId } from '../protocol/messages/init-producer-id.ts'
import { Produce } from '../protocol/messages/produce.ts'
import { type Cluster, topicError } from './cluster.ts'
import type { Connection } from './connection.ts'
import type { PartitionQueue, ProduceBatch } from './produce-batch.ts'
import {
  type ProduceAnswer,
  type ProduceRow,
  produceRequest,
  rowsByQueue,
} from './produce-request.ts'

export interface SenderOptions {
  readonly acks: 0 | 1 | -1
  readonly codec: CodecName
  readonly isIdempotent: boolean
  readonly lingerMs: number
  readonly requestTimeoutMs: number
  readonly requestBytesMax: number
  /** Called once per batch, when it is acknowledged or given up. */
  readonly onSettled: (batch: ProduceBatch, error: Error | null) => void
}

/** The way to one leader. */
interface Link {
  readonly nodeId: number
  connection: Connection | null
  isOpening: boolean
  inFlight: number
}

const inFlightMax = 5
const backoffMsMin = 50
const backoffMsMax = 1000

export class Sender {
  readonly #cluster: Cluster
  readonly #options: SenderOptions
  readonly #active = new Set<PartitionQueue>()
  readonly #links = new Map<number, Link>()
  readonly #refreshing = new Set<string>()
  #producer: { id: number; epoch: number } | null = null
  #isAcquiring = false
  #isFlushing = false
  #isScheduled = false
  #timer: NodeJS.Timeout | null = null
  #timerAtMs = Infinity
  #idle: PromiseWithResolvers<void> | null = null

  constructor(cluster: Cluster, options: SenderOptions) {
    this.#cluster = cluster
    this.#options = options
  }

  /** A queue got records. They leave at the end of this turn of the event loop, or when linger is over. */
  add(queue: PartitionQueue): void {
    this.#active.add(queue)
    this.#schedule()
  }

  /** Sends everything, open batches too; resolves when nothing is left. Failures are told to `onSettled`. */
  async flush(): Promise<void> {
    if (this.#active.size === 0) return
    this.#isFlushing = true
    this.#idle ??= Promise.withResolvers<void>()
    this.#schedule()
    await this.#idle.promise
  }

  /** Gives up everything that is not acknowledged. */
  abort(error: Error): void {
    for (const queue of this.#active) {
      queue.seal(this.#options.codec)
      for (const batch of queue.sealed.splice(0)) this.#settle(batch, error)
    }
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#checkIdle()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(this.#pump)
  }

  readonly #pump = (): void => {
    this.#isScheduled = false
    if (this.#options.isIdempotent && this.#producer === null) {
      this.#acquireProducerId()
      this.#checkIdle()
      return
    }
    const nowMs = performance.now()
    for (let sent = true; sent; ) sent = this.#sendRound(nowMs)
    this.#checkIdle()
  }

  /** One batch of each queue that may send; false when there was none. */
  #sendRound(nowMs: number): boolean {
    const rounds = new Map<Link, { batches: ProduceBatch[]; sizeBytes: number }>()
    for (const queue of this.#active) {
      if (queue.isEmpty) {
        this.#active.delete(queue)
        continue
      }
      if (!this.#maySend(queue, nowMs)) continue
      const link = this.#linkTo(queue.leader)
      if (link.connection === null || link.inFlight >= inFlightMax) continue
      const round = rounds.get(link) ?? { batches: [], sizeBytes: 0 }
      const sizeBytes = round.sizeBytes + queue.sealed[0].bytes!.length
      if (sizeBytes > this.#options.requestBytesMax && round.batches.length > 0) continue
      round.sizeBytes = sizeBytes
      round.batches.push(queue.sealed.shift()!)
      rounds.set(link, round)
    }
    for (const [link, { batches }] of rounds) this.#send(link, batches)
    return rounds.size > 0
  }

  #maySend(queue: PartitionQueue, nowMs: number): boolean {
    const { acks, isIdempotent, codec, lingerMs } = this.#options
    const isNewProducer = isIdempotent && queue.producerId !== this.#producer?.id
    if (!queue.maySendNext || (isNewProducer && queue.inFlight > 0)) return false
    if (queue.inFlight >= (isIdempotent || acks === 0 ? inFlightMax : 1)) return false
    if (queue.notBeforeMs > nowMs) return this.#wakeAt(queue.notBeforeMs)
    if (queue.leader < 0) {
      this.#failed(queue, new KafkaError(Errors.LEADER_NOT_AVAILABLE, `${queue.topic}: no leader`))
      return false
    }
    if (queue.sealed.length > 0) return true
    if (queue.open === null) return false
    const dueMs = queue.open.createdMs + lingerMs
    if (!this.#isFlushing && lingerMs > 0 && dueMs > nowMs) return this.#wakeAt(dueMs)
    queue.seal(codec)
    return true
  }

  #send(link: Link, batches: ProduceBatch[]): void {
    const { acks, requestTimeoutMs } = this.#options
    for (const batch of batches) {
      batch.queue.sent(batch)
      const producer = this.#producer
      if (producer !== null && batch.producerId !== producer.id) {
        batch.queue.sequence(batch, producer.id, producer.epoch)
      }
    }
    const request = produceRequest(batches, acks, requestTimeoutMs)
    const connection = link.connection!
    try {
      if (acks === 0) {
        connection.send(Produce, request)
        void this.#sentWithoutAnswer(link, connection, batches)
        return
      }
      link.inFlight++
      connection.request(Produce, request, { timeoutMs: requestTimeoutMs + 5000 }).then(
        answer => {
          link.inFlight--
          this.#answered(batches, answer)
        },
        (error: Error) => {
          link.inFlight--
          this.#lost(batches, error)
        },
      )
    } catch (error) {
      this.#lost(batches, error as Error)
    }
  }

  /** acks=0: what the system took counts as sent; nobody will ever say more. */
  async #sentWithoutAnswer(link: Link, connection: Connection, batches: ProduceBatch[]) {
    link.inFlight++
    await connection.drained()
    link.inFlight--
    for (const batch of batches) {
      batch.queue.answered(batch)
      this.#settle(batch, null)
    }
    this.#schedule()
  }

  #answered(batches: readonly ProduceBatch[], answer: ProduceAnswer): void {
    const rows = rowsByQueue(batches, answer)
    for (const batch of batches) {
      batch.queue.answered(batch)
      const row = rows.get(batch.queue)
      if (row !== undefined) this.#resolve(batch, row)
      else
        this.#repeat(batch, new KafkaError(Errors.NETWORK_EXCEPTION, 'a partition lacks its row'))
    }
    this.#schedule()
  }

  #resolve(batch: ProduceBatch, row: ProduceRow): void {
    const { queue } = batch
    const code = row.errorCode
    if (code === Errors.NONE || code === Errors.DUPLICATE_SEQUENCE_NUMBER) {
      queue.failures = 0
      this.#settle(batch, null, row.baseOffset, row.logAppendTimeMs)
      return
    }
    // What is wrong with the first bad record says more than that some are.
    const detail = row.recordErrors[0]?.batchIndexErrorMessage ?? row.errorMessage
    const error = topicError(code, `${queue.topic}-${queue.index}`, detail)
    if (isTooLarge(code) && batch.count > 1) {
      for (const half of batch.split(this.#options.codec)) queue.putBack(half)
    } else if (code === Errors.OUT_OF_ORDER_SEQUENCE_NUMBER && this.#isBehindFailure(batch)) {
      queue.putBack(batch)
    } else if (code === Errors.UNKNOWN_PRODUCER_ID) {
      if (batch.producerId === this.#producer?.id) this.#producer = null
      this.#repeat(batch, error)
    } else if (isRetriable(code)) {
      this.#repeat(batch, error)
    } else {
      this.#giveUp(batch, error)
    }
  }

  /** Refused only because a batch in front of it was: it fits once that one is stored, or under a new producer id. */
  #isBehindFailure(batch: ProduceBatch): boolean {
    return batch.queue.hasOlder(batch) || batch.producerId !== this.#producer?.id
  }

  /** The connection broke, or no answer came: whether the batches were stored is unknown. */
  #lost(batches: readonly ProduceBatch[], error: Error): void {
    for (const batch of batches) {
      batch.queue.answered(batch)
      if (error instanceof KafkaError && isRetriable(error.code)) this.#repeat(batch, error)
      else this.#giveUp(batch, error)
    }
    this.#schedule()
  }

  #repeat(batch: ProduceBatch, error: Error): void {
    batch.queue.putBack(batch)
    this.#failed(batch.queue, error)
  }

  /** Backs the queue off, asks who leads it now, and gives up what is past its deadline. */
  #failed(queue: PartitionQueue, error: Error): void {
    const nowMs = performance.now()
    queue.failures++
    queue.notBeforeMs = nowMs + Math.min(backoffMsMin * 2 ** (queue.failures - 1), backoffMsMax)
    this.#wakeAt(queue.notBeforeMs)
    if (queue.open !== null && queue.open.deadlineMs < nowMs) queue.seal(this.#options.codec)
    while (queue.sealed.length > 0 && queue.sealed[0].deadlineMs < nowMs) {
      this.#giveUp(queue.sealed.shift()!, error)
    }
    this.#refresh(queue.topic)
  }

  #giveUp(batch: ProduceBatch, error: Error): void {
    // The numbers of a lost batch leave a gap the broker would refuse for ever: begin again with a new producer id.
    if (batch.producerId === this.#producer?.id) this.#producer = null
    this.#settle(batch, error)
  }

  #settle(batch: ProduceBatch, error: Error | null, offset = -1, logAppendTimeMs = -1): void {
    this.#options.onSettled(batch, error)
    batch.settle(error, offset, logAppendTimeMs)
  }

  #linkTo(nodeId: number): Link {
    let link = this.#links.get(nodeId)
    if (link === undefined) {
      link = { nodeId, connection: null, isOpening: false, inFlight: 0 }
      this.#links.set(nodeId, link)
    }
    if (link.connection?.isClosed) link.connection = null
    if (link.connection === null && !link.isOpening) void this.#openLink(link)
    return link
  }

  async #openLink(link: Link): Promise<void> {
    link.isOpening = true
    try {
      link.connection = await this.#cluster.connection(link.nodeId)
    } catch (error) {
      for (const queue of this.#active) {
        if (queue.leader === link.nodeId) this.#failed(queue, error as Error)
      }
    }
    link.isOpening = false
    this.#schedule()
  }

  #refresh(topic: string): void {
    if (this.#refreshing.has(topic)) return
    this.#refreshing.add(topic)
    this.#cluster
      .topic(topic, { refresh: true })
      .then(
        info => {
          for (const queue of this.#active) {
            const partition = info.partitions[queue.index]
            if (queue.topic === topic && partition !== undefined) queue.leader = partition.leader
          }
        },
        // The queue is backed off already and asks again when its time comes.
        () => undefined,
      )
      .finally(() => this.#refreshing.delete(topic))
  }

  #acquireProducerId(): void {
    if (this.#isAcquiring || this.#active.size === 0) return
    this.#isAcquiring = true
    this.#cluster
      .retrying(async () => {
        const connection = await this.#cluster.connection()
        const answer = await connection.request(InitProducerId, {
          transactionalId: null,
          transactionTimeoutMs: 60_000,
          producerId: -1,
          producerEpoch: -1,
        })
        if (answer.errorCode !== Errors.NONE) throw topicError(answer.errorCode, 'producer id')
        return answer
      })
      .then(
        ({ producerId, producerEpoch }) => {
          this.#producer = { id: producerId, epoch: producerEpoch }
        },
        (error: Error) => this.abort(error),
      )
      .finally(() => {
        this.#isAcquiring = false
        this.#schedule()
      })
  }

  /** Makes sure a pump runs at `atMs`; always false, for `#maySend`. */
  #wakeAt(atMs: number): false {
    if (atMs < this.#timerAtMs) {
      if (this.#timer !== null) clearTimeout(this.#timer)
      this.#timerAtMs = atMs
      this.#timer = setTimeout(
        () => {
          this.#timerAtMs = Infinity
          this.#pump()
        },
        Math.max(1, Math.ceil(atMs - performance.now())),
      )
    }
    return false
  }

  #checkIdle(): void {
    if (this.#idle === null) return
    for (const queue of this.#active) if (!queue.isEmpty) return
    this.#active.clear()
    this.#isFlushing = false
    this.#idle.resolve()
    this.#idle = null
  }
}

function isTooLarge(code: number): boolean {
  return code === Errors.MESSAGE_TOO_LARGE || code === Errors.RECORD_LIST_TOO_LARGE
}
