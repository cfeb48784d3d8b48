/**
 * Starts fsyncs of directories: few at a time, because each holds a descriptor while it waits in libuv's pool, and one
 * per directory for all who ask while another is under way (a thousand new logs share their parent). Owner threads.
 *
 *   asked -> next[path] -> running -> all who asked before it started are told
 *                             |  ^
 *                             '--' no descriptor left: later, as nothing was synced that could be lost
 */
import fs from 'node:fs'

type Done = (error: Error | null) => void

const RUNNING_MAX = 16
const waitMsMin = 20
const waitMsMax = 1000

/** Who waits for a sync that has not started yet; in the order in which they start. */
const next = new Map<string, Done[]>()
const running = new Set<string>()

/** `done` is called once, later, when a sync that started after this call has ended. */
export function startDirectorySync(path: string, done: Done): void {
  const waiting = next.get(path)
  if (waiting !== undefined) {
    waiting.push(done)
    return
  }
  next.set(path, [done])
  startMore()
}

function startMore(): void {
  for (const [path, waiting] of next) {
    if (running.size >= RUNNING_MAX) return
    // Names that were made after the running sync started may not be in it.
    if (running.has(path)) continue
    next.delete(path)
    running.add(path)
    syncOne(path, error => {
      running.delete(path)
      startMore()
      for (const done of waiting) done(error)
    })
  }
}

function syncOne(path: string, done: Done, waitMs = waitMsMin): void {
  fs.open(path, 'r', (openError, fd) => {
    if (openError?.code === 'EMFILE' || openError?.code === 'ENFILE') {
      setTimeout(() => syncOne(path, done, Math.min(2 * waitMs, waitMsMax)), waitMs)
      return
    }
    if (openError) {
      done(openError)
      return
    }
    fs.fsync(fd, error => {
      fs.closeSync(fd)
      done(error)
    })
  })
}
