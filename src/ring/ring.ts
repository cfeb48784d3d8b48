/**
 * Ring of fixed slots between exactly two threads: one producer, one consumer, no locks. Each side makes
 * its own Ring over the same SharedArrayBuffer; an object is used for one side only. Bytes of records never
 * pass here, they stay in the arena.
 *
 *   | tail, 128 bytes | head, 128 bytes | slot 0, 64 bytes | slot 1 | ... | slot capacity-1 |
 *
 *   head          read         tail            claimed        Positions count slots for ever, modulo 2^32:
 *   (released) <= (local)  <=  (published) <=  (local)        claimed - head <= capacity.
 *   shared                     shared
 *
 * A slot's words are written and read plainly: the store of the tail hands them to the consumer, the store
 * of the head hands them back. A side that dies between two steps therefore leaves whole slots or none. A
 * new incarnation of either side gets a new buffer. test/ring runs this very text, with a switch of threads
 * at every Atomics call.
 */
import assert from 'node:assert'
import { ensure } from './ensure.ts'

/** Int32 words in a slot: one 64-byte cache line. */
export const SLOT_WORDS = 16

/** Where the two shared positions live, in words from the ring's start: two lines apart, since processors
 *  fetch lines in pairs. */
export const TAIL_WORD = 0
export const HEAD_WORD = 32
export const HEADER_WORDS = 64

/** Larger rings would only hide a stuck consumer; 2^24 slots are already 1 GiB. */
const CAPACITY_MAX = 1 << 24

export class Ring {
  /** The whole ring as words: slots are written and read through it at the index that claim() or peek() gave. */
  readonly words: Int32Array
  readonly capacity: number
  readonly #mask: number
  // Producer's side: positions it claimed and published, and the last head it saw.
  #claimed: number
  #published: number
  #headSeen: number
  // Consumer's side: positions it read and released, and the last tail it saw.
  #read: number
  #released: number
  #tailSeen: number

  /** Bytes of shared memory that a ring of `capacity` slots takes. */
  static bytesFor(capacity: number): number {
    return (HEADER_WORDS + capacity * SLOT_WORDS) * Int32Array.BYTES_PER_ELEMENT
  }

  /** `capacity` is a power of two; `byteOffset` a multiple of 64. Takes up the positions that the buffer holds. */
  constructor(sab: SharedArrayBuffer, capacity: number, byteOffset = 0) {
    assert(capacity >= 1 && capacity <= CAPACITY_MAX && (capacity & (capacity - 1)) === 0)
    assert(byteOffset % 64 === 0, 'a ring starts on a cache line')
    this.words = new Int32Array(sab, byteOffset, HEADER_WORDS + capacity * SLOT_WORDS)
    this.capacity = capacity
    this.#mask = capacity - 1
    const tail = Atomics.load(this.words, TAIL_WORD)
    const head = Atomics.load(this.words, HEAD_WORD)
    this.#claimed = tail
    this.#published = tail
    this.#headSeen = head
    this.#read = head
    this.#released = head
    this.#tailSeen = head
  }

  /** Producer: word index of a free slot, or -1 when the ring is full. The consumer sees it only after publish(). */
  claim(): number {
    if (((this.#claimed - this.#headSeen) | 0) === this.capacity) {
      this.#headSeen = Atomics.load(this.words, HEAD_WORD)
      if (((this.#claimed - this.#headSeen) | 0) === this.capacity) return -1
    }
    const slot = HEADER_WORDS + (this.#claimed & this.#mask) * SLOT_WORDS
    this.#claimed = (this.#claimed + 1) | 0
    return slot
  }

  /** Producer: makes every claimed slot visible, in order, with one store. */
  publish(): void {
    if (this.#published === this.#claimed) return
    this.#published = this.#claimed
    Atomics.store(this.words, TAIL_WORD, this.#claimed)
  }

  /** Producer: how many claim() calls will succeed at least. */
  freeSlots(): number {
    this.#headSeen = Atomics.load(this.words, HEAD_WORD)
    return this.capacity - ((this.#claimed - this.#headSeen) | 0)
  }

  /** Consumer: word index of the oldest unread slot, or -1 when there is none. Valid until release(). */
  peek(): number {
    if (this.#read === this.#tailSeen) {
      this.#tailSeen = Atomics.load(this.words, TAIL_WORD)
      if (this.#read === this.#tailSeen) return -1
    }
    return HEADER_WORDS + (this.#read & this.#mask) * SLOT_WORDS
  }

  /** Consumer: moves on to the next slot; the one that peek() gave stays readable until release(). */
  next(): void {
    ensure(this.#read !== this.#tailSeen, 'next() without a slot from peek()')
    this.#read = (this.#read + 1) | 0
  }

  /** Consumer: hands every slot passed by next() back to the producer, with one store. */
  release(): void {
    if (this.#released === this.#read) return
    this.#released = this.#read
    Atomics.store(this.words, HEAD_WORD, this.#read)
  }

  /** Slots published and not yet released; any thread may ask, and the answer may be out of date at once. */
  depth(): number {
    const head = Atomics.load(this.words, HEAD_WORD)
    const depth = (Atomics.load(this.words, TAIL_WORD) - head) | 0
    return Math.min(depth, this.capacity)
  }
}
