/**
 * Tells the other threads where this owner's logs stand: rows of the offset table, notices to dispatchers that watch
 * one, metrics, and failures to the partition host. Owner thread only.
 */
import type { Clock } from '../src/contracts/clock.ts'
import type { OwnerHost } from '../src/contracts/control.ts'
import type { OwnerBoot } from '../src/contracts/owner-boot.ts'
import { Metric, type ThreadMetrics } from '../src/metrics.ts'
import { OffsetTable, PartitionState } from '../src/partitions/offset-table.ts'
import { Errors } from '../src/protocol/errors.ts'
import { emptyReply, type Reply, ReplyKind } from '../src/ring/commands.ts'
import type { Links } from './links.ts'
import type { PartitionLog } from './log/log.ts'

export interface PublisherOptions {
  readonly boot: OwnerBoot
  readonly links: Links
  readonly clock: Clock
  readonly metrics: ThreadMetrics
  readonly host: Pick<OwnerHost, 'partitionFailed'>
  /** The disk is so full that this log may not take records. */
  isRefused(log: PartitionLog): boolean
}

export class Publisher {
  readonly #options: PublisherOptions
  readonly #offsets: OffsetTable
  readonly #notice: Reply = emptyReply()
  /** `topic-partition` by slot, for log lines. */
  readonly #names: string[] = []
  /** High watermark and log start last published by slot: a watch is only tested when one of them moved. */
  readonly #published: number[] = []
  readonly #publishedStarts: number[] = []
  /** Records of the slot that are counted in the metric as not flushed. */
  readonly #unflushed: number[] = []
  /** While a round runs, its end rings the doorbells. */
  isInRound = false
  /** All logs fail at once, which is told once, elsewhere. */
  isQuiet = false

  constructor(options: PublisherOptions) {
    const { boot } = options
    this.#options = options
    this.#offsets = new OffsetTable(boot.offsetTable, boot.partitionsMax, boot.links.length)
  }

  /** A log that was just opened. */
  adopt(log: PartitionLog, name: string): void {
    this.#names[log.slot] = name
    this.#published[log.slot] = -1
    this.#publishedStarts[log.slot] = log.offsets.logStart
    this.publish(log)
    this.#options.links.ring()
  }

  release(slot: number): void {
    this.#countUnflushed(slot, 0)
  }

  /** Stores the log's offsets for all threads; wakes dispatchers that watch the partition when an end of it moved. */
  publish(log: PartitionLog): void {
    const { logStart, highWatermark, logEnd, flushedEnd } = log.offsets
    const state = this.#stateOf(log)
    this.#offsets.publish(log.slot, log.generation, state, logStart, highWatermark, logEnd)
    this.#countUnflushed(log.slot, logEnd - flushedEnd)
    const isStartMoved = this.#publishedStarts[log.slot] !== logStart
    if (isStartMoved) this.#options.metrics.add(Metric.logStartMoves, 1)
    if (this.#published[log.slot] === highWatermark && !isStartMoved) return
    this.#publishedStarts[log.slot] = logStart
    this.#published[log.slot] = highWatermark
    this.#notify(log, ReplyKind.advanced, Errors.NONE)
  }

  /** Offsets or state of a log moved: by its commit in a round, or by a sync that finished between rounds. */
  readonly onAdvance = (log: PartitionLog): void => {
    this.publish(log)
    this.#ring()
  }

  readonly onFailure = (log: PartitionLog, error: Error): void => {
    const isDiskFailure = isTheDisks(error)
    if (isDiskFailure) this.#options.metrics.add(Metric.flushFailures, 1)
    const msg = `partition is offline: ${error.message}`
    const partition = this.#names[log.slot]
    if (!this.isQuiet) logLine(this.#options.clock, 'error', { partition, msg })
    this.publish(log)
    this.#notify(log, ReplyKind.failed, Errors.KAFKA_STORAGE_ERROR)
    this.#ring()
    const { flushedEnd } = log.offsets
    const failure = { reason: error.message, isDiskFailure, recoveryPoint: flushedEnd }
    void this.#options.host.partitionFailed(log.slot, log.generation, failure)
  }

  #stateOf(log: PartitionLog): number {
    if (log.state === 'offline') return PartitionState.offline
    const isReadOnly = log.state === 'read-only' || this.#options.isRefused(log)
    return isReadOnly ? PartitionState.readOnly : PartitionState.online
  }

  #countUnflushed(slot: number, records: number): void {
    const before = this.#unflushed[slot] ?? 0
    if (records === before) return
    this.#unflushed[slot] = records
    this.#options.metrics.add(Metric.ackedUnflushedRecords, records - before)
  }

  #ring(): void {
    if (!this.isInRound) this.#options.links.ring()
  }

  #notify(log: PartitionLog, kind: number, errorCode: number): void {
    const { links } = this.#options
    for (const link of links.all) {
      if (!this.#offsets.takeWatch(log.slot, link.index)) continue
      const notice = this.#notice
      notice.kind = kind
      notice.partitionSlot = log.slot
      notice.partitionGeneration = log.generation
      notice.errorCode = errorCode
      notice.endOffset = log.offsets.highWatermark
      links.reply(link, notice)
    }
  }
}

/** One line of the broker's log. Worker threads share the process's stderr: one write per line. */
export function logLine(
  clock: Clock,
  level: 'error' | 'warn',
  fields: Readonly<Record<string, unknown>> & { readonly msg: string },
): void {
  const time = new Date(clock.wallMs()).toISOString()
  process.stderr.write(`${JSON.stringify({ level, time, ...fields })}\n`)
}

/** A failed sync, whatever its code, and a disk that gives up; not a file that somebody took away. */
function isTheDisks(error: Error & { readonly code?: string; readonly syscall?: string }): boolean {
  if (error.code === 'EIO' || error.code === 'EROFS') return true
  return error.syscall === 'fdatasync' || error.syscall === 'fsync'
}
