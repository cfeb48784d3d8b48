/**
 * Lives of an owner with a few logs and a journal on a fault disk, each ended by a crash, and a plain list of batches
 * to compare them with: what was flushed is there after a power cut, what was written after a kill.
 */
import { expect } from 'vitest'
import type { PartitionSpec } from '../../src/contracts/control.ts'
import type { JournalReplay } from '../../src/contracts/journal.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { journalPaths, prepareJournal } from '../../workers/journal/files.ts'
import { OwnerJournal } from '../../workers/journal/owner-journal.ts'
import { replayJournals } from '../../workers/journal/replay.ts'
import { PartitionLog } from '../../workers/log/log.ts'
import { newAppendResult, newReadResult } from '../../workers/log/results.ts'
import { baseConfig, expectSame, makeBatch, splitBatches, stored } from '../log/log-kit.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { CrashError, FaultDisk } from '../support/fault-disk.ts'

const dataDirectory = '/data'
const topicId = 'abcdefghijklmnopqrstuw'
export const journalBytes = 12_000

/** What a log must hold. */
interface Model {
  /** As stored, in order, from offset 0 on. */
  batches: Buffer[]
  ends: number[]
  /** The batches behind may be there or not: a crash ended their commit. */
  writtenEnd: number
  flushedEnd: number
  logStart: number
}

export class JournalLife {
  readonly disk = new FaultDisk()
  readonly clock = new FakeClock()
  readonly random: () => number
  readonly models: Model[]
  readonly paths = journalPaths(dataDirectory, 0)
  logs: PartitionLog[] = []
  journal!: OwnerJournal
  counts = { rounds: 0, refused: 0, replayedBytes: 0, wraps: 0 }
  #mark = 0
  /** Syncs that end between two turns. */
  readonly #syncsMax: number

  constructor(random: () => number, logCount = 4) {
    this.random = random
    this.disk.pickSync = count => (random() < 0.5 ? 0 : Math.floor(random() * count))
    this.#syncsMax = 1 + Math.floor(random() * 10)
    this.disk.mkdir(dataDirectory)
    this.disk.syncDirectory('/')
    this.models = Array.from({ length: logCount }, () => {
      return { batches: [], ends: [], writtenEnd: 0, flushedEnd: 0, logStart: 0 }
    })
  }

