/**
 * The data directory as a whole: created, checked, locked, identified; whether the last process left it clean. What
 * lies in it belongs to topics/ and to the owner threads. Dispatcher thread.
 *
 *   meta.properties          Kafka's file: cluster id and broker id, and odradek's mark that it is ours
 *   .kafka_cleanshutdown     Kafka's file: there while nobody runs and everything was flushed
 *   odradek.lock             who holds the directory (data-directory-lock.ts)
 *   topics-a, topics-b       topic metadata, two generations
 *   producer-ids-a, -b       next block of producer ids, two generations
 *   <topic>-<partition>/     the logs
 */
import { randomBytes } from 'node:crypto'
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  stat,
  unlink,
} from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { DataDirectoryError } from './data-directory-error.ts'
import { DirectoryLock } from './data-directory-lock.ts'
import { syncDirectory } from './topics/sync-directory.ts'
import { newUuid } from './topics/uuid.ts'

export { DataDirectoryError } from './data-directory-error.ts'

const IDENTITY_FILE = 'meta.properties'
const CLEAN_FILE = '.kafka_cleanshutdown'
const OUR_MARK = 'odradek.format'
const FORMAT = '1'

export class DataDirectory {
  /** Absolute, symbolic links resolved. */
  readonly path: string
  readonly clusterId: string
  readonly brokerId: number
  readonly #lock: DirectoryLock

  private constructor(path: string, identity: Identity, lock: DirectoryLock) {
    this.path = path
    this.clusterId = identity.clusterId
    this.brokerId = identity.brokerId
    this.#lock = lock
  }

  /**
   * Creates the directory when it is missing, locks it, checks that it can be written, and reads or makes its
   * identity. One that Apache Kafka wrote becomes ours when `adopt` has made it so. Rejects with DataDirectoryError,
   * one line that names the culprit and the cure, or as `adopt` does.
   */
  static async open(path: string, brokerId: number, adopt?: Adopt): Promise<DataDirectory> {
    const absolute = await ensureDirectory(resolve(path))
    const lock = await DirectoryLock.acquire(absolute)
    try {
      const identity = await ensureIdentity(absolute, brokerId, adopt)
      return new DataDirectory(absolute, identity, lock)
    } catch (error) {
      await lock.release()
      throw asDataDirectoryError(absolute, error)
    }
  }

  /**
   * Whether the last process shut down clean. The mark is gone, durably, when this resolves: call it before the first
   * write to any log.
   */
  async takeCleanMark(): Promise<boolean> {
    try {
      await unlink(join(this.path, CLEAN_FILE))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw asDataDirectoryError(this.path, error)
    }
    await syncDirectory(this.path)
    return true
  }

  /** Marks the directory clean; only after every log was flushed and closed. */
  async putCleanMark(): Promise<void> {
    // The content of Kafka's own file (KIP-966), so that Kafka finds it clean too.
    await writeDurably(this.path, CLEAN_FILE, '{"version":0,"brokerEpoch":-1}')
  }

  /** Lets other processes have the directory. */
  async close(): Promise<void> {
    await this.#lock.release()
  }
}

/** Does everything that turns Kafka's directory into ours, but for the mark in `meta.properties`. */
export type Adopt = (directory: string) => Promise<void>

interface Identity {
  readonly clusterId: string
  readonly brokerId: number
  /** Kafka wrote it, not we. */
  readonly isKafkas: boolean
}

async function ensureDirectory(path: string): Promise<string> {
  try {
    await makeDirectory(path)
    const real = await realpath(path)
    await probe(real)
    return real
  } catch (error) {
    throw asDataDirectoryError(path, error)
  }
}

/**
 * Makes the directory and those above it, each durable in its parent. Not with node's `recursive`, which never returns
 * where a parent exists and refuses with ENOENT, as /proc does.
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o750 })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return
    const parent = dirname(path)
    if (code !== 'ENOENT' || parent === path || (await isDirectory(parent))) throw error
    await makeDirectory(parent)
    await mkdir(path, { mode: 0o750 })
  }
  await syncDirectory(dirname(path))
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null)
  return found?.isDirectory() ?? false
}

/** Writes, syncs and removes a file: a read-only or full file system shows now and not at the first record. */
async function probe(directory: string): Promise<void> {
  const path = join(directory, `.probe-${process.pid}-${randomBytes(4).toString('hex')}`)
  const file = await open(path, 'wx', 0o640)
  try {
    await file.writeFile('odradek')
    await file.sync()
  } finally {
    await file.close()
    await unlink(path)
  }
}

