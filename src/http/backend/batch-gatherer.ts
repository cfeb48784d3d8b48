/**
 * Where appends over HTTP become record batches: judges each one against its topic, then gathers it with others of its
 * partition (lane.ts) or, if it is larger than a batch, sends it by itself (large-append.ts). Dispatcher thread.
 *
 * A batch is refused whole by its owner, so whatever would be one caller's fault is refused here, before it lies in one
 * batch with records of others.
 */
import { unavailableCode } from '../../apis/partition-errors.ts'
import type { LogConfig } from '../../contracts/log-config.ts'
import type { Dispatcher, Flushable } from '../../dispatcher.ts'
import { Metric, type ThreadMetrics } from '../../metrics.ts'
import type { Partition } from '../../partitions/partition.ts'
import { Errors } from '../../protocol/errors.ts'
import { BATCH_HEADER_BYTES } from '../../protocol/record-batch.ts'
import type { Topic } from '../../topics/topic-registry.ts'
import { BufferPool } from './batch-writer.ts'
import { Lane, type LaneContext } from './lane.ts'
import { LargeAppend } from './large-append.ts'
import type { Acks, ProduceSink, RecordSource } from './log-backend.ts'

/** Of a record beside its content, at most: lengths, times, counts. */
const recordOverheadBytes = 40
/** Of all batches that are open. */
const openBytesMax = 32 * 1024 * 1024
/** Of all appends that go by themselves. */
const largeBytesMax = 64 * 1024 * 1024
/** Keyless records stay with a partition for this many bytes, or until nothing of it is under way. */
const stickyBytes = 64 * 1024

interface Sticky {
  index: number
  bytesLeft: number
}

interface Refused {
  readonly sink: ProduceSink
  readonly tag: number
  readonly errorCode: number
}

export class BatchGatherer implements Flushable {
  readonly #context: LaneContext
  readonly #lanes = new WeakMap<Partition, Lane>()
  readonly #sticky = new WeakMap<Topic, Sticky>()
  readonly #topicOf: (name: string) => Topic | undefined
  #waiting = new Set<() => void>()
  #refused: Refused[] = []
  #openBytes = 0
  #largeBytes = 0
  #isWaking = false

