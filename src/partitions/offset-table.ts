/**
 * Where every partition stands, for all threads to read without asking: state and the three offsets, per
 * slot. One writer per row, the owner of the partition (or the dispatcher while nobody owns it: reset);
 * every thread reads.
 *
 *   row | sequence | view 0: generation, state, log start hi lo, high watermark hi lo, log end hi lo | view 1: the same
 *       | watch word of dispatcher 0, 1, ... | padding to whole cache lines |
 *
 * The view of the sequence's lowest bit is current. The owner fills the other view and then raises the
 * sequence by one, so an owner that dies half-way leaves the old view whole. A reader takes the current
 * view and looks at the sequence again: if it moved, a later publish may be writing that view, so it reads
 * once more; it never waits for the owner.
 *
 * Watch: the dispatcher sets its word, then reads the high watermark again; the owner publishes, then tests
 * the word. At least one sees the other, so no advance goes unnoticed. test/ring runs this very text in all
 * interleavings.
 */
import { fromWords, highWord, lowWord } from '../ring/commands.ts'
import { ensure } from '../ring/ensure.ts'

export const PartitionState = { closed: 0, online: 1, offline: 2, readOnly: 3 } as const

/** One consistent row; keep one and let read() fill it again. */
export interface OffsetView {
  /** A PartitionState. */
  state: number
  logStart: number
  highWatermark: number
  logEnd: number
}

/** An OffsetView to fill again and again. */
export function emptyOffsetView(): OffsetView {
  return { state: PartitionState.closed, logStart: 0, highWatermark: 0, logEnd: 0 }
}

const SEQUENCE = 0
const VIEW_0 = 1
const VIEW_WORDS = 8
const WATCH_0 = VIEW_0 + 2 * VIEW_WORDS
const LINE_WORDS = 16

// Words inside a view.
const GENERATION = 0
const STATE = 1
const LOG_START = 2
const HIGH_WATERMARK = 4
const LOG_END = 6

export class OffsetTable {
  readonly slots: number
  readonly dispatchers: number
  readonly #words: Int32Array
  readonly #rowWords: number

  /** Bytes of shared memory for `slots` partitions watched by `dispatchers` threads. */
  static bytesFor(slots: number, dispatchers: number): number {
    return slots * rowWordsFor(dispatchers) * Int32Array.BYTES_PER_ELEMENT
  }

  constructor(sab: SharedArrayBuffer, slots: number, dispatchers: number) {
    this.slots = slots
    this.dispatchers = dispatchers
    this.#rowWords = rowWordsFor(dispatchers)
    this.#words = new Int32Array(sab, 0, slots * this.#rowWords)
  }

  /** Owner: replaces the row. Offsets are ours, so their order is an assertion. Test the watch words afterwards. */
  publish(
    slot: number,
    generation: number,
    state: number,
    logStart: number,
    highWatermark: number,
    logEnd: number,
  ): void {
    ensure(
      0 <= logStart && logStart <= highWatermark && highWatermark <= logEnd,
      'offsets out of order',
    )
    const row = this.#row(slot)
    // Only this thread writes the row, so plain reads of it see its own last stores.
    const sequence = (this.#words[row + SEQUENCE] + 1) | 0
    const view = row + VIEW_0 + (sequence & 1) * VIEW_WORDS
    this.#change(view + GENERATION, generation)
    this.#change(view + STATE, state)
    this.#change(view + LOG_START, highWord(logStart))
    this.#change(view + LOG_START + 1, lowWord(logStart))
    this.#change(view + HIGH_WATERMARK, highWord(highWatermark))
    this.#change(view + HIGH_WATERMARK + 1, lowWord(highWatermark))
    this.#change(view + LOG_END, highWord(logEnd))
    this.#change(view + LOG_END + 1, lowWord(logEnd))
    Atomics.store(this.#words, row + SEQUENCE, sequence)
  }

  /** Fills `into` with one consistent view. False when the row is of another generation: `into` then means
   *  nothing. */
  read(slot: number, generation: number, into: OffsetView): boolean {
    const row = this.#row(slot)
    let sequence = Atomics.load(this.#words, row + SEQUENCE)
    for (;;) {
      const view = row + VIEW_0 + (sequence & 1) * VIEW_WORDS
      const found = Atomics.load(this.#words, view + GENERATION)
      into.state = Atomics.load(this.#words, view + STATE)
      into.logStart = this.#int64(view + LOG_START)
      into.highWatermark = this.#int64(view + HIGH_WATERMARK)
      into.logEnd = this.#int64(view + LOG_END)
      const again = Atomics.load(this.#words, row + SEQUENCE)
      if (again === sequence) return found === generation
      sequence = again
    }
  }

  /** The high watermark alone, of whatever generation the row is. */
  highWatermark(slot: number): number {
    const row = this.#row(slot)
    let sequence = Atomics.load(this.#words, row + SEQUENCE)
    for (;;) {
      const highWatermark = this.#int64(row + VIEW_0 + (sequence & 1) * VIEW_WORDS + HIGH_WATERMARK)
      const again = Atomics.load(this.#words, row + SEQUENCE)
      if (again === sequence) return highWatermark
      sequence = again
    }
  }

  /** The state alone, of whatever generation the row is. */
  state(slot: number): number {
    const row = this.#row(slot)
    let sequence = Atomics.load(this.#words, row + SEQUENCE)
    for (;;) {
      const state = Atomics.load(this.#words, row + VIEW_0 + (sequence & 1) * VIEW_WORDS + STATE)
      const again = Atomics.load(this.#words, row + SEQUENCE)
      if (again === sequence) return state
      sequence = again
    }
  }

  /** Dispatcher: asks the owner for a wake-up at the next publish. Read the row again afterwards: it may
   *  have moved before. */
  watch(slot: number, dispatcher: number): void {
    Atomics.store(this.#words, this.#watchWord(slot, dispatcher), 1)
  }

  /** Owner, after publish(): true when that dispatcher watches; it then watches no more. Costs one load
   *  when it does not. */
  takeWatch(slot: number, dispatcher: number): boolean {
    const word = this.#watchWord(slot, dispatcher)
    if (Atomics.load(this.#words, word) === 0) return false
    return Atomics.exchange(this.#words, word, 0) !== 0
  }

  /** Dispatcher, while no owner has the partition: an empty, closed row of a new generation. Watch words
   *  stay: a watch that is answered once too often costs nothing, one that is forgotten hangs a fetch. */
  reset(slot: number, generation: number): void {
    this.publish(slot, generation, PartitionState.closed, 0, 0, 0)
  }

  #row(slot: number): number {
    ensure(slot >= 0 && slot < this.slots, 'no such slot')
    return slot * this.#rowWords
  }

  #watchWord(slot: number, dispatcher: number): number {
    ensure(dispatcher >= 0 && dispatcher < this.dispatchers, 'no such dispatcher')
    return this.#row(slot) + WATCH_0 + dispatcher
  }

  /** Most words of a row stay as they are, and a store costs far more than a look. */
  #change(word: number, value: number): void {
    if (this.#words[word] !== value) Atomics.store(this.#words, word, value)
  }

  #int64(word: number): number {
    return fromWords(Atomics.load(this.#words, word), Atomics.load(this.#words, word + 1))
  }
}

function rowWordsFor(dispatchers: number): number {
  return Math.ceil((WATCH_0 + dispatchers) / LINE_WORDS) * LINE_WORDS
}
