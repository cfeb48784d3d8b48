/**
 * Wakes a thread that sleeps on its event loop. One shared word per sleeper, on a cache line of its own;
 * any number of threads may ring it, only the sleeper's own thread sleeps on it.
 *
 *   sleeper:  prepareSleep()  word = 1          ringer:  publish to a ring (or store a word)
 *             look at all rings again                    ring()  word 1 -> 0 and notify, or nothing when it was 0
 *             nothing: await wait()   something: cancelSleep() and go on
 *
 * Each side first stores, then loads the other's word: in the one order of all Atomics calls, at least one
 * of them sees the other, so no wake-up is lost (Dekker). A ring while the sleeper is awake costs one load.
 * A sleeper may wake for nothing. Atomics.waitAsync keeps no process alive: hold a ref'd handle. test/ring
 * runs this very text in all interleavings.
 */
import assert from 'node:assert'

const AWAKE = 0
const ASLEEP = 1

/** Words between two doorbells: 128 bytes, since processors fetch cache lines in pairs. */
const DOORBELL_WORDS = 32

const alreadyRung: Promise<void> = Promise.resolve()

export class Doorbell {
  readonly #words: Int32Array
  readonly #word: number
  /** The sleep under way. It may outlast the turn that began it: timers and messages wake the same thread. */
  #sleep: Promise<void> | null = null
  readonly #wake = (): void => {
    this.#sleep = null
  }

  /** Bytes of shared memory for the doorbells of `sleepers` threads. */
  static bytesFor(sleepers: number): number {
    return sleepers * DOORBELL_WORDS * Int32Array.BYTES_PER_ELEMENT
  }

  /** The doorbell of sleeper number `sleeper` among those that start at `byteOffset`. */
  constructor(sab: SharedArrayBuffer, sleeper = 0, byteOffset = 0) {
    assert(Number.isInteger(sleeper) && sleeper >= 0)
    this.#words = new Int32Array(sab, byteOffset)
    this.#word = sleeper * DOORBELL_WORDS
    assert(this.#word < this.#words.length, 'no such doorbell')
  }

  /** Any thread, after it published: wakes the sleeper if it sleeps. Returns true when it did: that costs a
   *  system call. */
  ring(): boolean {
    if (Atomics.load(this.#words, this.#word) === AWAKE) return false
    if (Atomics.exchange(this.#words, this.#word, AWAKE) === AWAKE) return false
    Atomics.notify(this.#words, this.#word, 1)
    return true
  }

  /** Sleeper: announces sleep. From here on every ring() wakes; look at all inputs again, then wait() or
   *  cancelSleep(). */
  prepareSleep(): void {
    Atomics.store(this.#words, this.#word, ASLEEP)
  }

  /** Sleeper: awake again without having been rung, so that nobody pays for a wake-up. */
  cancelSleep(): void {
    Atomics.store(this.#words, this.#word, AWAKE)
  }

  /** Sleeper, after prepareSleep() and a last look: resolves when rung, at once when that already happened.
   *  A second call before that gives the same promise, so a turn that something else began may prepare and
   *  wait again. */
  wait(): Promise<void> {
    if (this.#sleep === null) {
      const sleep = Atomics.waitAsync(this.#words, this.#word, ASLEEP)
      if (!sleep.async) return alreadyRung
      this.#sleep = sleep.value.then(this.#wake)
    }
    return this.#sleep
  }
}
