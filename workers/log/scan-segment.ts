/**
 * Checks the records file of one segment: which prefix of it is the log's, and what lies behind. Changes nothing.
 * Owner threads (small tails) and recovery tasks.
 *
 *     headers only    | CRC too
 *   | batch | batch | batch | batch | ba??? | batch? |
 *                                   ^ first bad: torn (nothing valid behind) or suspect (valid batches behind): cut
 *
 * Below the proven offset a bad batch is rot: it was whole once and synced. Nothing is cut then, the scan goes on at
 * the next batch that can belong here, and readers get an error in between (RELIABILITY 2.4).
 */
import type { RottenRange } from '../../src/contracts/control.ts'
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import { BATCH_HEADER_BYTES, batchBytesAt, magicAt } from '../../src/protocol/record-batch.ts'
import { BatchCursor } from './batch-cursor.ts'
import { readFully } from './files.ts'

/** Large enough for the default largest batch, so that its CRC is computed in one go. */
const WINDOW_BYTES = 1024 * 1024 + 64 * 1024
const SEARCH_BYTES = 256 * 1024
const MAGIC_AT = 16
/** Constant on one host (appender.ts); only directories that Apache Kafka wrote hold others. */
const LEADER_EPOCH = 0
/** Offsets of a segment lie this close to its base, or its index could not hold them. */
const RELATIVE_OFFSET_MAX = 2 ** 31 - 1

/** `overlap`: the next segment begins before this one ends. */
export type Ending = 'whole' | 'torn' | 'suspect' | 'overlap'

export interface SegmentScan {
  /** What is to be kept. */
  readonly validBytes: number
  readonly fileBytes: number
  readonly nextOffset: number
  readonly ending: Ending
  /** Ranges below the proven offset that no longer hold what they held. */
  readonly rottenBytes: number
}

export interface ScanInput {
  readonly disk: Disk
  readonly path: string
  /** Base offset of the segment, and of its first batch: the log is dense. */
  readonly firstOffset: number
  /** Where to begin, and the offset expected there; default the start of the file. */
  readonly from?: { readonly position: number; readonly offset: number }
  /** The next segment begins here: what lies behind is not this one's. Default no next segment. */
  readonly endOffset?: number
  /** Everything below was synced once: a bad batch there is rot. */
  readonly provenOffset: number
  /** From here on checksums are computed; below, headers are believed (the scrub looks for rot). */
  readonly checkFromOffset: number
  /** Compaction took records out below: offsets may be missing there (see `continues`). Default 0. */
  readonly gapsBelowOffset?: number
  /** Nothing behind is looked at; default all of the file. */
  readonly limitBytes?: number
  /** Called for every batch that is kept, in order. `isBehindRot`: the first one after a bad range. */
  onBatch(cursor: BatchCursor, isBehindRot: boolean): void
  onRot?(range: RottenRange): void
}

export function scanSegment(input: ScanInput): SegmentScan {
  const file = input.disk.open(input.path, 'r')
  try {
    return scanFile(file, input)
  } finally {
    file.close()
  }
}

/**
 * Whether the batch under the cursor may be the next one of a log that ends at `expected`. Below `gapsBelowOffset`
 * offsets may be missing, between batches and within them, and leaders may have changed: compaction, or another broker.
 */
export function continues(cursor: BatchCursor, expected: number, gapsBelowOffset: number): boolean {
  const { baseOffset, lastOffset, recordCount, leaderEpoch } = cursor
  if (baseOffset < expected) return false
  if (baseOffset > expected && baseOffset > gapsBelowOffset) return false
  if (lastOffset < gapsBelowOffset) return true
  return recordCount === lastOffset - baseOffset + 1 && leaderEpoch === LEADER_EPOCH
}

/** A bad batch, and where the scan goes on behind it. */
interface Bad {
  readonly position: number
  readonly offset: number
  readonly isRot: boolean
  /** Of the next valid batch; -1 when there is none. */
  readonly goodAt: number
}

function scanFile(file: DiskFile, input: ScanInput): SegmentScan {
  const fileBytes = Math.min(file.sizeBytes(), input.limitBytes ?? Number.POSITIVE_INFINITY)
  const { from, gapsBelowOffset = 0, endOffset = Number.MAX_SAFE_INTEGER } = input
  const windowBytes = Math.max(BATCH_HEADER_BYTES, Math.min(WINDOW_BYTES, fileBytes))
  const cursor = new BatchCursor(windowBytes).start(file, from?.position ?? 0, fileBytes)
  const segmentEnd = input.firstOffset + RELATIVE_OFFSET_MAX
  let nextOffset = from?.offset ?? input.firstOffset
  let rottenBytes = 0
  let isBehindRot = false
  /** Where the batch before began, if its header was believed. */
  let believedAt = -1
  for (;;) {
    const step = cursor.look()
    if (step === 'end') break
    const isNext = step === 'batch' && continues(cursor, nextOffset, gapsBelowOffset)
    if (nextOffset >= endOffset || (isNext && cursor.baseOffset >= endOffset)) {
      const validBytes = cursor.position
      return { validBytes, fileBytes, nextOffset, ending: 'overlap', rottenBytes }
    }
    const isBelieved = isNext && cursor.lastOffset < input.checkFromOffset
    if (isNext && cursor.lastOffset <= segmentEnd && (isBelieved || cursor.crcMatches())) {
      believedAt = isBelieved ? cursor.position : -1
      nextOffset = cursor.lastOffset + 1
      input.onBatch(cursor, isBehindRot)
      isBehindRot = false
      cursor.moveTo(cursor.position + cursor.batchBytes)
      continue
    }
    const bad = judgeBad(cursor, file, fileBytes, nextOffset, believedAt, input)
    believedAt = -1
    if (!bad.isRot) {
      const ending = bad.goodAt < 0 ? 'torn' : 'suspect'
      return { validBytes: bad.position, fileBytes, nextOffset: bad.offset, ending, rottenBytes }
    }
    nextOffset = bad.offset
    const endPosition = bad.goodAt < 0 ? fileBytes : bad.goodAt
    rottenBytes += endPosition - bad.position
    const range = { startPosition: bad.position, endPosition, firstOffset: bad.offset }
    if (bad.goodAt < 0) {
      input.onRot?.({ ...range, nextOffset: -1 })
      break
    }
    cursor.moveTo(bad.goodAt)
    cursor.look()
    nextOffset = cursor.baseOffset
    input.onRot?.({ ...range, nextOffset })
    isBehindRot = true
  }
  return { validBytes: fileBytes, fileBytes, nextOffset, ending: 'whole', rottenBytes }
}