  constructor(
    dispatcher: Dispatcher,
    metrics: ThreadMetrics,
    topicOf: (name: string) => Topic | undefined,
  ) {
    this.#topicOf = topicOf
    this.#context = {
      dispatcher,
      metrics,
      buffers: new BufferPool(),
      roomFreed: () => this.#wakeLater(),
      sealed: (partition, bytes) => this.#sealed(partition, bytes),
    }
  }

  /** As LogBackend.produce. */
  produce(
    topic: Topic,
    partition: Partition,
    acks: Acks,
    source: RecordSource,
    sink: ProduceSink,
    tag: number,
  ): boolean {
    const errorCode = this.#refusal(topic, partition, source)
    if (errorCode !== Errors.NONE) {
      this.refuse(sink, tag, errorCode)
      return true
    }
    const bytes = source.bytes + source.count * recordOverheadBytes
    const bytesMax = batchBytesMax(topic.log)
    if (bytes > bytesMax - BATCH_HEADER_BYTES) {
      return this.#produceLarge(topic, partition, acks, source, sink, tag)
    }
    const lane = this.#laneOf(partition)
    const before = lane.openBytes
    const isFull = Math.max(before, BATCH_HEADER_BYTES) + bytes > bytesMax
    if (isFull && !this.#makeRoom(lane)) return false
    if (this.#openBytes + bytes > openBytesMax) return false
    const start = lane.openBytes
    lane.add(source, acks, sink, tag)
    this.#openBytes += lane.openBytes - start
    return true
  }

  whenRoom(retry: () => void): () => void {
    this.#waiting.add(retry)
    return () => this.#waiting.delete(retry)
  }

  /** Tells `sink` at the end of the turn. */
  refuse(sink: ProduceSink, tag: number, errorCode: number): void {
    this.#context.metrics.add(Metric.produceErrors, 1)
    if (this.#refused.length === 0) this.#context.dispatcher.flushLater(this)
    this.#refused.push({ sink, tag, errorCode })
  }

  flush(): void {
    const refused = this.#refused
    this.#refused = []
    for (const { sink, tag, errorCode } of refused) sink.onProduced(tag, errorCode, -1, -1, 0)
  }

  /** Where the next keyless record of the topic goes. */
  stickyPartition(topic: Topic): number {
    const { partitions } = topic
    let sticky = this.#sticky.get(topic)
    if (sticky === undefined) {
      sticky = { index: partitions.length - 1, bytesLeft: 0 }
      this.#sticky.set(topic, sticky)
    }
    const current = partitions[sticky.index]
    const lane = current && this.#lanes.get(current)
    const isBusy = lane !== undefined && !lane.isIdle
    if (isBusy && sticky.bytesLeft > 0 && current.state === 'online') return sticky.index
    for (let step = 1; step <= partitions.length; step++) {
      const index = (sticky.index + step) % partitions.length
      if (partitions[index].state !== 'online' && step < partitions.length) continue
      sticky.index = index
      break
    }
    sticky.bytesLeft = stickyBytes
    return sticky.index
  }

  #produceLarge(
    topic: Topic,
    partition: Partition,
    acks: Acks,
    source: RecordSource,
    sink: ProduceSink,
    tag: number,
  ): boolean {
    const { bytes } = source
    if (this.#largeBytes > 0 && this.#largeBytes + bytes > largeBytesMax) return false
    this.#largeBytes += bytes
    source.keep()
    const onDone = (): void => {
      this.#largeBytes -= bytes
      this.#wakeLater()
    }
    const limit = (): number => batchBytesMax(topic.log)
    const options = { partition, acks, source, sink, tag, batchBytesMax: limit, onDone }
    new LargeAppend(options, this.#context).start()
    return true
  }

  #refusal(topic: Topic, partition: Partition, source: RecordSource): number {
    const { log } = topic
    if (log.isInternal) return Errors.INVALID_TOPIC_EXCEPTION
    if (partition.state !== 'online') return unavailableCode(partition)
    if (source.largestBytes + BATCH_HEADER_BYTES > log.batchBytesMax) {
      return Errors.MESSAGE_TOO_LARGE
    }
    if (source.largestBytes + BATCH_HEADER_BYTES > log.segmentBytesMax) {
      return Errors.RECORD_LIST_TOO_LARGE
    }
    if (log.cleanupCompact && source.hasKeyless) return Errors.INVALID_RECORD
    return this.#isTimely(log, source) ? Errors.NONE : Errors.INVALID_TIMESTAMP
  }

  #isTimely(log: LogConfig, { earliestMs, latestMs }: RecordSource): boolean {
    if (earliestMs < 0) return true
    if (latestMs > Number.MAX_SAFE_INTEGER) return false
    if (log.timestampType !== 'CreateTime') return true
    const nowMs = this.#context.dispatcher.clock.wallMs()
    return (
      earliestMs >= nowMs - log.timestampBeforeMsMax && latestMs <= nowMs + log.timestampAfterMsMax
    )
  }

  #laneOf(partition: Partition): Lane {
    let lane = this.#lanes.get(partition)
    if (lane === undefined) {
      lane = new Lane(partition, this.#context)
      this.#lanes.set(partition, lane)
    }
    return lane
  }

  /** Sends what the lane has gathered; false while an earlier batch is at the owner. */
  #makeRoom(lane: Lane): boolean {
    lane.flush()
    return lane.openBytes === 0
  }

  #sealed(partition: Partition, bytes: number): void {
    this.#openBytes -= bytes
    const topic = this.#topicOf(partition.topic)
    const sticky = topic && this.#sticky.get(topic)
    if (sticky?.index === partition.index) sticky.bytesLeft -= bytes
  }

  #wakeLater(): void {
    if (this.#waiting.size === 0 || this.#isWaking) return
    this.#isWaking = true
    setImmediate(() => {
      this.#isWaking = false
      const waiting = this.#waiting
      this.#waiting = new Set()
      for (const retry of waiting) retry()
    })
  }
}

function batchBytesMax(log: LogConfig): number {
  return Math.min(log.batchBytesMax, log.segmentBytesMax)
}
