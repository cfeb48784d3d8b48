/**
 * Writes to one partition of `__consumer_offsets`: its only writer. Dispatcher thread.
 *
 *   save, save, save ──▶ queue ──end of turn──▶ one batch ──append──▶ owner ──high watermark──▶ applied, answered
 *                          ▲ what comes meanwhile waits and becomes the next batch
 *
 * One batch is under way at a time, so the end of the log tells what became of it when its owner thread died or its
 * partition failed: either the log holds all of it or nothing. Until that is known nothing else is written. What a
 * change says is applied to memory exactly when it is durable, in the order of the log, also when those who asked have
 * been told meanwhile that it took too long: memory never differs from what a restart would read.
 */
import { unavailableCode } from '../apis/partition-errors.ts'
import type { Dispatcher, Flushable, ReplySink } from '../dispatcher.ts'
import type { DurableWaiter } from '../fetching/purgatory.ts'
import { emptyOffsetView, PartitionState } from '../partitions/offset-table.ts'
import type { Partition } from '../partitions/partition.ts'
import { encodeBatch, type RecordToEncode } from '../protocol/encode-batch.ts'
import { Errors } from '../protocol/errors.ts'
import { BATCH_HEADER_BYTES } from '../protocol/record-batch.ts'
import type { Reply } from '../ring/commands.ts'

/** Bytes that may wait for the batch under way; commits above are refused. */
const queueBytesMax = 16 * 1024 * 1024
/** Between two looks at a partition that is not online. */
const lookAgainMs = 20
/** Of a record beside key and value, at most. */
const recordOverheadBytes = 32
/** Of the produce request that a batch might have come with: uncompressed, it makes no difference. */
const apiVersion = 11

const view = emptyOffsetView()

export interface WriterOptions {
  readonly dispatcher: Dispatcher
  readonly partition: Partition
  /** End of the log when it was read. */
  readonly logEnd: number
  /** Largest batch now, all included. */
  readonly batchBytesMax: () => number
  readonly timeoutMs: number
}

/** Told once, when it is known whether a change is durable or never will be. */
export type OnDecided = (isDurable: boolean) => void

/** What one call of `save` wants written. */
class Change {
  readonly records: readonly RecordToEncode[]
  readonly bytes: number
  readonly deadlineMs: number
  readonly onDecided: OnDecided
  readonly result = Promise.withResolvers<number>()
  isAnswered = false

  constructor(
    records: readonly RecordToEncode[],
    bytes: number,
    deadlineMs: number,
    onDecided: OnDecided,
  ) {
    this.records = records
    this.bytes = bytes
    this.deadlineMs = deadlineMs
    this.onDecided = onDecided
  }

  /** Only the first answer counts. */
  answer(errorCode: number): void {
    this.isAnswered = true
    this.result.resolve(errorCode)
  }

  /** It is not in the log and never will be. */
  lost(errorCode: number): void {
    this.onDecided(false)
    this.answer(errorCode)
  }
}

type State =
  /** Nothing is under way. */
  | 'idle'
  /** The queue is written when the turn ends, or as soon as there is room or a partition. */
  | 'due'
  /** The owner has the batch. */
  | 'appending'
  /** It is in the log and waits for the flush. */
  | 'flushing'
  /** It may be in the log or not. */
  | 'doubtful'

export class GroupLogWriter implements Flushable, ReplySink, DurableWaiter {
  readonly #options: WriterOptions
  #state: State = 'idle'
  #queue: Change[] = []
  #queueBytes = 0
  /** The batch under way. */
  #batch: Change[] = []
  /** End of the log before it and, if it is written, after it. */
  #logEnd: number
  #batchEnd = 0
  /** Somebody looks at the clock for those who wait. */
  #isTimed = false
  #drained: (() => void) | null = null

  constructor(options: WriterOptions) {
    this.#options = options
    this.#logEnd = options.logEnd
  }

