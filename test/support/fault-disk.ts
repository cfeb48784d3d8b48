/**
 * A disk in memory that fails, tears and forgets like a real one. What a program sees (the page cache) and what a power
 * cut leaves (the platter) are kept apart:
 *
 *   file       cache, and durable bytes + the writes since the last good sync (each may survive, be lost or be torn)
 *   directory  names now, and durable names + the changes since the last good sync of the directory
 *
 * A failed sync behaves as measured on ext4 (RELIABILITY V3): the pages count as clean, so the next sync succeeds
 * without having written them. Every call counts as one operation; `onOperation` may make it fail, `crashAt` ends the
 * world.
 */
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import { applyNames, cutFile, DirectoryNode, FileNode, type Node } from './fault-disk-nodes.ts'

export type OperationKind =
  | 'open'
  | 'create'
  | 'write'
  | 'read'
  | 'sync'
  | 'truncate'
  | 'mkdir'
  | 'rename'
  | 'unlink'
  | 'remove'
  | 'list'
  | 'syncDirectory'

export interface Operation {
  readonly kind: OperationKind
  readonly path: string
  /** Of a write or read. */
  readonly bytes: number
}

/** What an operation does instead of succeeding: fail with a code, or take only some of the bytes. */
export type Fault = { readonly code: string } | { readonly short: number } | null

export class CrashError extends Error {
  readonly code = 'ECRASH'
}

