/**
 * Checks one log directory as a whole and changes nothing: every checksum, the order of the offsets within and across
 * segments, both indexes entry by entry, the producers' files, what recoveries left behind. For `odradek log verify`;
 * a pool thread.
 *
 *   00..0.log  | batch | batch | ??? | batch |     damage: bytes that no longer hold what they held
 *   00..9.log  | batch | batch | ba                a torn end after an unclean stop: recovery cuts it, a note
 */
import type { Disk } from '../../src/contracts/disk.ts'
import type { VerifyFinding, VerifyInput, VerifyReport } from '../../src/contracts/verify.ts'
import { records } from '../../src/protocol/records.ts'
import type { BatchCursor } from './batch-cursor.ts'
import { fileName, type Listing, listLog, logFilePath } from './files.ts'
import { IndexCheck } from './index-check.ts'
import { readMarks } from './marks.ts'
import { decodeSnapshot, newestWindow, readWindow } from './producer-files.ts'
import { type SegmentScan, scanSegment } from './scan-segment.ts'

/** Of each kind: a damaged disk must not fill the memory with complaints, nor notes hide the damage. */
const FINDINGS_MAX = 100

interface Run {
  readonly disk: Disk
  readonly input: VerifyInput
  readonly listing: Listing
  /** Offsets below may be missing: compaction. */
  readonly gapsBelowOffset: number
  readonly findings: VerifyFinding[]
  /** Findings of each kind that still are told. */
  readonly left: Record<VerifyFinding['kind'], number>
  batches: number
  records: number
  bytes: number
}

/** A file that cannot be read is a finding; throws as the disk does when the directory cannot be listed. */
export function verifyLog(disk: Disk, input: VerifyInput): VerifyReport {
  const { directory } = input
  const listing = listLog(disk, directory)
  const marks = readMarks(disk, directory)
  const run: Run = {
    disk,
    input,
    listing,
    gapsBelowOffset: gapsBelow(marks, input.isForeign),
    findings: [],
    left: { damage: FINDINGS_MAX, note: FINDINGS_MAX },
    batches: 0,
    records: 0,
    bytes: 0,
  }
  if (marks === 'bad')
    note(run, 'log-marks', 'cannot be read: the log start is taken from the first segment')
  let endOffset = listing.log[0] ?? 0
  for (const [index, baseOffset] of listing.log.entries()) {
    checkSeam(run, baseOffset, endOffset)
    endOffset = verifyReadable(run, baseOffset, listing.log[index + 1] ?? null)
  }
  if (endOffset < input.recoveryPoint)
    damage(run, '.', `flushed up to offset ${input.recoveryPoint}, the log ends at ${endOffset}`)
  checkProducerFiles(run, endOffset)
  noteRemains(run)
  const first = listing.log[0] ?? 0
  const startOffset = typeof marks === 'string' ? first : Math.max(first, marks.logStart)
  const { batches, bytes } = run
  const segments = listing.log.length
  return {
    directory,
    startOffset,
    endOffset,
    segments,
    batches,
    records: run.records,
    bytes,
    findings: run.findings,
  }
}

function gapsBelow(marks: ReturnType<typeof readMarks>, isForeign: boolean): number {
  if (marks === 'bad' || isForeign) return Number.MAX_SAFE_INTEGER
  return marks === 'missing' ? 0 : marks.cleanedEnd
}

/** Segments continue each other; below the compacted end offsets may be missing between them. */
function checkSeam(run: Run, baseOffset: number, endOffset: number): void {
  const file = fileName(baseOffset, 'log')
  if (baseOffset > endOffset && baseOffset > run.gapsBelowOffset) {
    damage(run, file, `offsets ${endOffset} to ${baseOffset - 1} are missing before it`)
  } else if (baseOffset < endOffset) {
    damage(run, file, `overlaps the segment before it, which ends at offset ${endOffset}`)
  }
}

/** Returns where the next segment must begin. */
function verifyReadable(run: Run, baseOffset: number, nextBase: number | null): number {
  try {
    return verifySegment(run, baseOffset, nextBase === null)
  } catch (error) {
    damage(run, fileName(baseOffset, 'log'), `cannot be read: ${(error as Error).message}`)
    return nextBase ?? baseOffset
  }
}

