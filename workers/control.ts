/**
 * The control plane of an owner thread: what the dispatcher calls over comlink. Owner thread; opens, closes and deletes
 * logs between rounds of the owner loop, synchronously, so a log is never changed under a command.
 */
import assert from 'node:assert/strict'
import type {
  DeletedRecords,
  OpenedPartition,
  OwnerControl,
  PartitionDescription,
  PartitionPlace,
  PartitionSpec,
} from '../src/contracts/control.ts'
import type { Disk } from '../src/contracts/disk.ts'
import type { LogConfig } from '../src/contracts/log-config.ts'
import { Metric } from '../src/metrics.ts'
import { Errors } from '../src/protocol/errors.ts'
import { PartitionLog } from './log/log.ts'
import { removeLog } from './log/remove-log.ts'
import type { OwnerLoop } from './owner-loop.ts'
import { logLine } from './publisher.ts'

export class OwnerControlPlane implements OwnerControl {
  readonly #loop: OwnerLoop
  readonly #housekeeping: { stop(): void }

  constructor(loop: OwnerLoop, housekeeping: { stop(): void }) {
    this.#loop = loop
    this.#housekeeping = housekeeping
  }

  async openPartitions(specs: readonly PartitionSpec[]): Promise<OpenedPartition[]> {
    return specs.map(spec => this.#open(spec))
  }

  async recoverPartition(spec: PartitionSpec): Promise<OpenedPartition> {
    const failed = this.#loop.logs[spec.slot]
    await failed?.settled()
    return this.#open(spec, failed)
  }

  async takeOffline(reason: string): Promise<void> {
    this.#loop.takeOffline(reason)
  }

  async startJournal(): Promise<void> {
    this.#loop.journal?.permit()
  }

  async deletePartitions(places: readonly PartitionPlace[]): Promise<void> {
    const failures: unknown[] = []
    for (const place of places) {
      const log = this.#loop.logs[place.slot]
      this.#loop.release(place.slot)
      this.#loop.journal?.forget(place.slot)
      try {
        await (log === undefined ? removeLog(this.#loop.env.disk, place) : log.delete())
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }

  async applyConfig(slot: number, config: LogConfig): Promise<void> {
    this.#loop.logs[slot]?.applyConfig(config)
  }

  async deleteRecords(
    slot: number,
    generation: number,
    beforeOffset: number,
  ): Promise<DeletedRecords> {
    const log = this.#loop.logs[slot]
    if (log?.generation !== generation) {
      return { error: Errors.NOT_LEADER_OR_FOLLOWER, logStartOffset: -1 }
    }
    return await new Promise(resolve => log.retention.deleteRecords(beforeOffset, resolve))
  }

  async describe(slots: readonly number[]): Promise<PartitionDescription[]> {
    const logs = slots.map(slot => this.#loop.logs[slot])
    return logs.filter(log => log !== undefined).map(log => log.describe())
  }

  async shutdown(): Promise<boolean> {
    this.#housekeeping.stop()
    let clean = true
    for (const log of this.#loop.logs) {
      if (log !== undefined) clean = (await this.#close(log)) && clean
    }
    await this.#loop.journal?.settled()
    this.#loop.journal?.close()
    return clean
  }

  /** Once no sync is in flight: a log that closes in the middle of one has not proven its end. */
  async #close(log: PartitionLog): Promise<boolean> {
    await log.settled()
    this.#loop.release(log.slot)
    try {
      return log.close({ clean: true })
    } catch {
      return false
    }
  }

  /** In place of `failed`, which is closed once the new log is open. */
  #open(spec: PartitionSpec, failed?: PartitionLog): OpenedPartition {
    try {
      assert(this.#loop.logs[spec.slot] === failed, `slot ${spec.slot} has a log already`)
      refuseIfGone(this.#loop.env.disk, spec)
      const log = PartitionLog.open({
        spec: withJournaled(this.#loop, spec),
        journal: this.#loop.journal,
        env: this.#loop.env,
        onAdvance: this.#loop.onAdvance,
        onFailure: this.#loop.onFailure,
        onLost: (lossy, range) => {
          this.#loop.metrics.add(Metric.lostRanges, 1)
          const { firstOffset, nextOffset } = range
          const msg = `records are lost, bad bytes in their place: readable again from ${nextOffset}`
          const fields = { partition: lossy.name, firstOffset, nextOffset, msg }
          logLine(this.#loop.env.clock, 'error', fields)
        },
        onSegmentRolled: () => this.#loop.metrics.add(Metric.segmentsRolled, 1),
        onSegmentRemoved: (_, bytes) => {
          this.#loop.metrics.add(Metric.segmentsDeleted, 1)
          this.#loop.metrics.add(Metric.segmentBytesDeleted, bytes)
        },
      })
      refuseIfShort(log, spec)
      failed?.close({ clean: false })
      // What its files hold now is proven without the journal.
      if (spec.copyForward) this.#loop.journal?.forget(spec.slot)
      this.#loop.adopt(log, `${spec.topic}-${spec.partition}`)
      const { logStart, logEnd } = log.offsets
      return {
        slot: spec.slot,
        error: null,
        logStartOffset: logStart,
        logEndOffset: logEnd,
        recoveredBytes: log.loaded.recoveredBytes,
        truncatedBytes: log.loaded.truncatedBytes,
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      return {
        slot: spec.slot,
        error: why,
        logStartOffset: 0,
        logEndOffset: 0,
        recoveredBytes: 0,
        truncatedBytes: 0,
      }
    }
  }
}

/** Before a log is brought back: its segments get what only our journal may have, after a sync of them that failed. */
function withJournaled({ journal }: OwnerLoop, spec: PartitionSpec): PartitionSpec {
  if (journal === undefined || !spec.copyForward || spec.isJournaled !== true) return spec
  // A verdict is of the files as they were.
  return journal.restore(spec) ? { ...spec, verdict: null } : spec
}

/** A log that this process has seen flushed is not begun anew when its files are gone: that would hide the loss. */
function refuseIfGone(disk: Disk, { directory, flushedOffset }: PartitionSpec): void {
  if (flushedOffset <= 0) return
  const isThere = disk.exists(directory) && disk.list(directory).some(name => name.includes('.log'))
  if (isThere) return
  throw new Error(`the files in ${directory} are gone: restore them, or delete the topic`)
}

/** Offsets that were acknowledged as durable must not be given out again. */
function refuseIfShort(log: PartitionLog, { directory, flushedOffset }: PartitionSpec): void {
  const { logEnd } = log.offsets
  if (logEnd >= flushedOffset) return
  log.close({ clean: false })
  throw new Error(
    `${directory} ends at offset ${logEnd}, but ${flushedOffset} was flushed: records are missing`,
  )
}