  /**
   * Writes the records as part of one batch. `onDecided` is told before the promise resolves, but after it when those
   * who asked could not wait for that: the time was over, or the partition failed. Codes: MESSAGE_TOO_LARGE,
   * NOT_ENOUGH_REPLICAS (too much is waiting), NOT_LEADER_OR_FOLLOWER; KAFKA_STORAGE_ERROR and REQUEST_TIMED_OUT, with
   * which it may become durable all the same.
   */
  save(records: readonly RecordToEncode[], onDecided: OnDecided): Promise<number> {
    const { dispatcher, timeoutMs } = this.#options
    const bytes = records.reduce((sum, record) => sum + bytesOf(record), 0)
    const refusal = this.#refusal(bytes)
    if (refusal !== Errors.NONE) {
      onDecided(false)
      return Promise.resolve(refusal)
    }
    const deadlineMs = dispatcher.clock.monotonicMs() + timeoutMs
    const change = new Change(records, bytes, deadlineMs, onDecided)
    this.#queue.push(change)
    this.#queueBytes += bytes
    this.#maybeTime()
    if (this.#state === 'idle') this.#beDue()
    return change.result.promise
  }

  /** Resolves when nothing waits and nothing is under way, or after `graceMs`. */
  drain(graceMs: number): Promise<void> {
    if (this.#state === 'idle') return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = this.#options.dispatcher.clock.after(graceMs, resolve)
    this.#drained = () => {
      cancel()
      resolve()
    }
    return promise
  }

  /** The turn ends: what has gathered becomes a batch. */
  flush(): void {
    if (this.#state === 'due') this.#write()
  }

  onReply(_row: number, reply: Reply): void {
    if (reply.errorCode !== Errors.NONE) {
      this.#settle(reply.errorCode)
      return
    }
    this.#batchEnd = reply.endOffset
    this.#awaitFlush()
  }

  onDurable(_row: number, errorCode: number): void {
    if (errorCode === Errors.NONE) this.#finish()
    else this.#settle(errorCode)
  }

  #refusal(bytes: number): number {
    const { partition, batchBytesMax } = this.#options
    if (bytes > batchBytesMax() - BATCH_HEADER_BYTES) return Errors.MESSAGE_TOO_LARGE
    if (partition.state === 'closed') return unavailableCode(partition)
    if (this.#isOffline()) return Errors.KAFKA_STORAGE_ERROR
    return this.#queueBytes + bytes > queueBytesMax ? Errors.NOT_ENOUGH_REPLICAS : Errors.NONE
  }

  #beDue(): void {
    this.#state = 'due'
    this.#options.dispatcher.flushLater(this)
  }

  #write(): void {
    const { dispatcher, partition } = this.#options
    const isOffline = this.#isOffline()
    if (isOffline || partition.state !== 'online') {
      if (isOffline || partition.state === 'closed') this.#refuseQueue()
      if (this.#queue.length > 0) this.#later(() => this.flush())
      else this.#beIdle()
      return
    }
    const count = this.#batchCount()
    if (count === 0) {
      this.#beIdle()
      return
    }
    const records = this.#queue.slice(0, count).flatMap(change => change.records)
    const batch = encodeBatch({ records, timestampMs: dispatcher.clock.wallMs() })
    const block = dispatcher.blocks.store(batch)
    if (block === null) {
      dispatcher.blocks.wait(() => this.flush())
      return
    }
    this.#batch = this.#queue.splice(0, count)
    for (const change of this.#batch) this.#queueBytes -= change.bytes
    this.#batchEnd = this.#logEnd + records.length
    this.#state = 'appending'
    const arenaOffset = block.arenaOffset + block.fill - batch.length
    dispatcher.append(partition, block, arenaOffset, batch.length, apiVersion, this, 0)
  }

  /** Changes that make the next batch. */
  #batchCount(): number {
    const bytesMax = this.#options.batchBytesMax()
    let bytes = BATCH_HEADER_BYTES
    let count = 0
    for (const change of this.#queue) {
      bytes += change.bytes
      // One that became too large meanwhile is the owner's to refuse.
      if (count > 0 && bytes > bytesMax) break
      count++
    }
    return count
  }

  #awaitFlush(): void {
    const { dispatcher, partition } = this.#options
    const { slot, generation } = partition
    this.#state = 'flushing'
    if (!dispatcher.offsets.read(slot, generation, view)) this.#settle(unavailableCode(partition))
    else if (view.highWatermark >= this.#batchEnd) this.#finish()
    else dispatcher.purgatory.waitDurable(slot, this.#batchEnd, Number.POSITIVE_INFINITY, this, 0)
  }

  /** The batch is durable. */
  #finish(): void {
    const batch = this.#batch
    this.#batch = []
    this.#logEnd = this.#batchEnd
    for (const change of batch) change.onDecided(true)
    for (const change of batch) change.answer(Errors.NONE)
    this.#next()
  }

  /** Something went wrong with the batch: only the log can tell whether it is there. */
  #settle(errorCode: number): void {
    const { dispatcher, partition } = this.#options
    const { slot, generation, state } = partition
    this.#state = 'doubtful'
    const isOffline = this.#isOffline()
    if (state === 'closed') {
      this.#lost(unavailableCode(partition))
    } else if (
      isOffline ||
      state === 'opening' ||
      !dispatcher.offsets.read(slot, generation, view)
    ) {
      // Those who asked need not wait for what may take until an operator comes.
      if (isOffline) {
        for (const change of this.#batch) change.answer(Errors.KAFKA_STORAGE_ERROR)
        this.#refuseQueue()
      }
      this.#later(() => this.#settle(errorCode))
    } else if (view.logEnd >= this.#batchEnd) this.#awaitFlush()
    else this.#lost(errorCode)
  }

  /** The log does not have it. */
  #lost(errorCode: number): void {
    const batch = this.#batch
    this.#batch = []
    for (const change of batch) change.lost(errorCode)
    this.#next()
  }

  #refuseQueue(): void {
    const queue = this.#queue
    this.#queue = []
    this.#queueBytes = 0
    for (const change of queue) change.lost(Errors.KAFKA_STORAGE_ERROR)
  }

