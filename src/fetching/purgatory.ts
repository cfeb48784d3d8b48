/**
 * Where operations wait for a partition's high watermark: acks=all answers for the flush, fetches for records.
 * Dispatcher thread. One watch word per partition and dispatcher in the offset table tells the owner to send a notice
 * at the next advance; the word is set before the high watermark is read again, so no advance goes unnoticed.
 *
 *   slot → durable  |end 17|end 40|end 41| ...    in the order of appends, so always answered from the front
 *        → fetchers {fetch, fetch, ...}           woken at any advance, they look for themselves
 */
import type { Clock } from '../contracts/clock.ts'
import { type OffsetTable, PartitionState } from '../partitions/offset-table.ts'
import { Errors } from '../protocol/errors.ts'

/** An acks=all answer waiting for its batch to be flushed. */
export interface DurableWaiter {
  onDurable(row: number, errorCode: number): void
}

/** A parked fetch. */
export interface FetchWaiter {
  /** One of its partitions advanced or failed. */
  wake(): void
}

interface DurableEntry {
  readonly endOffset: number
  readonly waiter: DurableWaiter
  readonly row: number
  readonly deadlineMs: number
}

class Waiters {
  durable: DurableEntry[] = []
  /** Index of the first entry that still waits. */
  first = 0
  readonly fetchers = new Set<FetchWaiter>()

  get durableCount(): number {
    return this.durable.length - this.first
  }
}

export class Purgatory {
  readonly #dispatcherIndex: number
  readonly #offsets: OffsetTable
  readonly #clock: Clock
  readonly #bySlot: (Waiters | undefined)[] = []
  #fetchCount = 0

  constructor(dispatcherIndex: number, offsets: OffsetTable, clock: Clock) {
    this.#dispatcherIndex = dispatcherIndex
    this.#offsets = offsets
    this.#clock = clock
  }

  /** Fetches parked now. */
  get fetchCount(): number {
    return this.#fetchCount
  }

  /** Calls `onDurable(row, NONE)` once the high watermark of `slot` reaches `endOffset`; an error if that fails. */
  waitDurable(
    slot: number,
    endOffset: number,
    timeoutMs: number,
    waiter: DurableWaiter,
    row: number,
  ): void {
    const waiters = this.#waiters(slot)
    const deadlineMs = this.#clock.monotonicMs() + timeoutMs
    waiters.durable.push({ endOffset, waiter, row, deadlineMs })
    if (waiters.durableCount > 1) return
    this.#offsets.watch(slot, this.#dispatcherIndex)
    if (this.#offsets.highWatermark(slot) >= endOffset) this.advanced(slot)
    else this.#failIfOffline(slot)
  }

  /** Parks a fetch on its partitions. The caller must look at the high watermarks once more afterwards. */
  park(slots: readonly number[], waiter: FetchWaiter): void {
    this.#fetchCount++
    for (const slot of slots) {
      this.#waiters(slot).fetchers.add(waiter)
      this.#offsets.watch(slot, this.#dispatcherIndex)
    }
  }

  unpark(slots: readonly number[], waiter: FetchWaiter): void {
    this.#fetchCount--
    for (const slot of slots) this.#bySlot[slot]?.fetchers.delete(waiter)
  }

  /** Notice of an owner: the high watermark of a watched partition moved. */
  advanced(slot: number): void {
    const waiters = this.#bySlot[slot]
    if (waiters === undefined) return
    if (waiters.durableCount > 0) this.#answerDurable(slot, waiters)
    if (waiters.fetchers.size === 0) return
    for (const fetcher of [...waiters.fetchers]) fetcher.wake()
  }

  /** Notice of an owner, or of its death: nothing that waits for a flush of this partition can be answered well. */
  failed(slot: number, errorCode: number): void {
    const waiters = this.#bySlot[slot]
    if (waiters === undefined) return
    const entries = waiters.durable.slice(waiters.first)
    waiters.durable = []
    waiters.first = 0
    const highWatermark = this.#offsets.highWatermark(slot)
    for (const { endOffset, waiter, row } of entries) {
      waiter.onDurable(row, endOffset <= highWatermark ? Errors.NONE : errorCode)
    }
    for (const fetcher of [...waiters.fetchers]) fetcher.wake()
  }

  /** Makes every parked fetch look again. */
  wakeFetches(): void {
    const parked = new Set<FetchWaiter>()
    for (const waiters of this.#bySlot) {
      if (waiters !== undefined) for (const fetcher of waiters.fetchers) parked.add(fetcher)
    }
    for (const fetcher of parked) fetcher.wake()
  }

  /** Answers acks=all requests whose own time-out has passed. Called about once a second. */
  expire(): void {
    const nowMs = this.#clock.monotonicMs()
    for (const waiters of this.#bySlot) {
      if (waiters === undefined || waiters.durableCount === 0) continue
      const waiting = waiters.durable.slice(waiters.first)
      const late = waiting.filter(entry => entry.deadlineMs <= nowMs)
      if (late.length === 0) continue
      waiters.durable = waiting.filter(entry => entry.deadlineMs > nowMs)
      waiters.first = 0
      for (const entry of late) entry.waiter.onDurable(entry.row, Errors.REQUEST_TIMED_OUT)
    }
  }

  #answerDurable(slot: number, waiters: Waiters): void {
    let highWatermark = this.#offsets.highWatermark(slot)
    for (;;) {
      const entry = waiters.durable[waiters.first]
      if (entry === undefined) break
      if (entry.endOffset > highWatermark) {
        this.#offsets.watch(slot, this.#dispatcherIndex)
        highWatermark = this.#offsets.highWatermark(slot)
        if (entry.endOffset > highWatermark) {
          this.#failIfOffline(slot)
          break
        }
      }
      waiters.first++
      entry.waiter.onDurable(entry.row, Errors.NONE)
    }
    if (waiters.durableCount === 0) {
      waiters.durable.length = 0
      waiters.first = 0
    } else if (waiters.first > 1024) {
      waiters.durable.splice(0, waiters.first)
      waiters.first = 0
    }
  }

  /** A log that went offline before the watch word was set sends no notice of it. The word is set by now. */
  #failIfOffline(slot: number): void {
    if (this.#offsets.state(slot) !== PartitionState.offline) return
    this.failed(slot, Errors.KAFKA_STORAGE_ERROR)
  }

  #waiters(slot: number): Waiters {
    let waiters = this.#bySlot[slot]
    if (waiters === undefined) {
      waiters = new Waiters()
      this.#bySlot[slot] = waiters
    }
    return waiters
  }
}
