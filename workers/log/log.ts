/**
 * One partition: stage and commit appends, read, find by time, flush. Owner thread only, all calls synchronous.
 *
 *   stage  stage  stage | commit                          | read
 *   check, give offsets | write once, roll, index, count  | whole batches into a region
 *
 * A round is all or nothing: when `commit` fails, every batch staged since the last one has failed and the file is cut
 * back. Syncs are started by the flush policy and reported through `onAdvance` (offsets moved) or `onFailure` (the log
 * is offline for good). The caller publishes `offsets` in `onAdvance`.
 */
import type {
  PartitionDescription,
  PartitionSpec,
  RottenRange,
} from '../../src/contracts/control.ts'
import type { LogConfig } from '../../src/contracts/log-config.ts'
import type { JournaledLog, JournaledRange } from '../journal/owner-journal.ts'
import { Appender, type AppendTarget } from './appender.ts'
import { Checkpoints } from './checkpoints.ts'
import { describeLog } from './describe-log.ts'
import { type Flushable, Flusher } from './flush-policy.ts'
import type { LogState, OpenLogOptions } from './log-options.ts'
import { LogReader, type Readable } from './log-reader.ts'
import { findByTime, findMaxTimestamp, readBatch } from './log-search.ts'
import { Marks } from './marks.ts'
import { LogOffsets } from './offsets.ts'
import { type LoadedLog, loadLog } from './open-log.ts'
import type { ProducerState } from './producer-state.ts'
import { type LostRange, lostRange, Quarantine } from './quarantine.ts'
import { ReadableEnd } from './readable-end.ts'
import { removeLog } from './remove-log.ts'
import type { AppendResult, BatchLocation, ReadResult } from './results.ts'
import { Retention } from './retention.ts'
import type { Segment } from './segment.ts'
import { serveRead } from './serve-read.ts'
import { runNow, type Steps } from './steps.ts'
import type { SwapRange } from './swap.ts'
import { type Swapped, Swapper } from './swapper.ts'

export class PartitionLog implements AppendTarget, Flushable, JournaledLog, Readable, Swapped {
  readonly slot: number
  readonly generation: number
  readonly topicId: string
  readonly partition: number
  readonly offsets: LogOffsets
  state: LogState = 'online'
  /** Why the log is not online. */
  reason: string | null = null
  /** Oldest first; the last one is `active`. */
  readonly segments: Segment[]
  active: Segment
  /** What opening found: bytes checked again, and bytes cut off (kept beside the log as `.torn` or `.suspect`). */
  readonly loaded: Pick<LoadedLog, 'recoveredBytes' | 'truncatedBytes'>
  config: LogConfig
  readonly marks: Marks
  readonly lostRanges = new Quarantine()
  /** Offsets that compaction is about to replace: nobody else removes their files. */
  reserved: SwapRange | null = null
  readonly retention: Retention
  readonly swapper: Swapper
  readonly #producers: ProducerState
  readonly #spec: PartitionSpec
  readonly #env: OpenLogOptions['env']
  readonly #events: OpenLogOptions
  readonly #flusher: Flusher
  readonly reader: LogReader
  readonly #checkpoints: Checkpoints
  readonly #snapshotOffsets: readonly number[]
  readonly #appender: Appender
  readonly #readable: ReadableEnd
  #isClosed = false

  /**
   * Opens or creates the log, recovers it if need be; blocks, unless it was `loaded` (open-log.ts) a moment ago. Throws
   * an Error with `code`: the file system's, or EBADTOPIC when the directory belongs to another topic id.
   */
  static open(options: OpenLogOptions, loaded?: LoadedLog): PartitionLog {
    const load = () => runNow(options.env.disk, loadLog(options.spec, options.env))
    return new PartitionLog(options, loaded ?? load())
  }

