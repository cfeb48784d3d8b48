/**
 * Reads whole batches of one log straight into a response region. Owner thread only.
 *
 *   file    | batch | batch | batch | batch | batch | batc...
 *           ^ position the index or a hint gave      ^ readable end or end of the region
 *   region  [ skipped ^ start ...... whole batches  ^ cut ]
 *
 * One pread in the common case. Header lengths and offsets are checked while walking, checksums are not (the scrub
 * does that): bytes are served as they were stored. A hole in the offsets ends an answer, and is CORRUPT_MESSAGE to
 * whoever asks for an offset in it: a record that was acknowledged is never skipped in silence (RELIABILITY P3).
 */
import type { DiskFile } from '../../src/contracts/disk.ts'
import { Errors } from '../../src/protocol/errors.ts'
import {
  BATCH_HEADER_BYTES,
  baseOffsetAt,
  batchBytesAt,
  lastOffsetDeltaAt,
  magicAt,
} from '../../src/protocol/record-batch.ts'
import { readFully } from './files.ts'
import type { ReadResult } from './results.ts'
import type { Segment } from './segment.ts'

/** How many readers at different places find their position without the index. */
const HINTS = 8
const header = Buffer.allocUnsafeSlow(BATCH_HEADER_BYTES)

/** Remembers where the last readers stopped: they usually come back for the next byte. */
class ReadHints {
  readonly #offsets = new Float64Array(HINTS).fill(-1)
  readonly #positions = new Float64Array(HINTS)
  readonly #segments: (Segment | null)[] = new Array(HINTS).fill(null)

  remember(offset: number, segment: Segment, position: number): void {
    const slot = offset % HINTS
    this.#offsets[slot] = offset
    this.#positions[slot] = position
    this.#segments[slot] = segment
  }

  /** -1 when nobody stopped there. */
  positionOf(offset: number, segment: Segment): number {
    const slot = offset % HINTS
    if (this.#offsets[slot] !== offset || this.#segments[slot] !== segment) return -1
    return this.#positions[slot]
  }
}

/** What the reader needs to know of its log. */
export interface Readable {
  readonly segments: readonly Segment[]
  /** Bytes of `segment` below the high watermark. */
  readableBytes(segment: Segment): number
}

export class LogReader {
  readonly #log: Readable
  #hints: ReadHints | null = null

  constructor(log: Readable) {
    this.#log = log
  }

  /** `fetchOffset` lies below the high watermark and not below the log start. Throws as the disk does. */
  read(fetchOffset: number, maxBytes: number, region: Uint8Array, into: ReadResult): void {
    this.#tryRead(fetchOffset, maxBytes, region, into)
    if (into.error !== Errors.CORRUPT_MESSAGE) return
    // Either the records are bad or the index is, which is a cache.
    const { segments } = this.#log
    if (!segments[floorSegment(segments, fetchOffset)].distrustIndexes()) return
    this.#hints = null
    into.error = Errors.NONE
    this.#tryRead(fetchOffset, maxBytes, region, into)
  }

  #tryRead(fetchOffset: number, maxBytes: number, region: Uint8Array, into: ReadResult): void {
    const { segments } = this.#log
    for (let index = floorSegment(segments, fetchOffset); index < segments.length; index++) {
      const segment = segments[index]
      const position = this.#startPosition(segment, fetchOffset)
      if (this.#readSegment(segment, position, fetchOffset, maxBytes, region, into)) return
      // Every readable batch here ends below the offset: it is in the next segment, or gone.
    }
    into.error = Errors.CORRUPT_MESSAGE
  }

  #startPosition(segment: Segment, fetchOffset: number): number {
    if (fetchOffset <= segment.baseOffset) return 0
    const hinted = this.#hints === null ? -1 : this.#hints.positionOf(fetchOffset, segment)
    return hinted >= 0 ? hinted : segment.positionFor(fetchOffset)
  }

