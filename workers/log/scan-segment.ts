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
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import { BATCH_HEADER_BYTES, batchBytesAt, magicAt } from '../../src/protocol/record-batch.ts'
import { BatchCursor } from './batch-cursor.ts'
import { readFully } from './files.ts'

/** Large enough for the default largest batch, so that its CRC is computed in one go. */
const WINDOW_BYTES = 1024 * 1024 + 64 * 1024
const SEARCH_BYTES = 256 * 1024
const MAGIC_AT = 16
/** Offsets of a segment lie this close to its base, or its index could not hold them. */
const RELATIVE_OFFSET_MAX = 2 ** 31 - 1

export type Ending = 'whole' | 'torn' | 'suspect'

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
  /** Offset the first batch must have: the log is dense. */
  readonly firstOffset: number
  /** Everything below was synced once: a bad batch there is rot. */
  readonly provenOffset: number
  /** From here on checksums are computed; below, headers are believed (the scrub looks for rot). */
  readonly checkFromOffset: number
  /** Called for every batch that is kept, in order. `isBehindRot`: the first one after a bad range. */
  onBatch(cursor: BatchCursor, isBehindRot: boolean): void
}

export function scanSegment(input: ScanInput): SegmentScan {
  const file = input.disk.open(input.path, 'r')
  try {
    return scanFile(file, input)
  } finally {
    file.close()
  }
}

function scanFile(file: DiskFile, input: ScanInput): SegmentScan {
  const fileBytes = file.sizeBytes()
  const windowBytes = Math.max(BATCH_HEADER_BYTES, Math.min(WINDOW_BYTES, fileBytes))
  const cursor = new BatchCursor(windowBytes).start(file, 0, fileBytes)
  const segmentEnd = input.firstOffset + RELATIVE_OFFSET_MAX
  let nextOffset = input.firstOffset
  let rottenBytes = 0
  let isBehindRot = false
  /** Where the batch before began, if its header was believed. */
  let believedAt = -1
  for (;;) {
    const step = cursor.look()
    if (step === 'end') break
    const isNext = step === 'batch' && cursor.baseOffset === nextOffset
    const isBelieved = isNext && cursor.lastOffset < input.checkFromOffset
    if (isNext && cursor.lastOffset <= segmentEnd && (isBelieved || cursor.crcMatches())) {
      believedAt = isBelieved ? cursor.position : -1
      nextOffset = cursor.lastOffset + 1
      input.onBatch(cursor, isBehindRot)
      isBehindRot = false
      cursor.moveTo(cursor.position + cursor.batchBytes)
      continue
    }
    let badAt = cursor.position
    if (believedAt >= 0 && !isBatchValid(cursor, believedAt)) {
      // Its length was wrong, perhaps, and it ends in the middle of another one.
      badAt = believedAt
      nextOffset = cursor.baseOffset
    }
    believedAt = -1
    const isRot = nextOffset < input.provenOffset
    const baseOffsetMax = isRot ? input.provenOffset : segmentEnd
    const wanted = { above: nextOffset, baseOffsetMax, lastOffsetMax: segmentEnd }
    const goodAt = findBatch(cursor, file, badAt, fileBytes, wanted)
    if (!isRot) {
      const ending = goodAt < 0 ? 'torn' : 'suspect'
      return { validBytes: badAt, fileBytes, nextOffset, ending, rottenBytes }
    }
    rottenBytes += (goodAt < 0 ? fileBytes : goodAt) - badAt
    if (goodAt < 0) break
    cursor.moveTo(goodAt)
    cursor.look()
    nextOffset = cursor.baseOffset
    isBehindRot = true
  }
  return { validBytes: fileBytes, fileBytes, nextOffset, ending: 'whole', rottenBytes }
}

function isBatchValid(at: BatchCursor, position: number): boolean {
  at.moveTo(position)
  return at.look() === 'batch' && at.crcMatches()
}

interface Wanted {
  readonly above: number
  readonly baseOffsetMax: number
  readonly lastOffsetMax: number
}

/**
 * Position of the first valid batch behind `badAt` with a wanted base offset; -1 when there is none.
 * Looks first where the bad batch says that it ends: if only its records are damaged, what a producer put into them is
 * not taken for a batch of the log.
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
    if (isOurs(behind)) return behind
  }
  const bytes = Buffer.allocUnsafeSlow(SEARCH_BYTES)
  for (let start = badAt; start < fileBytes; start += SEARCH_BYTES - BATCH_HEADER_BYTES) {
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
