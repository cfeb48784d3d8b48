/**
 * Knows what one partition must hold, from what its writers were promised and its readers saw, and says what is wrong
 * with it. Linear: the broker's offsets are the order, so nothing has to be searched.
 *
 *   offset   0 ............ settled.end ......................... later
 *            settled: lane  | claims: acknowledged or seen by     |
 *            and seq, fixed | a reader since the last check       |
 *
 * After each restart `recovered` is fed with what the log holds from `settled.end` on; `endOfLog` then compares it with
 * the claims and settles it. Memory: 8 bytes a settled record, and the claims of one life.
 *
 * What is found carries the name that Jepsen's Redpanda checker gives it, where it has one.
 */
import { OffsetLog } from './offset-log.ts'
import { claimedBy, isIntact, keyText, type Lane, type ReadRecord } from './records.ts'

export type ViolationKind =
  | 'lost'
  | 'phantom'
  | 'altered'
  | 'duplicate'
  | 'reordered'
  | 'inconsistent-offset'
  | 'gap'
  | 'nonmonotonic'
  | 'false-ack'
  | 'unexpected'
  | 'two-owners'
  | 'not-fenced'
  | 'skipped'

/** A promise that was not kept. */
export class Violation extends Error {
  override name = 'Violation'
  readonly kind: ViolationKind

  constructor(kind: ViolationKind, message: string) {
    super(`${kind}: ${message}`)
    this.kind = kind
  }
}

/** How the last life ended: what was only in the page cache survives a process, not a machine. */
export type Death = 'process' | 'machine'

/** Weakest first. `written`: answered under acks=1. `flushed`: under acks=all, or seen by a reader. */
type Strength = 'written' | 'flushed'

interface Claim {
  readonly lane: number
  readonly seq: number
  strength: Strength
}

interface LaneState {
  readonly lane: Lane
  /** Sequence numbers below were sent. */
  sentEnd: number
  /** Sequence numbers below were found in the log, or will never be. */
  foundEnd: number
  /** Below `foundEnd`, and not in the log: to tell a reordered record from a duplicate. */
  readonly skipped: Set<number>
  /** Retention has removed records that were never checked: the next one need not continue. */
  isOvertaken: boolean
  lastAckedSeq: number
  lastAckedOffset: number
}

const skippedMax = 100_000

/** What a client knows of a partition: none of it may ever go back. */
export interface View {
  readonly highWatermark: number
  readonly logStart: number
  /** Offsets below were answered under acks=all. */
  readonly flushedAckEnd: number
}

export interface CheckerOptions {
  /** For messages, `topic-3`. */
  readonly name: string
  /** flush.policy=os: readers see, and acks=all answers, what is only in the page cache. */
  readonly isUnflushedReadable: boolean
  /** Compaction takes records out: offsets have gaps, and what counts is the newest record of each key. */
  readonly isCompacted?: boolean
}

export class PartitionChecker {
  readonly name: string
  readonly settled = new OffsetLog()
  highWatermark = 0
  logStart = 0
  ackedCount = 0
  checkedCount = 0
  /** Offsets below were answered under acks=all: a fetch sent after that sees them. */
  flushedAckEnd = 0
  readonly isCompacted: boolean
  readonly #isUnflushedReadable: boolean
  readonly #lanes = new Map<number, LaneState>()
  readonly #claims = new Map<number, Claim>()

  constructor(options: CheckerOptions) {
    this.name = options.name
    this.#isUnflushedReadable = options.isUnflushedReadable
    this.isCompacted = options.isCompacted === true
  }