/** Numbers in [0, 1), always the same for a seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export class FaultDisk implements Disk {
  #root = new DirectoryNode()
  operations = 0
  /** The operation with this number throws a CrashError, and so does every later one. */
  crashAt = Number.POSITIVE_INFINITY
  onOperation: (operation: Operation) => Fault = () => null
  /** Which of so many started syncs ends next: the oldest, unless a test wants otherwise. */
  pickSync: (count: number) => number = () => 0
  /** Started syncs, oldest first; `completeSyncs` finishes them. */
  readonly #started: (() => void)[] = []
  /** Syncs in flight at the same moment, at most so far. */
  syncsInFlightMax = 0
  free = 2 ** 40
  /** Wall time, for the times of files. */
  wallMs: () => number = () => 0

  get crashed(): boolean {
    return this.operations >= this.crashAt
  }

  get syncsInFlight(): number {
    return this.#started.length
  }

  /** Counts the operation; returns a short count, if that is the fault, or -1. */
  operate(kind: OperationKind, path: string, bytes = 0): number {
    if (!this.crashed) this.operations++
    if (this.crashed) throw new CrashError(`crashed at operation ${this.crashAt}: ${kind} ${path}`)
    const fault = this.onOperation({ kind, path, bytes })
    if (fault === null) return -1
    if ('short' in fault) return Math.min(fault.short, bytes)
    throw coded(fault.code, `${kind} ${path}`)
  }

  /** Finishes started syncs. Returns how many. */
  completeSyncs(countMax = Number.POSITIVE_INFINITY): number {
    let count = 0
    while (this.#started.length > 0 && count < countMax && !this.crashed) {
      const [finish] = this.#started.splice(this.pickSync(this.#started.length), 1)
      finish()
      count++
    }
    return count
  }

  startSync(finish: () => void, done: (error: Error | null) => void): void {
    this.#started.push(() => {
      let error: Error | null = null
      try {
        finish()
      } catch (failure) {
        if (failure instanceof CrashError) return
        error = failure as Error
      }
      done(error)
    })
    this.syncsInFlightMax = Math.max(this.syncsInFlightMax, this.#started.length)
  }

  /**
   * The process ends: everything written stays visible, handles and syncs in flight are gone. Use `powerCut` for the
   * machine. Afterwards the disk works again.
   */
  kill(): void {
    this.endProcess()
    this.crashAt = Number.POSITIVE_INFINITY
  }

  /** The same in the middle of a script: the end of the world that is due comes as it was due. */
  endProcess(): void {
    this.#started.length = 0
    this.onOperation = () => null
  }

  /** The machine ends: of what was not synced, any part may be lost or torn. */
  powerCut(random: () => number): void {
    this.kill()
    const seen = new Set<Node>()
    this.#root = this.#afterCut(this.#root, random, seen)
  }

  #afterCut(directory: DirectoryNode, random: () => number, seen: Set<Node>): DirectoryNode {
    const names = new Map(directory.durable)
    for (const change of directory.changes) if (random() < 0.5) applyNames(names, change)
    directory.changes = []
    directory.names = new Map(names)
    directory.durable = new Map(names)
    for (const node of names.values()) {
      if (seen.has(node)) continue
      seen.add(node)
      if (node instanceof DirectoryNode) this.#afterCut(node, random, seen)
      else cutFile(node, random)
    }
    return directory
  }

  open(path: string, mode: 'wx' | 'r+' | 'r'): DiskFile {
    this.operate(mode === 'wx' ? 'create' : 'open', path)
    const { directory, name } = this.#parent(path)
    let node = directory.names.get(name)
    if (mode === 'wx') {
      if (node !== undefined) throw coded('EEXIST', path)
      node = new FileNode()
      node.modifiedMs = this.wallMs()
      directory.change([name, node])
    }
    if (!(node instanceof FileNode)) throw coded('ENOENT', path)
    return new FaultFile(this, path, node)
  }

  mkdir(path: string): void {
    this.operate('mkdir', path)
    const { directory, name } = this.#parent(path)
    if (directory.names.has(name)) throw coded('EEXIST', path)
    directory.change([name, new DirectoryNode()])
  }

  rename(from: string, to: string): void {
    this.operate('rename', from)
    const old = this.#parent(from)
    const node = old.directory.names.get(old.name)
    if (node === undefined) throw coded('ENOENT', from)
    const target = this.#parent(to)
    if (target.directory === old.directory) {
      old.directory.change([old.name, null], [target.name, node])
    } else {
      old.directory.change([old.name, null])
      target.directory.change([target.name, node])
    }
  }

  unlink(path: string): void {
    this.operate('unlink', path)
    const { directory, name } = this.#parent(path)
    if (!directory.names.has(name)) throw coded('ENOENT', path)
    directory.change([name, null])
  }

  startUnlink(paths: readonly string[], done: (error: Error | null) => void): void {
    const finish = (): void => {
      for (const path of paths) if (this.exists(path)) this.unlink(path)
    }
    this.startSync(finish, done)
  }

  startRemoveTree(path: string, done: (error: Error | null) => void): void {
    this.startSync(() => this.removeTree(path), done)
  }

  startTouchFile(_path: string, _bytes: number, done: () => void): void {
    queueMicrotask(done)
  }

  removeTree(path: string): void {
    this.operate('remove', path)
    const { directory, name } = this.#parent(path)
    if (directory.names.has(name)) directory.change([name, null])
  }

  exists(path: string): boolean {
    try {
      const { directory, name } = this.#parent(path)
      return directory.names.has(name)
    } catch {
      return false
    }
  }

  list(directory: string): string[] {
    this.operate('list', directory)
    return [...this.#directory(directory).names.keys()]
  }

  readFile(path: string): Buffer {
    this.operate('read', path)
    return Buffer.from(this.node(path).cache.bytes)
  }

  syncDirectory(path: string): void {
    this.operate('syncDirectory', path)
    const directory = this.#directory(path)
    directory.durable = new Map(directory.names)
    directory.changes = []
  }

  startSyncDirectory(path: string, done: (error: Error | null) => void): void {
    this.startSync(() => this.syncDirectory(path), done)
  }

  freeBytes(): number {
    return this.free
  }

  totalBytes(): number {
    return 2 ** 41
  }

  modifiedMs(path: string): number {
    return this.node(path).modifiedMs
  }

  setModifiedMs(path: string, wallMs: number): void {
    this.node(path).modifiedMs = wallMs
  }

  /** The bytes a program would read, for tests that look at files or damage them. */
  bytesOf(path: string): Buffer {
    return Buffer.from(this.node(path).cache.bytes)
  }

  /** Replaces a file's content on the platter and in the cache, as rot or a hand would. */
  setBytes(path: string, bytes: Buffer): void {
    const { directory, name } = this.#parent(path)
    let node = directory.names.get(name)
    if (!(node instanceof FileNode)) {
      node = new FileNode()
      directory.names.set(name, node)
      directory.durable.set(name, node)
    }
    node.cache.set(bytes)
    node.durable.set(bytes)
    node.changes = []
  }

  node(path: string): FileNode {
    const { directory, name } = this.#parent(path)
    const node = directory.names.get(name)
    if (!(node instanceof FileNode)) throw coded('ENOENT', path)
    return node
  }

  #directory(path: string): DirectoryNode {
    let node: Node = this.#root
    for (const name of path.split('/').filter(part => part !== '')) {
      const next: Node | undefined =
        node instanceof DirectoryNode ? node.names.get(name) : undefined
      if (next === undefined) throw coded('ENOENT', path)
      node = next
    }
    if (!(node instanceof DirectoryNode)) throw coded('ENOTDIR', path)
    return node
  }

  #parent(path: string): { directory: DirectoryNode; name: string } {
    const slash = path.lastIndexOf('/')
    return { directory: this.#directory(path.slice(0, slash)), name: path.slice(slash + 1) }
  }
}

