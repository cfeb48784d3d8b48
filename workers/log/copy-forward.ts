/**
 * Copies the unproven bytes of a segment into a new file: after an unclean stop, or a failed sync, the page cache may
 * show bytes that are not on disk and that no later sync of that file would write (RELIABILITY V3). Owner thread only;
 * blocks.
 *
 *   base.log | proven | unproven | bad |      write unproven-next.log.cleaned, sync it
 *                                             rename it to unproven.log, sync directory: from here on it counts
 *   base.log | proven |   unproven.log        cut the old one
 *
 * The old file is not synced again. Should its cut be lost, the two overlap, and recovery lets the new one count.
 *
 * When only an owner thread died, its log must be back soon: the bytes are written once more where they are.
 */
import type { SegmentVerdict } from '../../src/contracts/control.ts'
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import { codedError, createEmpty, logFilePath, readFully, writeFully } from './files.ts'
import { cleanedPath } from './swap.ts'

const COPY_BYTES = 1024 * 1024

/** The new file takes its place; the directory must be synced, then the old file cut. Throws as the disk does. */
export function copyUnproven(disk: Disk, directory: string, verdict: SegmentVerdict): void {
  const { baseOffset, unprovenPosition, unprovenOffset, validBytes } = verdict
  const endOffset = Math.max(unprovenOffset, verdict.nextOffset)
  const path = cleanedPath(directory, { baseOffset: unprovenOffset, endOffset })
  const from = disk.open(logFilePath(directory, baseOffset, 'log'), 'r')
  try {
    copyBytes(disk, from, unprovenPosition, validBytes, path)
  } finally {
    from.close()
  }
  disk.rename(path, logFilePath(directory, unprovenOffset, 'log'))
}

/**
 * Writes the unproven bytes over themselves: dirty again, the next sync writes them, whatever became of the last one. For
 * a log that must be open soon. Throws as the disk does.
 */
export function rewriteUnproven(disk: Disk, directory: string, verdict: SegmentVerdict): void {
  const { baseOffset, unprovenPosition, validBytes } = verdict
  if (unprovenPosition >= validBytes) return
  const file = disk.open(logFilePath(directory, baseOffset, 'log'), 'r+')
  try {
    pour(file, unprovenPosition, validBytes, (bytes, at) => writeFully(file, bytes, at))
  } finally {
    file.close()
  }
}

/** Copies from[start, end) into a file of its own and syncs that. */
export function copyBytes(
  disk: Disk,
  from: DiskFile,
  start: number,
  end: number,
  path: string,
): void {
  const copy = createEmpty(disk, path)
  try {
    pour(from, start, end, (bytes, at) => writeFully(copy, bytes, at - start))
    copy.sync()
  } finally {
    copy.close()
  }
}

function pour(
  from: DiskFile,
  start: number,
  end: number,
  into: (bytes: Buffer, position: number) => void,
): void {
  const bytes = Buffer.allocUnsafeSlow(Math.min(COPY_BYTES, end - start))
  for (let at = start; at < end; ) {
    const got = readFully(from, bytes.subarray(0, Math.min(bytes.length, end - at)), at)
    if (got === 0) throw codedError('EIO', `${from.path} ends before position ${end}`)
    into(bytes.subarray(0, got), at)
    at += got
  }
}
