/**
 * Computes the checksums of some of a segment's batches. Pool threads, and the simulation.
 *
 *   | checked before | slice: headers, order, CRC | later slices |  still being written |
 *                    ^ position                   ^ result.position                     ^ limitBytes
 *
 * A slice that is not well is followed by a look at the whole segment, which finds where it is readable again.
 */

import type { RottenRange } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import type { ScrubInput, ScrubResult } from '../../src/contracts/scrub.ts'
import { BatchCursor } from './batch-cursor.ts'
import { scanSegment } from './scan-segment.ts'

/** A larger batch is checked piece by piece. */
const WINDOW_BYTES = 512 * 1024

/** In one segment; what is bad behind them is taken together, so that the owner is not kept busy with a dying disk. */
const RANGES_MAX = 1000

/** Throws as the disk does. `pace` is told of all bytes, and may sleep. */
export function scrubSlice(
  disk: Disk,
  input: ScrubInput,
  pace: (bytes: number) => void = () => {},
): ScrubResult {
  const { path, limitBytes, gapsBelowOffset, sliceBytes } = input
  const file = disk.open(path, 'r')
  try {
    const windowBytes = Math.min(WINDOW_BYTES, Math.max(64 * 1024, limitBytes - input.position))
    const cursor = new BatchCursor(windowBytes).start(file, input.position, limitBytes)
    const end = Math.min(limitBytes, input.position + sliceBytes)
    let { nextOffset } = input
    // A file that became shorter is as bad as one whose bytes changed.
    let isWell = file.sizeBytes() >= limitBytes
    while (isWell && cursor.position < end) {
      isWell =
        cursor.look() === 'batch' &&
        isNext(cursor, nextOffset, gapsBelowOffset) &&
        cursor.crcMatches()
      if (!isWell) break
      nextOffset = cursor.lastOffset + 1
      pace(cursor.batchBytes)
      cursor.moveTo(cursor.position + cursor.batchBytes)
    }
    if (isWell) return { position: cursor.position, nextOffset, rotten: null }
  } finally {
    file.close()
  }
  return rottenRest(disk, input)
}

function isNext(cursor: BatchCursor, expected: number, gapsBelowOffset: number): boolean {
  const { baseOffset } = cursor
  return baseOffset === expected || (baseOffset > expected && baseOffset <= gapsBelowOffset)
}

function addRange(rotten: RottenRange[], range: RottenRange): void {
  if (rotten.length < RANGES_MAX) {
    rotten.push(range)
    return
  }
  const { endPosition, nextOffset } = range
  rotten.push({ ...rotten.pop()!, endPosition, nextOffset })
}

/** All that is bad in the segment; the scrub goes on behind it. */
function rottenRest(disk: Disk, input: ScrubInput): ScrubResult {
  const { limitBytes } = input
  const rotten: RottenRange[] = []
  const { fileBytes, nextOffset } = scanSegment({
    disk,
    path: input.path,
    firstOffset: input.baseOffset,
    provenOffset: Number.MAX_SAFE_INTEGER,
    checkFromOffset: 0,
    gapsBelowOffset: input.gapsBelowOffset,
    limitBytes,
    onBatch: () => {},
    onRot: range => addRange(rotten, range),
  })
  if (fileBytes < limitBytes) {
    const lost = { startPosition: fileBytes, endPosition: limitBytes }
    rotten.push({ ...lost, firstOffset: nextOffset, nextOffset: -1 })
  }
  return { position: limitBytes, nextOffset, rotten }
}
