/**
 * The real file system behind the `Disk` contract: synchronous calls, except for those that are started in libuv's
 * pool and reported on the owner's event loop. Owner threads and recovery tasks.
 *
 * A descriptor is never closed while a call on it is queued: the number could be reused for another file meanwhile and
 * a sync would then prove the wrong one (RELIABILITY V7). `close` waits for it in the background.
 */
import fs from 'node:fs'
import type { Disk, DiskFile } from '../src/contracts/disk.ts'
import { startDirectorySync } from './directory-syncs.ts'
import { freeLater, holdOpen, startHoldingOpen } from './freeing.ts'

const openFlags = {
  wx: fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_RDWR,
  'r+': fs.constants.O_RDWR,
  r: fs.constants.O_RDONLY,
} as const

/** Told how long each started sync of a file took. */
type SyncListener = (seconds: number) => void

/** Told when a call that may block begins and ends. */
export interface CallListener {
  enter(): void
  leave(): void
}

/** Where bytes go that are only to be in the page cache: as many as there were touches at once. */
const scratches: Buffer[] = []
const SCRATCH_BYTES = 1024 * 1024

const nobody: CallListener = { enter: () => {}, leave: () => {} }

class RealFile implements DiskFile {
  readonly path: string
  readonly #fd: number
  readonly #tell: SyncListener
  readonly #calls: CallListener
  #callsInFlight = 0
  #closed = false

  constructor(path: string, fd: number, tell: SyncListener, calls: CallListener) {
    this.path = path
    this.#fd = fd
    this.#tell = tell
    this.#calls = calls
  }

