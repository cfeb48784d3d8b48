/**
 * The journal of one owner: while many logs take records, one sync proves a turn's batches of all of them. Owner thread
 * only; syncs are started, never awaited.
 *
 *   turn    batches into the segments, and behind each other into the journal file; one sync in flight, the next starts
 *           at once with everything written meanwhile; what it proves moves the flushed ends of its logs
 *   files   a: | round | round | round |   full: b takes over, and the segments of all logs with records in a are
 *           b: | round | ...               synced, a few at a time; then a may be begun anew
 *
 * No file free: rounds are refused, their logs sync their segments. A write or a sync that fails takes every log with
 * unproven batches in the journal offline (RELIABILITY P11), and the journal is not used again.
 */
import type { Clock } from '../../src/contracts/clock.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import type { LogPlace } from '../../src/contracts/journal.ts'
import type { LogConfig } from '../../src/contracts/log-config.ts'
import type { Segment } from '../log/segment.ts'
import type { Steps } from '../log/steps.ts'
import { nextEpoch } from './files.ts'
import { headBytes, type JournalRecord } from './format.ts'
import { JournalFile } from './journal-file.ts'
import { JournalMode, LOGS_MIN } from './mode.ts'
import { replayOne } from './replay.ts'

/** Segments that are synced at a time so that a file may be begun anew. */
const CHECKPOINTS_MAX = 8
/** So long without a round, and the segments are synced: nothing else would. */
const IDLE_MS = 1_000

/** Batches of one log that one sync of the journal proves. */
export interface JournaledRange {
  readonly fromOffset: number
  endOffset: number
  /** Where the last one ends. */
  segment: Segment
  position: number
}

/** A log as the journal sees it. */
export interface JournaledLog {
  readonly slot: number
  readonly topicId: string
  readonly partition: number
  readonly state: string
  readonly config: Pick<LogConfig, 'flushPolicy'>
  readonly offsets: {
    readonly recoveryPoint: number
    readonly flushedEnd: number
    readonly logEnd: number
  }
  /** The journal's sync has ended. */
  journalSynced(range: JournaledRange): void
  /** What was handed over is not in the journal, or will not be proven by it: the segments are to be synced. */
  journalRefused(): void
  /** The segments are to be synced whatever the journal proves. */
  checkpoint(): void
  roundFailed(error: Error): void
}

export interface OwnerJournalOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly paths: readonly [string, string]
  /** More dirty logs than that switch it on; default 16. */
  readonly logsMin?: number
  /** Makes the files, elsewhere: see `prepareJournal`. */
  prepare(): Promise<unknown>
  logs(): Iterable<JournaledLog | undefined>
  onRound(bytes: number): void
  /** A round found both files in use. */
  onRefused(): void
  /** Told once; the journal is not used any more. `error` of the file system. */
  onEnd(error: Error, isFailure: boolean): void
}

type Ranges = Map<number, { readonly log: JournaledLog; readonly range: JournaledRange }>
type State = 'forbidden' | 'waiting' | 'preparing' | 'ready' | 'ended'

interface Added {
  readonly log: JournaledLog
  readonly segment: Segment
  readonly record: JournalRecord
}

export class OwnerJournal {
  readonly #options: OwnerJournalOptions
  readonly mode: JournalMode
  #state: State = 'forbidden'
  #files: [JournalFile<JournaledLog>, JournalFile<JournaledLog>] | null = null
  #current = 0
  #generation = 0
  readonly #added: Added[] = []
  readonly #batches: Uint8Array[] = []
  #batchBytes = 0
  #head = Buffer.alloc(64 * 1024)
  /** By slot: what no sync covers yet, and what the one in flight does. */
  #written: Ranges = new Map()
  #syncing: Ranges | null = null
  #partsLeft = 0
  #error: Error | null = null
  readonly #checkpointing = new Set<number>()
  #isRetiring = false
  #cancelIdle: (() => void) | null = null
  readonly #waiting: (() => void)[] = []

  constructor(options: OwnerJournalOptions) {
    this.#options = options
    this.mode = new JournalMode(options.logsMin ?? LOGS_MIN)
  }

  /** Nothing that the files hold is needed any more, but what the logs here still have to sync. */
  permit(): void {
    if (this.#state === 'forbidden') this.#state = 'waiting'
  }

  /** Whether batches of the turn that commits now are to be added. */
  get isTaking(): boolean {
    return this.#state === 'ready' && this.mode.isOn
  }

  /** An earlier incarnation's rounds prove nothing that the segments of our logs do not. */
  #isUnneeded(): boolean {
    for (const log of this.#options.logs()) {
      if (log !== undefined && log.offsets.flushedEnd > log.offsets.recoveryPoint) return false
    }
    return true
  }

