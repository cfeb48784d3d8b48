/**
 * Bytes in, whole Kafka frames out, for one connection; no socket, no protocol. Dispatcher thread.
 *
 *   frame   | size i32 | payload ...      |    the payload is contiguous wherever it lies
 *
 * Where a connection reads depends on what it sends:
 *   staging   idle and chatty ones: one buffer for all, frames used in place before the callback returns
 *   carry     the head of a frame that a staging read cut; heap, grows as bytes arrive, so that an announced size
 *             alone costs nothing
 *   block     bulk ones (a full staging read, or 32 KiB of one frame): straight into the request arena, no copy
 *
 * `target()` names the next read's place and stays the promise until `received(n)`. A connection that waits for arena
 * space holds none: what it has of its frame moves to the carry, so that those who wait cannot block each other.
 */
import { ensure } from '../ring/ensure.ts'
import { type Block, type BlockPool, blockBytes, stagingBytes } from './block-pool.ts'

/** A frame this large is read alone: its region has exactly its size, so nothing behind it needs to move. */
const exactFrameBytes = 128 * 1024
/** Bytes of one frame that must have arrived before it may claim arena space. */
const promoteBytes = 32 * 1024
/** A frame of an honest client fits, and gets its size at once; larger ones as they prove themselves. */
const trustedFrameBytes = 1024 * 1024 + 64 * 1024
/** Part of the arena that nobody gets on trust. */
const trustedFraction = 32
/** Space a large frame may claim for each byte of it that has arrived. */
const claimPerByte = 16
const smallCarryBytes = 4096
const sizePrefixBytes = 4

/** One frame's payload, valid until `consume()`: [start, end) of `bytes`; `block` is set when it lies in the arena. */
export interface Frame {
  bytes: Buffer
  start: number
  end: number
  block: Block | null
}

export class FrameSizeError extends Error {
  readonly sizeBytes: number
  constructor(sizeBytes: number) {
    super(`frame of ${sizeBytes} bytes`)
    this.sizeBytes = sizeBytes
  }
}

export class FrameDecoder {
  readonly frame: Frame
  readonly #pool: BlockPool
  readonly #frameBytesMax: number
  readonly #trustedBytes: number
  /** What is being parsed: [#pos, #fill) of #window. */
  #window: Buffer
  #pos = 0
  #fill = 0
  #carry: Buffer | null = null
  #block: Block | null = null
  /** Block of the pool that the window was copied to, until `settle`. */
  #shared: Block | null = null
  #bulk = false
  #starved = false

  constructor(pool: BlockPool, frameBytesMax: number) {
    this.#pool = pool
    this.#frameBytesMax = frameBytesMax
    this.#trustedBytes = Math.min(trustedFrameBytes, pool.capacityBytes / trustedFraction)
    this.#window = pool.staging
    this.frame = { bytes: pool.staging, start: 0, end: 0, block: null }
  }

  /** Bytes received and not yet consumed: a frame in the making, or frames a muted connection has not taken. */
  get pendingBytes(): number {
    return this.#fill - this.#pos
  }

  /** True while a block is attached; an idle connection should give it back (`demote`). */
  get promoted(): boolean {
    return this.#block !== null
  }

  /** True when the arena had no space for the frame in the making: stop reading until the pool wakes waiters. */
  get starved(): boolean {
    return this.#starved
  }

