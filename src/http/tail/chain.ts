/**
 * The newest chunks of a stream, in the order in which all its followers get them. Dispatcher thread.
 *
 *   positions at the end = [9, 4]      chunk = partition: from → next
 *
 *     seq 5          seq 6          seq 7         end = 8
 *     | 0: 3 → 7 |   | 1: 0 → 4 |   | 0: 7 → 9 |
 *
 * A follower that stands at [7, 0] goes on with seq 6: it and all others are sent the same bytes from there on.
 */
import type { Chunk } from './chunk.ts'

const chunksMax = 256

export class Chain {
  readonly #chunks: Chunk[] = []
  #firstSeq = 0
  #bytes = 0
  /** Where the stream stands at the end of the chain, by slot. */
  readonly positions: number[]

  constructor(positions: readonly number[]) {
    this.positions = [...positions]
  }

  get endSeq(): number {
    return this.#firstSeq + this.#chunks.length
  }

  /** Null when it is not kept any more, or not made yet. */
  at(seq: number): Chunk | null {
    return this.#chunks[seq - this.#firstSeq] ?? null
  }

  /** Appends; drops the oldest ones beyond `bytesMax`. */
  push(chunk: Chunk, bytesMax: number): void {
    this.positions[chunk.slot] = chunk.next
    this.#chunks.push(chunk)
    this.#bytes += chunk.bytes.length
    let dropped = 0
    const isTooMuch = () => this.#bytes > bytesMax || this.#chunks.length - dropped > chunksMax
    while (dropped < this.#chunks.length - 1 && isTooMuch()) {
      this.#bytes -= this.#chunks[dropped++].bytes.length
    }
    if (dropped === 0) return
    this.#chunks.splice(0, dropped)
    this.#firstSeq += dropped
  }

  /** @returns the number of the chunk that a follower at `positions` gets next; -1 when it stands on no seam. */
  seqAt(positions: readonly number[]): number {
    const here = [...this.positions]
    let different = 0
    for (let slot = 0; slot < here.length; slot++) {
      if (here[slot] !== (positions[slot] ?? 0)) different++
    }
    for (let seq = this.endSeq; ; seq--) {
      if (different === 0) return seq
      const chunk = this.at(seq - 1)
      if (chunk === null) return -1
      const wanted = positions[chunk.slot] ?? 0
      if (here[chunk.slot] === wanted) different++
      here[chunk.slot] = chunk.from
      if (chunk.from === wanted) different--
    }
  }
}