  /** It did not open, or it failed since and takes no records. */
  #isOffline(): boolean {
    const { dispatcher, partition } = this.#options
    const { slot, generation, state } = partition
    if (state !== 'online') return state === 'offline'
    const isKnown = dispatcher.offsets.read(slot, generation, view)
    return isKnown && view.state === PartitionState.offline
  }

  #next(): void {
    if (this.#queue.length > 0) this.#beDue()
    else this.#beIdle()
  }

  #beIdle(): void {
    this.#state = 'idle'
    const drained = this.#drained
    this.#drained = null
    drained?.()
  }

  #later(look: () => void): void {
    this.#options.dispatcher.clock.after(lookAgainMs, look)
  }

  /** One timer for all who wait: when it fires the oldest are answered, the others need another one. */
  #maybeTime(): void {
    if (this.#isTimed) return
    const oldest = this.#batch.find(change => !change.isAnswered) ?? this.#queue[0]
    if (oldest === undefined) return
    this.#isTimed = true
    const { clock } = this.#options.dispatcher
    clock.after(Math.max(1, oldest.deadlineMs - clock.monotonicMs()), () => {
      this.#isTimed = false
      this.#expire(clock.monotonicMs())
      this.#maybeTime()
    })
  }

  /** Those in the queue are not written; what is under way may still become durable. */
  #expire(nowMs: number): void {
    const isLate = (change: Change): boolean => change.deadlineMs <= nowMs
    for (const change of this.#batch) if (isLate(change)) change.answer(Errors.REQUEST_TIMED_OUT)
    while (this.#queue.length > 0 && isLate(this.#queue[0])) {
      const change = this.#queue.shift() as Change
      this.#queueBytes -= change.bytes
      change.lost(Errors.REQUEST_TIMED_OUT)
    }
  }
}

function bytesOf({ key, value }: RecordToEncode): number {
  return recordOverheadBytes + (key?.length ?? 0) + (value?.length ?? 0)
}
