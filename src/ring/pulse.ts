/**
 * Signs of life of one owner thread: it writes, the watchdog of the dispatcher reads. Plain stores, some nanoseconds
 * each; a reader that is late by one costs nothing.
 *
 *   | beats: turns of the loop | calls: raised when a system call begins and when it ends, so odd inside of one |
 *
 * Outside of rounds (opening and recovering logs) a finished system call is a beat, too: that work may take long and
 * gets on. Within a round it is not: a loop that reads for ever is stuck.
 */
const BEATS = 0
const CALLS = 1

export class Pulse {
  readonly #words: Int32Array
  /** Owner: a round is under way. */
  isInRound = false

  static bytes(): number {
    return 2 * Int32Array.BYTES_PER_ELEMENT
  }

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory)
  }

  /** Owner: a turn of its loop begins. */
  beat(): void {
    this.#words[BEATS]++
  }

  /** Owner: a blocking system call begins. */
  enter(): void {
    this.#words[CALLS]++
  }

  /** Owner: it has ended. */
  leave(): void {
    this.#words[CALLS]++
    if (!this.isInRound) this.#words[BEATS]++
  }

  /** Any thread. */
  get beats(): number {
    return Atomics.load(this.#words, BEATS)
  }

  /** Any thread: it is inside of a system call just now. */
  get isInCall(): boolean {
    return (Atomics.load(this.#words, CALLS) & 1) === 1
  }
}
