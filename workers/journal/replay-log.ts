/**
 * Puts what the journals prove into the segments of one log, before the log is opened. Replay task and owner threads;
 * in steps. Doing it twice is doing it once.
 *
 *   segments   | window ... valid | torn or missing ...
 *   journal          | record | record | record |        begins where the valid batches end: written, and walked on
 *                        ^ there already: written again, so that it is dirty and the sync below writes it
 *
 * Batches that are there and whole stay; nothing is written but at the place where the valid batches end, or over the
 * same bytes. So a file that compaction or a copy made since is never harmed, and a record that does not continue the
 * log proves nothing: what lies before it was never proven.
 */
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import { BatchCursor } from '../log/batch-cursor.ts'
import {
  codedError,
  createEmpty,
  listLog,
  logFilePath,
  readFully,
  writeFully,
} from '../log/files.ts'
import { removeFlushIdle } from '../log/flush-idle.ts'
import { scanStart } from '../log/index-seed.ts'
import { readMarks } from '../log/marks.ts'
import { gapsBelow } from '../log/recovery.ts'
import { continues, scanSegment } from '../log/scan-segment.ts'
import { type Steps, synced } from '../log/steps.ts'
import { finishSwaps } from '../log/swap.ts'
import type { FoundRecord } from './read-journal.ts'

export interface ReplayedLog {
  /** The log is whole up to here, and that is on disk, as its own checkpoint or the journal proves. */
  readonly endOffset: number
  /** Batches that the segments did not hold. */
  readonly writtenBytes: number
}

/**
 * `records`: all of this log, in the order in which they were written. Without `isProof` nothing is synced: somebody
 * copies the bytes. Throws as the disk does.
 */
export function* replayLog(
  disk: Disk,
  directory: string,
  records: readonly FoundRecord[],
  isProof = true,
): Steps<ReplayedLog> {
  yield* finishSwaps(disk, directory)
  const replay = new LogReplay(disk, directory, standing(records))
  try {
    replay.fill()
    if (isProof) yield* replay.prove()
    return replay.result()
  } finally {
    replay.close()
  }
}

/** A log that was cut and went on says something else about the same offsets: the later record counts. */
function standing(records: readonly FoundRecord[]): FoundRecord[] {
  const kept: FoundRecord[] = []
  for (const record of records) {
    while (kept.length > 0 && kept.at(-1)!.endOffset > record.baseOffset) kept.pop()
    kept.push(record)
  }
  return kept
}

class LogReplay {
  readonly #disk: Disk
  readonly #directory: string
  readonly #records: readonly FoundRecord[]
  readonly #cursor = new BatchCursor(64 * 1024)
  readonly #gapsBelow: number
  /** Everything below is proven by the log itself. */
  readonly #provenEnd: number
  readonly #bases: number[]
  readonly #open = new Map<number, DiskFile>()
  readonly #dirty = new Set<DiskFile>()
  /** Segment that the walk is in; -1 before the first. */
  #base = -1
  #position = 0
  #offset: number
  /** Up to here its checkpoint, or records without a gap behind it, prove the log. */
  #journaledEnd = 0
  #writtenBytes = 0
  /** Of the records: those before it end below the log's. */
  #next = 0

