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

import type { FetchRequest, FetchResponse } from '../apis/fetch.ts'
import { leaderEpochError, unavailableCode } from '../apis/partition-errors.ts'
import { Metric } from '../metrics.ts'
import type { PendingCall } from '../net/pending-call.ts'
import { emptyOffsetView } from '../partitions/offset-table.ts'
import type { Partition } from '../partitions/partition.ts'
import { Errors } from '../protocol/errors.ts'
import type { Region } from '../ring/arena.ts'
import { Op, type Reply } from '../ring/commands.ts'
import type { Services } from '../services.ts'

type ResponseRow = FetchResponse['responses'][number]['partitions'][number]
type RequestRow = FetchRequest['topics'][number]['partitions'][number]

const noRecords = Buffer.alloc(0)
/** Several partitions share the budget; each asks for at least this much, so that ordinary batches fit. */
const shareBytesMin = 64 * 1024
/** A fetch that waits for min.bytes looks again at most this often: what it has read so far is read again. */
const retryMs = 5
const view = emptyOffsetView()

interface FetchRow {
  readonly index: number
  readonly request: RequestRow
  readonly response: ResponseRow
  readonly partition: Partition | null
  region: Region | null
  /** Size of the first batch when it did not fit the region, else 0. */
  neededBytes: number
}

export class FetchOperation {
  readonly #call: PendingCall
  readonly #services: Services
  readonly #request: FetchRequest
  readonly #response: FetchResponse
  readonly #rows: FetchRow[] = []
  readonly #slots: number[] = []
  readonly #maxBytes: number
  readonly #minBytes: number
  readonly #deadlineMs: number
  #parked = false
  #reading = 0
  #secondWave = false
  #readBytes = 0
  #failed = false
  #cancelTimer: (() => void) | null = null
  #done = false

  constructor(request: FetchRequest, call: PendingCall, services: Services) {
    this.#request = request
    this.#call = call
    this.#services = services
    this.#maxBytes = Math.min(Math.max(0, request.maxBytes), services.config.fetchBytesMax)
    this.#minBytes = Math.min(request.minBytes, this.#maxBytes)
    this.#deadlineMs = services.dispatcher.clock.monotonicMs() + Math.max(0, request.maxWaitMs)
    this.#response = { throttleTimeMs: 0, errorCode: 0, sessionId: 0, responses: [] }
  }

  start(): void {
    for (const { topic: name, partitions } of this.#request.topics) {
      const topic = this.#services.topics.get(name)
      const rows: ResponseRow[] = []
      this.#response.responses.push({ topic: name, partitions: rows })
      for (const request of partitions) {
        const response = newRow(request.partition)
        rows.push(response)
        const partition = topic?.partitions[request.partition] ?? null
        const index = this.#rows.length
        this.#rows.push({ index, request, response, partition, region: null, neededBytes: 0 })
        if (partition !== null) this.#slots.push(partition.slot)
      }
    }
    this.#look()
  }

  /** Purgatory: a partition of this fetch advanced or failed. */
  wake(): void {
    if (!this.#parked) return
    this.#unpark()
    this.#look()
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
    this.#readBytes = 0
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
    if (partition === null) return this.#fail(row, Errors.UNKNOWN_TOPIC_OR_PARTITION)
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
    return request.fetchOffset < view.highWatermark
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
    let left = this.#maxBytes
    let others = readable.length
    for (const row of readable) {
      const share = Math.max(shareBytesMin, Math.floor(left / others--))
      const wanted = Math.min(row.request.partitionMaxBytes, share)
      const isFirst = this.#reading === 0
      if (!isFirst && left <= 0) break
      if (!this.#readRow(row, Math.max(1, wanted))) break
      left -= wanted
    }
    if (this.#reading === 0) this.#waitForRoom()
  }

  /** Second wave: first batches that did not fit, within the budget; the very first one in any case. */
  #readNeeded(): void {
    for (const row of this.#rows) {
      if (row.neededBytes === 0) continue
      const withinBudget =
        row.neededBytes <= row.request.partitionMaxBytes &&
        this.#readBytes + row.neededBytes <= this.#maxBytes
      if (!withinBudget && (this.#readBytes > 0 || this.#reading > 0)) continue
      if (!this.#readRow(row, row.neededBytes)) break
      this.#readBytes += row.neededBytes
    }
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
      this.#fail(row, reply.errorCode)
    } else if (reply.length === 0) {
      this.#freeRow(row)
      row.neededBytes = reply.neededBytes
    } else {
      const start = region.offset + reply.start
      row.response.records = dispatcher.responses.arena.bytes.subarray(start, start + reply.length)
      dispatcher.responses.trim(region, reply.start + reply.length)
      if (!this.#secondWave) this.#readBytes += reply.length
      this.#services.metrics.add(Metric.fetchedBytes, reply.length)
    }
  }

  #finishReading(): void {
    if (this.#abandon()) return
    if (this.#readBytes >= this.#minBytes || this.#mustAnswer()) {
      this.#answer()
      return
    }
    for (const row of this.#rows) this.#freeRow(row)
    this.#cancelTimer = this.#services.dispatcher.clock.after(retryMs, () => {
      this.#cancelTimer = null
      this.#look()
    })
  }

  /** An error, no time left, or a request that waits for nothing is answered with whatever there is. */
  #mustAnswer(): boolean {
    if (this.#failed || this.#slots.length === 0 || this.#minBytes <= 0) return true
    return this.#services.dispatcher.clock.monotonicMs() >= this.#deadlineMs
  }

  #park(): void {
    const { dispatcher } = this.#services
    this.#parked = true
    this.#call.onAbandoned = () => this.wake()
    dispatcher.purgatory.park(this.#slots, this)
    // The watch words are set: an advance from here on wakes us, one before is seen now.
    if (this.#rows.some(row => this.#check(row)) || this.#failed) {
      this.#unpark()
      this.#look()
      return
    }
    const leftMs = this.#deadlineMs - dispatcher.clock.monotonicMs()
    this.#cancelTimer = dispatcher.clock.after(Math.max(0, leftMs), () => {
      this.#cancelTimer = null
      this.#services.metrics.add(Metric.purgatoryExpired, 1)
      this.wake()
    })
  }

  #unpark(): void {
    this.#parked = false
    this.#services.dispatcher.purgatory.unpark(this.#slots, this)
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  /** The response arena is full: look again when a slow reader has taken its bytes. */
  #waitForRoom(): void {
    if (this.#services.dispatcher.clock.monotonicMs() >= this.#deadlineMs) this.#answer()
    else this.#services.dispatcher.responses.wait(() => this.#look())
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
    const regions: Region[] = []
    for (const row of this.#rows) if (row.region !== null) regions.push(row.region)
    this.#call.respondWithRegions(this.#response, regions)
  }

  #freeRow(row: FetchRow): void {
    row.response.records = noRecords
    if (row.region !== null) this.#services.dispatcher.responses.free(row.region)
    row.region = null
  }
}

function newRow(partitionIndex: number): ResponseRow {
  return {
    partitionIndex,
    errorCode: Errors.NONE,
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    divergingEpoch: null,
    currentLeader: null,
    snapshotId: null,
    abortedTransactions: null,
    preferredReadReplica: -1,
    records: noRecords,
  }
}