/** Returns the offset behind the segment's last batch. Throws as the disk does. */
function verifySegment(run: Run, baseOffset: number, isLast: boolean): number {
  const { disk, input, listing } = run
  const file = fileName(baseOffset, 'log')
  const indexes = new IndexCheck(disk, input.directory, baseOffset)
  // Behind the last proven offset an unclean stop may have left anything: recovery's business.
  const isEndOpen = isLast && !input.isClean
  const noted = Math.max(listing.window.at(-1) ?? 0, input.recoveryPoint)
  const provenOffset = isEndOpen ? noted : Number.MAX_SAFE_INTEGER
  const scan = scanSegment({
    disk,
    path: logFilePath(input.directory, baseOffset, 'log'),
    firstOffset: baseOffset,
    provenOffset,
    checkFromOffset: 0,
    gapsBelowOffset: run.gapsBelowOffset,
    onBatch: cursor => {
      run.batches++
      run.records += cursor.recordCount
      indexes.batch(cursor)
      if (input.areRecordsRead) readRecords(run, file, cursor)
    },
    onRot: ({ startPosition, endPosition, firstOffset, nextOffset }) => {
      const offsets =
        nextOffset < 0 ? `from ${firstOffset} on` : `${firstOffset} to ${nextOffset - 1}`
      damage(
        run,
        file,
        `bytes ${startPosition} to ${endPosition - 1} are bad: offsets ${offsets} are lost`,
      )
    },
  })
  run.bytes += scan.fileBytes
  noteEnd(run, file, scan)
  for (const message of indexes.finish()) note(run, file, message)
  return scan.nextOffset
}

function noteEnd(run: Run, file: string, { ending, fileBytes, validBytes }: SegmentScan): void {
  if (ending === 'whole') return
  const what = `${fileBytes - validBytes} bytes from position ${validBytes} on are not proven`
  note(run, file, `${what} (${ending}): the next start recovers the log there`)
}

function readRecords(run: Run, file: string, cursor: BatchCursor): void {
  const bytes = Buffer.allocUnsafe(cursor.batchBytes)
  try {
    if (!cursor.copyBatch(bytes)) return
    for (const _ of records(bytes));
  } catch (error) {
    const { message } = error as Error
    damage(
      run,
      file,
      `the records of the batch at position ${cursor.position} cannot be read: ${message}`,
    )
  }
}

/** Caches, but a wrong one that passes its checksum would be believed. */
function checkProducerFiles(run: Run, endOffset: number): void {
  const { disk, input, listing } = run
  for (const offset of listing.window) {
    const path = logFilePath(input.directory, offset, 'window')
    if (offset > endOffset) {
      damage(
        run,
        fileName(offset, 'window'),
        `synced up to offset ${offset}, the log ends at ${endOffset}`,
      )
    } else if (readWindow(disk, path, offset) === null) {
      note(run, fileName(offset, 'window'), 'cannot be read: the log is replayed from an older one')
    }
  }
  if (listing.window.length > 0 && newestWindow(disk, input.directory, listing.window) === null) {
    note(run, fileName(listing.window[0], 'window'), 'no window file can be read')
  }
  for (const offset of listing.snapshot) {
    const bytes = disk.readFile(logFilePath(input.directory, offset, 'snapshot'))
    if (decodeSnapshot(bytes, 0) === null) {
      note(run, fileName(offset, 'snapshot'), 'cannot be read: producer state comes from the log')
    }
  }
}

const remains: readonly (readonly [RegExp, string])[] = [
  [/\.swap$/, 'a replacement that was decided: the next start finishes it'],
  [/\.(cleaned|tmp|new)$/, 'work that was under way: the next start drops it'],
  [/\.torn-\d+$/, 'kept from a recovery: bytes that held no whole batch'],
  [
    /\.suspect-\d+$/,
    'kept from a recovery: valid batches behind a bad one; `odradek log dump` shows them',
  ],
]

function noteRemains(run: Run): void {
  for (const name of run.disk.list(run.input.directory).sort()) {
    const why = remains.find(([pattern]) => pattern.test(name))?.[1]
    if (why !== undefined) note(run, name, why)
  }
}

function damage(run: Run, file: string, message: string): void {
  find(run, { file, kind: 'damage', message })
}

function note(run: Run, file: string, message: string): void {
  find(run, { file, kind: 'note', message })
}

function find(run: Run, finding: VerifyFinding): void {
  const left = run.left[finding.kind]--
  if (left > 0) run.findings.push(finding)
  else if (left === 0) run.findings.push({ ...finding, message: 'and more that is not listed' })
}
