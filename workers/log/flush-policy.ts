/**
 * When a log is synced, and what a finished sync proves. Owner thread only; syncs are started, never awaited.
 *
 *   group-commit  one round in flight; the next starts at once with everything appended meanwhile
 *   interval      a round once `flushMessages` records or `flushMs` are waiting (the 2011 paper), and after a roll
 *   os            the page cache; a round only after a roll, so that recovery need not read sealed segments
 *
 * A round syncs every file of the log that holds unsynced bytes, the index files of what was sealed since the last one
 * (recovery believes those of whole segments below the recovery point), and the directory when it has new names. Only
 * when all of that succeeded does the recovery point move to where the log ended when the round started (RELIABILITY
 * P1). The first failure is final: no file of this log is synced again (P11, fsync may report an error only once).
 *
 * What is handed to the owner's journal needs no round under group-commit: the journal proves it, and asks for a round
 * later on (`checkpoint`).
 */
import type { Clock } from '../../src/contracts/clock.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import type { LogConfig } from '../../src/contracts/log-config.ts'
import { noteFlushIdle, removeFlushIdle } from './flush-idle.ts'
import type { LogOffsets } from './offsets.ts'
import type { Segment } from './segment.ts'

/** The log as its flusher sees it. */
export interface Flushable {
  readonly offsets: LogOffsets
  readonly active: Segment
  /** A round starts: it will prove everything up to the log end. */
  roundStarted(): void
  /** A round has moved the recovery point; it started when `segment` was active and ended at `position`. */
  roundDone(segment: Segment, position: number): void
  roundFailed(error: Error): void
}

type State = 'idle' | 'syncing' | 'stopped'

export class Flusher {
  readonly #log: Flushable
  readonly #disk: Disk
  readonly #clock: Clock
  #config: LogConfig
  /** Directories with names that no sync covers yet. */
  #dirtyDirectories: string[]
  readonly #directory: string
  #unsynced: Segment[] = []
  #state: State = 'idle'
  #partsLeft = 0
  #error: Error | null = null
  #targetOffset = 0
  #targetSegment: Segment | null = null
  #targetPosition = 0
  #cancelTimer: (() => void) | null = null
  #timerFired = false
  #rolled = false
  readonly #waiting: (() => void)[] = []
  /** Offsets that the journal will prove, or has proven: no gap in between. */
  #handedFrom = 0
  #handedEnd = 0
  /** The log's directory is there after any power cut, so that a journal's records find it. */
  #isRooted = true
  /** The note of flush-idle.ts may be there. */
  #isNotedIdle = true

  constructor(
    log: Flushable,
    env: { readonly disk: Disk; readonly clock: Clock },
    directory: string,
    config: LogConfig,
  ) {
    this.#log = log
    this.#disk = env.disk
    this.#clock = env.clock
    this.#directory = directory
    this.#config = config
    this.#dirtyDirectories = []
  }

  configure(config: LogConfig): void {
    this.#config = config
    this.#disarm()
    this.#maybeNoteIdle()
  }

  /** The log's directory itself is new: its name in the parent directory must be synced too. */
  directoryCreated(parent: string): void {
    this.#isRooted = false
    this.#dirtyDirectories.push(parent)
  }

  segmentCreated(segment: Segment, byRoll: boolean): void {
    if (!this.#dirtyDirectories.includes(this.#directory)) {
      this.#dirtyDirectories.push(this.#directory)
    }
    this.#unsynced.push(segment)
    if (byRoll) this.#rolled = true
  }

  /** The next round is due at once, whatever the policy. */
  forceRound(): void {
    this.#rolled = true
  }

