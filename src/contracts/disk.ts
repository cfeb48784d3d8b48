/**
 * What the log core needs of a file system. Owner threads use the real one (workers/disk.ts); tests pass one that
 * fails, tears and forgets. No logic: both thread sides import this file.
 *
 * Every call may throw an Error with a `code` (ENOSPC, EIO, ...). RELIABILITY policy: a short write is no error, the
 * caller loops; a failed sync is final for that file.
 */
/** Views that one gathering write takes (IOV_MAX on Linux and macOS). */
export const gatherMax = 1024

export interface DiskFile {
  readonly path: string
  /** Writes at `position`; returns how many bytes were taken, which may be fewer than given. */
  write(bytes: Uint8Array, position: number): number
  /** As `write` of all views one behind another, at most `gatherMax` of them, in one call. */
  writeGathered(views: readonly Uint8Array[], position: number): number
  /** Reads at `position` into the whole of `into`; returns the bytes read, 0 at the end of the file. */
  read(into: Uint8Array, position: number): number
  /**
   * Starts to bring a range into memory, as far as the file goes, so that a read of it does not wait for the disk.
   * `done` is called exactly once, later; what fails shows at the read.
   */
  startTouch(position: number, bytes: number, done: () => void): void
  /** Starts fdatasync and returns at once; `done` is called exactly once, later. */
  startSync(done: (error: Error | null) => void): void
  /** fdatasync, blocking: for open, recovery and close only. */
  sync(): void
  truncate(sizeBytes: number): void
  sizeBytes(): number
  close(): void
}

export interface Disk {
  /** `wx` creates and must not exist; `r+` and `r` must exist. */
  open(path: string, mode: 'wx' | 'r+' | 'r'): DiskFile
  mkdir(path: string): void
  rename(from: string, to: string): void
  unlink(path: string): void
  /**
   * Starts to take these names away, one after another, and returns at once; one that is not there is no error. `done`
   * is called exactly once, later, with what ended it early.
   */
  startUnlink(paths: readonly string[], done: (error: Error | null) => void): void
  removeTree(path: string): void
  /** The same without waiting for it. */
  startRemoveTree(path: string, done: (error: Error | null) => void): void
  /** As `startTouch` of the first `bytes` of a file that is not open; 0: only to be able to open it without waiting. */
  startTouchFile(path: string, bytes: number, done: () => void): void
  exists(path: string): boolean
  list(directory: string): string[]
  readFile(path: string): Buffer
  /** fsync of a directory: makes created, renamed and unlinked names durable. A no-op where unsupported (Windows). */
  syncDirectory(path: string): void
  startSyncDirectory(path: string, done: (error: Error | null) => void): void
  freeBytes(path: string): number
  /** Size of the file system that holds `path`. */
  totalBytes(path: string): number
  /** When the file was last written, on the wall clock. */
  modifiedMs(path: string): number
  /** Sets that time: a file that stands for older ones keeps theirs. */
  setModifiedMs(path: string, wallMs: number): void
}
