/**
 * One fetch request from its first look at the offset table to its answer. Dispatcher thread.
 *
 *   start → nothing to read, nothing wrong → parked ── advance / time up ──┐
 *         → read commands, one per partition with data ◀───────────────────┘
 *              → replies → second wave for a first batch that did not fit → enough bytes, or time up → answer
 *                                                                         → too few (min.bytes) → parked
 *
 * The owner reads whole batches into a region of the response arena; the answer refers to those bytes.
 */

import type { FetchResponse } from '../apis/fetch.ts'
import { leaderEpochError, unavailableCode } from '../apis/partition-errors.ts'
import { Metric } from '../metrics.ts'
import { emptyOffsetView } from '../partitions/offset-table.ts'
import type { Partition } from '../partitions/partition.ts'
import { Errors } from '../protocol/errors.ts'
import { type FetchRequest, topicIdVersion } from '../protocol/fetch-request.ts'
import type { Region } from '../ring/arena.ts'
import { Op, type Reply } from '../ring/commands.ts'
import type { Services } from '../services.ts'
import {
  type FetchRow,
  newFetchRow,
  newResponseRow,
  noRecords,
  type ResponseRow,
} from './fetch-row.ts'
import type { FetchContext } from './fetch-session.ts'

/** Several partitions share the budget; each asks for at least this much, so that ordinary batches fit. */
const shareBytesMin = 64 * 1024
/** A fetch that waits for min.bytes reads at most this often: what it has read so far is read again. */
const retryMs = 5
/** Records that are there are worth this wait for space, whatever `maxWaitMs`: an empty answer only costs another. */
const roomWaitMs = 5000
const view = emptyOffsetView()

/** Who asked: a call of a connection, or a read of the broker's own. */
export interface FetchCaller {
  readonly apiVersion: number
  /** True once nobody will read the answer. */
  readonly abandoned: boolean
  /** Set while parked: to be called when `abandoned` turns true. */
  onAbandoned: (() => void) | null
  /** The regions hold the records of the answer; whoever takes it frees them. */
  respondWithRegions(response: FetchResponse, regions: Region[]): void
  /** A read met lost records; `nextGoodOffset` is the first one behind them. */
  noteLost?(nextGoodOffset: number): void
}

export class FetchOperation {
  readonly #call: FetchCaller
  readonly #services: Services
  readonly #request: FetchRequest
  readonly #context: FetchContext
  readonly #response: FetchResponse
  readonly #rows: FetchRow[] = []
  /** Rows with something to read, in request order. */
  #readable: readonly FetchRow[] = []
  readonly #slots: number[] = []
  readonly #maxBytes: number
  readonly #minBytes: number
  readonly #deadlineMs: number
  #parked = false
  #waitsForRoom = false
  #roomDeadlineMs = 0
  /** What was read last was less than min.bytes; when that was. */
  #isShort = false
  #lookedMs = 0
  #reading = 0
  #secondWave = false
  #readBytes = 0
  #failed = false
  #cancelTimer: (() => void) | null = null
  #done = false

