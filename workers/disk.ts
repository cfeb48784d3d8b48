/**
 * The real file system behind the `Disk` contract: synchronous calls, except for syncs, which are started in libuv's
 * pool and reported on the owner's event loop. Owner threads and recovery tasks.
 *
 * A descriptor is never closed while a sync of it is queued: the number could be reused for another file meanwhile and
 * the sync would then prove the wrong one (RELIABILITY V7). `close` waits for it in the background.
 */
import fs from 'node:fs'
import type { Disk, DiskFile } from '../src/contracts/disk.ts'
import { startDirectorySync } from './directory-syncs.ts'

const openFlags = {
  wx: fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_RDWR,
  'r+': fs.constants.O_RDWR,
  r: fs.constants.O_RDONLY,
} as const

/** Told how long each started sync of a file took. */
type SyncListener = (seconds: number) => void

class RealFile implements DiskFile {
  readonly path: string
  readonly #fd: number
  readonly #tell: SyncListener
  #syncsInFlight = 0
  #closed = false

  constructor(path: string, fd: number, tell: SyncListener) {
    this.path = path
    this.#fd = fd
    this.#tell = tell
  }

  write(bytes: Uint8Array, position: number): number {
    return fs.writeSync(this.#fd, bytes, 0, bytes.length, position)
  }

  writeGathered(views: readonly Uint8Array[], position: number): number {
    return fs.writevSync(this.#fd, views, position)
  }

  read(into: Uint8Array, position: number): number {
    return fs.readSync(this.#fd, into, 0, into.length, position)
  }

  startSync(done: (error: Error | null) => void): void {
    this.#syncsInFlight++
    const startedMs = performance.now()
    fs.fdatasync(this.#fd, error => {
      this.#tell((performance.now() - startedMs) / 1000)
      this.#syncsInFlight--
      if (this.#closed && this.#syncsInFlight === 0) fs.closeSync(this.#fd)
      done(error)
    })
  }

  sync(): void {
    fs.fdatasyncSync(this.#fd)
  }

  truncate(sizeBytes: number): void {
    fs.ftruncateSync(this.#fd, sizeBytes)
  }

  sizeBytes(): number {
    return fs.fstatSync(this.#fd).size
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#syncsInFlight === 0) fs.closeSync(this.#fd)
  }
}

/** Windows cannot open a directory for syncing; its file systems make names durable on their own terms. */
const directoriesSync = process.platform !== 'win32'

function startSyncDirectory(path: string, done: (error: Error | null) => void): void {
  if (directoriesSync) startDirectorySync(path, done)
  else queueMicrotask(() => done(null))
}

function syncDirectory(path: string): void {
  if (!directoriesSync) return
  const fd = fs.openSync(path, 'r')
  try {
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

const calls: Omit<Disk, 'open'> = {
  mkdir: path => {
    fs.mkdirSync(path)
  },
  rename: (from, to) => fs.renameSync(from, to),
  unlink: path => fs.unlinkSync(path),
  removeTree: path => fs.rmSync(path, { recursive: true, force: true }),
  exists: path => fs.existsSync(path),
  list: directory => fs.readdirSync(directory),
  readFile: path => fs.readFileSync(path),
  syncDirectory,
  startSyncDirectory,
  freeBytes: path => {
    const { bavail, bsize } = fs.statfsSync(path)
    return bavail * bsize
  },
  totalBytes: path => {
    const { blocks, bsize } = fs.statfsSync(path)
    return blocks * bsize
  },
  modifiedMs: path => fs.statSync(path).mtimeMs,
}

export const realDisk: Disk = diskThatTells(() => {})

/** The real disk, with somebody who wants to know about its syncs. */
export function diskThatTells(tell: SyncListener): Disk {
  return {
    ...calls,
    open: (path, mode) => new RealFile(path, fs.openSync(path, openFlags[mode], 0o644), tell),
  }
}
