/**
 * The simulated machine's disk: what programs see (page cache) and what a power cut leaves (platter) are kept apart, as
 * in test/support/fault-disk.ts, whose nodes it shares. Here syncs take simulated time and end in any order, every
 * operation may fail by the seed, and the world ends at any operation.
 *
 *   power cut   see power-cut.ts; of the unsynced names any subset is there
 *   failed sync its pages count as clean and are not on the platter: no later sync writes them (RELIABILITY V3)
 */
import type { Disk, DiskFile } from '../../../src/contracts/disk.ts'
import { applyNames, DirectoryNode, FileNode, type Node } from '../../support/fault-disk-nodes.ts'
import type { Faults, Operation, OperationKind } from './faults.ts'
import { cutFile } from './power-cut.ts'
import type { Random } from './random.ts'
import {
  CrashError,
  coded,
  type Done,
  lostPages,
  resultOf,
  SimFile,
  shortPath,
} from './sim-file.ts'
import type { World } from './world.ts'

export class SimDisk implements Disk {
  readonly #world: World
  readonly #faults: Faults
  #root = new DirectoryNode()
  #paths = new Map<string, DirectoryNode>()
  operations = 0
  /** The operation with this number throws a CrashError, and so does every later one. */
  crashAt = Number.POSITIVE_INFINITY
  /** The checker looks: nothing is counted and nothing fails. */
  isObserved = false
  /** Syncs that were started and have not ended: told, or dropped with their process. */
  syncsInFlight = 0
  #syncs = new Set<() => void>()
  /** Called before a name of a file goes. */
  onUnlink: (path: string) => void = () => {}

  constructor(world: World, faults: Faults) {
    this.#world = world
    this.#faults = faults
  }

  get crashed(): boolean {
    return this.operations >= this.crashAt
  }

  /** Counts and judges an operation; returns a short count, if that is its fault, or -1. Throws when it fails. */
  operate(kind: OperationKind, path: string, bytes = 0, position = 0): number {
    if (this.crashed) throw new CrashError('crashed')
    if (this.isObserved) return -1
    this.operations++
    if (this.crashed) {
      this.#world.note(() => `disk   crash at ${kind} ${shortPath(path)}`)
      throw new CrashError('crashed')
    }
    const operation: Operation = { kind, path, bytes, position }
    this.#world.mixText(kind)
    this.#world.mix(bytes + position * 31)
    const fault = this.#faults.decide(operation)
    this.#note(operation, fault === null ? '' : JSON.stringify(fault))
    if (fault === null) return -1
    this.#world.count(`fault ${fault.name}`)
    if (fault.short !== null) return Math.min(fault.short, bytes)
    throw coded(fault.code, `${kind} ${path}`)
  }