  private constructor(options: OpenLogOptions, loaded: LoadedLog) {
    const { spec, env } = options
    const isReadableUnflushed = spec.config.flushPolicy === 'os'
    this.#events = options
    this.#spec = spec
    this.#env = env
    this.config = spec.config
    this.slot = spec.slot
    this.generation = spec.generation
    this.topicId = spec.topicId
    this.partition = spec.partition
    this.loaded = loaded
    this.segments = loaded.segments
    this.active = loaded.segments.at(-1)!
    const failed = (error: Error): void => this.#fail(error)
    this.marks = new Marks(env.disk, spec.directory, loaded.marks, failed, loaded.newParent)
    this.offsets = new LogOffsets(
      loaded.marks.logStart,
      loaded.logEndOffset,
      isReadableUnflushed,
      loaded.recoveryPoint,
      loaded.flushedEnd,
    )
    this.swapper = new Swapper(this, env.disk, spec.directory)
    this.#producers = loaded.producers
    this.reader = new LogReader(this)
    this.#checkpoints = new Checkpoints(
      env,
      spec.directory,
      loaded.producers,
      loaded.windowOffsets,
      () => this.#idleEnd(),
      () => this.active.saveIndexes(),
    )
    if (loaded.isCheckpointDue) this.#checkpoints.write(loaded.logEndOffset)
    this.#snapshotOffsets = loaded.snapshotOffsets
    const flushed = isReadableUnflushed ? null : loaded.flushedPlace
    this.#readable = new ReadableEnd(
      flushed?.segment ?? this.active,
      flushed?.position ?? this.active.sizeBytes,
    )
    this.#flusher = new Flusher(this, env, spec.directory, spec.config)
    this.#appender = new Appender(this, env, spec.directory, {
      producers: loaded.producers,
      checkpoints: this.#checkpoints,
      flusher: this.#flusher,
      journal: options.journal,
    })
    this.retention = new Retention(this, options, {
      marks: this.marks,
      producers: loaded.producers,
      checkpoints: this.#checkpoints,
      flusher: this.#flusher,
      appender: this.#appender,
    })
    if (loaded.areMarksBad) this.marks.rewrite()
    if (loaded.newParent !== null) this.#flusher.directoryCreated(loaded.newParent)
    // What a dead owner left behind is flushed at once, whatever the policy.
    for (const segment of loaded.unsynced) this.#flusher.segmentCreated(segment, true)
    for (const segment of loaded.reindexed) this.#flusher.segmentCreated(segment, true)
    if (loaded.isActiveNew) this.#flusher.segmentCreated(this.active, false)
    this.#flusher.opened()
    for (const range of loaded.rotten) this.lost(range)
  }

  /** For people. */
  get name(): string {
    return `${this.#spec.topic}-${this.#spec.partition}`
  }

  /**
   * Checks one batch, gives it its offsets and patches them in; nothing is written yet. Fills `into`. The bytes must
   * stay as they are until `commit`. A duplicate is no error: it is answered with the original's offsets, under
   * acks=all once `into.lastOffset` is below the high watermark. One that is readable and not flushed, because the
   * policy was `os` until just now, is REQUEST_TIMED_OUT: the producer asks again.
   */
  stage(batch: Uint8Array, apiVersion: number, into: AppendResult): void {
    this.#appender.stage(batch, apiVersion, into)
  }

  /**
   * Writes everything staged since the last commit and starts a sync if one is due. Returns an `Errors` code: other
   * than NONE, all of it has failed and the log is as it was before.
   */
  commit(): number {
    return this.#appender.commit()
  }

  appended(): void {
    if (this.config.flushPolicy === 'os') this.#readable.set(this.active, this.active.sizeBytes)
    if (this.state === 'read-only') this.#setState('online', null)
    this.#flusher.maybeStart()
    this.#events.onAdvance(this)
  }

  /** There may be room again: the log counts as online until the next batch tells. */
  resume(): void {
    if (this.state !== 'read-only') return
    this.#setState('online', null)
    this.#events.onAdvance(this)
  }

  appendFailed(error: Error, isFinal: boolean): void {
    if (isFinal) {
      this.#fail(error)
      return
    }
    this.#setState('read-only', error.message)
    this.#events.onAdvance(this)
  }

  /** Below, offsets may be missing: compaction. */
  get gapsBelowOffset(): number {
    return this.marks.cleanedEnd
  }

  lost(range: LostRange): void {
    if (this.state !== 'offline' && this.lostRanges.add(range)) this.#events.onLost?.(this, range)
  }

  /** These bytes of `segment` are bad: a fetch there gets an error from now on, everything else is served. */
  quarantine(segment: Segment, ranges: readonly RottenRange[]): void {
    for (const range of ranges) this.lost(lostRange(this, segment, range))
  }

  verified(segment: Segment, start: number, end: number): void {
    segment.checked.add(start, end)
  }

  /** Bytes of `segment` that a finished sync covers, up to a batch boundary. */
  provenBytes(segment: Segment): number {
    return this.#flusher.isHolding(segment) ? segment.syncedBytes : segment.sizeBytes
  }

  /**
   * Reads whole batches, starting with the one that holds `fetchOffset`, below the high watermark and within `maxBytes`
   * and the region. Fills `into`; length 0 with `neededBytes` > 0 means that the first batch is larger than that,
   * length 0 without means that there is nothing to read yet. Errors: OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE (then
   * `nextOffset` is the next good one), KAFKA_STORAGE_ERROR.
   */
  read(fetchOffset: number, maxBytes: number, region: Uint8Array, into: ReadResult): void {
    serveRead(this, fetchOffset, maxBytes, region, into)
  }

  readableBytes(segment: Segment): number {
    return this.#readable.bytesOf(segment)
  }

  /**
   * The first batch that reaches `fromOffset` (with `wholly`: begins there or behind) below the high watermark and
   * whose header promises a record of `timestampMs` or later; the caller decodes it. Null when there is none. Throws
   * as the disk does.
   */
  findByTime(
    timestampMs: number,
    fromOffset = this.offsets.logStart,
    wholly = false,
  ): BatchLocation | null {
    return findByTime(this, timestampMs, fromOffset, wholly)
  }

  /** The first readable batch with the largest timestamp; null when there is none. `wholly` as in `findByTime`. */
  findMaxTimestamp(wholly = false): BatchLocation | null {
    return findMaxTimestamp(this, this.offsets.logStart, wholly)
  }

  /** Reads the batch at `location` into the start of `into`; returns its size, or 0 when it is gone or does not fit. */
  readAt(location: BatchLocation, into: Uint8Array): number {
    return readBatch(this.segments, location, into)
  }

  /** Starts a sync if the policy says that one is due. */
  flush(): void {
    this.#flusher.maybeStart()
  }

  /** Resolves when no sync is in flight. Await it before `flushBlocking` and `close`. */
  async settled(): Promise<void> {
    const parts = [this.#flusher, this.marks, this.retention, this.swapper]
    while (parts.some(part => part.isSyncing)) {
      for (const part of parts) await part.settled()
    }
  }

  /**
   * Syncs everything now, whatever the policy. False when that is not proven: the log is offline, or a sync is in
   * flight (an error would be reported to only one of the two).
   */
  flushBlocking(): boolean {
    if (this.state === 'offline' || this.#flusher.isSyncing) return false
    try {
      this.#flusher.syncNow()
      return true
    } catch (error) {
      this.roundFailed(error as Error)
      return false
    }
  }

  /**
   * Closes all files; the log is not used any more. With `clean`, first syncs and saves indexes and producer state, so
   * that the next open need not scan. Returns whether that worked: only then may a clean shutdown be noted.
   */
  close({ clean }: { readonly clean: boolean }): boolean {
    let isClean = clean && this.flushBlocking()
    this.#isClosed = true
    this.#stop()
    if (isClean) {
      // A full disk may refuse the note that the next start relies on.
      isClean = runNow(this.#env.disk, this.keepIndexes())
      isClean &&= this.#checkpoints.maybeWriteLast(this.offsets.logEnd)
      this.#checkpoints.writeSnapshot(this.offsets.logEnd, this.#snapshotOffsets)
    }
    for (const segment of this.segments) segment.closeFile()
    return isClean
  }

  /** Brings the index files that the next start believes onto the disk; false when that failed. */
  keepIndexes(): Steps<boolean> {
    return this.active.keepIndexes(this.#spec.recover)
  }

  /** Closes without flushing and removes the directory: see `removeLog`. */
  delete(): Promise<void> {
    this.close({ clean: false })
    return removeLog(this.#env.disk, this.#spec)
  }

  applyConfig(config: LogConfig): void {
    this.config = config
    this.active.indexes.intervalBytes = config.indexIntervalBytes
    this.#flusher.configure(config)
    this.offsets.setReadableUnflushed(config.flushPolicy === 'os')
    // Acknowledgements by all of what was readable before wait for this round.
    if (this.offsets.highWatermark > this.offsets.flushedEnd) this.#flusher.forceRound()
    if (config.flushPolicy === 'os') this.#readable.set(this.active, this.active.sizeBytes)
    this.#flusher.maybeStart()
    this.#events.onAdvance(this)
  }

  describe(): PartitionDescription {
    return describeLog(this)
  }

  #idleEnd(): number {
    const { logEnd, recoveryPoint } = this.offsets
    const isIdle =
      logEnd === recoveryPoint && this.#appender.stagedCount === 0 && this.state === 'online'
    return isIdle ? logEnd : -1
  }

  roundStarted(): void {
    // Between stage and commit the producers' state is ahead of the log end.
    if (this.#appender.stagedCount > 0) return
    this.#checkpoints.maybeCapture(this.offsets.logEnd)
  }

  roundDone(segment: Segment, position: number): void {
    const { highWatermark, recoveryPoint } = this.offsets
    this.#readable.roundProved({ offset: recoveryPoint, segment, position }, highWatermark)
    this.marks.nameSynced()
    this.#events.onAdvance(this)
    this.#checkpoints.maybeWrite()
    this.#events.journal?.segmentsSynced(this)
  }

  journalSynced({ fromOffset, endOffset, segment, position }: JournaledRange): void {
    if (this.state === 'offline' || this.#isClosed) return
    this.offsets.journaled(fromOffset, endOffset)
    const place = { offset: endOffset, segment, position }
    this.#readable.journalProved(place, this.offsets.highWatermark)
    this.#events.onAdvance(this)
  }

  journalRefused(): void {
    this.#flusher.refused()
  }

  checkpoint(): void {
    this.#flusher.checkpoint()
  }

  roundFailed(error: Error): void {
    this.#fail(error)
  }

  get directory(): string {
    return this.#spec.directory
  }

  segmentsReplaced(old: readonly Segment[], segment: Segment): void {
    this.#readable.replaced(old, segment)
  }

  /** Base offsets of the batches by which producers are recognised, below `endOffset`. */
  windowOffsets(endOffset: number): Float64Array {
    return this.#producers.windowOffsets(endOffset)
  }

  #fail(error: Error): void {
    // A sync that ends after the log is closed, perhaps of files that are deleted, is nobody's news.
    if (this.state === 'offline' || this.#isClosed) return
    this.#stop()
    this.#setState('offline', error.message)
    this.#events.journal?.failed(this.slot)
    this.#events.onFailure(this, error)
  }

  #stop(): void {
    for (const part of [this.#flusher, this.#checkpoints, this.marks, this.swapper]) part.stop()
  }

  #setState(state: LogState, reason: string | null): void {
    this.state = state
    this.reason = reason
  }
}
