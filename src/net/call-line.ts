/**
 * The calls of one connection in request order, and how much is in flight. Dispatcher thread.
 *
 *   | answered, gone | front ... waiting, some of them answered out of turn ... newest |
 *
 * A call is in flight until it is settled; one that gets no answer (acks=0) stands in no line meanwhile.
 */
import { ensure } from '../ring/ensure.ts'
import type { PendingCall } from './pending-call.ts'

/** Places of calls that are gone, above which the others move down. */
const goneMax = 1024

export class CallLine {
  /** Places [#first, #end) are taken. The array never shrinks: growing anew at every request costs more. */
  readonly #calls: (PendingCall | undefined)[] = []
  #first = 0
  #end = 0
  inFlightCalls = 0
  inFlightBytes = 0

  add(call: PendingCall): void {
    this.#calls[this.#end++] = call
    this.inFlightCalls++
    this.inFlightBytes += call.requestBytes
  }

  /** The newest call turned out to be one that gets no answer. */
  leave(call: PendingCall): void {
    ensure(this.#calls[this.#end - 1] === call, 'an acks=0 call says so before it returns')
    this.#calls[--this.#end] = undefined
  }

  settle(call: PendingCall): void {
    this.inFlightCalls--
    this.inFlightBytes -= call.requestBytes
  }

  isFull(callsMax: number, bytesMax: number): boolean {
    return this.inFlightCalls >= callsMax || this.inFlightBytes > bytesMax
  }

  /** The oldest call that is not answered. */
  get front(): PendingCall | undefined {
    return this.#calls[this.#first]
  }

  removeFront(): void {
    this.#calls[this.#first++] = undefined
    if (this.#first === this.#end) {
      this.#first = 0
      this.#end = 0
    } else if (this.#first > goneMax) {
      this.#calls.copyWithin(0, this.#first, this.#end)
      this.#calls.fill(undefined, this.#end - this.#first, this.#end)
      this.#end -= this.#first
      this.#first = 0
    }
  }

  /** Empties the line. @returns who stood in it */
  clear(): PendingCall[] {
    const left = this.#calls.slice(this.#first, this.#end) as PendingCall[]
    this.#calls.length = 0
    this.#first = 0
    this.#end = 0
    return left
  }
}