async function ensureIdentity(
  directory: string,
  brokerId: number,
  adopt: Adopt | undefined,
): Promise<Identity> {
  const path = join(directory, IDENTITY_FILE)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return await makeIdentity(directory, brokerId)
  }
  const identity = parseIdentity(path, text)
  if (identity.isKafkas && adopt === undefined)
    throw new DataDirectoryError(
      `${path} was written by Apache Kafka: take its directory over with --adopt FILE, or use another --data-dir`,
    )
  if (identity.brokerId !== brokerId)
    throw new DataDirectoryError(
      `data directory ${directory} belongs to broker ${identity.brokerId}, this is broker ${brokerId}: ` +
        `start with --broker-id ${identity.brokerId} or another --data-dir`,
    )
  if (identity.isKafkas && adopt !== undefined) {
    await adopt(directory)
    await writeDurably(directory, IDENTITY_FILE, `${text.trimEnd()}\n${OUR_MARK}=${FORMAT}\n`)
  }
  return identity
}

async function makeIdentity(directory: string, brokerId: number): Promise<Identity> {
  const names = await readdir(directory)
  const ours = names.find(name => /^(topics|producer-ids)-[ab]$|.-\d{1,5}$/.test(name))
  if (ours !== undefined)
    throw new DataDirectoryError(
      `data directory ${directory} holds ${ours} but no ${IDENTITY_FILE}: restore that file or use an empty directory`,
    )
  const clusterId = newUuid()
  const lines = ['version=0', `broker.id=${brokerId}`, `cluster.id=${clusterId}`]
  const text = `${[...lines, `${OUR_MARK}=${FORMAT}`].join('\n')}\n`
  await writeDurably(directory, IDENTITY_FILE, text)
  return { clusterId, brokerId, isKafkas: false }
}

function parseIdentity(path: string, text: string): Identity {
  const properties = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const at = line.indexOf('=')
    if (at > 0 && !line.startsWith('#'))
      properties.set(line.slice(0, at).trim(), line.slice(at + 1).trim())
  }
  const clusterId = properties.get('cluster.id') ?? ''
  const brokerId = properties.get('broker.id') ?? properties.get('node.id') ?? ''
  const format = properties.get(OUR_MARK)
  const isKafkas = format === undefined && properties.has('version')
  const isKnown = format !== undefined || isKafkas
  if (!/^[\w-]{1,64}$/.test(clusterId) || !/^\d{1,10}$/.test(brokerId) || !isKnown)
    throw new DataDirectoryError(
      `${path} is damaged: it must hold cluster.id, broker.id and ${OUR_MARK}: restore it, nothing was changed`,
    )
  if (!isKafkas && format !== FORMAT)
    throw new DataDirectoryError(
      `${path} is of format ${format}, this version reads ${FORMAT}: use the odradek that wrote it`,
    )
  return { clusterId, brokerId: Number(brokerId), isKafkas }
}

async function writeDurably(directory: string, name: string, text: string): Promise<void> {
  const path = join(directory, name)
  let file: FileHandle | undefined
  try {
    file = await open(`${path}.new`, 'w', 0o640)
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file?.close()
  }
  await rename(`${path}.new`, path)
  await syncDirectory(directory)
}

const CURES: ReadonlyMap<string, string> = new Map([
  ['EACCES', 'may not be written by this user: change its owner or use another --data-dir'],
  ['EPERM', 'may not be written by this user: change its owner or use another --data-dir'],
  ['EROFS', 'lies on a read-only file system: use another --data-dir'],
  ['ENOENT', 'cannot be made there: use another --data-dir'],
  ['ENOTDIR', 'is or lies below a file: use another --data-dir'],
  ['EEXIST', 'is a file: use another --data-dir'],
  ['ENOSPC', 'lies on a full file system: free some space or use another --data-dir'],
  ['EDQUOT', 'is over its quota: free some space or use another --data-dir'],
  ['EMFILE', 'cannot be opened, too many files are open: raise ulimit -n'],
])

function asDataDirectoryError(directory: string, error: unknown): unknown {
  const { code, message } = error as NodeJS.ErrnoException
  if (error instanceof DataDirectoryError || code === undefined) return error
  const cure = CURES.get(code) ?? `cannot be used: ${message}`
  return new DataDirectoryError(`data directory ${directory} ${cure}`, { cause: error })
}
