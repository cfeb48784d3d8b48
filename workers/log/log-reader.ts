/**
 * Reads whole batches of one log straight into a response region. Owner thread only.
 *
 *   file    | batch | batch | batch | batch | batch | batc...
 *           ^ position the index or a hint gave      ^ readable end or end of the region
 *   region  [ skipped ^ start ...... whole batches  ^ cut ]
 *
 * One pread in the common case. Header lengths and offsets are checked while walking; checksums once in the life of the
 * process, so that no bad batch is ever served (RELIABILITY P12). A hole in the offsets that compaction did not make
 * ends an answer, and is CORRUPT_MESSAGE to whoever asks for an offset in it: a record that was acknowledged is never
 * skipped in silence (P3). What is lost is remembered: the error names the next good offset.
 */
import type { DiskFile } from '../../src/contracts/disk.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { BATCH_HEADER_BYTES, baseOffsetAt, batchBytesAt } from '../../src/protocol/record-batch.ts'
import { BatchCursor } from './batch-cursor.ts'
import { readFully } from './files.ts'
import type { LostRange, Quarantine } from './quarantine.ts'
import { ReadHints } from './read-hints.ts'
import {
  fits,
  isWell,
  lastOffsetAt,
  plausible,
  type Span,
  skipTo,
  skipToBad,
  takeBatches,
} from './read-walk.ts'
import type { ReadResult } from './results.ts'
import { findGoodBehind } from './scan-segment.ts'
import type { Segment } from './segment.ts'

const header = Buffer.allocUnsafeSlow(BATCH_HEADER_BYTES)

/** What the reader needs to know of its log. */
export interface Readable {
  readonly segments: readonly Segment[]
  /** Below, offsets may be missing: compaction. */
  readonly gapsBelowOffset: number
  /** End of what may be read. */
  readonly offsets: { readonly highWatermark: number }
  readonly lostRanges: Quarantine
  /** Bytes of `segment` below the high watermark. */
  readableBytes(segment: Segment): number
  /** A reader found these offsets gone. */
  lost(range: LostRange): void
}

/** Where the bytes of a read lie. */
export interface ReadPlace {
  readonly segment: Segment
  readonly file: DiskFile
  readonly position: number
}

