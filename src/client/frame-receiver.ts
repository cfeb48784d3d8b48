/**
 * Cuts the byte stream of one connection into answers. No socket in here: it hands out the space the next read goes
 * to and is told how much arrived.
 *
 *   slab  | answers already given away | part of the next answer | space |
 *                                      ^ start                   ^ filled
 *
 * An answer is a view of the slab and stays valid for ever: a slab that is used up is left to its readers and a new
 * one begins, as large as the answer that is coming in when that is known.
 */
import { Errors, KafkaError } from '../protocol/errors.ts'

const slabBytes = 256 * 1024
/** Reads into less space than this cost more system calls than a new slab costs. */
const readBytesMin = 16 * 1024
/** An answer up to this size gets its memory at once. */
const trustedBytes = 8 * 1024 * 1024

export class FrameReceiver {
  readonly #frameBytesMax: number
  #slab = Buffer.allocUnsafeSlow(slabBytes)
  #start = 0
  #filled = 0

  constructor(frameBytesMax: number) {
    this.#frameBytesMax = frameBytesMax
  }

  /** Where the next read shall put its bytes. Never empty. */
  space(): Buffer {
    const pending = this.#filled - this.#start
    const frameBytes = pending >= 4 ? this.#announcedBytes() : 0
    const capacity = this.#slab.length - this.#start
    const isWhole = frameBytes > 0 && capacity >= frameBytes
    const isUsedUp = !isWhole && this.#slab.length - this.#filled < readBytesMin
    if (isUsedUp || capacity < Math.min(frameBytes, trustedBytes)) this.#renew(pending, frameBytes)
    return this.#slab.subarray(this.#filled)
  }

  /**
   * Takes note of `count` bytes in the last `space()` and gives every answer that is complete now, without its size.
   * @throws KafkaError when an announced size is negative or beyond the limit
   */
  received(count: number, onFrame: (frame: Buffer) => void): void {
    this.#filled += count
    while (this.#filled - this.#start >= 4) {
      const frameBytes = this.#announcedBytes()
      if (this.#filled - this.#start < frameBytes) return
      const frame = this.#slab.subarray(this.#start + 4, this.#start + frameBytes)
      this.#start += frameBytes
      onFrame(frame)
    }
  }

  /** Size of the answer at `start`, its own four bytes included. */
  #announcedBytes(): number {
    const size = this.#slab.readInt32BE(this.#start)
    if (size < 0 || size > this.#frameBytesMax) {
      throw new KafkaError(
        Errors.NETWORK_EXCEPTION,
        `the answer announces ${size} bytes, the limit is ${this.#frameBytesMax}: is this a Kafka port?`,
      )
    }
    return size + 4
  }

  /** Memory follows what a peer sends: an announced size alone buys 8 MiB, what has come as much again. */
  #renew(pending: number, frameBytes: number): void {
    const wanted = Math.min(frameBytes, Math.max(trustedBytes, pending * 2))
    const slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, wanted))
    this.#slab.copy(slab, 0, this.#start, this.#filled)
    this.#slab = slab
    this.#start = 0
    this.#filled = pending
  }
}
