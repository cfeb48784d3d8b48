/**
 * Idempotent producers of one partition (KIP-98, KIP-360): per producer id its epoch and its last five batches, so that
 * a batch sent again gets the offsets of its first arrival and a gap is refused. Owner thread only.
 *
 *     producer id -> epoch | batch | batch | batch | batch | batch |      ring of five, `newest` points at the last
 *                            first sequence, last sequence, base offset, timestamp
 *
 * Batches are remembered when they are staged, because the next one of the same round needs them; `rollback` undoes a
 * round that could not be written.
 */
import { Errors } from '../../src/protocol/errors.ts'
import {
  baseSequenceAt,
  lastOffsetDeltaAt,
  maxTimestampAt,
  producerEpochAt,
  producerIdAt,
} from '../../src/protocol/record-batch.ts'

/** Producers keep at most five batches in flight. */
export const WINDOW_BATCHES = 5
const FIELDS = 4
const SEQUENCE_MAX = 2 ** 31 - 1

/** Ids come free of charge to clients, so their number is bounded; far above what honest clients use in a day. */
const PRODUCERS_MAX = 50_000

export class ProducerEntry {
  epoch = -1
  count = 0
  newest = WINDOW_BATCHES - 1
  lastUsedMs = 0
  /** The round that has saved this entry for undo. */
  round = -1
  readonly batches = new Float64Array(WINDOW_BATCHES * FIELDS)

  /** `age` 0 is the newest batch. */
  slot(age: number): number {
    return ((this.newest + WINDOW_BATCHES - age) % WINDOW_BATCHES) * FIELDS
  }
  firstSequence(age: number): number {
    return this.batches[this.slot(age)]
  }
  lastSequence(age: number): number {
    return this.batches[this.slot(age) + 1]
  }
  baseOffset(age: number): number {
    return this.batches[this.slot(age) + 2]
  }
  lastOffset(age: number): number {
    return this.baseOffset(age) + sequenceDelta(this.firstSequence(age), this.lastSequence(age))
  }
  timestampMs(age: number): number {
    return this.batches[this.slot(age) + 3]
  }

  push(firstSequence: number, lastSequence: number, baseOffset: number, timestampMs: number): void {
    this.newest = (this.newest + 1) % WINDOW_BATCHES
    if (this.count < WINDOW_BATCHES) this.count++
    const at = this.newest * FIELDS
    this.batches[at] = firstSequence
    this.batches[at + 1] = lastSequence
    this.batches[at + 2] = baseOffset
    this.batches[at + 3] = timestampMs
  }

  copyFrom(other: ProducerEntry): void {
    this.epoch = other.epoch
    this.count = other.count
    this.newest = other.newest
    this.lastUsedMs = other.lastUsedMs
    this.batches.set(other.batches)
  }
}

/** Sequence `delta` after `sequence`; 2147483647 is followed by 0. */
export function sequenceAfter(sequence: number, delta: number): number {
  const sum = sequence + delta
  return sum > SEQUENCE_MAX ? sum - SEQUENCE_MAX - 1 : sum
}

function sequenceDelta(first: number, last: number): number {
  return last >= first ? last - first : last + SEQUENCE_MAX + 1 - first
}

export class ProducerState {
  readonly entries = new Map<number, ProducerEntry>()
  #round = 0
  readonly #undoIds: number[] = []
  /** Saved entries of this round, reused from round to round; null where the producer was new. */
  readonly #undoSaved: (ProducerEntry | null)[] = []
  readonly #undoPool: ProducerEntry[] = []
  /** Of the batch that `check` found to be a duplicate. */
  duplicateBaseOffset = -1
  duplicateTimestampMs = -1

