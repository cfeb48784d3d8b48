/**
 * Gives back the blocks and the page cache of large files that have lost their name. In one go that takes 0.4 ms per
 * MiB and more, during which a flush may have to wait for the file system's journal. So such a file is held open and
 * cut shorter bit by bit, one file at a time, by libuv's pool.
 *
 *   unlink | cut | pause | cut | pause | ... | close
 *
 * A process that ends meanwhile leaves the rest to the system. Owner threads, each for itself.
 */
import fs from 'node:fs'

/** Smaller files go in no time. */
const LARGE_BYTES = 4 * 1024 * 1024
const CUT_BYTES = 2 * 1024 * 1024
/** After a cut: so many times as long as it took, and no less than so long. */
const PAUSE_SHARE = 4
const PAUSE_MS_MIN = 3
/** Files that wait hold a descriptor each. */
const WAITING_MAX = 64

const waiting: number[] = []
/** Who wants to hand a file over. */
const forRoom: (() => void)[] = []
let isFreeing = false

/** A descriptor of the file, to be handed to `freeLater` once its name is gone; -1: it goes at once. */
export function holdOpen(path: string): number {
  if (waiting.length >= WAITING_MAX) return -1
  const sizeBytes = fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0
  return sizeBytes < LARGE_BYTES ? -1 : openQuietly(path)
}

/** As `holdOpen`, without waiting for the disk, and when there is room. */
export function startHoldingOpen(path: string, done: (fd: number) => void): void {
  if (waiting.length >= WAITING_MAX) {
    forRoom.push(() => startHoldingOpen(path, done))
    return
  }
  fs.stat(path, (missing, stat) => {
    if (missing !== null || stat.size < LARGE_BYTES) done(-1)
    else fs.open(path, 'r+', (error, fd) => done(error === null ? fd : -1))
  })
}

/** -1 when it cannot be opened: no descriptor left, no right to write. */
function openQuietly(path: string): number {
  try {
    return fs.openSync(path, 'r+')
  } catch {
    return -1
  }
}

/** @param fd as `holdOpen` gave it; closed here. */
export function freeLater(fd: number): void {
  if (fd < 0) return
  waiting.push(fd)
  if (!isFreeing) freeNext()
}

function freeNext(): void {
  forRoom.shift()?.()
  const fd = waiting.shift()
  isFreeing = fd !== undefined
  if (fd === undefined) return
  fs.fstat(fd, (error, stat) => {
    // Another name may still lead to it: a backup made of links.
    const isDoomed = error === null && stat.nlink === 0
    cut(fd, isDoomed ? stat.size : 0)
  })
}

function cut(fd: number, sizeBytes: number): void {
  const leftBytes = sizeBytes - CUT_BYTES
  const startMs = performance.now()
  const paused = (next: () => void) => (): void => {
    const pauseMs = Math.max(PAUSE_MS_MIN, (performance.now() - startMs) * PAUSE_SHARE)
    setTimeout(next, pauseMs).unref()
  }
  if (leftBytes <= 0) fs.close(fd, paused(freeNext))
  else
    fs.ftruncate(
      fd,
      leftBytes,
      paused(() => cut(fd, leftBytes)),
    )
}