  write(bytes: Uint8Array, position: number): number {
    this.#calls.enter()
    try {
      return fs.writeSync(this.#fd, bytes, 0, bytes.length, position)
    } finally {
      this.#calls.leave()
    }
  }

  writeGathered(views: readonly Uint8Array[], position: number): number {
    this.#calls.enter()
    try {
      return fs.writevSync(this.#fd, views, position)
    } finally {
      this.#calls.leave()
    }
  }

  read(into: Uint8Array, position: number): number {
    this.#calls.enter()
    try {
      return fs.readSync(this.#fd, into, 0, into.length, position)
    } finally {
      this.#calls.leave()
    }
  }

  startSync(done: (error: Error | null) => void): void {
    this.#callsInFlight++
    const startedMs = performance.now()
    fs.fdatasync(this.#fd, error => {
      this.#tell((performance.now() - startedMs) / 1000)
      this.#callDone()
      done(error ?? this.#removed())
    })
  }

  startTouch(position: number, bytes: number, done: () => void): void {
    if (this.#closed) {
      setImmediate(done)
      return
    }
    const scratch = scratches.pop() ?? Buffer.allocUnsafeSlow(SCRATCH_BYTES)
    const end = position + bytes
    this.#callsInFlight++
    const next = (at: number): void => {
      const wanted = Math.min(SCRATCH_BYTES, end - at)
      fs.read(this.#fd, scratch, 0, wanted, at, (error, got) => {
        if (error === null && got === wanted && at + got < end && !this.#closed) {
          next(at + got)
          return
        }
        this.#callDone()
        scratches.push(scratch)
        done()
      })
    }
    next(position)
  }

  #callDone(): void {
    this.#callsInFlight--
    // It may be the last one of a file that was removed meanwhile.
    if (this.#closed && this.#callsInFlight === 0) fs.close(this.#fd)
  }

  sync(): void {
    inCall(this.#calls, () => fs.fdatasyncSync(this.#fd))
    const removed = this.#removed()
    if (removed !== null) throw removed
  }

  truncate(sizeBytes: number): void {
    inCall(this.#calls, () => fs.ftruncateSync(this.#fd, sizeBytes))
  }

  sizeBytes(): number {
    return fs.fstatSync(this.#fd).size
  }

  /** What is written to a file without a name is gone at the next start, however well it was synced. */
  #removed(): Error | null {
    if (this.#closed || fs.fstatSync(this.#fd).nlink > 0) return null
    return Object.assign(new Error(`${this.path} was removed`), { code: 'ENOENT' })
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#callsInFlight === 0) fs.closeSync(this.#fd)
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

/** Takes the name of a file away, but not yet its blocks where these are many. */
function freeingLater(path: string, takeAway: () => void): void {
  const fd = holdOpen(path)
  try {
    takeAway()
  } finally {
    freeLater(fd)
  }
}

/** Of a log: there is nothing below. */
function removeTree(path: string): void {
  for (const name of fs.existsSync(path) ? fs.readdirSync(path) : []) {
    const inside = `${path}/${name}`
    freeingLater(inside, () => fs.rmSync(inside, { recursive: true, force: true }))
  }
  fs.rmSync(path, { recursive: true, force: true })
}

type Done = (error: Error | null) => void

function startUnlink(paths: readonly string[], done: Done): void {
  const next = (index: number): void => {
    if (index === paths.length) {
      done(null)
      return
    }
    startHoldingOpen(paths[index], fd => {
      fs.unlink(paths[index], error => {
        freeLater(fd)
        if (error === null || error.code === 'ENOENT') next(index + 1)
        else done(error)
      })
    })
  }
  if (paths.length > 0) next(0)
  else setImmediate(done, null)
}

function startRemoveTree(path: string, done: Done): void {
  fs.readdir(path, (error, names) => {
    if (error !== null) {
      done(error.code === 'ENOENT' ? null : error)
      return
    }
    const insides = names.map(name => `${path}/${name}`)
    startUnlink(insides, () => {
      // What is left is no file of a log, or says why.
      fs.rm(path, { recursive: true, force: true }, done)
    })
  })
}

function startTouchFile(path: string, bytes: number, done: () => void): void {
  fs.open(path, 'r', (error, fd) => {
    if (error !== null) {
      done()
      return
    }
    const file = new RealFile(path, fd, () => {}, nobody)
    const end = (): void => {
      file.close()
      done()
    }
    if (bytes === 0) end()
    else file.startTouch(0, bytes, end)
  })
}

const calls: Omit<Disk, 'open'> = {
  mkdir: path => {
    fs.mkdirSync(path)
  },
  rename: (from, to) => freeingLater(to, () => fs.renameSync(from, to)),
  unlink: path => freeingLater(path, () => fs.unlinkSync(path)),
  startUnlink,
  removeTree,
  startRemoveTree,
  startTouchFile,
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
  setModifiedMs: (path, wallMs) => fs.utimesSync(path, wallMs / 1000, wallMs / 1000),
}

function inCall<T>(listener: CallListener, call: () => T): T {
  listener.enter()
  try {
    return call()
  } finally {
    listener.leave()
  }
}

/** The calls by path, each telling when it begins and ends. */
function tellingCalls(listener: CallListener): typeof calls {
  return {
    mkdir: path => inCall(listener, () => calls.mkdir(path)),
    rename: (from, to) => inCall(listener, () => calls.rename(from, to)),
    unlink: path => inCall(listener, () => calls.unlink(path)),
    startUnlink,
    removeTree: path => inCall(listener, () => calls.removeTree(path)),
    startRemoveTree,
    startTouchFile,
    exists: path => inCall(listener, () => calls.exists(path)),
    list: directory => inCall(listener, () => calls.list(directory)),
    readFile: path => inCall(listener, () => calls.readFile(path)),
    syncDirectory: path => inCall(listener, () => calls.syncDirectory(path)),
    startSyncDirectory: calls.startSyncDirectory,
    freeBytes: path => inCall(listener, () => calls.freeBytes(path)),
    totalBytes: path => inCall(listener, () => calls.totalBytes(path)),
    modifiedMs: path => inCall(listener, () => calls.modifiedMs(path)),
    setModifiedMs: (path, wallMs) => inCall(listener, () => calls.setModifiedMs(path, wallMs)),
  }
}

export const realDisk: Disk = diskThatTells(() => {}, nobody)

/** The real disk, with somebody who wants to know about its syncs, and somebody who watches its calls. */
export function diskThatTells(tell: SyncListener, listener: CallListener): Disk {
  return {
    ...tellingCalls(listener),
    open: (path, mode) => {
      const fd = inCall(listener, () => fs.openSync(path, openFlags[mode], 0o644))
      return new RealFile(path, fd, tell, listener)
    },
  }
}
