/**
 * What a producer holds for one partition:
 *
 *   records ->  open batch  -> seal ->  sealed | sealed | sealed  -> sent, in flight -> acknowledged
 *                                       ^ oldest; a batch that has to be sent again comes back here
 *
 * The order of `sealed` is the order of the log. It survives retries because a batch that is sent again waits until all
 * others in flight are answered, and nothing else is sent until it is.
 */
import assert from 'node:assert'
import type { CodecName } from '../protocol/compression.ts'
import { BatchBuilder, stamp } from './batch-builder.ts'
import { RecordCursor } from './record-cursor.ts'

let lastOrder = 0

export class ProduceBatch {
  readonly queue: PartitionQueue
  readonly deadlineMs: number
  /** Linger counts from here, on the monotonic clock. */
  readonly createdMs: number
  readonly builder: BatchBuilder
  /** Rises with every batch; the second half of a split one takes half of the room up to the next. */
  order: number
  orderRoom = 1
  /** The batch as it is sent; null until it is sealed. */
  bytes: Buffer | null = null
  count = 0
  /** How often it was sent. */
  attempts = 0
  /** Bytes charged to the producer's memory until the batch is settled. */
  chargedBytes = 0
  /** -1 until first sent by an idempotent producer; kept when sent again, which is what makes repeats harmless. */
  baseSequence = -1
  /** Whose sequence that is. */
  producerId = -1
  producerEpoch = -1
  /** Of the first record; -1 when unknown (acks=0, or a repeat the broker no longer remembers). */
  baseOffset = -1
  logAppendTimeMs = -1
  /** The batch that this one is a half of. */
  #whole: ProduceBatch | null = null
  #halves: readonly [ProduceBatch, ProduceBatch] | null = null
  #isSettled = false
  #error: Error | null = null
  #outcome: PromiseWithResolvers<void> | null = null

  constructor(queue: PartitionQueue, nowMs: number, deadlineMs: number, memory?: Buffer) {
    this.queue = queue
    this.createdMs = nowMs
    this.deadlineMs = deadlineMs
    this.builder = new BatchBuilder(memory)
    this.order = ++lastOrder
  }

  /** True when somebody waits for this batch and will hear of a failure. */
  get isAwaited(): boolean {
    return this.#whole === null ? this.#outcome !== null : this.#whole.isAwaited
  }

