/**
 * Acts on a recovery verdict: keeps what is cut beside the log, copies unproven bytes forward, puts the rebuilt indexes
 * in place. Owner thread only, in steps. Doing it twice is doing it once: a crash in between is answered by scanning
 * again.
 */
import { dirname } from 'node:path'
import type { RecoveryVerdict, SegmentVerdict } from '../../src/contracts/control.ts'
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import { copyBytes, copyUnproven, putCopyInPlace, rewriteUnproven } from './copy-forward.ts'
import { listLog, logFilePath, readFully, temporaryPath, unlinkIfThere } from './files.ts'
import { isFlushIdle, removeFlushIdle } from './flush-idle.ts'
import { damageOf } from './recovery.ts'
import { type Steps, synced } from './steps.ts'

const LOOK_BYTES = 64 * 1024

/** False when the log's files are no longer those that the scan saw. */
export function isCurrent(disk: Disk, directory: string, verdict: RecoveryVerdict): boolean {
  const { segments } = verdict
  const scanned = segments.map(segment => segment.baseOffset).sort((a, b) => a - b)
  const present = listLog(disk, directory).log.slice(-scanned.length || Number.MAX_SAFE_INTEGER)
  if (scanned.length !== present.length) return false
  if (scanned.some((baseOffset, index) => baseOffset !== present[index])) return false
  return segments.every(({ baseOffset, fileBytes }) => {
    const file = disk.open(logFilePath(directory, baseOffset, 'log'), 'r')
    const isSame = file.sizeBytes() === fileBytes
    file.close()
    return isSame
  })
}

export interface Repair {
  /** Bytes cut off, kept beside the log where they may hold something. */
  readonly cutBytes: number
  readonly copiedBytes: number
}

/**
 * With `isPoisoned`, a sync of the last file may have failed in this process: it is not written to again, whatever is
 * in it; and somebody may be reading it, so it is cut last, with nothing to wait for behind that. With the copy the
 * index files are synced, too, but for those of the segment that will be appended to, if that is the last one of these:
 * nobody looks behind them after the next crash. Without, the flusher does it, as the log must be open soon. Throws as
 * the disk does; the log must not be served then.
 */
export function* repairLog(
  disk: Disk,
  directory: string,
  verdict: RecoveryVerdict,
  isPoisoned: boolean,
  isLastActive: boolean,
): Steps<Repair> {
  const kept = verdict.segments.filter(segment => damageOf(segment) !== 'left-out')
  const leftOut = verdict.segments.filter(segment => damageOf(segment) === 'left-out')
  let cutBytes = leftOut.reduce((sum, { fileBytes }) => sum + fileBytes, 0)
  for (const segment of kept) {
    if (damageOf(segment) === 'overlap') continue
    cutBytes += segment.fileBytes - segment.validBytes
    yield* keepBadTail(disk, directory, segment)
  }
  const last = isLastActive ? kept.at(-1) : undefined
  const copied = verdict.copyForward
    ? kept.filter(segment => isCopied(segment, isPoisoned && segment === kept.at(-1)))
    : []
  if (verdict.copyForward) {
    const lastBase = last && (copied.includes(last) ? last.unprovenOffset : last.baseOffset)
    yield* copyAll(disk, directory, copied, indexesOf(disk, directory, kept, lastBase ?? -1))
  }
  // Under `os`, as long as no flush was tried, what is not on disk is dirty.
  const isRewritten = !verdict.copyForward && !isFlushIdle(disk, directory)
  if (isRewritten) for (const segment of kept) yield* rewriteUnproven(disk, directory, segment)
  for (const segment of leftOut) setAside(disk, directory, segment)
  for (const segment of copied) putCopyInPlace(disk, directory, segment)
  // The next start believes the indexes of whole segments: their names are to be on disk before any checkpoint is.
  for (const segment of kept) putIndexesInPlace(disk, directory, segment)
  const directories = copied.length + leftOut.length > 0 ? [directory] : []
  // Of a log that was never flushed the directory's own name is not proven either.
  if (copied.length > 0 && verdict.provenOffset <= 0) directories.push(dirname(directory))
  if (directories.length > 0) yield* synced(directories)
  yield* cutAll(disk, directory, kept, copied, isPoisoned)
  const copiedBytes = copied.reduce((sum, one) => sum + one.validBytes - one.unprovenPosition, 0)
  return { cutBytes, copiedBytes }
}

/** Brings what is not proven and the index files onto the disk, under names that count for nothing. */
function* copyAll(
  disk: Disk,
  directory: string,
  copied: readonly SegmentVerdict[],
  indexes: readonly string[],
): Steps<void> {
  const files: DiskFile[] = []
  try {
    for (const segment of copied) files.push(yield* copyUnproven(disk, directory, segment))
    for (const path of indexes) files.push(disk.open(path, 'r'))
    if (files.length > 0) yield* synced(files)
  } finally {
    for (const file of files) file.close()
  }
}