  addLane(lane: Lane): void {
    this.#lanes.set(lane.id, {
      lane,
      sentEnd: 0,
      foundEnd: 0,
      skipped: new Set(),
      isOvertaken: false,
      lastAckedSeq: -1,
      lastAckedOffset: -1,
    })
  }

  /** Before the bytes leave: records `seq` to `seq + count - 1` of the lane may be stored from now on. */
  sent(lane: Lane, seq: number, count: number): void {
    const state = this.#stateOf(lane.id)
    state.sentEnd = Math.max(state.sentEnd, seq + count)
  }

  /** An answer without error. A repeated batch is answered with the offset it has. */
  acked(lane: Lane, seq: number, count: number, baseOffset: number): void {
    const state = this.#stateOf(lane.id)
    const what = `${this.#text(lane.id, seq)}, acknowledged at ${baseOffset}`
    if (baseOffset < 0) throw this.#violation('unexpected', what)
    if (seq > state.lastAckedSeq && baseOffset <= state.lastAckedOffset) {
      const earlier = `${state.lastAckedSeq} got ${state.lastAckedOffset}`
      throw this.#violation('reordered', `${what}, although record ${earlier}`)
    }
    if (seq > state.lastAckedSeq) {
      state.lastAckedSeq = seq
      state.lastAckedOffset = baseOffset
    }
    this.ackedCount += count
    const strength = lane.acks === -1 && !this.#isUnflushedReadable ? 'flushed' : 'written'
    for (let i = 0; i < count; i++) this.#claim(baseOffset + i, lane.id, seq + i, strength)
    if (lane.acks === -1) this.flushedAckEnd = Math.max(this.flushedAckEnd, baseOffset + count)
  }

  /** A reader got this record, in front of the high watermark. */
  seen(record: ReadRecord): void {
    const { lane, seq } = this.#identify(record)
    this.#claim(record.offset, lane.id, seq, this.#isUnflushedReadable ? 'written' : 'flushed')
  }

  /** What a client knows; taken when a request is sent, because answers of several connections overtake each other. */
  view(): View {
    const { highWatermark, logStart, flushedAckEnd } = this
    return { highWatermark, logStart, flushedAckEnd }
  }

  /** What an answer said about the partition, `since`: what was known when its request was sent. */
  sawOffsets(highWatermark: number, logStart: number, since: View): void {
    if (highWatermark < since.highWatermark) {
      const was = `high watermark ${highWatermark} after ${since.highWatermark}`
      throw this.#violation('nonmonotonic', was)
    }
    if (logStart < since.logStart) {
      throw this.#violation('nonmonotonic', `log start ${logStart} after ${since.logStart}`)
    }
    if (highWatermark < since.flushedAckEnd) {
      const acked = `acks=all answered up to ${since.flushedAckEnd - 1}`
      throw this.#violation('false-ack', `${acked}, high watermark is still ${highWatermark}`)
    }
    this.highWatermark = Math.max(this.highWatermark, highWatermark)
    this.logStart = Math.max(this.logStart, logStart)
  }

  /** The next record that the log holds behind `settled.end`, in order. */
  recovered(record: ReadRecord): void {
    const { offset } = record
    const { lane, seq, state } = this.#identify(record)
    if (offset !== this.settled.end) {
      throw this.#violation('gap', `offset ${offset} follows ${this.settled.end - 1}`)
    }
    const claim = this.#claims.get(offset)
    if (claim !== undefined && (claim.lane !== lane.id || claim.seq !== seq)) {
      throw this.#conflict(offset, claim, lane.id, seq)
    }
    this.#inOrder(state, seq, offset)
    this.#claims.delete(offset)
    this.settled.push(lane.id, seq)
    this.checkedCount++
  }

  /**
   * The log has been read to its end after a restart.
   * @param death how the life before ended; null while it goes on: nothing may be missing then either, but claims that
   * came meanwhile stay
   */
  endOfLog(highWatermark: number, logStart: number, since: View, death: Death | null): void {
    if (death !== null) this.#nothingLost(death)
    const mayShrink = death === 'machine' && this.#isUnflushedReadable
    if (mayShrink) {
      this.highWatermark = highWatermark
      this.flushedAckEnd = Math.min(this.flushedAckEnd, highWatermark)
    }
    this.sawOffsets(highWatermark, logStart, mayShrink ? this.view() : since)
  }

  /**
   * All that a compacted log holds: each record that was promised is there, or a newer one of its key; what is there
   * stands where it was said to be, in the order in which it was sent.
   */
  compactedLog(records: readonly ReadRecord[], endOffset: number, death: Death | null): void {
    const newest = new Map<string, number>()
    const lastSeqs = new Map<number, number>()
    let last = -1
    for (const record of records) {
      const { offset } = record
      const { lane, seq } = this.#identify(record)
      const what = `${this.#text(lane.id, seq)} at ${offset}`
      if (offset <= last) throw this.#violation('reordered', `${what}, behind offset ${last}`)
      const lastSeq = lastSeqs.get(lane.id) ?? -1
      if (seq <= lastSeq) throw this.#violation('reordered', `${what}, behind record ${lastSeq}`)
      const claim = this.#claims.get(offset)
      if (claim !== undefined && (claim.lane !== lane.id || claim.seq !== seq)) {
        throw this.#conflict(offset, claim, lane.id, seq)
      }
      last = offset
      lastSeqs.set(lane.id, seq)
      newest.set(keyText(lane, seq), offset)
    }
    for (const [offset, claim] of this.#claims) {
      if (offset >= endOffset && death === null) continue
      if (death === 'machine' && claim.strength === 'written') {
        this.#claims.delete(offset)
        continue
      }
      const { lane } = this.#stateOf(claim.lane)
      const found = newest.get(keyText(lane, claim.seq)) ?? -1
      if (found >= offset) continue
      const what = `${this.#text(claim.lane, claim.seq)} at ${offset}, ${claim.strength}`
      throw this.#violation('lost', `${what}; the newest of its key is at ${found}`)
    }
    this.checkedCount += records.length
    if (death === 'machine') this.#forgetLost()
  }

  /** Claims behind the end of the log: those that this death must not take are violations, the rest is forgotten. */
  #nothingLost(death: Death): void {
    for (const [offset, claim] of this.#claims) {
      if (death === 'machine' && claim.strength === 'written') continue
      const what = `${this.#text(claim.lane, claim.seq)} at ${offset}, ${claim.strength}`
      throw this.#violation('lost', `${what}; the log ends at ${this.settled.end}`)
    }
    this.#claims.clear()
    if (death === 'machine') this.#forgetLost()
  }

  /** Retention has removed what lies below. */
  startsAt(logStart: number): void {
    if (logStart > this.settled.end) {
      for (const offset of this.#claims.keys()) if (offset < logStart) this.#claims.delete(offset)
      for (const state of this.#lanes.values()) state.isOvertaken = true
    }
    this.settled.dropBelow(logStart)
  }

  /** A settled record, read once more. */
  again(record: ReadRecord): void {
    const { offset } = record
    const { lane, seq } = this.#identify(record)
    if (!this.settled.has(offset)) throw this.#violation('gap', `nothing is known of ${offset}`)
    const [knownLane, knownSeq] = [this.settled.laneAt(offset), this.settled.seqAt(offset)]
    if (knownLane !== lane.id || knownSeq !== seq) {
      const known: Claim = { lane: knownLane, seq: knownSeq, strength: 'flushed' }
      throw this.#conflict(offset, known, lane.id, seq)
    }
    this.checkedCount++
  }

  #identify(record: ReadRecord): { lane: Lane; seq: number; state: LaneState } {
    const who = claimedBy(record.value)
    const state = who === null ? undefined : this.#lanes.get(who.lane)
    if (who === null || state === undefined || who.seq >= state.sentEnd) {
      const said = who === null ? 'bytes of nobody' : this.#text(who.lane, who.seq)
      throw this.#violation('phantom', `offset ${record.offset} holds ${said}, never sent here`)
    }
    if (!isIntact(record, state.lane, who.seq)) {
      const said = this.#text(who.lane, who.seq)
      throw this.#violation('altered', `offset ${record.offset} holds other bytes than ${said}`)
    }
    return { lane: state.lane, seq: who.seq, state }
  }

  #claim(offset: number, lane: number, seq: number, strength: Strength): void {
    if (offset < this.settled.start) return
    if (this.settled.has(offset)) {
      const [knownLane, knownSeq] = [this.settled.laneAt(offset), this.settled.seqAt(offset)]
      const known: Claim = { lane: knownLane, seq: knownSeq, strength: 'flushed' }
      if (knownLane !== lane || knownSeq !== seq) throw this.#conflict(offset, known, lane, seq)
      return
    }
    const claim = this.#claims.get(offset)
    if (claim === undefined) {
      this.#claims.set(offset, { lane, seq, strength })
      return
    }
    if (claim.lane !== lane || claim.seq !== seq) throw this.#conflict(offset, claim, lane, seq)
    if (strength === 'flushed') claim.strength = strength
  }

  #inOrder(state: LaneState, seq: number, offset: number): void {
    const { lane, foundEnd, skipped } = state
    const what = `${this.#text(lane.id, seq)} at ${offset}`
    if (seq < foundEnd) {
      const kind = skipped.has(seq) ? 'reordered' : 'duplicate'
      throw this.#violation(kind, `${what}, behind record ${foundEnd - 1}`)
    }
    if (seq > foundEnd && lane.isExactlyOnce && !state.isOvertaken) {
      throw this.#violation('lost', `${what}, but record ${foundEnd} was to come first`)
    }
    for (let missing = foundEnd; missing < seq; missing++) skipped.add(missing)
    if (skipped.size > skippedMax) skipped.clear()
    state.foundEnd = seq + 1
    state.isOvertaken = false
  }

  /** Offsets of lost records are given out again: older acknowledgements say nothing about the order any more. */
  #forgetLost(): void {
    for (const state of this.#lanes.values()) state.lastAckedOffset = -1
  }

  #stateOf(lane: number): LaneState {
    const state = this.#lanes.get(lane)
    if (state === undefined) throw new Error(`${this.name} has no lane ${lane}`)
    return state
  }

  #text(lane: number, seq: number): string {
    return `record ${seq} of lane ${lane}`
  }

  #conflict(offset: number, known: Claim, lane: number, seq: number): Violation {
    const was = this.#text(known.lane, known.seq)
    return this.#violation(
      'inconsistent-offset',
      `offset ${offset} was ${was} and is ${this.#text(lane, seq)}`,
    )
  }

  #violation(kind: ViolationKind, message: string): Violation {
    return new Violation(kind, `${this.name}: ${message}`)
  }
}