  /**
   * The next whole frame, or null when more bytes are needed. The same frame until `consume()`.
   * @throws FrameSizeError on a size below zero or above the limit
   */
  next(): Frame | null {
    const available = this.#fill - this.#pos
    if (available < sizePrefixBytes) return null
    const sizeBytes = this.#window.readInt32BE(this.#pos)
    if (sizeBytes < 0 || sizeBytes > this.#frameBytesMax) throw new FrameSizeError(sizeBytes)
    if (available < sizePrefixBytes + sizeBytes) return null
    const frame = this.frame
    frame.bytes = this.#window
    frame.start = this.#pos + sizePrefixBytes
    frame.end = frame.start + sizeBytes
    frame.block = this.#block ?? this.#shared
    return frame
  }

  /**
   * Copies everything received and not yet consumed into the arena block that small connections share, so that the
   * frames lie there: one copy for all frames of a read. False while the arena is full. Call `next` again afterwards.
   */
  moveToArena(): boolean {
    if (this.#block !== null || this.#shared !== null) return true
    const left = this.#fill - this.#pos
    const block = this.#pool.store(this.#window.subarray(this.#pos, this.#fill))
    if (block === null) return false
    this.#shared = block
    this.#window = block.bytes
    this.#pos = block.fill - left
    this.#fill = block.fill
    return true
  }

  consume(): void {
    if (this.frame.end - this.frame.start >= exactFrameBytes) this.#bulk = true
    this.#pos = this.frame.end
  }

  /** `n` bytes have landed in the last `target()`. */
  received(n: number): void {
    if (this.#carry === null && this.#block === null) {
      this.#window = this.#pool.staging
      this.#pos = 0
      this.#fill = n
      if (n === this.#pool.staging.length) this.#bulk = true
      return
    }
    this.#fill += n
    ensure(this.#fill <= this.#window.length, 'a read stays within its target')
    if (this.#block !== null) this.#block.fill = this.#fill
  }

  /**
   * Copying path (TLS, other systems): takes as many bytes of `chunk` as the next target holds and returns how many.
   * Call `next` until null and `settle` in between.
   */
  push(chunk: Uint8Array): number {
    const target = this.target()
    const n = Math.min(target.length, chunk.length)
    target.set(n === chunk.length ? chunk : chunk.subarray(0, n))
    this.received(n)
    return n
  }

  /**
   * To be called when parsing stops, before the memory of a staging read is used again: keeps what is left of it.
   * Returns false when the arena has no space for the frame in the making.
   */
  settle(): boolean {
    this.#starved = false
    const left = this.#fill - this.#pos
    if (this.#block !== null) return this.#settleBlock(left)
    this.#shared = null
    if (left === 0) {
      this.#carry = null
      this.#window = this.#pool.staging
      this.#pos = 0
      this.#fill = 0
      return true
    }
    if ((this.#bulk || left >= promoteBytes) && this.#moveToBlock(left)) return true
    this.#keepInCarry(left)
    return !this.#starved
  }

  /** Where the next read shall put its bytes; never empty (a full window belongs to a paused socket). */
  target(): Buffer {
    const view = this.#room()
    return view.length > 0 ? view : this.#pool.staging
  }

  #room(): Buffer {
    const block = this.#block
    if (block !== null) {
      const need = this.#frameEnd()
      const exact = need - this.#pos >= exactFrameBytes && need <= block.bytes.length
      return block.bytes.subarray(this.#fill, exact ? need : block.bytes.length)
    }
    if (this.#carry !== null) return this.#carry.subarray(this.#fill)
    return this.#bulk ? this.#pool.staging.subarray(0, smallCarryBytes) : this.#pool.staging
  }

  /**
   * Gives an idle block back; where space is short also one with the small beginning of a frame that does not go on.
   * Only between reads, and the socket must be pointed at the new `target()`.
   */
  demote(isSpaceShort: boolean): void {
    const left = this.#fill - this.#pos
    if (left === 0) {
      if (this.#block !== null) this.#dropBlock()
      this.#bulk = false
    } else if (isSpaceShort && this.#block !== null && left <= stagingBytes) {
      this.#leaveBlock(left)
    }
  }

  close(): void {
    if (this.#block !== null) this.#dropBlock()
    this.#carry = null
    this.#shared = null
    this.#window = this.#pool.staging
    this.#pos = 0
    this.#fill = 0
  }

  /** End of the frame in the making in window positions; 0 when its size is not known yet. */
  #frameEnd(): number {
    if (this.#fill - this.#pos < sizePrefixBytes) return 0
    return this.#pos + sizePrefixBytes + this.#window.readInt32BE(this.#pos)
  }

  #settleBlock(left: number): boolean {
    const block = this.#block as Block
    const room = block.bytes.length - this.#fill
    if (left === 0) {
      if (this.#pool.waiterCount > 0) this.#dropBlock()
      else if (block.pins === 0 && block.bytes.length <= trustedFrameBytes) {
        block.fill = 0
        this.#pos = 0
        this.#fill = 0
      } else if (room < stagingBytes) {
        this.#dropBlock()
      }
      return true
    }
    const end = this.#frameEnd()
    if (end === 0 && room >= smallCarryBytes) return true
    if (end !== 0 && end <= block.bytes.length) return true
    const announced = end - this.#pos
    const isUnproven = announced > this.#trustedBytes && left < block.bytes.length / 2
    if (isUnproven && room >= smallCarryBytes) return true
    if (this.#moveToBlock(left)) return true
    this.#leaveBlock(left)
    return false
  }

  /** Moves the frame in the making out of the arena. */
  #leaveBlock(left: number): void {
    const block = this.#block
    this.#keepInCarry(left)
    this.#block = null
    block?.detach()
  }

  /** Copies the frame in the making to the start of a fresh block that can hold it. */
  #moveToBlock(left: number): boolean {
    const announced = left >= sizePrefixBytes ? this.#frameEnd() - this.#pos : 0
    const wanted = Math.min(announced, Math.max(this.#trustedBytes, left * claimPerByte))
    const sizeBytes =
      wanted >= exactFrameBytes ? Math.max(wanted, left + smallCarryBytes) : blockBytes
    const fresh = this.#pool.allocate(sizeBytes, this.#block)
    if (fresh === null) {
      this.#starved = true
      return false
    }
    this.#window.copy(fresh.bytes, 0, this.#pos, this.#fill)
    if (this.#block !== null) this.#dropBlock()
    fresh.fill = left
    this.#block = fresh
    this.#carry = null
    this.#window = fresh.bytes
    this.#pos = 0
    this.#fill = left
    return true
  }

  #keepInCarry(left: number): void {
    const end = this.#frameEnd()
    const announced = end === 0 ? smallCarryBytes : end - this.#pos
    const carry = this.#carry
    if (carry === this.#window && this.#pos === 0 && carry.length - this.#fill > 0) return
    const roomy = this.#starved ? left + smallCarryBytes : Math.max(smallCarryBytes, left * 2)
    const capacity = Math.max(left + sizePrefixBytes, Math.min(announced, roomy))
    const fresh = Buffer.allocUnsafeSlow(capacity)
    this.#window.copy(fresh, 0, this.#pos, this.#fill)
    this.#carry = fresh
    this.#window = fresh
    this.#pos = 0
    this.#fill = left
  }

  #dropBlock(): void {
    this.#block?.detach()
    this.#block = null
    this.#window = this.#pool.staging
    this.#pos = 0
    this.#fill = 0
  }
}
