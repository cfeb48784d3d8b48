/**
 * Blocks of the request arena: what sockets read into and frames lie in. Dispatcher thread.
 *
 *   block   | frame | frame | frame | partial .... free ........|
 *             ^ pinned by each append command that names bytes in it, until its owner has written them
 *
 * A block is attached (a connection reads into it, or small frames are copied into it) and pinned; it goes back to the
 * arena when it is neither. Release follows the append, not the flush: a slow disk sync never pins the arena.
 */
import assert from 'node:assert/strict'
import type { Arena, Region } from '../ring/arena.ts'

/** Size of an ordinary block: several reads of a busy socket, few enough bytes to stay in a core's cache. */
export const blockBytes = 512 * 1024
/** What all small connections of a dispatcher read into; its content lives until the read callback returns. */
export const stagingBytes = 64 * 1024

export class Block {
  readonly bytes: Buffer
  /** Where `bytes` starts in the arena. */
  readonly arenaOffset: number
  readonly region: Region
  /** Bytes filled so far; the owner of the attachment moves it. */
  fill = 0
  attached = true
  pins = 0
  readonly #pool: BlockPool

  constructor(pool: BlockPool, region: Region, bytes: Buffer) {
    this.#pool = pool
    this.region = region
    this.bytes = bytes
    this.arenaOffset = region.offset
  }

  pin(): void {
    this.pins++
  }

  unpin(): void {
    assert(this.pins > 0, 'a block is unpinned once per pin')
    if (--this.pins === 0 && !this.attached) this.#pool.free(this)
  }

  detach(): void {
    assert(this.attached, 'a block is detached once')
    this.attached = false
    if (this.pins === 0) this.#pool.free(this)
  }
}

export class BlockPool {
  /** Read target of every connection that is not promoted: costs idle connections nothing. */
  readonly staging: Buffer = Buffer.allocUnsafeSlow(stagingBytes)
  /** True when the platform lets sockets read into memory of our choice (arena-socket.ts). */
  readonly #arena: Arena
  /** Called when a connection should retry what failed for want of arena space. */
  readonly #waiting = new Set<() => void>()
  #small: Block | null = null
  #waking = false

  constructor(arena: Arena) {
    this.#arena = arena
  }

  get waiterCount(): number {
    return this.#waiting.size
  }

  get capacityBytes(): number {
    return this.#arena.usedBytes + this.#arena.freeBytes
  }

  /** A block of at least `sizeBytes`, attached, or null while the arena is full. */
  allocate(sizeBytes: number): Block | null {
    const region = this.#arena.alloc(sizeBytes)
    if (region === null) return null
    const bytes = this.#arena.bytes.subarray(region.offset, region.offset + region.sizeBytes)
    return new Block(this, region, bytes)
  }

  /**
   * Copies a small frame into the block that small connections share and returns that block; the copy starts at
   * `block.fill - length`. Null while the arena is full.
   */
  store(frame: Uint8Array): Block | null {
    let block = this.#small
    if (block === null || block.bytes.length - block.fill < frame.length) {
      if (block !== null && block.pins === 0 && frame.length <= block.bytes.length) {
        block.fill = 0
      } else {
        const fresh = this.allocate(Math.max(blockBytes, frame.length))
        if (fresh === null) return null
        block?.detach()
        block = fresh
        this.#small = fresh
      }
    }
    block.bytes.set(frame, block.fill)
    block.fill += frame.length
    return block
  }

  free(block: Block): void {
    this.#arena.free(block.region)
    if (this.#waiting.size > 0 && !this.#waking) {
      this.#waking = true
      setImmediate(() => this.#wake())
    }
  }

  /** Registers `retry` for the next time space is freed. */
  wait(retry: () => void): void {
    this.#waiting.add(retry)
  }

  cancelWait(retry: () => void): void {
    this.#waiting.delete(retry)
  }

  #wake(): void {
    this.#waking = false
    const retries = [...this.#waiting]
    this.#waiting.clear()
    for (const retry of retries) retry()
  }
}
