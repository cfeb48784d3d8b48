/**
 * Names inside a log's directory and small file helpers. Owner threads and recovery tasks.
 *
 *   <topic>-<partition>/
 *     partition.metadata              Kafka's: version and topic id
 *     00000000000000000000.log        record batches (Kafka's own format; the number is the base offset)
 *                         .index      sparse offset index      (cache)
 *                         .timeindex  sparse time index        (cache)
 *                         .snapshot   producer state, Kafka's  (cache; number = offset it stands for)
 *                         .window     producer state with whole five-batch windows, ours (cache; number = offset up
 *                                     to which the log was synced when it was written, so it also bounds recovery)
 *                         .log.torn-N     bytes cut off by recovery at position N, nothing valid in them
 *                         .log.suspect-N  the same with valid batches among them
 *                         .*.tmp      being written; removed on open
 *     log-marks                       log start and compacted end, ours (marks.ts)
 *     <base>-<end>.log.cleaned|swap   being written | decided, see swap.ts
 */
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'

export type Suffix = 'log' | 'index' | 'timeindex' | 'snapshot' | 'window'

export function fileName(offset: number, suffix: Suffix): string {
  return `${String(offset).padStart(20, '0')}.${suffix}`
}

export function logFilePath(directory: string, offset: number, suffix: Suffix): string {
  return `${directory}/${fileName(offset, suffix)}`
}

/** Where recovery builds a file before the owner renames it into place. */
export function temporaryPath(directory: string, offset: number, suffix: Suffix): string {
  return `${directory}/${fileName(offset, suffix)}.tmp`
}

const namePattern = /^(\d{20})\.(log|index|timeindex|snapshot|window)$/

/** What a log's directory holds: offsets per kind of file, ascending. Unknown names are ignored. */
export type Listing = Record<Suffix, number[]> & { temporary: string[] }

export function listLog(disk: Disk, directory: string): Listing {
  const found: Listing = {
    log: [],
    index: [],
    timeindex: [],
    snapshot: [],
    window: [],
    temporary: [],
  }
  for (const name of disk.list(directory)) {
    const match = namePattern.exec(name)
    if (match) {
      const offset = Number(match[1])
      if (Number.isSafeInteger(offset)) found[match[2] as Suffix].push(offset)
    } else if (name.endsWith('.tmp')) {
      found.temporary.push(name)
    }
  }
  for (const suffix of ['log', 'index', 'timeindex', 'snapshot', 'window'] as const) {
    found[suffix].sort((a, b) => a - b)
  }
  return found
}

/** Writes all of `bytes` at `position`: a short write is no error (RELIABILITY V1), one that takes nothing is. */
export function writeFully(file: DiskFile, bytes: Uint8Array, position: number): void {
  let written = file.write(bytes, position)
  while (written < bytes.length) {
    const more = file.write(bytes.subarray(written), position + written)
    if (more <= 0) throw codedError('EIO', `write to ${file.path} took no bytes`)
    written += more
  }
}

/** As `writeFully` of all views one behind another; returns their bytes. At most `gatherMax` views. */
export function writeGatheredFully(
  file: DiskFile,
  views: readonly Uint8Array[],
  position: number,
): number {
  let left = file.writeGathered(views, position)
  let at = position
  for (const view of views) {
    const taken = Math.min(left, view.length)
    left -= taken
    // After a short call the rest goes out view by view: rare, and simpler than cutting the list.
    if (taken < view.length) writeFully(file, view.subarray(taken), at + taken)
    at += view.length
  }
  return at - position
}

/** Reads at `position` until `into` is full or the file ends; returns the bytes read. */
export function readFully(file: DiskFile, into: Uint8Array, position: number): number {
  let got = file.read(into, position)
  while (got > 0 && got < into.length) {
    const more = file.read(into.subarray(got), position + got)
    if (more === 0) break
    got += more
  }
  return got
}

/** Creates or replaces a small file. Not synced: only for caches, which carry their own checksum or are checked. */
export function replaceFile(disk: Disk, path: string, bytes: Uint8Array): void {
  const file = createEmpty(disk, path)
  try {
    writeFully(file, bytes, 0)
  } finally {
    file.close()
  }
}

/** Blocks until a file that is there is on disk. */
export function syncFile(disk: Disk, path: string): void {
  if (!disk.exists(path)) return
  const file = disk.open(path, 'r')
  try {
    file.sync()
  } finally {
    file.close()
  }
}

/** Opens `path` for writing as an empty file, whether or not it exists. */
export function createEmpty(disk: Disk, path: string): DiskFile {
  if (!disk.exists(path)) return disk.open(path, 'wx')
  const file = disk.open(path, 'r+')
  file.truncate(0)
  return file
}

export function unlinkIfThere(disk: Disk, path: string): void {
  if (disk.exists(path)) disk.unlink(path)
}

export function codedError(code: string, message: string): Error & { code: string } {
  return Object.assign(new Error(message), { code })
}

/** The file system has no room left, or no inodes. */
export function isFull(error: Error): boolean {
  return 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}

const exhausted = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EMFILE', 'ENFILE'])

/** The disk or the process cannot take more just now; trying again later may work. */
export function isExhausted(error: Error): boolean {
  return 'code' in error && exhausted.has(String(error.code))
}
