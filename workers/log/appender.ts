/**
 * Takes batches into one log: checks them, gives them offsets, writes a round of them together. Owner thread only.
 *
 *   stage  stage  stage | commit
 *   check, give offsets | write once, roll, index, count          all of a round, or nothing of it
 *
 * When `commit` fails, every batch staged since the last one has failed and the files are cut back.
 */
import type { LogConfig } from '../../src/contracts/log-config.ts'
import { Errors } from '../../src/protocol/errors.ts'
import {
  analyzeBatch,
  lastOffsetDeltaAt,
  maxTimestampAt,
  patchAppend,
  producerIdAt,
  stampLogAppendTime,
} from '../../src/protocol/record-batch.ts'
import type { JournaledLog, OwnerJournal } from '../journal/owner-journal.ts'
import type { Checkpoints } from './checkpoints.ts'
import { isExhausted } from './files.ts'
import type { Flusher } from './flush-policy.ts'
import type { LogState, OpenLogOptions } from './log-options.ts'
import type { LogOffsets } from './offsets.ts'
import type { ProducerState } from './producer-state.ts'
import { checkRecords } from './record-rules.ts'
import type { AppendResult } from './results.ts'
import { Round } from './round.ts'
import type { Segment } from './segment.ts'

/** Constant on one host; Metadata reports the same. */
const LEADER_EPOCH = 0

/** The log as its appender sees it. */
export interface AppendTarget extends JournaledLog {
  readonly offsets: LogOffsets
  readonly segments: Segment[]
  active: Segment
  readonly config: LogConfig
  readonly state: LogState
  /** Everything staged is in the files and counted. */
  appended(): void
  /** A round failed and was taken back; `isFinal` when the files are no longer to be trusted. */
  appendFailed(error: Error, isFinal: boolean): void
}

export class Appender {
  readonly #log: AppendTarget
  readonly #clock: OpenLogOptions['env']['clock']
  readonly #decompressedBytesMax: number | undefined
  readonly #producers: ProducerState
  readonly #checkpoints: Checkpoints
  readonly #flusher: Flusher
  readonly #journal: OwnerJournal | undefined
  readonly #limits: { batchBytesMax: number; apiVersion: number }
  readonly #round: Round
  #stagedEnd: number
  #lastAppendMs = 0
  /** When the first batch of the round was staged. */
  #roundWallMs = 0

  constructor(
    log: AppendTarget,
    env: OpenLogOptions['env'],
    directory: string,
    parts: {
      readonly producers: ProducerState
      readonly checkpoints: Checkpoints
      readonly flusher: Flusher
      readonly journal: OwnerJournal | undefined
    },
  ) {
    this.#log = log
    this.#clock = env.clock
    this.#decompressedBytesMax = env.decompressedBytesMax
    this.#producers = parts.producers
    this.#checkpoints = parts.checkpoints
    this.#flusher = parts.flusher
    this.#journal = parts.journal
    this.#limits = { batchBytesMax: log.config.batchBytesMax, apiVersion: 0 }
    this.#round = new Round(env, directory)
    this.#stagedEnd = log.offsets.logEnd
  }

  /** Batches that are staged and not committed. */
  get stagedCount(): number {
    return this.#round.count
  }

  /** See PartitionLog.stage. */
  stage(batch: Uint8Array, apiVersion: number, into: AppendResult): void {
    into.duplicate = false
    into.logAppendTimeMs = -1
    into.badRecord = -1
    into.badTimestampMs = -1
    into.error = this.#stage(batch, apiVersion, into)
  }

  #stage(batch: Uint8Array, apiVersion: number, into: AppendResult): number {
    const { config, state } = this.#log
    if (state === 'offline') return Errors.KAFKA_STORAGE_ERROR
    this.#limits.apiVersion = apiVersion
    this.#limits.batchBytesMax = config.batchBytesMax
    const error = analyzeBatch(batch, this.#limits)
    if (error !== Errors.NONE) return error
    if (batch.length > config.segmentBytesMax) return Errors.RECORD_LIST_TOO_LARGE
    const delta = lastOffsetDeltaAt(batch, 0)
    const isIdempotent = producerIdAt(batch, 0) >= 0
    if (isIdempotent) {
      const refused = this.#checkProducer(batch, delta, into)
      if (refused !== Errors.NONE || into.duplicate) return refused
    }
    // Once a round: to ask for the time costs as much as all else that is done per batch.
    if (this.#round.count === 0) this.#roundWallMs = this.#clock.wallMs()
    const broken = checkRecords(batch, config, this.#roundWallMs, into, this.#decompressedBytesMax)
    if (broken !== Errors.NONE) return broken
    if (config.timestampType === 'LogAppendTime') {
      into.logAppendTimeMs = this.#stampMs()
      stampLogAppendTime(batch, into.logAppendTimeMs)
    }
    const baseOffset = this.#stagedEnd
    patchAppend(batch, baseOffset, LEADER_EPOCH)
    if (isIdempotent) this.#producers.append(batch, 0, baseOffset, this.#clock.monotonicMs())
    into.baseOffset = baseOffset
    into.lastOffset = baseOffset + delta
    this.#stagedEnd = baseOffset + delta + 1
    this.#round.add(batch, into.lastOffset, maxTimestampAt(batch, 0))
    return Errors.NONE
  }

  /** Stamps never go back, whatever the wall clock does. */
  #stampMs(): number {
    this.#lastAppendMs = Math.max(this.#lastAppendMs, this.#roundWallMs)
    return this.#lastAppendMs
  }

  #checkProducer(batch: Uint8Array, delta: number, into: AppendResult): number {
    const verdict = this.#producers.check(batch, 0)
    if (verdict !== Errors.DUPLICATE_SEQUENCE_NUMBER) return verdict
    into.baseOffset = this.#producers.duplicateBaseOffset
    into.lastOffset = into.baseOffset + delta
    const { highWatermark, flushedEnd } = this.#log.offsets
    const isReadable = into.lastOffset < highWatermark
    const isFlushed = into.lastOffset < flushedEnd || this.#log.config.flushPolicy === 'os'
    // The policy was `os` a moment ago. The high watermark says nothing of the flush then, and never goes back.
    if (isReadable && !isFlushed) return Errors.REQUEST_TIMED_OUT
    into.duplicate = true
    if (this.#log.config.timestampType === 'LogAppendTime') {
      into.logAppendTimeMs = this.#producers.duplicateTimestampMs
    }
    return Errors.NONE
  }