  #prepare(): void {
    this.#state = 'preparing'
    this.#options.prepare().then(
      () => this.#open(),
      (error: Error) => this.#end(error, false),
    )
  }

  #open(): void {
    if (this.#state !== 'preparing') return
    try {
      const { disk, paths } = this.#options
      const epoch = nextEpoch(disk, paths)
      this.#files = [new JournalFile(disk, paths[0], epoch), new JournalFile(disk, paths[1], epoch)]
      this.#files[0].begin(this.#generation)
      this.#state = 'ready'
    } catch (error) {
      this.#end(error as Error, false)
    }
  }

  /** Batches that were just written to `segment`; the views must stay as they are until the turn ends. */
  add(
    log: JournaledLog,
    segment: Segment,
    where: { readonly position: number; readonly baseOffset: number; readonly endOffset: number },
    views: readonly Uint8Array[],
    from: number,
    to: number,
  ): void {
    let bytes = 0
    for (let index = from; index < to; index++) {
      bytes += views[index].length
      this.#batches.push(views[index])
    }
    this.#batchBytes += bytes
    const { topicId, partition } = log
    const record = { topicId, partition, segmentBase: segment.baseOffset, ...where, bytes }
    this.#added.push({ log, segment, record })
  }

  /** A turn has appended to these logs. Writes what it added, and starts a sync when none is in flight. */
  turnEnds(touched: readonly JournaledLog[]): void {
    if (this.#added.length > 0) {
      if (this.#makeRoom()) this.#write()
      else this.#refuse()
    }
    this.#added.length = 0
    this.#batches.length = 0
    this.#batchBytes = 0
    if (this.#state === 'forbidden' || this.#state === 'ended') return
    this.mode.turn(touched)
    if (this.#state === 'waiting' && this.mode.isOn && this.#isUnneeded()) this.#prepare()
  }

  #makeRoom(): boolean {
    const files = this.#files!
    const current = files[this.#current]
    const [records, bytes] = [this.#added.length, this.#batchBytes]
    if (current.fits(records, bytes)) return true
    if (!current.fits(records, bytes, 0)) return false
    this.#checkpoint(files[1 - this.#current])
    this.#checkpoint(current)
    const next = [1 - this.#current, this.#current].find(index => files[index].needs.size === 0)
    if (next === undefined) return false
    this.#current = next
    files[next].begin(++this.#generation)
    return true
  }

  #refuse(): void {
    this.#options.onRefused()
    const refused = new Set(this.#added.map(({ log }) => log))
    for (const log of refused) log.journalRefused()
  }

  #write(): void {
    const file = this.#files![this.#current]
    const needed = headBytes(this.#added.length)
    if (this.#head.length < needed) this.#head = Buffer.alloc(2 * needed)
    for (const { log, record } of this.#added) {
      file.needs.set(log.slot, { log, endOffset: record.endOffset })
    }
    for (const added of this.#added) this.#noteWritten(added)
    try {
      const records = this.#added.map(({ record }) => record)
      this.#options.onRound(file.append(this.#head, records, this.#batches, this.#batchBytes))
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    this.#cancelIdle?.()
    this.#cancelIdle = null
    this.#isRetiring = false
    this.#maybeSync()
  }

  #noteWritten({ log, segment, record }: Added): void {
    const { baseOffset, endOffset } = record
    const position = record.position + record.bytes
    const written = this.#written.get(log.slot)
    const known = written?.range
    if (written?.log === log && known?.endOffset === baseOffset) {
      known.endOffset = endOffset
      known.segment = segment
      known.position = position
      return
    }
    const range = { fromOffset: baseOffset, endOffset, segment, position }
    this.#written.set(log.slot, { log, range })
  }

  #maybeSync(): void {
    if (this.#syncing !== null || this.#written.size === 0 || this.#state !== 'ready') return
    this.#syncing = this.#written
    this.#written = new Map()
    this.mode.synced(this.#syncing.size)
    this.#error = null
    this.#partsLeft = 1
    try {
      for (const file of this.#files!) {
        if (!file.isDirty) continue
        this.#partsLeft++
        file.startSync(this.#partDone)
      }
    } catch (error) {
      this.#partDone(error as Error)
    }
    this.#partDone(null)
  }

  readonly #partDone = (error: Error | null): void => {
    this.#error ??= error
    if (--this.#partsLeft > 0) return
    const proven = this.#syncing!
    if (this.#error !== null) {
      this.#fail(this.#error)
    } else if (this.#state === 'ready') {
      this.#syncing = null
      // The next one runs while the logs tell of this one.
      this.#maybeSync()
      for (const { log, range } of proven.values()) log.journalSynced(range)
      if (!this.mode.isOn) this.#retire()
      else if (this.#syncing === null) this.#awaitIdle()
    }
    if (!this.isSyncing) for (const tell of this.#waiting.splice(0)) tell()
  }

  #awaitIdle(): void {
    this.#cancelIdle ??= this.#options.clock.after(IDLE_MS, () => {
      this.#cancelIdle = null
      this.mode.leave()
      this.#retire()
    })
  }

  /** The segments of all logs are synced, and the journal begins anew. */
  #retire(): void {
    if (this.#state !== 'ready') return
    this.#isRetiring = true
    for (const file of this.#files!) this.#checkpoint(file)
    this.#maybeBegin()
  }

  #maybeBegin(): void {
    const [a, b] = this.#files!
    const isUnneeded = a.needs.size === 0 && b.needs.size === 0
    if (!this.#isRetiring || !isUnneeded || this.isSyncing || this.#written.size > 0) return
    this.#isRetiring = false
    this.#files![this.#current].begin(++this.#generation)
  }

  /** Has segments synced, a few at a time, of logs with records in the file. */
  #checkpoint(file: JournalFile<JournaledLog>): void {
    for (const [slot, { log }] of file.needs) {
      if (this.#checkpointing.size >= CHECKPOINTS_MAX) return
      if (this.#checkpointing.has(slot) || log.state === 'offline') continue
      this.#checkpointing.add(slot)
      log.checkpoint()
    }
  }

  /** A sync of the log's segments has moved its recovery point. */
  segmentsSynced(log: JournaledLog): void {
    if (this.#files === null) return
    for (const file of this.#files) {
      const need = file.needs.get(log.slot)
      if (need !== undefined && need.endOffset <= log.offsets.recoveryPoint) {
        file.needs.delete(log.slot)
      }
    }
    if (this.#checkpointing.delete(log.slot)) this.#goOn()
  }

  #goOn(): void {
    if (this.#state !== 'ready') return
    const other = this.#files![1 - this.#current]
    this.#checkpoint(other)
    if (!this.#isRetiring) return
    this.#checkpoint(this.#files![this.#current])
    this.#maybeBegin()
  }

  /** The log is deleted, or was opened anew with all of its segments proven: nothing of it is needed. */
  forget(slot: number): void {
    if (this.#files === null) return
    for (const file of this.#files) file.needs.delete(slot)
    this.#checkpointing.delete(slot)
    this.#goOn()
  }

  /** Its log went offline: nobody waits for its segments, but its records stay needed. */
  failed(slot: number): void {
    if (this.#checkpointing.delete(slot)) this.#goOn()
  }

  /**
   * Puts what the files hold of a log into its segments, where those do not prove all of it; returns whether they
   * changed. Throws as the disk does.
   */
  *restore(place: LogPlace & { readonly slot: number }): Steps<boolean> {
    const isNeeded = this.#files?.some(file => file.needs.has(place.slot)) ?? true
    if (!isNeeded) return false
    return (yield* replayOne(this.#options.disk, this.#options.paths, place)) > 0
  }

  #fail(error: Error): void {
    const doomed = new Set<JournaledLog>()
    for (const { log } of this.#syncing?.values() ?? []) doomed.add(log)
    for (const { log } of this.#written.values()) doomed.add(log)
    this.#syncing = null
    this.#written.clear()
    this.#end(error, true)
    for (const log of doomed) log.roundFailed(error)
  }

  #end(error: Error, isFailure: boolean): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    this.mode.leave()
    this.#cancelIdle?.()
    this.#options.onEnd(error, isFailure)
    for (const log of this.#options.logs()) log?.journalRefused()
  }

  get isSyncing(): boolean {
    return this.#partsLeft > 0
  }

  /** Resolves when no sync is in flight. */
  settled(): Promise<void> {
    if (!this.isSyncing) return Promise.resolve()
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  /** The thread ends: all logs are closed. */
  close(): void {
    this.#cancelIdle?.()
    this.#state = 'ended'
    for (const file of this.#files ?? []) file.close()
  }
}
