/**
 * An append of more records than fit one batch: batch after batch, each written by the owner before the next is made,
 * so that memory stays bounded and a failure leaves a whole front part. Dispatcher thread.
 */
import type { ReplySink } from '../../dispatcher.ts'
import type { DurableWaiter } from '../../fetching/purgatory.ts'
import { Metric } from '../../metrics.ts'
import type { Partition } from '../../partitions/partition.ts'
import { Errors } from '../../protocol/errors.ts'
import type { Reply } from '../../ring/commands.ts'
import { BatchWriter } from './batch-writer.ts'
import { awaitFlush, type LaneContext, produceVersion } from './lane.ts'
import type { Acks, IncomingRecord, ProduceSink, RecordSource } from './log-backend.ts'

export interface LargeAppendOptions {
  readonly partition: Partition
  readonly acks: Acks
  readonly source: RecordSource
  readonly sink: ProduceSink
  readonly tag: number
  /** Largest batch now. */
  readonly batchBytesMax: () => number
  readonly onDone: () => void
}

export class LargeAppend implements ReplySink, DurableWaiter {
  readonly #options: LargeAppendOptions
  readonly #context: LaneContext
  readonly #writer: BatchWriter
  /** Read from the source, not in a batch yet. */
  readonly #record: IncomingRecord = { key: null, value: null, headers: [], timestampMs: -1 }
  #hasRecord = false
  #readCount = 0
  #batchBytes = 0
  #storedCount = 0
  #baseOffset = -1
  #endOffset = -1

  constructor(options: LargeAppendOptions, context: LaneContext) {
    this.#options = options
    this.#context = context
    this.#writer = new BatchWriter(context.buffers)
  }

  start(): void {
    this.#fill()
    this.#send()
  }

  onReply(_row: number, reply: Reply): void {
    const { metrics } = this.#context
    if (reply.errorCode !== Errors.NONE) {
      metrics.add(Metric.produceErrors, 1)
      this.#finish(reply.errorCode)
      return
    }
    metrics.add(Metric.producedBytes, this.#batchBytes)
    metrics.add(Metric.producedRecords, reply.endOffset - reply.baseOffset)
    if (this.#baseOffset < 0) this.#baseOffset = reply.baseOffset
    this.#endOffset = reply.endOffset
    this.#storedCount += reply.endOffset - reply.baseOffset
    this.#fill()
    if (this.#writer.recordCount > 0) this.#send()
    else if (this.#options.acks !== -1) this.#finish(Errors.NONE)
    else awaitFlush(this.#context.dispatcher, this.#options.partition, this.#endOffset, this)
  }

  onDurable(_row: number, errorCode: number): void {
    this.#finish(errorCode)
  }

  #fill(): void {
    const { source, batchBytesMax } = this.#options
    const bytesMax = batchBytesMax()
    const nowMs = this.#context.dispatcher.clock.wallMs()
    for (;;) {
      if (!this.#hasRecord) {
        if (this.#readCount === source.count) return
        source.next(this.#record)
        this.#readCount++
      }
      this.#hasRecord = !this.#writer.add(this.#record, nowMs, bytesMax)
      if (this.#hasRecord) return
    }
  }

  #send(): void {
    const { dispatcher } = this.#context
    const batch = this.#writer.seal()
    const block = dispatcher.blocks.store(batch)
    if (block === null) {
      dispatcher.blocks.wait(() => this.#send())
      return
    }
    this.#batchBytes = batch.length
    const arenaOffset = block.arenaOffset + block.fill - batch.length
    this.#writer.reset()
    const { partition } = this.#options
    dispatcher.append(partition, block, arenaOffset, this.#batchBytes, produceVersion, this, 0)
  }

  #finish(errorCode: number): void {
    const { sink, tag, acks, onDone } = this.#options
    const isTold = this.#baseOffset >= 0 && acks !== 0
    const first = isTold ? this.#baseOffset : -1
    const last = isTold ? this.#endOffset - 1 : -1
    sink.onProduced(tag, errorCode, first, last, this.#storedCount)
    onDone()
  }
}
