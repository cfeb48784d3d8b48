/**
 * The steps of a read over batches in a region: skip those in front, take those that fit, look at one more closely. No
 * state, no objects: this is what every fetch runs through. Owner thread only.
 *
 *   region  | before the offset | first | second | third | cut
 *             skipTo             takeBatches: as many as fit, dense but for what compaction took out
 */
import {
  BATCH_HEADER_BYTES,
  baseOffsetAt,
  batchBytesAt,
  isCrcValid,
  lastOffsetDeltaAt,
  leaderEpochAt,
  magicAt,
  recordCountAt,
} from '../../src/protocol/record-batch.ts'
import type { ReadResult } from './results.ts'

/** What a walk is after, and what it knows of the batch it comes to next. */
export interface Span {
  fetchOffset: number
  /** Batches from here on are not served: another segment's, or lost. */
  limitOffset: number
  /** Below, offsets may be missing. */
  gapsBelowOffset: number
  /** Base offset of the next batch; -1 when unknown. */
  expectedBase: number
  /** Last offset of the next batch, as the index says; -1 when unknown. */
  expectedLast: number
  /** Size of the batch that was skipped just before, by its header; 0 when none was. */
  previousBytes: number
}

export function lastOffsetAt(bytes: Uint8Array, at: number): number {
  return baseOffsetAt(bytes, at) + lastOffsetDeltaAt(bytes, at)
}

/** Whether a header can be true; `left` is what the file holds from there on. */
export function plausible(bytes: Uint8Array, at: number, left: number): boolean {
  const size = batchBytesAt(bytes, at)
  return (
    size >= BATCH_HEADER_BYTES &&
    size <= left &&
    magicAt(bytes, at) === 2 &&
    lastOffsetDeltaAt(bytes, at) >= 0
  )
}

/** Whether a batch with this base offset is the next one of the log, as far as that is known. */
export function isNext(base: number, last: number, span: Span): boolean {
  if (span.expectedLast >= 0) return last === span.expectedLast
  if (span.expectedBase < 0 || base === span.expectedBase) return true
  return base > span.expectedBase && base <= span.gapsBelowOffset
}

/** Whether the first batch of an answer may begin here: it holds the offset, or compaction took what was before. */
export function fits(base: number, { fetchOffset, gapsBelowOffset }: Span): boolean {
  return base <= fetchOffset || base <= gapsBelowOffset
}

/**
 * Skips batches that end below the offset. Returns where the first other one starts, or where the walk ran out of
 * region[0, got) (perhaps beyond it, when a skipped batch is cut there). Negative on a bad header: see `skipToBad`.
 */
export function skipTo(region: Uint8Array, got: number, left: number, span: Span): number {
  let at = 0
  while (at + BATCH_HEADER_BYTES <= got) {
    if (!plausible(region, at, left - at)) return -1 - at
    const last = lastOffsetAt(region, at)
    const base = baseOffsetAt(region, at)
    if (!isNext(base, last, span)) return -1 - at
    if (base >= span.limitOffset) return at
    if (last >= span.fetchOffset) return at
    span.expectedBase = last + 1
    span.expectedLast = -1
    span.previousBytes = batchBytesAt(region, at)
    at += span.previousBytes
  }
  return at
}

/** Where the bad header is. */
export function skipToBad(result: number): number {
  return -1 - result
}

/** Fills in as many whole batches from the start of `bytes` as `maxBytes` allows; a first header is there and fits. */
export function takeBatches(
  bytes: Uint8Array,
  left: number,
  { limitOffset, gapsBelowOffset }: Span,
  maxBytes: number,
  into: ReadResult,
): void {
  const budget = Math.min(bytes.length, maxBytes)
  let size = batchBytesAt(bytes, 0)
  if (size > budget) {
    into.neededBytes = size
    return
  }
  let end = 0
  let nextOffset = 0
  for (;;) {
    nextOffset = lastOffsetAt(bytes, end) + 1
    end += size
    if (end + BATCH_HEADER_BYTES > budget || !plausible(bytes, end, left - end)) break
    const base = baseOffsetAt(bytes, end)
    const isDense = base === nextOffset || (base > nextOffset && base <= gapsBelowOffset)
    if (!isDense || base >= limitOffset) break
    size = batchBytesAt(bytes, end)
    if (end + size > budget) break
  }
  into.length = end
  into.nextOffset = nextOffset
}

/** Looks at all of a batch. What its checksum does not cover must be as this broker writes it, but for old records. */
export function isWell(
  region: Uint8Array,
  at: number,
  bytes: number,
  gapsBelowOffset: number,
): boolean {
  if (!isCrcValid(region, at, bytes)) return false
  if (lastOffsetAt(region, at) < gapsBelowOffset) return true
  const isWhole = recordCountAt(region, at) === lastOffsetDeltaAt(region, at) + 1
  return isWhole && leaderEpochAt(region, at) === 0
}