  #spec(slot: number, how: Partial<PartitionSpec>): PartitionSpec {
    return {
      topic: 't',
      topicId,
      partition: slot,
      slot,
      generation: 1,
      directory: this.directory(slot),
      config: { ...baseConfig, segmentBytesMax: 1_500 },
      recover: false,
      verdict: null,
      recoveryPoint: 0,
      copyForward: false,
      flushedOffset: -1,
      ...how,
    }
  }

  directory(slot: number): string {
    return `${dataDirectory}/t-${slot}`
  }

  #newJournal(): void {
    const { paths } = this
    this.journal = new OwnerJournal({
      disk: this.disk,
      clock: this.clock,
      paths,
      prepare: async () => prepareJournal(this.disk, paths, journalBytes),
      logs: () => this.logs,
      onRound: () => this.counts.rounds++,
      onRefused: () => this.counts.refused++,
      onEnd: () => {},
    })
    this.journal.permit()
  }

  /** First start, or the start after `endProcess`. */
  start(isFirst: boolean): void {
    const replay = isFirst ? null : this.replay()
    this.#newJournal()
    this.logs = []
    for (const slot of this.models.keys()) {
      const found = replay?.logs.find(({ directory }) => directory === this.directory(slot))
      const recoveryPoint = found?.endOffset ?? 0
      const how = isFirst ? {} : { recover: true, copyForward: true, recoveryPoint }
      this.#open(this.#spec(slot, how))
    }
  }

  replay(): JournalReplay {
    const places = [...this.models.keys()].map(slot => {
      return { directory: this.directory(slot), topicId, partition: slot }
    })
    const replay = replayJournals(this.disk, {
      dataDirectory,
      ownerCount: 1,
      isClean: false,
      places,
    })
    this.counts.replayedBytes += replay.writtenBytes
    expect(replay.failed).toEqual([])
    return replay
  }

  /** The thread died, the process knows what was flushed. */
  restartOwner(): void {
    for (const log of this.logs) log.close({ clean: false })
    this.disk.endProcess()
    this.#newJournal()
    this.logs = []
    for (const [slot, { flushedEnd }] of this.models.entries()) {
      const how = { recover: true, flushedOffset: flushedEnd, isJournaled: true }
      this.#open(this.#spec(slot, how))
    }
    this.check(true)
  }

  #open(spec: PartitionSpec): void {
    this.logs[spec.slot] = PartitionLog.open({
      spec,
      env: { disk: this.disk, clock: this.clock },
      journal: this.journal,
      onAdvance: () => {},
      onFailure: () => {},
    })
  }

  /** One turn of the owner: appends to some logs, the journal on whatever the number of logs. */
  turn(): void {
    const { journal } = this
    if (this.random() < 0.5) journal.mode.isOn = true
    // What makes the files: a turn that finds it on.
    journal.turnEnds([])
    if (this.random() < 0.1) journal.mode.isOn = false
    for (const [slot, log] of this.logs.entries()) {
      if (this.random() < 0.3) continue
      const model = this.models[slot]
      const before = model.ends.length
      for (let left = 1 + Math.floor(this.random() * 3); left > 0; left--) {
        const records = 1 + Math.floor(this.random() * 3)
        const batch = makeBatch({
          records,
          valueBytes: 20 + this.random() * 200,
          mark: this.#mark++,
        })
        const result = newAppendResult()
        log.stage(batch, 9, result)
        if (result.error !== Errors.NONE) return
        model.batches.push(stored(batch, result.baseOffset))
        model.ends.push(result.lastOffset + 1)
      }
      const isWritten = log.commit() === Errors.NONE
      if (this.disk.crashed) return
      if (!isWritten) model.batches.length = model.ends.length = before
      model.writtenEnd = model.ends.at(-1) ?? 0
    }
    journal.turnEnds(this.logs)
    this.#note()
  }

  /** One batch, which the turn under way takes. */
  append(slot: number): void {
    const batch = makeBatch({ valueBytes: 500, mark: this.#mark++ })
    const result = newAppendResult()
    const log = this.logs[slot]
    log.stage(batch, 9, result)
    if (log.commit() !== Errors.NONE) return
    const model = this.models[slot]
    model.batches.push(stored(batch, result.baseOffset))
    model.ends.push(result.lastOffset + 1)
    model.writtenEnd = result.lastOffset + 1
  }

  /** As the owner's control plane does it after a failure. */
  bringBack(slot: number): void {
    const failed = this.logs[slot]
    const { flushedEnd } = failed.offsets
    const how = { recover: true, copyForward: true, flushedOffset: flushedEnd, isJournaled: true }
    const spec = this.#spec(slot, how)
    this.journal.restore(spec)
    this.#open(spec)
    failed.close({ clean: false })
    this.journal.forget(slot)
  }

  /** Anything else that happens between turns. */
  async between(): Promise<void> {
    this.disk.completeSyncs(Math.floor(this.random() * this.#syncsMax))
    this.#note()
    await Promise.resolve()
    await Promise.resolve()
    if (this.random() < 0.1) this.clock.advance(this.random() * 3_000)
    if (this.random() < 0.1) {
      const slot = Math.floor(this.random() * this.logs.length)
      const log = this.logs[slot]
      const { logStart, highWatermark } = log.offsets
      const target = logStart + Math.floor(this.random() * (highWatermark - logStart + 1))
      log.retention.deleteRecords(target, ({ error }) => {
        if (error === Errors.NONE && !this.disk.crashed) {
          this.models[slot].logStart = Math.max(this.models[slot].logStart, target)
        }
      })
    }
  }

  #note(): void {
    if (this.disk.crashed) return
    for (const [slot, log] of this.logs.entries()) {
      const model = this.models[slot]
      expect(log.offsets.flushedEnd).toBeGreaterThanOrEqual(model.flushedEnd)
      model.flushedEnd = log.offsets.flushedEnd
    }
  }

  /** After a start: what was promised is there, and nothing else. What was lost is forgotten. */
  check(isAllThere: boolean): void {
    for (const [slot, log] of this.logs.entries()) {
      const model = this.models[slot]
      const { logStart, logEnd } = log.offsets
      expect(logEnd).toBeGreaterThanOrEqual(isAllThere ? model.writtenEnd : model.flushedEnd)
      expect(logStart).toBeGreaterThanOrEqual(model.logStart)
      const count = model.ends.filter(end => end <= logEnd).length
      model.batches.length = count
      model.ends.length = count
      expect(model.ends.at(-1) ?? 0).toBe(logEnd)
      model.writtenEnd = logEnd
      while (this.disk.completeSyncs() > 0);
      model.flushedEnd = log.offsets.flushedEnd
      const first = model.ends.findIndex(end => end > logStart)
      expectSame(readAll(log), first < 0 ? [] : model.batches.slice(first))
    }
  }
}

function readAll(log: PartitionLog): Buffer[] {
  const batches: Buffer[] = []
  const { logStart, highWatermark, logEnd } = log.offsets
  expect(highWatermark).toBe(logEnd)
  for (let offset = logStart; offset < highWatermark; ) {
    const result = newReadResult()
    const region = Buffer.alloc(64 * 1024)
    log.read(offset, region.length, region, result)
    expect(result.error).toBe(Errors.NONE)
    expect(result.length).toBeGreaterThan(0)
    batches.push(...splitBatches(region.subarray(result.start, result.start + result.length)))
    offset = result.nextOffset
  }
  return batches
}

/** Runs until the disk crashes; true when it did. */
export function untilCrash(disk: FaultDisk, run: () => void): boolean {
  try {
    run()
  } catch (error) {
    if (!(error instanceof CrashError) && !disk.crashed) throw error
  }
  return disk.crashed
}
