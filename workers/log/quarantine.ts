/**
 * What of one log is known to be lost: ranges of offsets whose bytes are rotten. Found again after every restart, by
 * recovery, the scrub or whoever reads there first. Owner thread only.
 *
 *   offsets   ---[ lost )-------[ lost )--- ...      sorted, apart; a fetch inside gets an error that names the next
 *                                                    good offset, one before it ends there
 */
import type { RottenRange } from '../../src/contracts/control.ts'
import { sharedCursor } from './batch-cursor.ts'
import { floorSegment, type Readable } from './log-reader.ts'
import type { Segment } from './segment.ts'

export interface LostRange {
  readonly firstOffset: number
  /** Readable again from here on. */
  readonly nextOffset: number
}

/** A damaged disk must not fill the memory: neighbours are taken together beyond this. */
const RANGES_MAX = 10_000

export class Quarantine {
  #ranges: LostRange[] = []

  get ranges(): readonly LostRange[] {
    return this.#ranges
  }

  get isEmpty(): boolean {
    return this.#ranges.length === 0
  }

  /** False when all of it was known. */
  add({ firstOffset, nextOffset }: LostRange): boolean {
    if (nextOffset <= firstOffset) return false
    const known = this.rangeAt(firstOffset)
    if (known !== null && known.nextOffset >= nextOffset) return false
    let [start, end] = [firstOffset, nextOffset]
    const apart: LostRange[] = []
    for (const range of this.#ranges) {
      if (range.nextOffset < start || range.firstOffset > end) apart.push(range)
      else {
        start = Math.min(start, range.firstOffset)
        end = Math.max(end, range.nextOffset)
      }
    }
    apart.push({ firstOffset: start, nextOffset: end })
    apart.sort((a, b) => a.firstOffset - b.firstOffset)
    if (apart.length > RANGES_MAX) {
      const [first, second] = apart.splice(0, 2)
      apart.unshift({ firstOffset: first.firstOffset, nextOffset: second.nextOffset })
    }
    this.#ranges = apart
    return true
  }

  /** The range that holds `offset`; null when it is not known to be lost. */
  rangeAt(offset: number): LostRange | null {
    const range = this.#ranges[this.#floor(offset)]
    return range !== undefined && offset < range.nextOffset ? range : null
  }

  /** Where the first range behind `offset` begins; Infinity when there is none. */
  nextStart(offset: number): number {
    return this.#ranges[this.#floor(offset) + 1]?.firstOffset ?? Number.POSITIVE_INFINITY
  }

  /** Forgets what lies below the log start. */
  dropBelow(offset: number): void {
    if (this.isEmpty || this.#ranges[0].nextOffset > offset) return
    this.#ranges = this.#ranges.filter(({ nextOffset }) => nextOffset > offset)
  }

  #floor(offset: number): number {
    let low = -1
    let high = this.#ranges.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.#ranges[middle].firstOffset <= offset) low = middle
      else high = middle - 1
    }
    return low
  }
}

/** Of this many failed reads in one segment it is lost (RELIABILITY 2.4). */
export const READ_FAILURES_MAX = 3

/** Counts an EIO against the segment that holds `offset`; returns what is given up for lost, if anything. */
export function noteReadFailure(log: Readable, offset: number, error: Error): LostRange | null {
  if (!('code' in error) || error.code !== 'EIO') return null
  const segment = log.segments[floorSegment(log.segments, offset)]
  if (++segment.readFailures < READ_FAILURES_MAX) return null
  return { firstOffset: segment.baseOffset, nextOffset: endOf(log, segment) }
}

/** The offsets that lie in bad bytes of `segment`. */
export function lostRange(log: Readable, segment: Segment, range: RottenRange): LostRange {
  const { firstOffset, nextOffset, endPosition } = range
  // No checksum covers the base offset that says so.
  if (nextOffset >= 0) return { firstOffset, nextOffset: Math.min(nextOffset, endOf(log, segment)) }
  // What was looked at ends there; more may have been appended since.
  const cursor = sharedCursor().start(segment.file(), endPosition, segment.sizeBytes)
  const isMore = cursor.look() === 'batch' && cursor.baseOffset > firstOffset
  // Behind the start of the next segment may lie what recovery has copied there: it is not of this one any more.
  const endOffset = endOf(log, segment)
  return { firstOffset, nextOffset: isMore ? Math.min(cursor.baseOffset, endOffset) : endOffset }
}

function endOf({ segments, offsets }: Readable, segment: Segment): number {
  return segments[segments.indexOf(segment) + 1]?.baseOffset ?? offsets.highWatermark
}