  constructor(disk: Disk, directory: string, records: readonly FoundRecord[]) {
    this.#disk = disk
    this.#directory = directory
    this.#records = records
    const { log, window } = listLog(disk, directory)
    const marks = readMarks(disk, directory)
    const logStart = typeof marks === 'string' ? 0 : marks.logStart
    this.#bases = log
    this.#gapsBelow = gapsBelow(marks)
    this.#provenEnd = window.at(-1) ?? 0
    this.#offset = Math.max(this.#provenEnd, logStart)
    const first = log.findLast(base => base <= this.#offset)
    if (first === undefined) return
    this.#base = first
    const from = scanStart(disk, directory, first, this.#provenEnd)
    this.#position = from?.position ?? 0
    this.#offset = from?.offset ?? first
    this.#passProven()
  }

  fill(): void {
    do this.#walk()
    while (this.#write())
  }

  *prove(): Steps<void> {
    this.#journaledEnd = this.#provenEnd
    for (const record of this.#records) {
      const isProven = this.#rewrite(record) && record.baseOffset <= this.#journaledEnd
      if (isProven) this.#journaledEnd = Math.max(this.#journaledEnd, record.endOffset)
    }
    removeFlushIdle(this.#disk, this.#directory)
    // The directory too: names that only this process, or the last one, has seen.
    yield* synced([...this.#dirty, this.#directory])
  }

  result(): ReplayedLog {
    return { endOffset: this.#journaledEnd, writtenBytes: this.#writtenBytes }
  }

  close(): void {
    for (const file of this.#open.values()) file.close()
  }

  #file(base: number): DiskFile {
    const known = this.#open.get(base)
    if (known !== undefined) return known
    const file = this.#disk.open(logFilePath(this.#directory, base, 'log'), 'r+')
    this.#open.set(base, file)
    return file
  }

  /** Rot in what the log's own checkpoint proves is recovery's business: what follows is filled all the same. */
  #passProven(): void {
    const { validBytes, nextOffset } = scanSegment({
      disk: this.#disk,
      path: logFilePath(this.#directory, this.#base, 'log'),
      firstOffset: this.#base,
      from: { position: this.#position, offset: this.#offset },
      endOffset: this.#bases.find(base => base > this.#base),
      provenOffset: this.#provenEnd,
      checkFromOffset: this.#provenEnd,
      gapsBelowOffset: this.#gapsBelow,
      onBatch: () => {},
    })
    this.#position = validBytes
    this.#offset = nextOffset
  }

  /** Over all batches that are there and continue the log. */
  #walk(): void {
    while (this.#base >= 0) {
      const next = this.#bases.find(base => base > this.#base)
      this.#walkSegment(next ?? Number.MAX_SAFE_INTEGER)
      if (next === undefined) return
      const isReached = this.#offset >= next || next <= this.#gapsBelow
      if (!isReached) return
      this.#base = next
      this.#position = 0
      this.#offset = next
    }
  }

  #walkSegment(endOffset: number): void {
    const file = this.#file(this.#base)
    const cursor = this.#cursor.start(file, this.#position, file.sizeBytes())
    while (cursor.look() === 'batch') {
      if (!continues(cursor, this.#offset, this.#gapsBelow) || cursor.baseOffset >= endOffset)
        return
      if (!cursor.crcMatches()) return
      this.#position = cursor.position + cursor.batchBytes
      this.#offset = cursor.lastOffset + 1
      cursor.moveTo(this.#position)
    }
  }

  /** The journal's batches from where the log ends; false when it has none that belong there. */
  #write(): boolean {
    const end = this.#offset
    while ((this.#records[this.#next]?.endOffset ?? Number.POSITIVE_INFINITY) <= end) this.#next++
    const record = this.#records[this.#next]
    if (record === undefined || record.baseOffset > end) return false
    const from = this.#startIn(record)
    if (from < 0) return false
    const position = record.position + from
    const isNew = position === 0 && record.segmentBase === end && this.#base < end
    const isHere = record.segmentBase === this.#base && position === this.#position
    if (!isNew && !isHere) return false
    if (isNew) this.#create(end)
    const batches = payload(record, from)
    const file = this.#file(this.#base)
    writeFully(file, batches, position)
    this.#dirty.add(file)
    this.#writtenBytes += batches.length
    this.#walkSegment(record.endOffset)
    if (this.#offset >= record.endOffset) return true
    throw codedError('EIO', `${file.path} does not hold what was written to it`)
  }

  /** Where in the record's batches the one at the end of the log begins; -1 when none does. */
  #startIn({ journal, journalPosition, bytes }: FoundRecord): number {
    const cursor = this.#cursor.start(journal, journalPosition, journalPosition + bytes)
    let step = cursor.look()
    while (step === 'batch' && cursor.baseOffset < this.#offset) step = cursor.next()
    const isThere = step === 'batch' && cursor.baseOffset === this.#offset
    return isThere ? cursor.position - journalPosition : -1
  }

  #create(base: number): void {
    this.#open.set(base, createEmpty(this.#disk, logFilePath(this.#directory, base, 'log')))
    const behind = this.#bases.findIndex(other => other > base)
    this.#bases.splice(behind < 0 ? this.#bases.length : behind, 0, base)
    this.#base = base
    this.#position = 0
  }

  /**
   * Bytes that are there may be in the page cache only, and clean after a sync that failed. Returns whether a sync
   * proves them now.
   */
  #rewrite(record: FoundRecord): boolean {
    const { segmentBase, position, endOffset } = record
    if (endOffset <= this.#provenEnd) return true
    if (endOffset > this.#offset || !this.#bases.includes(segmentBase)) return false
    const file = this.#file(segmentBase)
    const batches = payload(record, 0)
    const there = Buffer.allocUnsafeSlow(batches.length)
    const isThere = readFully(file, there, position) === batches.length && there.equals(batches)
    if (!isThere) return false
    writeFully(file, batches, position)
    this.#dirty.add(file)
    return true
  }
}

function payload({ journal, journalPosition, bytes }: FoundRecord, from: number): Buffer {
  const batches = Buffer.allocUnsafeSlow(bytes - from)
  if (readFully(journal, batches, journalPosition + from) === batches.length) return batches
  throw codedError('EIO', `${journal.path} has become shorter`)
}
