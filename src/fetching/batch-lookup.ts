/**
 * Finds one record by its timestamp: the owner names the batch and reads it into the response arena, a task of the pool
 * decodes it there. Dispatcher thread.
 */
import { unavailableCode } from '../apis/partition-errors.ts'
import type { FindRecordInput, FoundRecord } from '../contracts/find-record.ts'
import { emptyOffsetView } from '../partitions/offset-table.ts'
import type { Partition } from '../partitions/partition.ts'
import { Errors } from '../protocol/errors.ts'
import {
  attributesAt,
  baseOffsetAt,
  baseTimestampAt,
  hasDeleteHorizon,
  isLogAppendTime,
  lastOffsetDeltaAt,
  maxTimestampAt,
  recordCountAt,
} from '../protocol/record-batch.ts'
import type { Region } from '../ring/arena.ts'
import { Op, type Reply } from '../ring/commands.ts'
import type { Services } from '../services.ts'

/** Enough for a batch of the default max.message.bytes; larger ones are asked for again. */
const firstRegionBytes = 64 * 1024

export interface Found {
  readonly errorCode: number
  /** -1 when no record fits. */
  readonly offset: number
  readonly timestampMs: number
}

const view = emptyOffsetView()
const nothing: Found = { errorCode: Errors.NONE, offset: -1, timestampMs: -1 }

export class BatchLookup {
  readonly #partition: Partition
  /** Null: the record with the largest timestamp. */
  readonly #timestampMs: number | null
  readonly #services: Services
  readonly #result = Promise.withResolvers<Found>()
  /** The batch that the log start is in the middle of holds no such record any more. */
  #isBehindStart = false
  #region: Region | null = null

  constructor(partition: Partition, timestampMs: number | null, services: Services) {
    this.#partition = partition
    this.#timestampMs = timestampMs
    this.#services = services
  }

  run(): Promise<Found> {
    this.#ask(firstRegionBytes)
    return this.#result.promise
  }

  onReply(_row: number, reply: Reply): void {
    const region = this.#region as Region
    if (reply.errorCode !== Errors.NONE) this.#finish({ ...nothing, errorCode: reply.errorCode })
    else if (reply.neededBytes > 0) {
      this.#free()
      this.#ask(reply.neededBytes)
    } else if (reply.length === 0) this.#finish(nothing)
    else this.#decode(region, reply.length)
  }

  #ask(bytes: number): void {
    const { dispatcher } = this.#services
    const region = dispatcher.responses.allocate(bytes)
    if (region === null) {
      if (bytes > dispatcher.responses.arena.sab.byteLength) {
        this.#finish({ ...nothing, errorCode: Errors.MESSAGE_TOO_LARGE })
        return
      }
      dispatcher.responses.wait(() => this.#ask(bytes))
      return
    }
    this.#region = region
    dispatcher.read(this.#op, this.#partition, this.#timestampMs ?? 0, region, bytes, this, 0)
  }

  get #op(): Op {
    if (this.#timestampMs === null) {
      return this.#isBehindStart ? Op.findMaxTimeBehindStart : Op.findMaxTime
    }
    return this.#isBehindStart ? Op.findTimeBehindStart : Op.findTime
  }

  /** A batch whose first record qualifies, or that has but one, needs no decoding. */
  #decode(region: Region, length: number): void {
    const { arena } = this.#services.dispatcher.responses
    const batch = arena.bytes.subarray(region.offset, region.offset + length)
    const maxTimestampMs = maxTimestampAt(batch, 0)
    const wanted = this.#timestampMs ?? maxTimestampMs
    const baseOffset = baseOffsetAt(batch, 0)
    const { slot, generation } = this.#partition
    const isKnown = this.#services.offsets.read(slot, generation, view)
    const fromOffset = isKnown ? Math.max(baseOffset, view.logStart) : baseOffset
    // Stamped by the broker, every record reads as the largest timestamp: the producer's own do not count.
    const isStamped = isLogAppendTime(attributesAt(batch, 0))
    const isFirst = isStamped || baseTimestampAt(batch, 0) >= wanted
    const isAtFirst = fromOffset === baseOffset && (isFirst || lastOffsetDeltaAt(batch, 0) === 0)
    if (isAsProduced(batch) && (isStamped || isAtFirst)) {
      const isOfFirst = isFirst && !isStamped
      const timestampMs = isOfFirst ? baseTimestampAt(batch, 0) : maxTimestampMs
      this.#finish({ errorCode: Errors.NONE, offset: fromOffset, timestampMs })
      return
    }
    const input: FindRecordInput = {
      memory: arena.sab,
      start: region.offset,
      length,
      timestampMs: wanted,
      fromOffset,
      decompressedBytesMax: this.#services.config.limits.decompressedBytesMax,
    }
    this.#services.tasks.run<FoundRecord | null>('tasks/find-record', input).then(
      found => {
        if (found !== null) this.#finish({ errorCode: Errors.NONE, ...found })
        else if (fromOffset > baseOffset && !this.#isBehindStart) this.#askBehindStart()
        else this.#finish(nothing)
      },
      () => this.#finish({ ...nothing, errorCode: Errors.CORRUPT_MESSAGE }),
    )
  }

  #askBehindStart(): void {
    this.#isBehindStart = true
    this.#free()
    this.#ask(firstRegionBytes)
  }

  #finish(found: Found): void {
    this.#free()
    const gone = this.#partition.state !== 'online'
    this.#result.resolve(gone ? { ...nothing, errorCode: unavailableCode(this.#partition) } : found)
  }

  #free(): void {
    if (this.#region !== null) this.#services.dispatcher.responses.free(this.#region)
    this.#region = null
  }
}

/** Compaction takes records out, and may put another time where the first record's was. */
function isAsProduced(batch: Uint8Array): boolean {
  const isWhole = recordCountAt(batch, 0) === lastOffsetDeltaAt(batch, 0) + 1
  return isWhole && !hasDeleteHorizon(attributesAt(batch, 0))
}
