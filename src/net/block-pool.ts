/**
 * Blocks of the request arena: what sockets read into and frames lie in. Dispatcher thread.
 *
 *   block   | frame | frame | frame | partial .... free ........|
 *             ^ pinned by each append command that names bytes in it, until its owner has written them
 *
 * A block is attached (a connection reads into it, or small frames are copied into it) and pinned; it goes back to the
 * arena when it is neither. Release follows the append, not the flush: a slow disk sync never pins the arena.
 *
 * Budgets keep the sizes apart, so that a few large frames, or many slow ones, do not stop everybody else:
 *   shared   small frames that are there whole: whatever is free
 *   bulk     less than half of the arena together
 *   large    1/8 of the arena and more each: half of it together, or one
 * Within bulk and large whoever waits longest is served first.
 */
import type { Arena, Region } from '../ring/arena.ts'
import { ensure } from '../ring/ensure.ts'

/** Size of an ordinary block: several reads of a busy socket, few enough bytes to stay in a core's cache. */
export const blockBytes = 512 * 1024
/** What all small connections of a dispatcher read into; its content lives until the read callback returns. */
export const stagingBytes = 64 * 1024

class Budget {
  readonly maxBytes: number
  usedBytes = 0
  /** Somebody did not get what he asked for: nobody who comes later does, until all have been asked again. */
  waits = false
  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }
}

export class Block {
  readonly bytes: Buffer
  /** Where `bytes` starts in the arena. */
  readonly arenaOffset: number
  readonly region: Region
  /** The budget it counts against. */
  readonly budget: Budget
  /** Bytes filled so far; the owner of the attachment moves it. */
  fill = 0
  attached = true
  pins = 0
  readonly #pool: BlockPool

  constructor(pool: BlockPool, region: Region, bytes: Buffer, budget: Budget) {
    this.#pool = pool
    this.budget = budget
    this.region = region
    this.bytes = bytes
    this.arenaOffset = region.offset
  }

  pin(): void {
    this.pins++
  }

  unpin(): void {
    ensure(this.pins > 0, 'a block is unpinned once per pin')
    if (--this.pins === 0 && !this.attached) this.#pool.free(this)
  }

  detach(): void {
    ensure(this.attached, 'a block is detached once')
    this.attached = false
    if (this.pins === 0) this.#pool.free(this)
  }
}

export class BlockPool {
  /** Read target of every connection that is not promoted: costs idle connections nothing. */
  readonly staging: Buffer = Buffer.allocUnsafeSlow(stagingBytes)
  readonly #arena: Arena
  readonly #shared: Budget
  readonly #bulk: Budget
  readonly #large: Budget
  readonly #largeBytesMin: number
  /** Called when a connection should retry what failed for want of arena space. */
  readonly #waiting = new Set<() => void>()
  #small: Block | null = null
  /** `fill` of the shared block when `releaseIdle` looked last. */
  #smallFillSeen = -1
  #waking = false

  constructor(arena: Arena) {
    this.#arena = arena
    const halfBytes = Math.floor(this.capacityBytes / 2)
    this.#largeBytesMin = Math.ceil(this.capacityBytes / 8)
    this.#shared = new Budget(Number.POSITIVE_INFINITY)
    this.#bulk = new Budget(halfBytes - Math.min(blockBytes, halfBytes / 4))
    this.#large = new Budget(halfBytes)
  }

  get waiterCount(): number {
    return this.#waiting.size
  }

  get capacityBytes(): number {
    return this.#arena.usedBytes + this.#arena.freeBytes
  }

  /** A block of at least `sizeBytes`, attached, or null while the arena is full. `replaced` goes back right after. */
  allocate(sizeBytes: number, replaced: Block | null = null): Block | null {
    const budget = sizeBytes < this.#largeBytesMin ? this.#bulk : this.#large
    if (this.#waiting.size === 0) budget.waits = false
    const givenBack = replaced?.budget === budget ? replaced.region.sizeBytes : 0
    const othersBytes = budget.usedBytes - givenBack
    const fits = othersBytes === 0 || othersBytes + sizeBytes <= budget.maxBytes
    const block = fits && !budget.waits ? this.#take(sizeBytes, budget) : null
    if (block === null) budget.waits = true
    return block
  }

  #take(sizeBytes: number, budget: Budget): Block | null {
    const region = this.#arena.alloc(sizeBytes)
    if (region === null) return null
    budget.usedBytes += region.sizeBytes
    const bytes = this.#arena.bytes.subarray(region.offset, region.offset + region.sizeBytes)
    return new Block(this, region, bytes, budget)
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
        const fresh = this.#take(Math.max(blockBytes, frame.length), this.#shared)
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

  /** Gives the shared block back when nobody has used it since the last call, or somebody waits for space. */
  releaseIdle(): void {
    const small = this.#small
    if (small === null || small.pins > 0) return
    const isIdle = small.fill === this.#smallFillSeen || this.#waiting.size > 0
    this.#smallFillSeen = small.fill
    if (!isIdle) return
    this.#small = null
    small.detach()
  }

  free(block: Block): void {
    block.budget.usedBytes -= block.region.sizeBytes
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
    this.#bulk.waits = false
    this.#large.waits = false
    const retries = [...this.#waiting]
    this.#waiting.clear()
    for (const retry of retries) retry()
  }
}
