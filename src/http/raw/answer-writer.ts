/**
 * An answer in the making: text and numbers into one growing buffer, whose memory is taken from a budget that all
 * answers share until they are sent. Dispatcher thread.
 */
import type { ByteBudget } from './byte-budget.ts'

const firstBytes = 32 * 1024
const empty = Buffer.alloc(0)
/** Longer text is measured before it is written: three bytes for each character would be too much room. */
const measuredChars = 1024

/** The budget is used up. */
export class NoAnswerMemory extends Error {
  override name = 'NoAnswerMemory'
}

export class AnswerWriter {
  readonly #budget: ByteBudget
  #bytes = empty
  /** Bytes written. */
  pos = 0

  constructor(budget: ByteBudget) {
    this.#budget = budget
  }

  text(text: string): void {
    const bytesMax = text.length > measuredChars ? Buffer.byteLength(text) : text.length * 3
    this.#need(bytesMax)
    this.pos += this.#bytes.write(text, this.pos)
  }

  bytes(bytes: Uint8Array): void {
    this.#need(bytes.length)
    this.#bytes.set(bytes, this.pos)
    this.pos += bytes.length
  }

  int32(value: number): void {
    this.#need(4)
    this.pos = this.#bytes.writeInt32BE(value, this.pos)
  }

  int64(value: number): void {
    this.#need(8)
    this.pos = this.#bytes.writeBigInt64BE(BigInt(value), this.pos)
  }

  /** Fills in a number that was not known when its place was written. */
  setInt32(pos: number, value: number): void {
    this.#bytes.writeInt32BE(value, pos)
  }

  view(): Buffer {
    return this.#bytes.subarray(0, this.pos)
  }

  /** Gives the memory back; the view must not be looked at any more. */
  release(): void {
    this.#budget.give(this.#bytes.length)
    this.#bytes = empty
    this.pos = 0
  }

  #need(count: number): void {
    const end = this.pos + count
    if (end <= this.#bytes.length) return
    const capacity = Math.max(end, firstBytes, Math.ceil(this.#bytes.length * 1.5))
    const more = capacity - this.#bytes.length
    if (!this.#budget.take(more, this.#bytes.length)) throw new NoAnswerMemory()
    const grown = Buffer.allocUnsafeSlow(capacity)
    this.#bytes.copy(grown, 0, 0, this.pos)
    this.#bytes = grown
  }
}
