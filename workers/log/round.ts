/**
 * The batches one log takes in one turn of its owner, and how they reach the file. Owner thread only.
 *
 *   views over the arena   | small | small |  ...large...  | small |
 *   write calls            [ gathered, one ][ as it lies   ][ as it lies: alone ]
 *
 * Measured: one write of 10 KiB costs 5 µs, a gathering call for 50 pieces 12-16 µs (DESIGN.md section 1), so small
 * neighbours are copied together. The buffer for that belongs to the thread, not to the log.
 */
import type { Segment } from './segment.ts'

/** Batches below this are copied together; copying larger ones costs more than the call it saves. */
const SMALL_BYTES_MAX = 16 * 1024
const GATHER_BYTES = 256 * 1024
let gather: Buffer | null = null

export class Round {
  /** How many of the arrays' slots count. They are reused from round to round. */
  count = 0
  readonly views: Uint8Array[] = []
  readonly lastOffsets: number[] = []
  readonly maxTimestampsMs: number[] = []

  add(batch: Uint8Array, lastOffset: number, maxTimestampMs: number): void {
    const index = this.count++
    this.views[index] = batch
    this.lastOffsets[index] = lastOffset
    this.maxTimestampsMs[index] = maxTimestampMs
  }

  /** Writes batches [from, to) behind each other, starting at `position`. Throws as the disk does. */
  write(segment: Segment, position: number, from: number, to: number): void {
    let runStart = from
    let runBytes = 0
    let at = position
    for (let index = from; index < to; index++) {
      const bytes = this.views[index].length
      const isSmall = bytes < SMALL_BYTES_MAX
      if (isSmall && runBytes + bytes <= GATHER_BYTES) {
        runBytes += bytes
        continue
      }
      this.#writeRun(segment, at, runStart, index, runBytes)
      at += runBytes
      runStart = index
      runBytes = bytes
      if (isSmall) continue
      segment.write(this.views[index], at)
      at += bytes
      runStart = index + 1
      runBytes = 0
    }
    this.#writeRun(segment, at, runStart, to, runBytes)
  }

  #writeRun(segment: Segment, position: number, from: number, to: number, bytes: number): void {
    if (from === to) return
    if (to - from === 1) {
      segment.write(this.views[from], position)
      return
    }
    gather ??= Buffer.allocUnsafeSlow(GATHER_BYTES)
    let at = 0
    for (let index = from; index < to; index++) {
      gather.set(this.views[index], at)
      at += this.views[index].length
    }
    segment.write(gather.subarray(0, bytes), position)
  }
}