  /** Resolves when the batch is acknowledged. One promise per batch, made only when asked for. */
  done(): Promise<void> {
    if (this.#outcome === null) {
      this.#outcome = Promise.withResolvers<void>()
      if (this.#isSettled) this.#tell()
    }
    return this.#outcome.promise
  }

  /** Offset of the record at `index`, -1 when unknown. Valid once `done`. */
  offsetAt(index: number): number {
    if (this.#halves !== null) {
      const [first, second] = this.#halves
      return index < first.count ? first.offsetAt(index) : second.offsetAt(index - first.count)
    }
    return this.baseOffset < 0 ? -1 : this.baseOffset + index
  }

  seal(codec: CodecName): void {
    assert(this.bytes === null, 'a batch is sealed once')
    this.count = this.builder.count
    this.bytes = this.builder.finish(codec)
  }

  sequence(producerId: number, producerEpoch: number, baseSequence: number): void {
    assert(this.bytes !== null, 'only a sealed batch has a place for a sequence')
    this.producerId = producerId
    this.producerEpoch = producerEpoch
    this.baseSequence = baseSequence
    stamp(this.bytes, producerId, producerEpoch, baseSequence)
  }

  /** Tells whoever waits. `offset`: of the first record. */
  settle(error: Error | null, offset = -1, logAppendTimeMs = -1): void {
    assert(!this.#isSettled, 'a batch is settled once')
    this.#isSettled = true
    this.#error = error
    this.baseOffset = offset
    this.logAppendTimeMs = logAppendTimeMs
    this.#tell()
  }

  /**
   * Two batches with half of the records each, for a broker that finds this one too large. They keep its sequence
   * numbers: what the broker refused left its counter alone. This batch is settled by its halves.
   */
  split(codec: CodecName): [ProduceBatch, ProduceBatch] {
    assert(this.bytes !== null && this.count > 1, 'one record cannot be split')
    const cursor = new RecordCursor({ checkCrc: false, decompressedBytesMax: 0x7fff_ffff })
    cursor.reset(this.bytes)
    const first = this.#half(cursor, this.count >>> 1, codec)
    const second = this.#half(cursor, this.count - first.count, codec)
    first.order = this.order
    second.order = this.order + this.orderRoom / 2
    first.orderRoom = this.orderRoom / 2
    second.orderRoom = this.orderRoom / 2
    first.chargedBytes = this.chargedBytes
    this.chargedBytes = 0
    if (this.baseSequence >= 0) {
      const middle = addSequence(this.baseSequence, first.count)
      first.sequence(this.producerId, this.producerEpoch, this.baseSequence)
      second.sequence(this.producerId, this.producerEpoch, middle)
    }
    this.#halves = [first, second]
    void Promise.all([first.done(), second.done()]).then(
      () => this.settle(null, first.baseOffset, first.logAppendTimeMs),
      (error: Error) => this.settle(error),
    )
    return [first, second]
  }

  #half(cursor: RecordCursor, count: number, codec: CodecName): ProduceBatch {
    const half = new ProduceBatch(this.queue, this.createdMs, this.deadlineMs)
    half.#whole = this
    half.attempts = this.attempts
    for (let i = 0; i < count && cursor.advance(); i++) {
      half.builder.append(cursor.key(), cursor.value(), cursor.timestampMs, cursor.headers())
    }
    assert(half.builder.count === count, 'our own batch reads back whole')
    half.seal(codec)
    return half
  }

  #tell(): void {
    if (this.#error === null) this.#outcome?.resolve()
    else this.#outcome?.reject(this.#error)
  }
}

export class PartitionQueue {
  readonly topic: string
  readonly index: number
  /** Node id, -1 when unknown: then metadata has to be read again. */
  leader: number
  open: ProduceBatch | null = null
  readonly sealed: ProduceBatch[] = []
  inFlight = 0
  /** Those of `inFlight` that are not sent for the first time. */
  repeatsInFlight = 0
  /** Nothing is sent before this time on the monotonic clock. */
  notBeforeMs = 0
  /** Attempts that failed since the last success. */
  failures = 0
  /** The producer id that `nextSequence` belongs to; every new id begins at 0. */
  producerId = -1
  nextSequence = 0

  constructor(topic: string, index: number, leader: number) {
    this.topic = topic
    this.index = index
    this.leader = leader
  }

  get isEmpty(): boolean {
    return this.open === null && this.sealed.length === 0 && this.inFlight === 0
  }

  /** Seals the open batch, if any. */
  seal(codec: CodecName): void {
    const batch = this.open
    if (batch === null) return
    this.open = null
    batch.seal(codec)
    this.sealed.push(batch)
  }

  /** Numbers a batch that is about to be sent for the first time under this producer id. */
  sequence(batch: ProduceBatch, producerId: number, producerEpoch: number): void {
    if (this.producerId !== producerId) {
      this.producerId = producerId
      this.nextSequence = 0
    }
    batch.sequence(producerId, producerEpoch, this.nextSequence)
    this.nextSequence = addSequence(this.nextSequence, batch.count)
  }

  /** Puts a batch back to where its age belongs, to be sent again. */
  putBack(batch: ProduceBatch): void {
    let at = 0
    while (at < this.sealed.length && this.sealed[at].order < batch.order) at++
    this.sealed.splice(at, 0, batch)
  }

  /**
   * False while the next batch has to wait for answers. A batch that is sent again travels alone: the broker remembers
   * only the last five, and what overtook it would make it forgotten, or stored out of order.
   */
  get maySendNext(): boolean {
    const isRepeat = this.sealed.length > 0 && this.sealed[0].attempts > 0
    return this.inFlight === 0 || (this.repeatsInFlight === 0 && !isRepeat)
  }

  sent(batch: ProduceBatch): void {
    this.inFlight++
    if (batch.attempts++ > 0) this.repeatsInFlight++
  }

  answered(batch: ProduceBatch): void {
    this.inFlight--
    if (batch.attempts > 1) this.repeatsInFlight--
  }

  /** True when an older batch was refused and waits to be sent again. */
  hasOlder(batch: ProduceBatch): boolean {
    return this.sealed.length > 0 && this.sealed[0].order < batch.order
  }
}

/** After 2^31 - 1 comes 0, as in Kafka. */
function addSequence(sequence: number, count: number): number {
  return (sequence + count) % 0x8000_0000
}
