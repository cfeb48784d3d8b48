/**
 * One process per data directory. Node has no flock, so two means together:
 *
 * - Linux: an abstract Unix socket named by device and inode of the directory. The kernel frees it when the process
 *   ends, however it ends. It is seen within one network namespace.
 * - Everywhere: the file odradek.lock with pid, start time of that pid, boot, pid namespace and host.
 *   Whether its writer still lives is decided by pid and start time on the same system, by its heartbeat
 *   (mtime, every 5 s) from another host or container. A lock file whose writer is dead is replaced.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { link, readFile, rename, stat, unlink, utimes, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { DataDirectoryError } from './data-directory-error.ts'

const LOCK_FILE = 'odradek.lock'
const HEARTBEAT_MS = 5_000
/** A writer elsewhere that did not touch its file for so long is dead. */
const HEARTBEAT_LOST_MS = 30_000
/** Two processes that replace the same stale file at once: after this the later one has won. */
const REPLACE_SETTLE_MS = 50

interface Holder {
  readonly pid: number
  /** Of the process, in whatever unit the system has; null where unknown. */
  readonly startTime: string | null
  readonly system: string
  readonly host: string
  readonly nonce: string
}

export class DirectoryLock {
  readonly #path: string
  readonly #holder: Holder
  readonly #socket: Server | null
  readonly #heartbeat: NodeJS.Timeout

  private constructor(path: string, holder: Holder, socket: Server | null) {
    this.#path = path
    this.#holder = holder
    this.#socket = socket
    this.#heartbeat = setInterval(() => {
      const now = new Date()
      // A missed beat is no reason to stop serving; the next one comes.
      utimes(path, now, now).catch(() => {})
    }, HEARTBEAT_MS).unref()
  }

  /**
   * Rejects with DataDirectoryError naming the process that has the directory. Without `useSocket` the
   * lock file decides alone, as it does off Linux.
   */
  static async acquire(
    directory: string,
    useSocket = process.platform === 'linux',
  ): Promise<DirectoryLock> {
    const path = join(directory, LOCK_FILE)
    const socket = useSocket ? await claimSocket(directory) : null
    if (socket === 'taken') throw inUse(directory, await readHolder(path))
    try {
      const holder = describeSelf()
      await claimFile(directory, path, holder)
      return new DirectoryLock(path, holder, socket)
    } catch (error) {
      socket?.close()
      throw error
    }
  }

  /** Rejects as `acquire` does while a process has the directory; takes and changes nothing. */
  static async refuseIfHeld(directory: string): Promise<void> {
    const path = join(directory, LOCK_FILE)
    const present = await readHolder(path)
    if (present !== null && (await isAlive(present, path, describeSelf())))
      throw inUse(directory, present)
  }

  async release(): Promise<void> {
    clearInterval(this.#heartbeat)
    const present = await readHolder(this.#path)
    if (present?.nonce === this.#holder.nonce) await unlink(this.#path).catch(() => {})
    const socket = this.#socket
    if (socket !== null) await new Promise(done => socket.close(done))
  }
}

async function claimSocket(directory: string): Promise<Server | 'taken' | null> {
  const { dev, ino } = await stat(directory, { bigint: true })
  const server = createServer(connection => connection.destroy())
  return await new Promise(settle => {
    server.once('error', error => {
      // Anything but "taken" means there are no such sockets here; the file alone decides then.
      settle((error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'taken' : null)
    })
    server.listen({ path: `\0odradek-${dev}-${ino}` }, () => {
      server.unref()
      settle(server)
    })
  })
}

async function claimFile(directory: string, path: string, holder: Holder): Promise<void> {
  const draft = `${path}.${holder.nonce}`
  await writeFile(draft, JSON.stringify(holder), { mode: 0o640 })
  try {
    // link() fails when the name exists, and gives it only to a complete file.
    if (await linkIfAbsent(draft, path)) return
    const present = await readHolder(path)
    if (present !== null && (await isAlive(present, path, holder))) throw inUse(directory, present)
    await rename(draft, path)
    await delay(REPLACE_SETTLE_MS)
    const winner = await readHolder(path)
    if (winner?.nonce !== holder.nonce) throw inUse(directory, winner)
  } finally {
    await unlink(draft).catch(() => {})
  }
}

async function linkIfAbsent(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return false
    // File systems without hard links: writing exclusively is nearly as good.
    await writeFile(to, await readFile(from), { flag: 'wx' }).catch(raced => {
      if ((raced as NodeJS.ErrnoException).code !== 'EEXIST') throw raced
    })
    return (await readFile(to, 'utf8')) === (await readFile(from, 'utf8'))
  }
}

/** Null when there is no lock file or none that can be understood (its writer died while writing it). */
async function readHolder(path: string): Promise<Holder | null> {
  try {
    const holder = JSON.parse(await readFile(path, 'utf8')) as Holder
    return Number.isInteger(holder.pid) && holder.pid > 0 ? holder : null
  } catch {
    return null
  }
}

async function isAlive(present: Holder, path: string, self: Holder): Promise<boolean> {
  if (present.system !== self.system) {
    if (present.host === self.host && isEarlierBoot(present.system, self.system)) return false
    const { mtimeMs } = await stat(path)
    return Math.abs(Date.now() - mtimeMs) < HEARTBEAT_LOST_MS
  }
  const startTime = processStartTime(present.pid)
  if (startTime === 'dead') return false
  return startTime === null || present.startTime === null || startTime === present.startTime
}

/** `system` is boot id and pid namespace; another boot id on the same host means the writer went down with it. */
function isEarlierBoot(system: string, own: string): boolean {
  const [boot, ownBoot] = [system.split(' ')[0], own.split(' ')[0]]
  return boot !== '' && ownBoot !== '' && boot !== ownBoot
}

function describeSelf(): Holder {
  const startTime = processStartTime(process.pid)
  return {
    pid: process.pid,
    startTime: startTime === 'dead' ? null : startTime,
    system: `${bootId()} ${pidNamespace()}`,
    host: hostname(),
    nonce: randomBytes(8).toString('hex'),
  }
}

/** The host's name where the system has no such id: pids of other hosts must never be taken for ours. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return hostname()
  }
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return ''
  }
}

/** When a process began, to tell it from a later one of the same number; null where the system does not say. */
function processStartTime(pid: number): string | null {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'dead'
  }
  if (process.platform === 'win32') return null
  try {
    if (process.platform !== 'linux')
      return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command, second field, may hold anything; the start time is the 20th after its closing parenthesis.
    const afterCommand = fields.slice(fields.lastIndexOf(')') + 2).split(' ')
    return afterCommand[0] === 'Z' ? 'dead' : afterCommand[19]
  } catch {
    return null
  }
}

function inUse(directory: string, holder: Holder | null): DataDirectoryError {
  const by = holder === null ? 'another process' : `pid ${holder.pid}`
  const where = holder === null || holder.host === hostname() ? '' : ` on host ${holder.host}`
  return new DataDirectoryError(
    `data directory ${directory} is in use by ${by}${where}: stop that broker or use another --data-dir`,
  )
}
