/**
 * Writes neighbouring batches with as few calls as pay off. Owner thread only.
 *
 *   views over the arena   | small | small |  ...large...  | small |
 *   write calls            [ gathered, one ][ as it lies   ][ as it lies: alone ]
 *
 * Measured: one write of 10 KiB costs 5 µs, a gathering call for 50 pieces 12-16 µs (DESIGN.md section 1), so small
 * neighbours are copied together. The buffer for that belongs to the thread, not to a log.
 */
import type { Segment } from './segment.ts'

/** Batches below this are copied together; copying larger ones costs more than the call it saves. */
const SMALL_BYTES_MAX = 16 * 1024
const GATHER_BYTES = 256 * 1024
let gather: Buffer | null = null

/** Writes views[from, to) behind each other, starting at `position`. Throws as the disk does. */
export function gatherWrite(
  segment: Segment,
  position: number,
  views: readonly Uint8Array[],
  from: number,
  to: number,
): void {
  let at = position
  let runStart = from
  let runBytes = 0
  for (let index = from; index < to; index++) {
    const bytes = views[index].length
    const isSmall = bytes < SMALL_BYTES_MAX
    if (isSmall && runBytes + bytes <= GATHER_BYTES) {
      runBytes += bytes
      continue
    }
    writeRun(segment, at, views, runStart, index, runBytes)
    at += runBytes
    if (isSmall) {
      runStart = index
      runBytes = bytes
    } else {
      segment.write(views[index], at)
      at += bytes
      runStart = index + 1
      runBytes = 0
    }
  }
  writeRun(segment, at, views, runStart, to, runBytes)
}

function writeRun(
  segment: Segment,
  position: number,
  views: readonly Uint8Array[],
  from: number,
  to: number,
  runBytes: number,
): void {
  if (from === to) return
  if (to - from === 1) {
    segment.write(views[from], position)
    return
  }
  gather ??= Buffer.allocUnsafeSlow(GATHER_BYTES)
  let at = 0
  for (let index = from; index < to; index++) {
    gather.set(views[index], at)
    at += views[index].length
  }
  segment.write(gather.subarray(0, runBytes), position)
}
