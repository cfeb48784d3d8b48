/**
 * Copies the unproven bytes of a segment into a new file: after an unclean stop, or a failed sync, the page cache may
 * show bytes that are not on disk and that no later sync of that file would write (RELIABILITY V3). Owner thread only;
 * in steps of a slice.
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
import { type Steps, synced } from './steps.ts'
import { cleanedPath } from './swap.ts'

/** Copied between two breaths. */
const COPY_BYTES = 1024 * 1024
const scratch = Buffer.allocUnsafeSlow(COPY_BYTES)

/** Returns the new file, open and not synced; the caller closes it. Throws as the disk does. */
export function* copyUnproven(
  disk: Disk,
  directory: string,
  verdict: SegmentVerdict,
): Steps<DiskFile> {
  const { baseOffset, unprovenPosition, validBytes } = verdict
  const from = disk.open(logFilePath(directory, baseOffset, 'log'), 'r')
  try {
    const path = copyPath(directory, verdict)
    return yield* copySlices(disk, from, unprovenPosition, validBytes, path)
  } finally {
    from.close()
  }
}

/** A copy that is on disk takes its place; the directory must be synced, then the old file cut. */
export function putCopyInPlace(disk: Disk, directory: string, verdict: SegmentVerdict): void {
  const path = logFilePath(directory, verdict.unprovenOffset, 'log')
  disk.rename(copyPath(directory, verdict), path)
}

function copyPath(directory: string, { unprovenOffset, nextOffset }: SegmentVerdict): string {
  const endOffset = Math.max(unprovenOffset, nextOffset)
  return cleanedPath(directory, { baseOffset: unprovenOffset, endOffset })
}

/**
 * Writes the unproven bytes over themselves: dirty again, the next sync writes them, whatever became of the last one.
 * For a log that must be open soon. Throws as the disk does.
 */
export function* rewriteUnproven(
  disk: Disk,
  directory: string,
  verdict: SegmentVerdict,
): Steps<void> {
  const { baseOffset, unprovenPosition, validBytes } = verdict
  if (unprovenPosition >= validBytes) return
  const file = disk.open(logFilePath(directory, baseOffset, 'log'), 'r+')
  try {
    yield* pour(file, unprovenPosition, validBytes, (bytes, at) => writeFully(file, bytes, at))
  } finally {
    file.close()
  }
}

/** Copies from[start, end) into a file of its own and syncs that. */
export function* copyBytes(
  disk: Disk,
  from: DiskFile,
  start: number,
  end: number,
  path: string,
): Steps<void> {
  const copy = yield* copySlices(disk, from, start, end, path)
  try {
    yield* synced([copy])
  } finally {
    copy.close()
  }
}

function* copySlices(
  disk: Disk,
  from: DiskFile,
  start: number,
  end: number,
  path: string,
): Steps<DiskFile> {
  const copy = createEmpty(disk, path)
  try {
    yield* pour(from, start, end, (bytes, at) => writeFully(copy, bytes, at - start))
    return copy
  } catch (error) {
    copy.close()
    throw error
  }
}

/** Slice by slice; nobody else has the scratch between two yields. */
function* pour(
  from: DiskFile,
  start: number,
  end: number,
  into: (bytes: Buffer, position: number) => void,
): Steps<void> {
  for (let at = start; at < end; ) {
    if (at > start) yield []
    const got = readFully(from, scratch.subarray(0, Math.min(COPY_BYTES, end - at)), at)
    if (got === 0) throw codedError('EIO', `${from.path} ends before position ${end}`)
    into(scratch.subarray(0, got), at)
    at += got
  }
}
