/**
 * Lives of an owner with a few logs and a journal on a fault disk, each ended by a crash, and a plain list of batches
 * to compare them with: what was flushed is there after a power cut, what was written after a kill. Policies change,
 * disks fail, topics are made anew, and every process may have a journal of another size, or none.
 */
import { expect } from 'vitest'
import type { PartitionSpec } from '../../src/contracts/control.ts'
import type { JournalReplay } from '../../src/contracts/journal.ts'
import type { LogConfig } from '../../src/contracts/log-config.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { journalPaths, prepareJournal } from '../../workers/journal/files.ts'
import { OwnerJournal } from '../../workers/journal/owner-journal.ts'
import { replayJournals } from '../../workers/journal/replay.ts'
import { PartitionLog } from '../../workers/log/log.ts'
import { newAppendResult, newReadResult } from '../../workers/log/results.ts'
import { runNow } from '../../workers/log/steps.ts'
import { baseConfig, expectSame, makeBatch, splitBatches, stored } from '../log/log-kit.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { CrashError, FaultDisk } from '../support/fault-disk.ts'

const dataDirectory = '/data'
const journalBytes = 12_000

/** What a log must hold. */
interface Model {
  topicId: string
  config: LogConfig
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
  /** Of the thread of now: the timers of a dead one never fire. */
  clock = new FakeClock()
  readonly random: () => number
  readonly models: Model[]
  readonly paths = journalPaths(dataDirectory, 0)
  logs: PartitionLog[] = []
  journal!: OwnerJournal
  counts = { rounds: 0, refused: 0, replayedBytes: 0, wraps: 0 }
  #mark = 0
  /** Syncs that end between two turns. */
  readonly #syncsMax: number
  /** How the process of now was started. */
  #journalBytes = journalBytes
  #isJournaled = true
  /** What else may happen: see `journal.model.test.ts`. */
  readonly #isWild: boolean
  #topics = 0

  constructor(random: () => number, logCount = 4, isWild = false) {
    this.random = random
    this.#isWild = isWild
    this.disk.pickSync = count => (random() < 0.5 ? 0 : Math.floor(random() * count))
    this.#syncsMax = 1 + Math.floor(random() * 10)
    this.disk.mkdir(dataDirectory)
    this.disk.syncDirectory('/')
    this.models = Array.from({ length: logCount }, () => {
      return this.#newModel()
    })
  }

  #newModel(): Model {
    const topicId = `topic-${String(this.#topics++).padStart(15, '0')}A`
    const offsets = { writtenEnd: 0, flushedEnd: 0, logStart: 0 }
    return { topicId, config: this.#newConfig(), batches: [], ends: [], ...offsets }
  }

  #newConfig(): LogConfig {
    const config = { ...baseConfig, segmentBytesMax: 1_500 }
    if (!this.#isWild || this.random() < 0.7) return config
    return { ...config, flushPolicy: 'interval', flushMs: this.random() * 500 }
  }

