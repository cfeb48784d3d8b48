/**
 * The control plane of an owner thread: what the dispatcher calls over comlink. Owner thread; opens, closes and deletes
 * logs between rounds of the owner loop. A log is opened in steps, many at a time, and others are served meanwhile; it
 * takes its slot in one go at the end, so a log is never changed under a command.
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
import type { OpenLogOptions } from './log/log-options.ts'
import { loadLog } from './log/open-log.ts'
import { removeLog } from './log/remove-log.ts'
import { type Steps, together } from './log/steps.ts'
import type { OwnerLoop } from './owner-loop.ts'
import { logLine } from './publisher.ts'
import { runAside } from './run-aside.ts'

/** Logs whose last flush is under way at a time. */
const closedAtOnce = 64

interface Opening {
  /** Never rejects. */
  readonly done: Promise<void>
  /** Why it must not be put to use any more. */
  refusal: string | null
}

export class OwnerControlPlane implements OwnerControl {
  readonly #loop: OwnerLoop
  readonly #housekeeping: { stop(): void }
  /** By slot: logs that are being opened. */
  readonly #openings = new Map<number, Opening>()

  constructor(loop: OwnerLoop, housekeeping: { stop(): void }) {
    this.#loop = loop
    this.#housekeeping = housekeeping
  }

  async openPartitions(specs: readonly PartitionSpec[]): Promise<OpenedPartition[]> {
    return await this.#openAll(specs)
  }

  async restoreJournaled(place: PartitionPlace): Promise<void> {
    const { logs, journal, env } = this.#loop
    await logs[place.slot]?.settled()
    if (journal !== undefined) await runAside(env.disk, journal.restore(place))
  }

  async recoverPartition(spec: PartitionSpec): Promise<OpenedPartition> {
    const failed = this.#loop.logs[spec.slot]
    await failed?.settled()
    const [opened] = await this.#openAll([spec], failed)
    return opened
  }

  async takeOffline(reason: string): Promise<void> {
    this.#loop.takeOffline(reason)
    for (const opening of this.#openings.values()) opening.refusal = reason
  }

  async startJournal(): Promise<void> {
    this.#loop.journal?.permit()
  }

  async deletePartitions(places: readonly PartitionPlace[]): Promise<void> {
    const failures: unknown[] = []
    for (const place of places) {
      await this.#openings.get(place.slot)?.done
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
    await this.#openings.get(slot)?.done
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
    for (const { done } of this.#openings.values()) await done
    const isClean = await this.#closeAll(this.#loop.logs)
    await this.#loop.journal?.settled()
    this.#loop.journal?.close()
    return isClean
  }

  /** All that they have to flush is under way at the same time. */
  async #closeAll(all: readonly (PartitionLog | undefined)[]): Promise<boolean> {
    const { disk } = this.#loop.env
    const logs = all.filter(log => log !== undefined)
    // A few at a time: each has files to open for it.
    let isClean = true
    for (let at = 0; at < logs.length; at += closedAtOnce) {
      const group = logs.slice(at, at + closedAtOnce)
      await Promise.all(group.map(log => flushed(disk, log)))
      for (const log of group) isClean = (await this.#close(log)) && isClean
    }
    return isClean
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

  /**
   * All of them step by step together: renames and cuts between the syncs of others would wait for these. The one in
   * place of `failed`, if there is one, takes over when it is open, and closes that.
   */
  async #openAll(
    specs: readonly PartitionSpec[],
    failed?: PartitionLog,
  ): Promise<OpenedPartition[]> {
    const { promise: done, resolve } = Promise.withResolvers<void>()
    const openings = specs.map(({ slot }): Opening => {
      assert(!this.#openings.has(slot), `slot ${slot} is being opened`)
      const opening = { done, refusal: null }
      this.#openings.set(slot, opening)
      return opening
    })
    const steps = specs.map((spec, i) => this.#open(spec, openings[i], failed))
    const results = await runAside(this.#loop.env.disk, together(steps))
    for (const { slot } of specs) this.#openings.delete(slot)
    resolve()
    return results.map((result, i) => {
      return result.status === 'fulfilled' ? result.value : notOpened(specs[i], result.reason)
    })
  }

  *#open(
    spec: PartitionSpec,
    opening: Opening,
    failed: PartitionLog | undefined,
  ): Steps<OpenedPartition> {
    assert(this.#loop.logs[spec.slot] === failed, `slot ${spec.slot} has a log already`)
    refuseIfGone(this.#loop.env.disk, spec)
    const loaded = yield* loadLog(spec, this.#loop.env)
    if (opening.refusal !== null) {
      for (const segment of loaded.segments) segment.closeFile()
      throw new Error(opening.refusal)
    }
    const log = PartitionLog.open(this.#optionsFor(spec), loaded)
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
  }

  #optionsFor(spec: PartitionSpec): OpenLogOptions {
    const { journal, env, metrics, onAdvance, onFailure } = this.#loop
    return {
      spec,
      journal,
      env,
      onAdvance,
      onFailure,
      onLost({ name }, { firstOffset, nextOffset }) {
        metrics.add(Metric.lostRanges, 1)
        const msg = `records are lost, bad bytes in their place: readable again from ${nextOffset}`
        logLine(env.clock, 'error', { partition: name, firstOffset, nextOffset, msg })
      },
      onSegmentRolled: () => metrics.add(Metric.segmentsRolled, 1),
      onSegmentRemoved(_, bytes) {
        metrics.add(Metric.segmentsDeleted, 1)
        metrics.add(Metric.segmentBytesDeleted, bytes)
      },
    }
  }
}

function notOpened({ slot }: PartitionSpec, reason: unknown): OpenedPartition {
  const error = reason instanceof Error ? reason.message : String(reason)
  const offsets = { logStartOffset: 0, logEndOffset: 0 }
  return { slot, error, ...offsets, recoveredBytes: 0, truncatedBytes: 0 }
}

/** What `close` would sync, blocking, is on disk; what failed shows there. */
async function flushed(disk: Disk, log: PartitionLog): Promise<void> {
  // The round in flight, and one with everything.
  for (let round = 0; round < 2; round++) {
    log.checkpoint()
    await log.settled()
  }
  if (log.state !== 'offline') await runAside(disk, log.keepIndexes())
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