  #note({ kind, path, bytes, position }: Operation, fault: string): void {
    const { trace } = this.#world
    if (trace === null || (fault === '' && (kind === 'read' || kind === 'list'))) return
    const size = bytes > 0 ? ` ${bytes}@${position}` : ''
    this.#world.note(() => `disk   ${kind} ${shortPath(path)}${size} ${fault}`)
  }

  startSync(what: string, finish: () => void, done: Done): void {
    if (this.crashed) throw new CrashError('crashed')
    const { life } = this.#world
    const end = (): Error | null => {
      this.syncsInFlight--
      this.#syncs.delete(dropped)
      return resultOf(finish)
    }
    const dropped = (): void => {
      cancel()
      end()
    }
    this.syncsInFlight++
    this.#syncs.add(dropped)
    const cancel = this.#world.after(this.#faults.syncMs(), `sync ${what}`, life, () => {
      const error = end()
      if (error instanceof CrashError) return
      done(error)
    })
  }

  /** The owner thread is gone and the process is not: its syncs end, and nobody hears of it. */
  abandonSyncs(): void {
    for (const drop of [...this.#syncs]) drop()
  }

  /** The process ends: everything written stays visible, handles and syncs in flight are gone. */
  kill(): void {
    this.crashAt = Number.POSITIVE_INFINITY
    this.syncsInFlight = 0
    this.#syncs.clear()
  }

  /** The machine ends: of what was not synced, any part may be lost or torn. */
  powerCut(random: Random): void {
    this.kill()
    this.#cutDirectory(this.#root, random, new Set())
    this.#paths.clear()
  }

  #cutDirectory(directory: DirectoryNode, random: Random, seen: Set<Node>): void {
    const names = new Map(directory.durable)
    const keep = random.next()
    for (const change of directory.changes) if (random.chance(keep)) applyNames(names, change)
    directory.changes = []
    directory.names = new Map(names)
    directory.durable = new Map(names)
    for (const node of names.values()) {
      if (seen.has(node)) continue
      seen.add(node)
      if (node instanceof DirectoryNode) this.#cutDirectory(node, random, seen)
      else {
        cutFile(node, random)
        lostPages.delete(node)
      }
    }
  }

  /** After a failed sync the page cache may be dropped: programs see what the platter has. Returns of which files. */
  evictLost(): string[] {
    const evicted: string[] = []
    for (const { path, node } of this.files()) {
      if (!lostPages.has(node)) continue
      evicted.push(path)
      const size = node.cache.bytes.length
      const seen = Buffer.from(node.durable.bytes)
      node.cache.set(seen)
      for (const change of node.changes) node.cache.apply(change)
      if (node.cache.bytes.length < size) node.cache.apply({ kind: 'truncate', size })
      lostPages.delete(node)
    }
    return evicted
  }

  open(path: string, mode: 'wx' | 'r+' | 'r'): DiskFile {
    this.operate(mode === 'wx' ? 'create' : 'open', path)
    const { directory, name } = this.#parent(path)
    let node = directory.names.get(name)
    if (mode === 'wx') {
      if (node !== undefined) throw coded('EEXIST', path)
      node = new FileNode()
      node.modifiedMs = this.#wallMs()
      directory.change([name, node])
    }
    if (!(node instanceof FileNode)) throw coded('ENOENT', path)
    return new SimFile(this, path, node, this.#wallMs)
  }

  readonly #wallMs = (): number => this.#world.clock().wallMs()

  mkdir(path: string): void {
    this.operate('mkdir', path)
    const { directory, name } = this.#parent(path)
    if (directory.names.has(name)) throw coded('EEXIST', path)
    directory.change([name, new DirectoryNode()])
  }

  rename(from: string, to: string): void {
    this.operate('rename', `${from} ${to.slice(to.lastIndexOf('/') + 1)}`)
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
    if (node instanceof DirectoryNode) this.#paths.clear()
  }

  unlink(path: string): void {
    this.operate('unlink', path)
    const { directory, name } = this.#parent(path)
    if (!directory.names.has(name)) throw coded('ENOENT', path)
    this.onUnlink(path)
    directory.change([name, null])
  }

  startUnlink(paths: readonly string[], done: Done): void {
    const [path, ...others] = paths
    if (path === undefined) {
      this.#world.after(0, 'unlink nothing', this.#world.life, () => done(null))
      return
    }
    const finish = (): void => {
      if (this.exists(path)) this.unlink(path)
    }
    this.startSync(`of ${shortPath(path)}, unlink`, finish, error => {
      if (error !== null || others.length === 0) done(error)
      else this.startUnlink(others, done)
    })
  }

  startRemoveTree(path: string, done: Done): void {
    this.startSync(`of ${shortPath(path)}, remove`, () => this.removeTree(path), done)
  }

  startTouchFile(path: string, _bytes: number, done: () => void): void {
    this.startSync(`of ${shortPath(path)}, touch`, () => {}, done)
  }

  removeTree(path: string): void {
    this.operate('remove', path)
    const { directory, name } = this.#parent(path)
    if (directory.names.has(name)) directory.change([name, null])
    this.#paths.clear()
  }

  exists(path: string): boolean {
    if (this.crashed) return false
    const parent = this.#find(path.slice(0, path.lastIndexOf('/')))
    return parent?.names.has(path.slice(path.lastIndexOf('/') + 1)) ?? false
  }

  list(path: string): string[] {
    this.operate('list', path)
    return [...this.directory(path).names.keys()]
  }

  readFile(path: string): Buffer {
    this.operate('read', path)
    return Buffer.from(this.node(path).cache.bytes)
  }

  syncDirectory(path: string): void {
    this.operate('syncDirectory', path)
    this.#commitDirectory(this.directory(path))
  }

  startSyncDirectory(path: string, done: Done): void {
    const finish = (): void => {
      this.operate('syncDirectory', path)
      this.#commitDirectory(this.directory(path))
    }
    this.startSync(shortPath(path), finish, done)
  }

  #commitDirectory(directory: DirectoryNode): void {
    directory.durable = new Map(directory.names)
    directory.changes = []
  }

  freeBytes(): number {
    return this.#faults.freeBytes()
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

  /** Every file of every directory that has a name now. */
  *files(): Generator<{ path: string; node: FileNode }> {
    const stack: [string, DirectoryNode][] = [['', this.#root]]
    for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
      for (const [name, node] of top[1].names) {
        if (node instanceof DirectoryNode) stack.push([`${top[0]}/${name}`, node])
        else yield { path: `${top[0]}/${name}`, node }
      }
    }
  }

  node(path: string): FileNode {
    const { directory, name } = this.#parent(path)
    const node = directory.names.get(name)
    if (!(node instanceof FileNode)) throw coded('ENOENT', path)
    return node
  }

  directory(path: string): DirectoryNode {
    const found = this.#find(path)
    if (found === null) throw coded('ENOENT', path)
    return found
  }

  #find(path: string): DirectoryNode | null {
    const known = this.#paths.get(path)
    if (known !== undefined) return known
    let node: Node = this.#root
    for (const name of path.split('/')) {
      if (name === '') continue
      const next: Node | undefined = node.names.get(name)
      if (!(next instanceof DirectoryNode)) return null
      node = next
    }
    this.#paths.set(path, node)
    return node
  }

  #parent(path: string): { directory: DirectoryNode; name: string } {
    const slash = path.lastIndexOf('/')
    return { directory: this.directory(path.slice(0, slash)), name: path.slice(slash + 1) }
  }
}

export { CrashError } from './sim-file.ts'