  #spec(slot: number, how: Partial<PartitionSpec>): PartitionSpec {
    const { topicId, config } = this.models[slot]
    return {
      topic: 't',
      topicId,
      partition: slot,
      slot,
      generation: 1,
      directory: this.directory(slot),
      config,
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
    this.clock = new FakeClock()
    this.journal = new OwnerJournal({
      disk: this.disk,
      clock: this.clock,
      paths,
      prepare: async () => prepareJournal(this.disk, paths, this.#journalBytes),
      logs: () => this.logs,
      onRound: () => this.counts.rounds++,
      onRefused: () => this.counts.refused++,
      onEnd: () => {},
    })
    if (this.#isJournaled) this.journal.permit()
  }

  /** First start, or the start after `endProcess`. */
  start(isFirst: boolean): void {
    if (this.#isWild && !isFirst) {
      this.#journalBytes = [4_000, journalBytes, 30_000][Math.floor(this.random() * 3)]
      this.#isJournaled = this.random() < 0.8
    }
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
    const places = this.models.map(({ topicId }, slot) => {
      return { directory: this.directory(slot), topicId, partition: slot }
    })
    const ownerCount = this.#isJournaled ? 1 : 0
    const input = { dataDirectory, ownerCount, isClean: false, places }
    const replay = runNow(this.disk, replayJournals(this.disk, input))
    this.counts.replayedBytes += replay.writtenBytes
    expect(replay.failed).toEqual([])
    return replay
  }

  /** The thread died, the process knows what was flushed. */
  restartOwner(): void {
    const areOffline = this.logs.map(({ state }) => state === 'offline')
    for (const log of this.logs) log.close({ clean: false })
    this.disk.endProcess()
    this.#newJournal()
    this.logs = []
    for (const [slot, { flushedEnd }] of this.models.entries()) {
      const copyForward = areOffline[slot]
      const how = { recover: true, copyForward, flushedOffset: flushedEnd, isJournaled: true }
      const spec = this.#spec(slot, how)
      if (copyForward) runNow(this.disk, this.journal.restore(spec))
      this.#open(spec)
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
        if (result.error !== Errors.NONE) break
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
    runNow(this.disk, this.journal.restore(spec))
    this.#open(spec)
    failed.close({ clean: false })
    this.journal.forget(slot)
  }

  /** The disk fails now and then; a log that failed is brought back, or its topic is made anew. */
  #beWild(): void {
    const { random, disk } = this
    if (random() < 0.03) this.#faultLater()
    const slot = Math.floor(random() * this.logs.length)
    const log = this.logs[slot]
    const model = this.models[slot]
    if (random() < 0.05 && log.state !== 'offline') {
      model.config = this.#newConfig()
      log.applyConfig(model.config)
    }
    if (random() < 0.02) {
      // In one step: that deleting a topic may be cut short is no business of the journal's.
      const { crashAt } = disk
      disk.crashAt = Number.POSITIVE_INFINITY
      disk.onOperation = () => null
      this.journal.forget(slot)
      void log.delete()
      disk.syncDirectory(dataDirectory)
      this.models[slot] = this.#newModel()
      this.#open(this.#spec(slot, {}))
      disk.crashAt = Math.max(crashAt, disk.operations + 1)
    }
    const failed = this.logs.findIndex(({ state }) => state === 'offline')
    if (failed >= 0 && random() < 0.2) {
      disk.onOperation = () => null
      while (disk.completeSyncs() > 0);
      this.bringBack(failed)
      this.#meet(failed)
    }
  }

  /** A sync fails, or a write to the journal (one to a segment may leave batches that were refused). */
  #faultLater(): void {
    const { random } = this
    const isJournal = random() < 0.5
    const faulty = isJournal && random() < 0.5 ? 'write' : 'sync'
    const where = isJournal ? 'journal-' : `t-${Math.floor(random() * this.logs.length)}/`
    const code = random() < 0.5 ? 'EIO' : 'ENOSPC'
    this.disk.onOperation = ({ kind, path }) => {
      if (kind !== faulty || !path.includes(where)) return null
      this.disk.onOperation = () => null
      return { code }
    }
  }

  /** Anything else that happens between turns. */
  async between(): Promise<void> {
    if (this.#isWild) this.#beWild()
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

  /** What is behind the end of a log that was opened is forgotten. */
  #meet(slot: number): void {
    const model = this.models[slot]
    const { logEnd } = this.logs[slot].offsets
    const count = model.ends.filter(end => end <= logEnd).length
    model.batches.length = count
    model.ends.length = count
    expect(model.ends.at(-1) ?? 0).toBe(logEnd)
    model.writtenEnd = logEnd
  }

  /** After a start: what was promised is there, and nothing else. What was lost is forgotten. */
  check(isAllThere: boolean): void {
    for (const [slot, log] of this.logs.entries()) {
      const model = this.models[slot]
      const { logStart, logEnd } = log.offsets
      expect(logEnd).toBeGreaterThanOrEqual(isAllThere ? model.writtenEnd : model.flushedEnd)
      expect(logStart).toBeGreaterThanOrEqual(model.logStart)
      this.#meet(slot)
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
