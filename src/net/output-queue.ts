/**
 * Answers on their way out of one socket: encoded pieces gathered during a turn, then written with one writev. The
 * response arena regions they refer to are freed when the socket has taken the bytes. Dispatcher thread.
 */
import type { Socket } from 'node:net'
import type { Region } from '../ring/arena.ts'
import type { Backlog } from './backlog.ts'

const gatheredBytesMax = 256 * 1024

/** What all connections share. */
export interface OutputOwner {
  readonly backlog: Backlog
  freeRegions(regions: readonly Region[]): void
}

export class OutputQueue {
  readonly #socket: Socket
  readonly #owner: OutputOwner
  #pieces: Uint8Array[] = []
  #regions: Region[] | null = null
  /** A stretch of one slab that still grows: neighbours leave as one piece, many small answers in one buffer. */
  #slab: ArrayBufferLike | null = null
  #start = 0
  #end = 0
  #gatheredBytes = 0
  /** Not taken by the system yet: written, and gathered for the next write. */
  #countedBytes = 0
  #isDiscarded = false

  constructor(socket: Socket, owner: OutputOwner) {
    this.#socket = socket
    this.#owner = owner
  }

  /** Worth a look at the limits before the turn is over: many small requests may have large answers. */
  get isMuchGathered(): boolean {
    return this.#gatheredBytes > gatheredBytesMax
  }

  /** Whether the peer is so far behind that its requests must wait; `drain` of the socket ends it. */
  isTooMuch(): boolean {
    if (this.#isDiscarded) return false
    const bytes = this.count()
    // Below the socket's own mark there would be no `drain`.
    return bytes >= this.#socket.writableHighWaterMark && this.#owner.backlog.isTooMuch(bytes)
  }

  /** Brings its part of what all connections owe up to date. Returns it: bytes. */
  count(): number {
    const bytes = this.#isDiscarded ? 0 : this.#socket.writableLength + this.#gatheredBytes
    this.#owner.backlog.bytes += bytes - this.#countedBytes
    this.#countedBytes = bytes
    return bytes
  }

  push(pieces: readonly Uint8Array[], regions: Region[] | null): void {
    for (let i = 0; i < pieces.length; i++) {
      const { buffer, byteOffset, length } = pieces[i] as Uint8Array
      this.pushRange(buffer, byteOffset, byteOffset + length)
    }
    if (regions === null) return
    if (this.#regions === null) this.#regions = regions
    else this.#regions.push(...regions)
  }

  /** As `push` of bytes [start, end) of `slab`, without an object for them. */
  pushRange(slab: ArrayBufferLike, start: number, end: number): void {
    this.#gatheredBytes += end - start
    if (this.#slab === slab && this.#end === start) {
      this.#end = end
      return
    }
    this.#seal()
    this.#slab = slab
    this.#start = start
    this.#end = end
  }

  /** Writes what was gathered. Returns the bytes given to the socket. */
  flush(): number {
    this.#seal()
    const pieces = this.#pieces
    if (pieces.length === 0) return 0
    this.#pieces = []
    this.#gatheredBytes = 0
    const regions = this.#regions
    this.#regions = null
    const socket = this.#socket
    if (socket.destroyed) {
      if (regions !== null) this.#owner.freeRegions(regions)
      return 0
    }
    const done = regions === null ? undefined : () => this.#owner.freeRegions(regions)
    const last = pieces.length - 1
    let bytes = 0
    if (last > 0) socket.cork()
    for (let i = 0; i <= last; i++) {
      const piece = pieces[i] as Uint8Array
      bytes += piece.length
      socket.write(piece, i === last ? done : undefined)
    }
    if (last > 0) socket.uncork()
    return bytes
  }

  /** Drops what was never given to the socket. */
  discard(): void {
    this.#isDiscarded = true
    this.count()
    this.#pieces = []
    this.#gatheredBytes = 0
    this.#slab = null
    if (this.#regions !== null) this.#owner.freeRegions(this.#regions)
    this.#regions = null
  }

  #seal(): void {
    if (this.#slab === null) return
    this.#pieces.push(Buffer.from(this.#slab, this.#start, this.#end - this.#start))
    this.#slab = null
  }
}