  /** False when the segment ends before `fetchOffset`. */
  #readSegment(
    segment: Segment,
    start: number,
    fetchOffset: number,
    maxBytes: number,
    region: Uint8Array,
    into: ReadResult,
  ): boolean {
    const file = segment.file()
    const limit = this.#log.readableBytes(segment)
    const usable = Math.min(region.length, maxBytes)
    let position = start
    let isResynced = false
    while (position < limit) {
      const left = limit - position
      const wanted = Math.min(region.length, left, usable + SKIP_BYTES)
      const got = readFully(file, region.subarray(0, wanted), position)
      // Somebody cut the file under us.
      if (got < wanted) return fail(into)
      const at = skipTo(region, got, left, fetchOffset)
      if (at === BAD) {
        // Rot in front of the wanted batch must not hide it: the index may know a place behind.
        const behind = isResynced ? -1 : segment.indexes.offsets.positionBehind(fetchOffset)
        if (behind < 0) return fail(into)
        position = behind
        isResynced = true
      } else if (at + BATCH_HEADER_BYTES <= got) {
        const bytes = batchBytesAt(region, at)
        if (at === 0 || at + bytes <= got || bytes > usable) {
          takeBatches(region.subarray(at, got), left - at, fetchOffset, maxBytes, into)
          into.start = at
          if (into.length > 0) this.#remember(into, segment, position)
          return true
        }
        // What had to be skipped cuts the batch: read again from where it starts.
        position += at
      } else if (at > 0) {
        position += at
      } else {
        const bytes = measure(file, position, limit, fetchOffset, into)
        if (bytes === 0) return true
        position += bytes
      }
    }
    return false
  }

  #remember(result: ReadResult, segment: Segment, position: number): void {
    this.#hints ??= new ReadHints()
    this.#hints.remember(result.nextOffset, segment, position + result.start + result.length)
  }
}

const BAD = -1
/** Read beyond `maxBytes` for the batches in front of the wanted one: an index interval and some. */
const SKIP_BYTES = 8192

function fail(into: ReadResult): true {
  into.error = Errors.CORRUPT_MESSAGE
  return true
}

/** Whether a header can be true; `left` is what the file holds from there on. */
function plausible(bytes: Uint8Array, at: number, left: number): boolean {
  const size = batchBytesAt(bytes, at)
  return (
    size >= BATCH_HEADER_BYTES &&
    size <= left &&
    magicAt(bytes, at) === 2 &&
    lastOffsetDeltaAt(bytes, at) >= 0
  )
}

/**
 * Skips batches that end below `fetchOffset`. Returns where the first other one starts, or where the walk ran out of
 * region[0, got) (perhaps beyond it, when a skipped batch is cut there); BAD on a bad header.
 */
function skipTo(region: Uint8Array, got: number, left: number, fetchOffset: number): number {
  let at = 0
  while (at + BATCH_HEADER_BYTES <= got) {
    if (!plausible(region, at, left - at)) return BAD
    if (baseOffsetAt(region, at) + lastOffsetDeltaAt(region, at) >= fetchOffset) return at
    at += batchBytesAt(region, at)
  }
  return at
}

/** Fills in as many whole batches from the start of `bytes` as `maxBytes` allows; a first header is there. */
function takeBatches(
  bytes: Uint8Array,
  left: number,
  fetchOffset: number,
  maxBytes: number,
  into: ReadResult,
): void {
  if (baseOffsetAt(bytes, 0) > fetchOffset) {
    fail(into)
    return
  }
  const budget = Math.min(bytes.length, maxBytes)
  let size = batchBytesAt(bytes, 0)
  if (size > budget) {
    into.neededBytes = size
    return
  }
  let end = 0
  let nextOffset = 0
  for (;;) {
    nextOffset = baseOffsetAt(bytes, end) + lastOffsetDeltaAt(bytes, end) + 1
    end += size
    if (end + BATCH_HEADER_BYTES > budget || !plausible(bytes, end, left - end)) break
    if (baseOffsetAt(bytes, end) !== nextOffset) break
    size = batchBytesAt(bytes, end)
    if (end + size > budget) break
  }
  into.length = end
  into.nextOffset = nextOffset
}

/**
 * Looks at one header that the region cannot hold: returns its batch's size when the batch ends below `fetchOffset`,
 * else 0 after filling `into`.
 */
function measure(
  file: DiskFile,
  position: number,
  limit: number,
  fetchOffset: number,
  into: ReadResult,
): number {
  const got = readFully(file, header, position)
  if (got < BATCH_HEADER_BYTES || !plausible(header, 0, limit - position)) {
    fail(into)
    return 0
  }
  const bytes = batchBytesAt(header, 0)
  if (baseOffsetAt(header, 0) + lastOffsetDeltaAt(header, 0) < fetchOffset) return bytes
  if (baseOffsetAt(header, 0) > fetchOffset) fail(into)
  else into.neededBytes = bytes
  return 0
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