  constructor(request: FetchRequest, context: FetchContext, call: FetchCaller, services: Services) {
    this.#request = request
    this.#context = context
    this.#call = call
    this.#services = services
    this.#maxBytes = Math.min(Math.max(0, request.maxBytes), services.config.limits.fetchBytesMax)
    this.#minBytes = Math.min(request.minBytes, this.#maxBytes)
    this.#deadlineMs = services.dispatcher.clock.monotonicMs() + Math.max(0, request.maxWaitMs)
    this.#response = {
      throttleTimeMs: 0,
      errorCode: 0,
      sessionId: 0,
      responses: [],
      nodeEndpoints: [],
    }
  }

  start(): void {
    const { topics } = this.#services
    const isById = this.#call.apiVersion >= topicIdVersion
    for (const { topic: name, topicId, partitions } of this.#context.topics) {
      const topic = isById ? topics.byId(topicId) : topics.get(name)
      const isIdUnknown = isById && topic === undefined
      const missing = isIdUnknown ? Errors.UNKNOWN_TOPIC_ID : Errors.UNKNOWN_TOPIC_OR_PARTITION
      const rows: ResponseRow[] = []
      this.#response.responses.push({ topic: name, topicId, partitions: rows })
      for (const request of partitions) {
        const response = newResponseRow(request.partition, this.#request.isolationLevel)
        rows.push(response)
        const partition = topic?.partitions[request.partition] ?? null
        const index = this.#rows.length
        this.#rows.push(newFetchRow(index, request, response, partition, missing))
        if (partition !== null) this.#slots.push(partition.slot)
      }
    }
    this.#look()
  }

  /** Purgatory: a partition of this fetch advanced or failed. */
  wake(): void {
    if (!this.#parked) return
    this.#unpark()
    const { clock, draining } = this.#services.dispatcher
    const restMs = this.#lookedMs + retryMs - clock.monotonicMs()
    if (!this.#isShort || restMs <= 0 || draining || this.#call.abandoned) this.#look()
    else this.#lookIn(restMs)
  }

  onReply(index: number, reply: Reply): void {
    const row = this.#rows[index] as FetchRow
    this.#reading--
    this.#take(row, reply)
    if (this.#reading > 0) return
    if (!this.#secondWave) {
      this.#secondWave = true
      this.#readNeeded()
      if (this.#reading > 0) return
    }
    this.#finishReading()
  }

  /** Looks at every partition; reads, parks or answers. */
  #look(): void {
    if (this.#abandon()) return
    this.#failed = false
    this.#secondWave = false
    this.#isShort = false
    this.#readBytes = 0
    for (const row of this.#rows) {
      row.seenEnd = -1
      row.neededBytes = 0
    }
    const readable = this.#rows.filter(row => this.#check(row))
    if (readable.length > 0) this.#readFirst(readable)
    else if (this.#mustAnswer()) this.#answer()
    else this.#park()
  }

  /** Fills the row from the offset table; true when there is something to read. */
  #check(row: FetchRow): boolean {
    const { request, response, partition } = row
    response.errorCode = Errors.NONE
    response.records = noRecords
    if (partition === null) return this.#fail(row, row.missing)
    if (partition.state === 'opening' || partition.state === 'closed') {
      return this.#fail(row, unavailableCode(partition))
    }
    const epochError = leaderEpochError(request.currentLeaderEpoch)
    if (epochError !== Errors.NONE) return this.#fail(row, epochError)
    if (!this.#services.offsets.read(partition.slot, partition.generation, view)) {
      return this.#fail(row, unavailableCode(partition))
    }
    if (request.fetchOffset < view.logStart || request.fetchOffset > view.logEnd) {
      return this.#fail(row, Errors.OFFSET_OUT_OF_RANGE)
    }
    response.highWatermark = view.highWatermark
    response.lastStableOffset = view.highWatermark
    response.logStartOffset = view.logStart
    return request.fetchOffset < view.highWatermark && view.highWatermark > row.seenEnd
  }

  #fail(row: FetchRow, errorCode: number): false {
    this.#failed = true
    const response = row.response
    response.errorCode = errorCode
    response.highWatermark = -1
    response.lastStableOffset = -1
    response.logStartOffset = -1
    this.#services.metrics.add(Metric.fetchErrors, 1)
    return false
  }

  /** First wave: partitions in request order share what is left of the budget. */
  #readFirst(readable: readonly FetchRow[]): void {
    this.#readable = readable
    let left = this.#maxBytes
    let others = readable.length
    for (const row of readable) {
      const isFirst = this.#reading === 0
      if (!isFirst && left <= 0) break
      const share = Math.max(shareBytesMin, Math.floor(left / others--))
      const wanted = Math.min(row.request.partitionMaxBytes, share, left)
      if (!this.#readRow(row, Math.max(1, wanted))) break
      left -= wanted
    }
    if (this.#reading === 0) this.#waitForRoom()
  }

  /**
   * Second wave: first batches that did not fit, within the budget. The first partition that has anything gets its
   * batch in any case (KIP-74), and those behind it give back what the budget does not hold then.
   */
  #readNeeded(): void {
    let planned = this.#readBytes
    let isFirst = true
    for (const row of this.#readable) {
      const needed = row.neededBytes
      if (needed > 0) {
        if (isFirst) planned -= this.#dropBehind(row, planned + needed - this.#maxBytes)
        const withinBudget =
          needed <= row.request.partitionMaxBytes && planned + needed <= this.#maxBytes
        if (isFirst || withinBudget) {
          if (!this.#readRow(row, needed)) break
          planned += needed
        }
      }
      if (needed > 0 || row.region !== null) isFirst = false
    }
  }

  /** Gives back rows that were read, from the last one on, until `bytes` are free. Returns how many that were. */
  #dropBehind(first: FetchRow, bytes: number): number {
    let dropped = 0
    for (let i = this.#readable.length - 1; dropped < bytes && i >= 0; i--) {
      const row = this.#readable[i] as FetchRow
      if (row === first) break
      dropped += row.response.records?.length ?? 0
      this.#freeRow(row)
    }
    this.#readBytes -= dropped
    return dropped
  }

  #readRow(row: FetchRow, maxBytes: number): boolean {
    const { dispatcher } = this.#services
    const region = dispatcher.responses.allocate(maxBytes)
    if (region === null) return false
    row.region = region
    row.neededBytes = 0
    this.#reading++
    const partition = row.partition as Partition
    const { fetchOffset } = row.request
    dispatcher.read(Op.read, partition, fetchOffset, region, maxBytes, this, row.index)
    return true
  }

  #take(row: FetchRow, reply: Reply): void {
    const { dispatcher } = this.#services
    const region = row.region as Region
    if (reply.errorCode !== Errors.NONE) {
      this.#freeRow(row)
      if (reply.errorCode === Errors.CORRUPT_MESSAGE) this.#call.noteLost?.(reply.endOffset)
      this.#fail(row, reply.errorCode)
    } else if (reply.length === 0) {
      this.#freeRow(row)
      const roomBytes = dispatcher.responses.arena.sab.byteLength
      if (reply.neededBytes <= roomBytes) row.neededBytes = reply.neededBytes
      // Stored when the arena was larger: nobody can read on behind it, so say so.
      else this.#fail(row, Errors.MESSAGE_TOO_LARGE)
    } else {
      const start = region.offset + reply.start
      row.response.records = dispatcher.responses.arena.bytes.subarray(start, start + reply.length)
      dispatcher.responses.trim(region, reply.start + reply.length)
      this.#readBytes += reply.length
      // The owner may know of a later flush than the offset table did when the row was filled.
      if (reply.endOffset > row.response.highWatermark) {
        row.response.highWatermark = reply.endOffset
        row.response.lastStableOffset = reply.endOffset
      }
      row.recordCount = reply.endOffset - row.request.fetchOffset
    }
  }

  #finishReading(): void {
    if (this.#abandon()) return
    const lacksRoom = this.#readBytes === 0 && this.#rows.some(row => row.neededBytes > 0)
    if (lacksRoom) {
      this.#waitForRoom()
      return
    }
    if (this.#readBytes >= this.#minBytes || this.#mustAnswer()) {
      this.#answer()
      return
    }
    for (const row of this.#rows) {
      this.#freeRow(row)
      row.seenEnd = row.response.highWatermark
    }
    this.#isShort = true
    this.#lookedMs = this.#services.dispatcher.clock.monotonicMs()
    this.#park()
  }

  #lookIn(delayMs: number): void {
    this.#cancelTimer = this.#services.dispatcher.clock.after(delayMs, () => {
      this.#cancelTimer = null
      this.#look()
    })
  }

  /** An error, no time left, or a request that waits for nothing is answered with whatever there is. */
  #mustAnswer(): boolean {
    if (this.#failed || this.#slots.length === 0 || this.#minBytes <= 0) return true
    const { clock, draining } = this.#services.dispatcher
    return draining || clock.monotonicMs() >= this.#deadlineMs
  }

  #park(): void {
    const { dispatcher } = this.#services
    this.#parked = true
    this.#call.onAbandoned = () => this.wake()
    dispatcher.purgatory.park(this.#slots, this)
    // The watch words are set: an advance from here on wakes us, one before is seen now.
    if (this.#rows.some(row => this.#check(row)) || this.#failed) {
      this.wake()
      return
    }
    const leftMs = this.#deadlineMs - dispatcher.clock.monotonicMs()
    this.#cancelTimer = dispatcher.clock.after(Math.max(0, leftMs), () => {
      this.#cancelTimer = null
      this.#services.metrics.add(Metric.purgatoryExpired, 1)
      this.#lookedMs = 0
      this.wake()
    })
  }

  #unpark(): void {
    this.#parked = false
    this.#services.dispatcher.purgatory.unpark(this.#slots, this)
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  /** The response arena is full: look again when a slow reader has taken its bytes; in the end answer without. */
  #waitForRoom(): void {
    const { clock, responses, draining } = this.#services.dispatcher
    const nowMs = clock.monotonicMs()
    if (this.#roomDeadlineMs === 0) {
      this.#roomDeadlineMs = Math.max(this.#deadlineMs, nowMs + roomWaitMs)
    }
    if (this.#failed || draining || nowMs >= this.#roomDeadlineMs) {
      this.#answer()
      return
    }
    this.#waitsForRoom = true
    const lookAgain = (): void => this.#roomFreed()
    this.#call.onAbandoned = lookAgain
    responses.wait(lookAgain)
    this.#cancelTimer = clock.after(this.#roomDeadlineMs - nowMs, lookAgain)
  }

  #roomFreed(): void {
    if (!this.#waitsForRoom) return
    this.#waitsForRoom = false
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#look()
  }

  #abandon(): boolean {
    if (this.#done) return true
    if (!this.#call.abandoned) return false
    this.#done = true
    for (const row of this.#rows) this.#freeRow(row)
    return true
  }

  #answer(): void {
    this.#done = true
    const { metrics, dispatcher } = this.#services
    const regions: Region[] = []
    for (const { region, response, recordCount, partition } of this.#rows) {
      if (region === null || partition === null) continue
      regions.push(region)
      const bytes = response.records?.length ?? 0
      metrics.add(Metric.fetchedBytes, bytes)
      metrics.add(Metric.fetchedRecords, recordCount)
      dispatcher.traffic.fetched(partition.slot, recordCount, bytes)
    }
    this.#context.finish(this.#response)
    this.#call.respondWithRegions(this.#response, regions)
  }

  #freeRow(row: FetchRow): void {
    row.response.records = noRecords
    if (row.region !== null) this.#services.dispatcher.responses.free(row.region)
    row.region = null
  }
}
