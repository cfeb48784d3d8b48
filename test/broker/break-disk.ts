/**
 * Preloaded into owner threads (`--import`): makes file system calls fail, or block, as the test's rules say
 * (disk-faults.ts). The calls are those that workers/disk.ts makes, so everything above it is the real thing.
 */
import fs from 'node:fs'
import { getEnvironmentData } from 'node:worker_threads'

/** Name under which the memory travels to new threads. */
export const diskFaultMemory = 'odradek-test-disk-faults'

export interface FaultRule {
  readonly call: 'open' | 'write' | 'fdatasync' | 'fsync'
  /** Part of the path: `topic-0/`. */
  readonly path: string
  /** The call fails with this. */
  readonly code?: string
  /** The call takes this long. */
  readonly blockMs?: number
}

/** Words of the memory; the rules follow as JSON. */
export const VERSION = 0
export const LENGTH = 1
export const rulesStart = 8

const memory = getEnvironmentData(diskFaultMemory)
if (memory instanceof SharedArrayBuffer) breakDisk(memory)

function breakDisk(memory: SharedArrayBuffer): void {
  const paths = new Map<number, string>()
  const rules = readRules(memory)
  const matching = (call: string, path: string): FaultRule | undefined =>
    rules().find(rule => rule.call === call && path.includes(rule.path))

  /** Fails as the kernel does, or takes its time and works. */
  const meet = (call: string, path: string): void => {
    const rule = matching(call, path)
    if (rule === undefined) return
    if (rule.blockMs !== undefined) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, rule.blockMs)
    }
    if (rule.code !== undefined) throw failure(call, rule.code)
  }

  const { openSync, closeSync, fdatasync, fdatasyncSync, writeSync, writevSync, fsyncSync } = fs
  fs.openSync = (path, ...rest) => {
    meet('open', String(path))
    const fd = openSync(path, ...rest)
    paths.set(fd, String(path))
    return fd
  }
  fs.closeSync = fd => {
    paths.delete(fd)
    closeSync(fd)
  }
  const pathOf = (fd: number): string => paths.get(fd) ?? ''
  const sync = (fd: number, done: fs.NoParamCallback): void => {
    const { code, blockMs = 0 } = matching('fdatasync', pathOf(fd)) ?? {}
    const begin = (): void => {
      if (code === undefined) fdatasync(fd, done)
      else setImmediate(() => done(failure('fdatasync', code)))
    }
    if (blockMs > 0) setTimeout(begin, blockMs)
    else begin()
  }
  fs.fdatasync = Object.assign(sync, { __promisify__: fdatasync.__promisify__ })
  fs.fdatasyncSync = fd => {
    meet('fdatasync', pathOf(fd))
    fdatasyncSync(fd)
  }
  fs.fsyncSync = fd => {
    meet('fsync', pathOf(fd))
    fsyncSync(fd)
  }
  fs.writeSync = ((fd: number, ...rest: [Uint8Array]) => {
    meet('write', pathOf(fd))
    return writeSync(fd, ...rest)
  }) as typeof writeSync
  fs.writevSync = (fd, ...rest) => {
    meet('write', pathOf(fd))
    return writevSync(fd, ...rest)
  }
}

function failure(syscall: string, code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: made by a test, ${syscall}`), { code, syscall })
}

/** @returns a function that gives the rules as they are now */
function readRules(memory: SharedArrayBuffer): () => readonly FaultRule[] {
  const head = new Int32Array(memory, 0, 2)
  let version = -1
  let rules: readonly FaultRule[] = []
  return () => {
    const now = Atomics.load(head, VERSION)
    if (now !== version) {
      version = now
      const text = Buffer.from(memory, rulesStart, Atomics.load(head, LENGTH)).toString()
      rules = JSON.parse(text) as FaultRule[]
    }
    return rules
  }
}