export class LogReader {
  readonly #log: Readable
  #hints: ReadHints | null = null
  /** Where the last read that failed met something bad, and the offset expected there (-1: not known). */
  #badSegment: Segment | null = null
  #badPosition = 0
  #badOffset = -1
  /** What the walk under way knows. */
  readonly #span: Span = {
    fetchOffset: 0,
    limitOffset: 0,
    gapsBelowOffset: 0,
    expectedBase: -1,
    expectedLast: -1,
    previousBytes: 0,
  }

  constructor(log: Readable) {
    this.#log = log
  }

  /** Where a read would begin; null when there is nothing to read, or no way to find out. */
  placeOf(fetchOffset: number): ReadPlace | null {
    const { segments, offsets } = this.#log
    if (fetchOffset >= offsets.highWatermark || fetchOffset < segments[0].baseOffset) return null
    try {
      const segment = segments[floorSegment(segments, fetchOffset)]
      const file = segment.file()
      return { segment, file, position: this.#startPosition(segment, fetchOffset) }
    } catch {
      return null
    }
  }

  /** `fetchOffset` lies below the high watermark and not below the log start. Throws as the disk does. */
  read(fetchOffset: number, maxBytes: number, region: Uint8Array, into: ReadResult): void {
    const { segments, lostRanges } = this.#log
    const known = lostRanges.isEmpty ? null : lostRanges.rangeAt(fetchOffset)
    if (known !== null) {
      into.error = Errors.CORRUPT_MESSAGE
      into.nextOffset = known.nextOffset
      return
    }
    this.#tryRead(fetchOffset, maxBytes, region, into)
    if (into.error !== Errors.CORRUPT_MESSAGE) return
    // Either the records are bad or the index is, which is a cache.
    const segment = segments[floorSegment(segments, fetchOffset)]
    if (segment.distrustIndexes()) {
      this.#hints = null
      into.error = Errors.NONE
      this.#tryRead(fetchOffset, maxBytes, region, into)
      if (into.error !== Errors.CORRUPT_MESSAGE) {
        segment.trustIndexes()
        return
      }
    }
    this.#giveUp(fetchOffset, into)
  }

  #tryRead(fetchOffset: number, maxBytes: number, region: Uint8Array, into: ReadResult): void {
    const { segments, lostRanges, gapsBelowOffset, offsets } = this.#log
    const span = this.#span
    span.fetchOffset = fetchOffset
    span.gapsBelowOffset = gapsBelowOffset
    const lostFrom = lostRanges.isEmpty ? Infinity : lostRanges.nextStart(fetchOffset)
    for (let index = floorSegment(segments, fetchOffset); index < segments.length; index++) {
      const segment = segments[index]
      // What a segment holds beyond the start of the next one is not part of the log.
      const endOffset = segments[index + 1]?.baseOffset ?? Infinity
      span.limitOffset = Math.min(endOffset, lostFrom)
      const position = this.#startPosition(segment, fetchOffset)
      if (this.#readSegment(segment, position, maxBytes, region, into)) return
      // Every readable batch here ends below the offset: it is gone, or compaction took it.
      if (endOffset > gapsBelowOffset || lostFrom < endOffset) break
    }
    if (offsets.highWatermark <= gapsBelowOffset && lostFrom === Infinity) return
    into.error = Errors.CORRUPT_MESSAGE
  }

  #startPosition(segment: Segment, fetchOffset: number): number {
    const span = this.#span
    span.expectedLast = -1
    span.previousBytes = 0
    span.expectedBase = segment.baseOffset
    if (fetchOffset <= segment.baseOffset) return 0
    const hinted = this.#hints === null ? -1 : this.#hints.positionOf(fetchOffset, segment)
    if (hinted >= 0) {
      span.expectedBase = fetchOffset
      return hinted
    }
    const position = segment.positionFor(fetchOffset)
    if (position > 0) {
      span.expectedBase = -1
      span.expectedLast = segment.foundLastOffset
    }
    return position
  }

  /** False when the segment ends before `fetchOffset`. */
  #readSegment(
    segment: Segment,
    start: number,
    maxBytes: number,
    region: Uint8Array,
    into: ReadResult,
  ): boolean {
    const span = this.#span
    const file = segment.file()
    const limit = this.#log.readableBytes(segment)
    const usable = Math.min(region.length, maxBytes)
    let position = start
    for (;;) {
      if (position >= limit) {
        if (!this.#isMisled(segment, position, limit)) return this.#ended(segment, position)
        position = this.#resync(segment, position, limit)
        if (position < 0) return this.#failed(into)
      }
      const left = limit - position
      const wanted = Math.min(region.length, left, usable + SKIP_BYTES)
      const got = readFully(file, region.subarray(0, wanted), position)
      // Somebody cut the file under us.
      if (got < wanted) return this.#fail(segment, position, into)
      const at = skipTo(region, got, left, span)
      let badAt = at < 0 ? skipToBad(at) : -1
      if (at >= 0 && at + BATCH_HEADER_BYTES <= got) {
        const base = baseOffsetAt(region, at)
        if (base >= span.limitOffset) return this.#ended(segment, position + at)
        if (!fits(base, span)) return this.#fail(segment, position + at, into)
        const bytes = batchBytesAt(region, at)
        if (at === 0 || at + bytes <= got || bytes > usable) {
          takeBatches(region.subarray(at, got), left - at, span, maxBytes, into)
          into.start = at
          if (into.length === 0 || this.#isChecked(segment, position, region, into)) return true
          badAt = at
        }
      }
      if (badAt >= 0) {
        // Rot in front of the wanted batch must not hide it.
        position = this.#resync(segment, position + badAt, limit)
        if (position < 0) return this.#failed(into)
      } else if (at + BATCH_HEADER_BYTES <= got) {
        // What had to be skipped cuts the batch: read again from where it starts.
        position += at
      } else if (at > 0) {
        position += at
      } else {
        const bytes = this.#measure(segment, position, limit, into)
        if (bytes === 0) return true
        position = bytes > 0 ? position + bytes : this.#resync(segment, position, limit)
        if (position < 0) return this.#failed(into)
      }
    }
  }

  /** The last batch was skipped by a length that is wrong, perhaps, and the wanted one with it. */
  #isMisled(segment: Segment, position: number, limit: number): boolean {
    const { previousBytes } = this.#span
    return previousBytes > 0 && badBatchAt(segment, position - previousBytes, limit) >= 0
  }

  #ended(segment: Segment, position: number): false {
    this.#noteBad(segment, position, this.#span.expectedBase)
    return false
  }

  /** Makes sure that what is answered was looked at; cuts off what is bad. False when that is the first batch. */
  #isChecked(segment: Segment, position: number, region: Uint8Array, into: ReadResult): boolean {
    const { start, length } = into
    const { checked } = segment
    if (!checked.has(position + start, position + start + length)) {
      let at = start
      while (at < start + length) {
        const bytes = batchBytesAt(region, at)
        const isSeen = checked.has(position + at, position + at + bytes)
        if (!isSeen && !isWell(region, at, bytes, this.#span.gapsBelowOffset)) break
        at += bytes
      }
      checked.add(position + start, position + at)
      if (at < start + length) into.nextOffset = baseOffsetAt(region, at)
      into.length = at - start
      if (at === start) return false
    }
    this.#hints ??= new ReadHints()
    this.#hints.remember(into.nextOffset, segment, position + start + into.length)
    return true
  }

  /** The next good batch behind a bad place on the way to the wanted one; -1 when the index is to blame, perhaps. */
  #resync(segment: Segment, badPosition: number, limit: number): number {
    const span = this.#span
    this.#noteBad(segment, badPosition, span.expectedBase)
    if (segment.areIndexesTrusted) return -1
    const previous = badPosition - span.previousBytes
    const wrong = span.previousBytes > 0 ? badBatchAt(segment, previous, limit) : -1
    // The batch before was skipped by a length that is wrong, perhaps, and ends in the middle of another one.
    if (wrong >= 0) this.#noteBad(segment, previous, wrong)
    const { limitOffset, fetchOffset } = span
    const firstOffset = this.#badOffset
    const above = Math.max(firstOffset, segment.baseOffset - 1)
    const good = findGoodBehind(segment.file(), this.#badPosition, limit, above, limitOffset)
    if (good === null || good.baseOffset > fetchOffset) return -1
    if (firstOffset >= 0) this.#log.lost({ firstOffset, nextOffset: good.baseOffset })
    span.expectedBase = good.baseOffset
    span.expectedLast = -1
    span.previousBytes = 0
    return good.position
  }

  #fail(segment: Segment, position: number, into: ReadResult): true {
    this.#noteBad(segment, position, this.#span.expectedBase)
    return this.#failed(into)
  }

  #failed(into: ReadResult): true {
    into.error = Errors.CORRUPT_MESSAGE
    into.length = 0
    return true
  }

  #noteBad(segment: Segment, position: number, offset: number): void {
    this.#badSegment = segment
    this.#badPosition = position
    this.#badOffset = offset
  }

  /** The offset asked for cannot be read: finds where the log goes on, and remembers. */
  #giveUp(fetchOffset: number, into: ReadResult): void {
    const { segments, offsets, lostRanges } = this.#log
    const segment = this.#badSegment!
    const behind = segments[segments.indexOf(segment) + 1]?.baseOffset ?? offsets.highWatermark
    const endOffset = Math.min(behind, lostRanges.nextStart(fetchOffset))
    const limit = this.#log.readableBytes(segment)
    const nextOffset = firstGood(segment, this.#badPosition, limit, fetchOffset, endOffset)
    const isKnown = this.#badOffset >= 0 && this.#badOffset < fetchOffset
    const firstOffset = isKnown ? this.#badOffset : fetchOffset
    this.#log.lost({ firstOffset, nextOffset })
    into.nextOffset = lostRanges.rangeAt(fetchOffset)?.nextOffset ?? nextOffset
  }

  /**
   * Looks at one header that the region cannot hold: returns its batch's size when the batch ends below the offset,
   * -1 when there is none, else 0 after filling `into`.
   */
  #measure(segment: Segment, position: number, limit: number, into: ReadResult): number {
    const span = this.#span
    const got = readFully(segment.file(), header, position)
    if (got < BATCH_HEADER_BYTES || !plausible(header, 0, limit - position)) return -1
    const bytes = batchBytesAt(header, 0)
    if (lastOffsetAt(header, 0) < span.fetchOffset) {
      span.expectedBase = lastOffsetAt(header, 0) + 1
      span.expectedLast = -1
      span.previousBytes = bytes
      return bytes
    }
    if (fits(baseOffsetAt(header, 0), span)) into.neededBytes = bytes
    else this.#fail(segment, position, into)
    return 0
  }
}