function judgeBad(
  cursor: BatchCursor,
  file: DiskFile,
  fileBytes: number,
  expected: number,
  believedAt: number,
  input: ScanInput,
): Bad {
  const { provenOffset, firstOffset, gapsBelowOffset = 0 } = input
  const { endOffset = Number.MAX_SAFE_INTEGER } = input
  let { position } = cursor
  let offset = expected
  if (believedAt >= 0 && !isBatchValid(cursor, believedAt)) {
    // Its length was wrong, perhaps, and it ends in the middle of another one.
    position = believedAt
    offset = cursor.baseOffset
  }
  const isRot = offset < provenOffset
  const segmentEnd = firstOffset + RELATIVE_OFFSET_MAX
  const goodAt = findBatch(cursor, file, position, fileBytes, {
    above: offset,
    baseOffsetMax: Math.min(isRot ? provenOffset : segmentEnd, endOffset - 1),
    lastOffsetMax: Math.min(segmentEnd, endOffset - 1),
    gapsBelowOffset,
  })
  return { position, offset, isRot, goodAt }
}

/** The first valid batch behind a bad one at `badAt`, for offsets in (above, endOffset); null when there is none. */
export function findGoodBehind(
  file: DiskFile,
  badAt: number,
  limitBytes: number,
  above: number,
  endOffset: number,
): { readonly position: number; readonly baseOffset: number } | null {
  const cursor = new BatchCursor(64 * 1024).start(file, badAt, limitBytes)
  const max = endOffset - 1
  const wanted = { above, baseOffsetMax: max, lastOffsetMax: max, gapsBelowOffset: 0 }
  const position = findBatch(cursor, file, badAt, limitBytes, wanted)
  return position < 0 ? null : { position, baseOffset: cursor.baseOffset }
}

function isBatchValid(at: BatchCursor, position: number): boolean {
  at.moveTo(position)
  return at.look() === 'batch' && at.crcMatches()
}

interface Wanted {
  readonly above: number
  readonly baseOffsetMax: number
  readonly lastOffsetMax: number
  /** Offsets may be missing below. */
  readonly gapsBelowOffset: number
}

/**
 * Position of the first valid batch behind `badAt` with a wanted base offset; -1 when there is none.
 * Looks first where the bad batch says that it ends: if only its records are damaged, what a producer put into them is
 * not taken for a batch of the log. The offsets must agree, or its length is wrong, perhaps, and hides good ones.
 */
function findBatch(
  at: BatchCursor,
  file: DiskFile,
  badAt: number,
  fileBytes: number,
  wanted: Wanted,
): number {
  const isOurs = (position: number): boolean => {
    at.moveTo(position)
    return (
      at.look() === 'batch' &&
      at.baseOffset > wanted.above &&
      at.baseOffset <= wanted.baseOffsetMax &&
      at.lastOffset <= wanted.lastOffsetMax &&
      at.crcMatches()
    )
  }
  at.moveTo(badAt)
  if (at.look() === 'batch') {
    const behind = badAt + at.batchBytes
    const expected = at.lastOffset + 1
    if (isOurs(behind)) {
      const { baseOffset } = at
      const isNext =
        baseOffset >= expected && baseOffset <= Math.max(expected, wanted.gapsBelowOffset)
      const within = isNext ? -1 : searchFile(file, badAt + 1, behind, isOurs)
      return within < 0 && isOurs(behind) ? behind : within
    }
  }
  return searchFile(file, badAt, fileBytes, isOurs)
}

/** Position of the first batch in file[from, fileBytes) that is ours; -1 when there is none. */
function searchFile(
  file: DiskFile,
  from: number,
  fileBytes: number,
  isOurs: (position: number) => boolean,
): number {
  const bytes = Buffer.allocUnsafeSlow(SEARCH_BYTES)
  for (let start = from; start < fileBytes; start += SEARCH_BYTES - BATCH_HEADER_BYTES) {
    const got = readFully(file, bytes, start)
    const found = searchWindow(bytes, got, start, fileBytes, isOurs)
    if (found >= 0) return found
    if (got < SEARCH_BYTES) break
  }
  return -1
}

function searchWindow(
  bytes: Buffer,
  got: number,
  start: number,
  fileBytes: number,
  isOurs: (position: number) => boolean,
): number {
  const end = got - BATCH_HEADER_BYTES
  // Runs of zeros and the like are skipped by native code: a header needs magic 2 in its place.
  let magic = bytes.indexOf(2, MAGIC_AT)
  while (magic >= 0 && magic - MAGIC_AT <= end) {
    const at = magic - MAGIC_AT
    const size = batchBytesAt(bytes, at)
    const canBe = size >= BATCH_HEADER_BYTES && size <= fileBytes - start - at
    if (canBe && magicAt(bytes, at) === 2 && isOurs(start + at)) return start + at
    magic = bytes.indexOf(2, magic + 1)
  }
  return -1
}
