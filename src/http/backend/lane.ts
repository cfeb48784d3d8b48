/**
 * Appends of many callers to one partition, gathered into batches. Dispatcher thread.
 *
 *   add, add, add ──▶ open batch ──end of turn──▶ owner ──▶ acks=1 answered ──high watermark──▶ acks=all answered
 *                        ▲ what comes while the owner writes is the next batch
 *
 * One batch is at the owner at a time: the more callers there are, the larger the batches, with nobody waiting longer
 * than one write takes.
 */
import type { Dispatcher, Flushable, ReplySink } from '../../dispatcher.ts'
import type { DurableWaiter } from '../../fetching/purgatory.ts'
import { Metric, type ThreadMetrics } from '../../metrics.ts'
import { emptyOffsetView } from '../../partitions/offset-table.ts'
import type { Partition } from '../../partitions/partition.ts'
import { Errors } from '../../protocol/errors.ts'
import type { Reply } from '../../ring/commands.ts'
import { BatchWriter, type BufferPool } from './batch-writer.ts'
import type { Acks, IncomingRecord, ProduceSink, RecordSource } from './log-backend.ts'

/** Of the produce request that a batch might have come with. */
export const produceVersion = 11
/** acks=all is answered by then, with REQUEST_TIMED_OUT if need be. */
const durableTimeoutMs = 30_000
const acksAll = -1

const view = emptyOffsetView()
/** One record walks through it at a time. */
const record: IncomingRecord = { key: null, value: null, headers: [], timestampMs: -1 }

export interface LaneContext {
  readonly dispatcher: Dispatcher
  readonly metrics: ThreadMetrics
  readonly buffers: BufferPool
  /** Room was made: a batch left. */
  roomFreed(): void
  /** A batch of this many bytes went to the owner. */
  sealed(partition: Partition, bytes: number): void
}

/** Who waits for one batch, in the order of its records. */
class Waiters implements ReplySink, DurableWaiter {
  readonly #lane: Lane
  readonly #sinks: ProduceSink[] = []
  readonly #tags: number[] = []
  readonly #acks: Acks[] = []
  readonly #counts: number[] = []
  #baseOffset = -1
  bytes = 0

  constructor(lane: Lane) {
    this.#lane = lane
  }

  push(sink: ProduceSink, tag: number, acks: Acks, count: number): void {
    this.#sinks.push(sink)
    this.#tags.push(tag)
    this.#acks.push(acks)
    this.#counts.push(count)
  }

  onReply(_row: number, reply: Reply): void {
    if (reply.errorCode === Errors.NONE) {
      this.#baseOffset = reply.baseOffset
      this.answer(acks => acks !== acksAll, Errors.NONE)
      if (this.#acks.includes(acksAll)) this.#lane.awaitFlush(reply.endOffset, this)
    } else this.answer(() => true, reply.errorCode)
    this.#lane.written(reply, this.bytes)
  }

  onDurable(_row: number, errorCode: number): void {
    this.answer(acks => acks === acksAll, errorCode)
  }

  /** Tells those whose acks fit. */
  answer(fits: (acks: Acks) => boolean, errorCode: number): void {
    const isStored = this.#baseOffset >= 0
    let offset = this.#baseOffset
    for (let i = 0; i < this.#sinks.length; i++) {
      const count = this.#counts[i]
      const acks = this.#acks[i]
      const isTold = isStored && acks !== 0
      const first = isTold ? offset : -1
      const last = isTold ? offset + count - 1 : -1
      offset += count
      if (!fits(acks)) continue
      this.#sinks[i].onProduced(this.#tags[i], errorCode, first, last, isStored ? count : 0)
    }
  }
}

export class Lane implements Flushable {
  readonly partition: Partition
  readonly #context: LaneContext
  readonly #writer: BatchWriter
  #open: Waiters
  #isAtOwner = false
  #isDue = false
  /** One closure: however often it is registered, it is called once. */
  readonly #flushAgain = (): void => this.flush()

  constructor(partition: Partition, context: LaneContext) {
    this.partition = partition
    this.#context = context
    this.#writer = new BatchWriter(context.buffers)
    this.#open = new Waiters(this)
  }

  /** Bytes that wait for the next batch; 0 when there are none. */
  get openBytes(): number {
    return this.#writer.recordCount === 0 ? 0 : this.#writer.bytes
  }

  get isIdle(): boolean {
    return !this.#isAtOwner && this.#writer.recordCount === 0
  }

  /** Adds the records to the open batch; the caller knows that they fit it. */
  add(source: RecordSource, acks: Acks, sink: ProduceSink, tag: number): void {
    const nowMs = this.#context.dispatcher.clock.wallMs()
    for (let i = 0; i < source.count; i++) {
      source.next(record)
      this.#writer.add(record, nowMs, Number.POSITIVE_INFINITY)
    }
    this.#open.push(sink, tag, acks, source.count)
    if (this.#isAtOwner || this.#isDue) return
    this.#isDue = true
    this.#context.dispatcher.sealLater(this)
  }

  /** The turn ends, there is room in the arena again, or the batch before is written. */
  flush(): void {
    this.#isDue = false
    if (!this.#isAtOwner) this.seal()
  }

  /** Sends the open batch to the owner. */
  seal(): void {
    if (this.#writer.recordCount === 0) return
    const { dispatcher } = this.#context
    const batch = this.#writer.seal()
    const block = dispatcher.blocks.store(batch)
    if (block === null) {
      this.#isDue = true
      dispatcher.blocks.wait(this.#flushAgain)
      return
    }
    const waiters = this.#open
    waiters.bytes = batch.length
    this.#open = new Waiters(this)
    this.#isAtOwner = true
    const arenaOffset = block.arenaOffset + block.fill - batch.length
    const { partition } = this
    const { length } = batch
    this.#writer.reset()
    dispatcher.append(partition, block, arenaOffset, length, produceVersion, waiters, 0)
    this.#context.sealed(partition, length)
  }

  /** The owner has answered; what came meanwhile follows. */
  written(reply: Reply, bytes: number): void {
    const { metrics } = this.#context
    if (reply.errorCode === Errors.NONE) {
      metrics.add(Metric.producedBytes, bytes)
      metrics.add(Metric.producedRecords, reply.endOffset - reply.baseOffset)
    } else metrics.add(Metric.produceErrors, 1)
    this.#isAtOwner = false
    if (!this.#isDue) this.seal()
    this.#context.roomFreed()
  }

  awaitFlush(endOffset: number, waiter: DurableWaiter): void {
    awaitFlush(this.#context.dispatcher, this.partition, endOffset, waiter)
  }
}

/** Tells `waiter` when the high watermark has passed `endOffset`, or that this will not be known. */
export function awaitFlush(
  dispatcher: Dispatcher,
  partition: Partition,
  endOffset: number,
  waiter: DurableWaiter,
): void {
  const { slot, generation } = partition
  if (!dispatcher.offsets.read(slot, generation, view)) {
    waiter.onDurable(0, Errors.NOT_LEADER_OR_FOLLOWER)
  } else if (view.highWatermark >= endOffset) waiter.onDurable(0, Errors.NONE)
  else dispatcher.purgatory.waitDurable(slot, endOffset, durableTimeoutMs, waiter, 0)
}