  /**
   * What appending the batch at bytes[at], of a producer with an id, would mean: NONE, OUT_OF_ORDER_SEQUENCE_NUMBER,
   * INVALID_PRODUCER_EPOCH, or DUPLICATE_SEQUENCE_NUMBER when it is one of the last five, which `duplicate…` then
   * describe (clients never see that code).
   */
  check(bytes: Uint8Array, at: number): number {
    const entry = this.entries.get(producerIdAt(bytes, at))
    if (entry === undefined) return Errors.NONE
    const epoch = producerEpochAt(bytes, at)
    const firstSequence = baseSequenceAt(bytes, at)
    const lastSequence = sequenceAfter(firstSequence, lastOffsetDeltaAt(bytes, at))
    if (epoch < entry.epoch) return Errors.INVALID_PRODUCER_EPOCH
    if (epoch > entry.epoch) {
      return firstSequence === 0 ? Errors.NONE : Errors.OUT_OF_ORDER_SEQUENCE_NUMBER
    }
    for (let age = 0; age < entry.count; age++) {
      if (entry.firstSequence(age) !== firstSequence) continue
      if (entry.lastSequence(age) !== lastSequence) continue
      this.duplicateBaseOffset = entry.baseOffset(age)
      this.duplicateTimestampMs = entry.timestampMs(age)
      return Errors.DUPLICATE_SEQUENCE_NUMBER
    }
    const expected = entry.count === 0 ? 0 : sequenceAfter(entry.lastSequence(0), 1)
    return firstSequence === expected ? Errors.NONE : Errors.OUT_OF_ORDER_SEQUENCE_NUMBER
  }

  /** Remembers the batch at bytes[at], which `check` accepted (or which is in the log). `nowMs` is monotonic. */
  append(bytes: Uint8Array, at: number, baseOffset: number, nowMs: number): void {
    const producerId = producerIdAt(bytes, at)
    const epoch = producerEpochAt(bytes, at)
    const firstSequence = baseSequenceAt(bytes, at)
    const lastSequence = sequenceAfter(firstSequence, lastOffsetDeltaAt(bytes, at))
    let entry = this.entries.get(producerId)
    if (entry === undefined) {
      if (this.entries.size >= PRODUCERS_MAX) this.#dropOldest()
      entry = new ProducerEntry()
      this.entries.set(producerId, entry)
      this.#saveForUndo(producerId, null)
      entry.round = this.#round
    } else if (entry.round !== this.#round) {
      this.#saveForUndo(producerId, entry)
      entry.round = this.#round
    }
    if (epoch !== entry.epoch) entry.count = 0
    entry.epoch = epoch
    entry.lastUsedMs = nowMs
    entry.push(firstSequence, lastSequence, baseOffset, maxTimestampAt(bytes, at))
  }

  #saveForUndo(producerId: number, entry: ProducerEntry | null): void {
    const index = this.#undoIds.length
    this.#undoIds.push(producerId)
    if (entry === null) {
      this.#undoSaved[index] = null
      return
    }
    this.#undoPool[index] ??= new ProducerEntry()
    this.#undoPool[index].copyFrom(entry)
    this.#undoSaved[index] = this.#undoPool[index]
  }

  /** The round's batches are in the log. */
  confirm(): void {
    if (this.#undoIds.length === 0) return
    this.#undoIds.length = 0
    this.#round++
  }

  /** None of the round's batches is in the log. */
  rollback(): void {
    for (let index = 0; index < this.#undoIds.length; index++) {
      const producerId = this.#undoIds[index]
      const saved = this.#undoSaved[index]
      if (saved === null) this.entries.delete(producerId)
      else this.entries.get(producerId)?.copyFrom(saved)
    }
    this.confirm()
  }

  /** Base offsets of all remembered batches below `endOffset`. */
  windowOffsets(endOffset: number): Float64Array {
    const offsets: number[] = []
    for (const entry of this.entries.values()) {
      for (let age = 0; age < entry.count; age++) {
        if (entry.baseOffset(age) < endOffset) offsets.push(entry.baseOffset(age))
      }
    }
    return Float64Array.from(offsets)
  }

  /** Forgets producers idle for longer than `idleMsMax` (Kafka's producer.id.expiration.ms). */
  expire(nowMs: number, idleMsMax: number): void {
    for (const [producerId, entry] of this.entries) {
      if (nowMs - entry.lastUsedMs > idleMsMax) this.entries.delete(producerId)
    }
  }

  /** Makes room when clients ask for ids without end: the longest idle half goes. */
  #dropOldest(): void {
    const byAge = [...this.entries].sort((a, b) => a[1].lastUsedMs - b[1].lastUsedMs)
    for (const [producerId, entry] of byAge.slice(0, byAge.length / 2)) {
      if (entry.round !== this.#round) this.entries.delete(producerId)
    }
  }
}
