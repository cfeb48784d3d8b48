/**
 * Requests of one connection that are not answered yet, in their order. Objects are used again; a connection with
 * nothing under way holds none after `shrink`. Dispatcher thread.
 */
import type { FastTopic } from './fast-topics.ts'

export interface PendingAnswer {
  topic: FastTopic
  partition: number
  /** Records stored; with an error perhaps some of a large append. */
  count: number
  /** The answer says so when it is good. */
  isDurable: boolean
  errorCode: number
  baseOffset: number
  isDone: boolean
}

const slotsMin = 4

export class PendingAnswers {
  /** A power of two of them, or none. */
  #slots: PendingAnswer[] = []
  /** Sequence numbers of the first one, and of the next one. */
  #first = 0
  #next = 0

  get count(): number {
    return this.#next - this.#first
  }

  /** @returns the tag under which its outcome is told. */
  add(topic: FastTopic, partition: number, isDurable: boolean): number {
    if (this.count === this.#slots.length) this.#grow(topic)
    const slot = this.#slots[this.#next & (this.#slots.length - 1)]
    slot.topic = topic
    slot.partition = partition
    slot.isDurable = isDurable
    slot.isDone = false
    return this.#next++
  }

  /** Takes the last one back. */
  removeLast(): void {
    this.#next--
  }

  done(tag: number, errorCode: number, baseOffset: number, storedCount: number): void {
    const slot = this.#slots[tag & (this.#slots.length - 1)]
    slot.errorCode = errorCode
    slot.baseOffset = baseOffset
    slot.count = storedCount
    slot.isDone = true
  }

  /** The first one if its outcome is known. Good until `removeFirst`, and the next `add`. */
  firstDone(): PendingAnswer | null {
    if (this.#first === this.#next) return null
    const slot = this.#slots[this.#first & (this.#slots.length - 1)]
    return slot.isDone ? slot : null
  }

  removeFirst(): void {
    this.#first++
  }

  shrink(): void {
    if (this.count === 0) this.#slots = []
  }

  #grow(topic: FastTopic): void {
    const old = this.#slots
    const size = Math.max(slotsMin, 2 * old.length)
    const slots: PendingAnswer[] = Array.from({ length: size }, () => ({
      topic,
      partition: 0,
      count: 0,
      isDurable: false,
      errorCode: 0,
      baseOffset: -1,
      isDone: false,
    }))
    for (let seq = this.#first; seq < this.#next; seq++) {
      slots[seq & (size - 1)] = old[seq & (old.length - 1)]
    }
    this.#slots = slots
  }
}