class FaultFile implements DiskFile {
  readonly path: string
  readonly #disk: FaultDisk
  readonly #node: FileNode
  #isClosed = false

  constructor(disk: FaultDisk, path: string, node: FileNode) {
    this.#disk = disk
    this.path = path
    this.#node = node
  }

  #ensureOpen(): void {
    if (this.#isClosed) throw coded('EBADF', this.path)
  }

  writeGathered(views: readonly Uint8Array[], position: number): number {
    return this.write(Buffer.concat(views), position)
  }

  write(bytes: Uint8Array, position: number): number {
    this.#ensureOpen()
    const short = this.#disk.operate('write', this.path, bytes.length)
    const taken = Buffer.from(short < 0 ? bytes : bytes.subarray(0, short))
    if (taken.length === 0) return 0
    this.#node.change({ kind: 'write', position, bytes: taken })
    this.#node.modifiedMs = this.#disk.wallMs()
    return taken.length
  }

  read(into: Uint8Array, position: number): number {
    this.#ensureOpen()
    const short = this.#disk.operate('read', this.path, into.length)
    const end = position + (short < 0 ? into.length : short)
    const bytes = this.#node.cache.bytes.subarray(position, end)
    into.set(bytes)
    return bytes.length
  }

  startTouch(_position: number, _bytes: number, done: () => void): void {
    queueMicrotask(done)
  }

  startSync(done: (error: Error | null) => void): void {
    this.#ensureOpen()
    // What is written while the sync runs is not covered by it.
    const covered = this.#node.changes.length
    this.#disk.startSync(() => this.#commit(covered), done)
  }

  sync(): void {
    this.#ensureOpen()
    this.#commit(this.#node.changes.length)
  }

  #commit(covered: number): void {
    let error: unknown = null
    try {
      this.#disk.operate('sync', this.path)
    } catch (failure) {
      if (failure instanceof CrashError) throw failure
      error = failure
    }
    const changes = this.#node.changes.splice(0, covered)
    if (error !== null) throw error
    for (const change of changes) this.#node.durable.apply(change)
  }

  truncate(sizeBytes: number): void {
    this.#ensureOpen()
    this.#disk.operate('truncate', this.path)
    this.#node.change({ kind: 'truncate', size: sizeBytes })
  }

  sizeBytes(): number {
    this.#ensureOpen()
    return this.#node.cache.bytes.length
  }

  close(): void {
    this.#isClosed = true
  }
}

function coded(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code })
}