function isCopied({ unprovenPosition, validBytes }: SegmentVerdict, always: boolean): boolean {
  return always || unprovenPosition < validBytes
}

/**
 * Unless poisoned the cuts are made durable where they must be: half of it, zeros in the old size, would look like rot
 * to readers of a segment that is whole now; and good batches that were cut could turn up behind what is appended in
 * their place, if a power cut took only some of that.
 */
function* cutAll(
  disk: Disk,
  directory: string,
  kept: readonly SegmentVerdict[],
  copied: readonly SegmentVerdict[],
  isPoisoned: boolean,
): Steps<void> {
  const files: DiskFile[] = []
  try {
    for (const segment of kept) {
      const isCopiedOne = copied.includes(segment)
      const file = cut(disk, directory, segment, isCopiedOne)
      if (file === null) continue
      if (!isPoisoned && (isCopiedOne || damageOf(segment) === 'suspect')) files.push(file)
      else file.close()
    }
    if (files.length === 0) return
    removeFlushIdle(disk, directory)
    yield* synced(files)
  } finally {
    for (const file of files) file.close()
  }
}

/** Returns the file, open, if there was something to cut. */
function cut(
  disk: Disk,
  directory: string,
  verdict: SegmentVerdict,
  isCopied: boolean,
): DiskFile | null {
  const { baseOffset, unprovenPosition, unprovenOffset, validBytes, fileBytes } = verdict
  const isReplaced = isCopied && unprovenOffset === baseOffset
  const keptBytes = isCopied ? unprovenPosition : validBytes
  if (isReplaced || keptBytes === fileBytes) return null
  const file = disk.open(logFilePath(directory, baseOffset, 'log'), 'r+')
  try {
    file.truncate(keptBytes)
    return file
  } catch (error) {
    file.close()
    throw error
  }
}

function* keepBadTail(disk: Disk, directory: string, verdict: SegmentVerdict): Steps<void> {
  const { baseOffset, validBytes, fileBytes } = verdict
  if (validBytes === fileBytes) return
  const isSuspect = damageOf(verdict) === 'suspect'
  const path = logFilePath(directory, baseOffset, 'log')
  const file = disk.open(path, 'r')
  try {
    if (isZero(file, validBytes, fileBytes)) return
    const name = `${path}.${isSuspect ? 'suspect' : 'torn'}-${validBytes}`
    yield* copyBytes(disk, file, validBytes, fileBytes, name)
  } catch (error) {
    // A torn tail holds nothing; a full disk must not keep the log from opening.
    if (isSuspect) throw error
  } finally {
    file.close()
  }
}

/** The file was made longer and the bytes never came: nothing to keep. */
function isZero(file: ReturnType<Disk['open']>, start: number, end: number): boolean {
  const bytes = Buffer.allocUnsafeSlow(Math.min(LOOK_BYTES, end - start))
  for (let at = start; at < end; ) {
    const got = readFully(file, bytes.subarray(0, Math.min(bytes.length, end - at)), at)
    if (got === 0 || !bytes.subarray(0, got).every(byte => byte === 0)) return false
    at += got
  }
  return true
}

const indexSuffixes = ['index', 'timeindex'] as const

/** Temporary index files that are there, but for those of the base that will be appended to. */
function indexesOf(
  disk: Disk,
  directory: string,
  kept: readonly SegmentVerdict[],
  activeBase: number,
): string[] {
  const bases = kept.flatMap(segment => segment.indexedBases).filter(base => base !== activeBase)
  const paths = bases.flatMap(base =>
    indexSuffixes.map(suffix => temporaryPath(directory, base, suffix)),
  )
  return paths.filter(path => disk.exists(path))
}

function putIndexesInPlace(disk: Disk, directory: string, verdict: SegmentVerdict): void {
  const { baseOffset, indexedBases } = verdict
  for (const suffix of indexSuffixes) {
    for (const base of indexedBases) {
      const temporary = temporaryPath(directory, base, suffix)
      const path = logFilePath(directory, base, suffix)
      if (disk.exists(temporary)) disk.rename(temporary, path)
      else unlinkIfThere(disk, path)
    }
    if (!indexedBases.includes(baseOffset)) {
      unlinkIfThere(disk, logFilePath(directory, baseOffset, suffix))
    }
  }
}

/** A segment that does not count is kept under another name; an empty one is nothing. */
function setAside(disk: Disk, directory: string, verdict: SegmentVerdict): void {
  const path = logFilePath(directory, verdict.baseOffset, 'log')
  if (verdict.fileBytes === 0) disk.unlink(path)
  else disk.rename(path, `${path}.suspect-0`)
  unlinkIfThere(disk, logFilePath(directory, verdict.baseOffset, 'index'))
  unlinkIfThere(disk, logFilePath(directory, verdict.baseOffset, 'timeindex'))
}