  /** See PartitionLog.commit. */
  commit(): number {
    if (this.#round.count === 0) return Errors.NONE
    const { state, active, offsets, config } = this.#log
    if (state === 'offline') {
      this.#forgetRound()
      return Errors.KAFKA_STORAGE_ERROR
    }
    try {
      this.#round.write(active, offsets.logEnd, config)
    } catch (error) {
      this.#undoRound(error as Error)
      return Errors.KAFKA_STORAGE_ERROR
    }
    this.#maybeHand()
    this.#countRound()
    this.#log.appended()
    return Errors.NONE
  }

  /** To the journal, which writes it when the owner's turn ends. */
  #maybeHand(): void {
    const log = this.#log
    if (this.#journal?.isTaking !== true || !this.#flusher.isJournalable) return
    const { rolls, count, views, lastOffsets } = this.#round
    let segment = log.active
    let position = segment.sizeBytes
    let baseOffset = log.offsets.logEnd
    let from = 0
    for (let roll = 0; roll <= rolls.length; roll++) {
      const to = rolls[roll]?.index ?? count
      if (to > from) {
        const endOffset = lastOffsets[to - 1] + 1
        this.#journal.add(log, segment, { position, baseOffset, endOffset }, views, from, to)
        baseOffset = endOffset
      }
      from = to
      segment = rolls[roll]?.segment ?? segment
      position = 0
    }
    this.#flusher.handed(log.offsets.logEnd, this.#stagedEnd)
  }

  /** The round is in the files: counts and indexes it, moves the log end. */
  #countRound(): void {
    const log = this.#log
    const { count, rolls, views, lastOffsets, maxTimestampsMs } = this.#round
    const monotonicMs = this.#clock.monotonicMs()
    let roundBytes = 0
    let roll = 0
    for (let index = 0; index < count; index++) {
      if (roll < rolls.length && rolls[roll].index === index) this.#rollTo(rolls[roll++].segment)
      const bytes = views[index].length
      if (log.active.sizeBytes === 0) log.active.bornMs = monotonicMs
      log.active.addBatch(bytes, lastOffsets[index], maxTimestampsMs[index])
      roundBytes += bytes
      const isLast = index === count - 1 || rolls[roll]?.index === index + 1
      if (isLast) log.active.appended(this.#roundWallMs, monotonicMs)
    }
    this.#checkpoints.appended(roundBytes)
    this.#round.clear()
    this.#producers.confirm()
    this.#flusher.appended(log.active)
    log.offsets.appended(this.#stagedEnd)
  }

  /**
   * Seals the active segment between two rounds, so that it may grow old; returns whether. Not when a new file cannot
   * be made for want of room. Throws as the disk does.
   */
  roll(): boolean {
    const { active, offsets, config, state } = this.#log
    if (this.#round.count > 0 || active.sizeBytes === 0 || state === 'offline') return false
    const next = this.#round.newSegment(offsets.logEnd, config)
    try {
      next.create()
    } catch (error) {
      if (isExhausted(error as Error)) return false
      throw error
    }
    this.#rollTo(next)
    this.#flusher.maybeStart()
    return true
  }

  #rollTo(segment: Segment): void {
    const log = this.#log
    log.active.saveIndexes()
    this.#flusher.appended(log.active)
    log.segments.push(segment)
    log.active = segment
    this.#flusher.segmentCreated(segment, true)
  }

  #undoRound(error: Error): void {
    let failure: Error | null = isExhausted(error) ? null : error
    try {
      this.#round.undo(this.#log.active)
    } catch (second) {
      failure ??= second as Error
    }
    this.#forgetRound()
    this.#log.appendFailed(failure ?? error, failure !== null)
  }

  #forgetRound(): void {
    this.#round.clear()
    this.#producers.rollback()
    this.#stagedEnd = this.#log.offsets.logEnd
  }
}
