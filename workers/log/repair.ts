/**
 * Acts on a recovery verdict: cuts, keeps what was cut beside the log, puts the rebuilt indexes in place and makes the
 * result durable before anybody is served from it. Owner thread only. Doing it twice is doing it once: a crash in
 * between is answered by scanning again.
 */
import { dirname } from 'node:path'
import type { RecoveryVerdict, SegmentVerdict } from '../../src/contracts/control.ts'
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import {
  codedError,
  createEmpty,
  listLog,
  logFilePath,
  readFully,
  unlinkIfThere,
  writeFully,
} from './files.ts'
import { damageOf, type Finding } from './recovery.ts'

const COPY_BYTES = 1024 * 1024

/** False when the log's files are no longer those that the scan saw. */
export function isCurrent(disk: Disk, directory: string, verdict: RecoveryVerdict): boolean {
  const scanned = verdict.segments.map(segment => segment.baseOffset)
  const present = listLog(disk, directory).log.slice(-scanned.length || Number.MAX_SAFE_INTEGER)
  if (scanned.length !== present.length) return false
  return verdict.segments.every((segment, index) => {
    if (segment.baseOffset !== present[index]) return false
    const file = disk.open(logFilePath(directory, segment.baseOffset, 'log'), 'r')
    const fileBytes = file.sizeBytes()
    file.close()
    return fileBytes === segment.fileBytes
  })
}

/** Returns how many bytes were cut off. Throws as the disk does; the log must not be served then. */
export function repairLog(disk: Disk, directory: string, verdict: RecoveryVerdict): number {
  let cutBytes = 0
  for (const segment of verdict.segments) {
    cutBytes += segment.fileBytes - segment.validBytes
    if (damageOf(segment) === 'left-out') setAside(disk, directory, segment)
    else repairSegment(disk, directory, segment)
  }
  disk.syncDirectory(directory)
  disk.syncDirectory(dirname(directory))
  return cutBytes
}

function repairSegment(disk: Disk, directory: string, verdict: SegmentVerdict): void {
  const { baseOffset, validBytes, fileBytes } = verdict
  const path = logFilePath(directory, baseOffset, 'log')
  const file = disk.open(path, 'r+')
  try {
    if (validBytes < fileBytes) {
      const isSuspect = damageOf(verdict) === 'suspect'
      const copy = `${path}.${isSuspect ? 'suspect' : 'torn'}-${validBytes}`
      try {
        copyTail(disk, file, validBytes, fileBytes, copy)
      } catch (error) {
        // A torn tail holds nothing; a full disk must not keep the log from opening.
        if (isSuspect) throw error
      }
      file.truncate(validBytes)
    }
    const { unprovenPosition = 0 } = verdict as Partial<Finding>
    rewrite(file, unprovenPosition, validBytes)
    file.sync()
  } finally {
    file.close()
  }
  putInPlace(disk, verdict.offsetIndexPath, logFilePath(directory, baseOffset, 'index'))
  putInPlace(disk, verdict.timeIndexPath, logFilePath(directory, baseOffset, 'timeindex'))
}

/**
 * Writes file[start, end) over itself. After a failed sync the page cache may show bytes that are not on disk and that
 * no later sync would write, because their pages count as clean (RELIABILITY V3); this makes them dirty again. A crash
 * meanwhile does no harm: every sector gets the bytes it has.
 */
function rewrite(file: DiskFile, start: number, end: number): void {
  const bytes = Buffer.allocUnsafeSlow(Math.min(COPY_BYTES, Math.max(0, end - start)))
  for (let at = start; at < end; ) {
    const got = readFully(file, bytes.subarray(0, Math.min(bytes.length, end - at)), at)
    if (got === 0) throw codedError('EIO', `${file.path} ends before position ${end}`)
    writeFully(file, bytes.subarray(0, got), at)
    at += got
  }
}

function copyTail(disk: Disk, from: DiskFile, start: number, end: number, path: string): void {
  const copy = createEmpty(disk, path)
  try {
    const bytes = Buffer.allocUnsafeSlow(Math.min(COPY_BYTES, end - start))
    for (let at = start; at < end; ) {
      const got = readFully(from, bytes.subarray(0, Math.min(bytes.length, end - at)), at)
      if (got === 0) break
      writeFully(copy, bytes.subarray(0, got), at - start)
      at += got
    }
    copy.sync()
  } finally {
    copy.close()
  }
}

function putInPlace(disk: Disk, temporary: string | null, path: string): void {
  if (temporary !== null && disk.exists(temporary)) disk.rename(temporary, path)
  else unlinkIfThere(disk, path)
}

/** A segment behind the end of the log is kept under another name; an empty one is nothing. */
function setAside(disk: Disk, directory: string, verdict: SegmentVerdict): void {
  const path = logFilePath(directory, verdict.baseOffset, 'log')
  if (verdict.fileBytes === 0) disk.unlink(path)
  else disk.rename(path, `${path}.suspect-0`)
  unlinkIfThere(disk, logFilePath(directory, verdict.baseOffset, 'index'))
  unlinkIfThere(disk, logFilePath(directory, verdict.baseOffset, 'timeindex'))
}