/** Read beyond `maxBytes` for the batches in front of the wanted one: an index interval and some. */
const SKIP_BYTES = 8192

/** Base offset of the batch at `position`, if it is not well; -1 when it is. */
function badBatchAt(segment: Segment, position: number, limit: number): number {
  const cursor = new BatchCursor(64 * 1024).start(segment.file(), position, limit)
  return cursor.look() === 'batch' && cursor.crcMatches() ? -1 : cursor.baseOffset
}

/** Base offset of the first valid batch at or behind `position` and above `above`; `endOffset` when there is none. */
function firstGood(
  segment: Segment,
  position: number,
  limit: number,
  above: number,
  endOffset: number,
): number {
  const cursor = new BatchCursor(64 * 1024).start(segment.file(), position, limit)
  const isGood = cursor.look() === 'batch' && cursor.baseOffset > above && cursor.crcMatches()
  const { baseOffset, lastOffset } = cursor
  const behind = findGoodBehind(segment.file(), position, limit, above, endOffset)
  const nextOffset = behind?.baseOffset ?? endOffset
  // No checksum covers a base offset: it is wrong if the batch reaches into the next one.
  return isGood && lastOffset < nextOffset ? baseOffset : nextOffset
}

/** Index of the last segment whose base offset is at or below `offset`. */
export function floorSegment(segments: readonly Segment[], offset: number): number {
  let low = 0
  let high = segments.length - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if (segments[middle].baseOffset <= offset) low = middle
    else high = middle - 1
  }
  return low
}
