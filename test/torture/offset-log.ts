/**
 * What is known to be stored: lane and sequence number by offset, 8 bytes a record, without a gap from `start` to
 * `end`.
 */
export class OffsetLog {
  start = 0
  end = 0
  #lanes = new Uint32Array(4096)
  #seqs = new Uint32Array(4096)

  /** Adds the record at `end`. */
  push(lane: number, seq: number): void {
    const at = this.end - this.start
    if (at === this.#lanes.length) this.#grow()
    this.#lanes[at] = lane
    this.#seqs[at] = seq
    this.end++
  }

  has(offset: number): boolean {
    return offset >= this.start && offset < this.end
  }

  laneAt(offset: number): number {
    return this.#lanes[offset - this.start]
  }

  seqAt(offset: number): number {
    return this.#seqs[offset - this.start]
  }

  /** Forgets everything below `offset`; goes on there when that is beyond the end. */
  dropBelow(offset: number): void {
    if (offset <= this.start) return
    const dropped = Math.min(offset, this.end) - this.start
    this.#lanes.copyWithin(0, dropped, this.end - this.start)
    this.#seqs.copyWithin(0, dropped, this.end - this.start)
    this.start = offset
    this.end = Math.max(this.end, offset)
  }

  #grow(): void {
    const size = this.#lanes.length * 2
    const [lanes, seqs] = [new Uint32Array(size), new Uint32Array(size)]
    lanes.set(this.#lanes)
    seqs.set(this.#seqs)
    this.#lanes = lanes
    this.#seqs = seqs
  }
}
