/**
 * Answers on their way out of one socket: encoded pieces gathered during a turn, then written with one writev. The
 * response arena regions they refer to are freed when the socket has taken the bytes. Dispatcher thread.
 */
import type { Socket } from 'node:net'
import type { Region } from '../ring/arena.ts'

export class OutputQueue {
  readonly #socket: Socket
  readonly #free: (regions: Region[]) => void
  #pieces: Uint8Array[] = []
  #regions: Region[] | null = null

  constructor(socket: Socket, free: (regions: Region[]) => void) {
    this.#socket = socket
    this.#free = free
  }

  get backlogBytes(): number {
    return this.#socket.writableLength
  }

  push(pieces: readonly Uint8Array[], regions: Region[] | null): void {
    for (const piece of pieces) this.#append(piece)
    if (regions === null) return
    if (this.#regions === null) this.#regions = regions
    else this.#regions.push(...regions)
  }

  /** Writes what was gathered. Returns the bytes given to the socket. */
  flush(): number {
    const pieces = this.#pieces
    if (pieces.length === 0) return 0
    this.#pieces = []
    const regions = this.#regions
    this.#regions = null
    const socket = this.#socket
    if (socket.destroyed) {
      if (regions !== null) this.#free(regions)
      return 0
    }
    const done = regions === null ? undefined : () => this.#free(regions)
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
    this.#pieces = []
    if (this.#regions !== null) this.#free(this.#regions)
    this.#regions = null
  }

  /** Neighbours in one slab leave as one piece: many small answers, one buffer. */
  #append(piece: Uint8Array): void {
    const previous = this.#pieces.at(-1)
    if (
      previous !== undefined &&
      previous.buffer === piece.buffer &&
      previous.byteOffset + previous.length === piece.byteOffset
    ) {
      this.#pieces[this.#pieces.length - 1] = Buffer.from(
        piece.buffer,
        previous.byteOffset,
        previous.length + piece.length,
      )
      return
    }
    this.#pieces.push(piece)
  }
}