  /** Bytes were appended to the active segment. */
  appended(segment: Segment): void {
    if (this.#unsynced.at(-1) !== segment) this.#unsynced.push(segment)
  }

  /** A round still has to sync the segment, or the names that appeared with its end. */
  isHolding(segment: Segment): boolean {
    return this.#unsynced.includes(segment)
  }

  /** Whether what is appended next may be proven by a journal. */
  get isJournalable(): boolean {
    return (
      this.#isRooted && this.#state !== 'stopped' && this.#config.flushPolicy === 'group-commit'
    )
  }

  /** The next records up to `endOffset` are given to the journal in this turn. */
  handed(fromOffset: number, endOffset: number): void {
    if (fromOffset !== this.#handedEnd) this.#handedFrom = fromOffset
    this.#handedEnd = endOffset
  }

  /** The journal will not prove what it was given. */
  refused(): void {
    this.#handedFrom = 0
    this.#handedEnd = 0
    this.maybeStart()
  }

  /** Syncs the segments, whatever the journal proves; a round that is in flight counts. */
  checkpoint(): void {
    if (this.#state === 'idle') this.#start()
  }

  get isSyncing(): boolean {
    return this.#partsLeft > 0
  }

  /** Starts a round if one is due and none is in flight. */
  maybeStart(): void {
    if (this.#state !== 'idle') return
    const { logEnd, recoveryPoint } = this.#log.offsets
    const waiting = logEnd - recoveryPoint
    // A roll between appends leaves nothing but a name to sync.
    if ((waiting > 0 || this.#rolled) && this.#isDue(waiting)) this.#start()
  }

  #isDue(waitingRecords: number): boolean {
    switch (this.#config.flushPolicy) {
      case 'group-commit':
        return this.#rolled || !this.#isHanded()
      case 'os':
        return this.#rolled
      case 'interval':
        // After a roll too: sealed segments must not hold descriptors until a flush that may never come.
        if (this.#rolled || this.#timerFired) return true
        if (waitingRecords >= this.#config.flushMessages) return true
        this.#arm()
        return false
    }
  }

  /** The journal proves all that no round has proven. */
  #isHanded(): boolean {
    const { logEnd, recoveryPoint } = this.#log.offsets
    return this.#handedEnd === logEnd && this.#handedFrom <= recoveryPoint
  }

  #arm(): void {
    if (this.#cancelTimer !== null || !Number.isFinite(this.#config.flushMs)) return
    this.#cancelTimer = this.#clock.after(this.#config.flushMs, () => {
      this.#cancelTimer = null
      this.#timerFired = true
      this.maybeStart()
    })
  }

  /** The log is open: what is due starts. */
  opened(): void {
    this.maybeStart()
    this.#maybeNoteIdle()
  }

  /** Nothing is in flight, and under `os` nothing will be for a while. */
  #maybeNoteIdle(): void {
    if (this.#state !== 'idle' || this.#config.flushPolicy !== 'os' || this.#rolled) return
    noteFlushIdle(this.#disk, this.#directory)
    this.#isNotedIdle = true
  }

  #removeNote(): void {
    if (this.#isNotedIdle) removeFlushIdle(this.#disk, this.#directory)
    this.#isNotedIdle = false
  }

  #disarm(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#timerFired = false
  }

  #start(): void {
    this.#disarm()
    this.#rolled = false
    this.#state = 'syncing'
    this.#error = null
    this.#targetOffset = this.#log.offsets.logEnd
    this.#targetSegment = this.#log.active
    this.#targetPosition = this.#log.active.sizeBytes
    this.#log.roundStarted()
    // One part more than there are, so that nothing can finish before all have been started.
    this.#partsLeft = 1
    try {
      this.#removeNote()
      for (const segment of this.#unsynced) {
        segment.syncingBytes = segment.sizeBytes
        this.#partsLeft++
        segment.file().startSync(this.#partDone)
        segment.isSyncedSealed = segment !== this.#log.active
        if (segment.isSyncedSealed) this.#startIndexSyncs(segment)
      }
      for (const directory of this.#dirtyDirectories) {
        this.#partsLeft++
        this.#disk.startSyncDirectory(directory, this.#partDone)
      }
      this.#dirtyDirectories.length = 0
    } catch (error) {
      this.#partDone(error as Error)
    }
    this.#partDone(null)
  }

  #startIndexSyncs(segment: Segment): void {
    for (const file of segment.openIndexFiles()) {
      this.#partsLeft++
      file.startSync(error => {
        file.close()
        this.#partDone(error)
      })
    }
  }

  readonly #partDone = (error: Error | null): void => {
    this.#error ??= error
    this.#partsLeft--
    if (this.#partsLeft > 0) return
    // The next round may start below: `settled` waits for that one too.
    const failed = this.#error
    if (this.#state === 'syncing') {
      if (failed === null) this.#succeeded()
      else this.#failed(failed)
    }
    if (this.#partsLeft === 0) for (const tell of this.#waiting.splice(0)) tell()
  }

  #succeeded(): void {
    this.#state = 'idle'
    this.#isRooted = true
    for (const segment of this.#unsynced) segment.syncedBytes = segment.syncingBytes
    this.#dropSynced()
    this.#log.offsets.flushed(this.#targetOffset)
    this.#log.roundDone(this.#targetSegment!, this.#targetPosition)
    this.maybeStart()
    this.#maybeNoteIdle()
  }

  #failed(error: Error): void {
    this.#state = 'stopped'
    this.#disarm()
    this.#log.roundFailed(error)
  }

  /** Sealed segments that are wholly synced give their descriptor back. */
  #dropSynced(): void {
    const { active } = this.#log
    let kept = 0
    for (const segment of this.#unsynced) {
      const isWhole = segment === active || segment.isSyncedSealed
      if (segment.syncedBytes < segment.sizeBytes || !isWhole) this.#unsynced[kept++] = segment
      else if (segment !== active) segment.unpin()
    }
    this.#unsynced.length = kept
  }

  /**
   * Syncs everything now. Blocks; for close and recovery. No round may be in flight (`settled`): two syncs of one file
   * at a time could not tell which of them an error belongs to.
   */
  syncNow(): void {
    if (this.#state === 'stopped') return
    this.#state = 'stopped'
    this.#disarm()
    this.#log.roundStarted()
    this.#removeNote()
    for (const segment of this.#unsynced) {
      segment.file().sync()
      segment.syncingBytes = segment.sizeBytes
      segment.isSyncedSealed = segment !== this.#log.active
      if (segment.isSyncedSealed) segment.syncIndexes()
    }
    for (const directory of this.#dirtyDirectories) this.#disk.syncDirectory(directory)
    this.#dirtyDirectories.length = 0
    this.#targetOffset = this.#log.offsets.logEnd
    this.#targetSegment = this.#log.active
    this.#targetPosition = this.#log.active.sizeBytes
    this.#succeeded()
  }

  /** No round starts any more; the one in flight counts no longer. */
  stop(): void {
    this.#state = 'stopped'
    this.#disarm()
  }

  /** Resolves when no sync is in flight. */
  settled(): Promise<void> {
    if (!this.isSyncing) return Promise.resolve()
    return new Promise(resolve => this.#waiting.push(resolve))
  }
}
