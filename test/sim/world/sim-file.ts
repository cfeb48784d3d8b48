/** An open file of the simulated disk, and what it shares with the disk. */
import type { DiskFile } from '../../../src/contracts/disk.ts'
import type { FileChange, FileNode } from '../../support/fault-disk-nodes.ts'
import type { SimDisk } from './disk.ts'

export type Done = (error: Error | null) => void

/** The machine or the process is gone: whatever the program does now has no effect. */
export class CrashError extends Error {
  readonly code = 'ECRASH'
}

/** Files with pages that a failed sync left clean and unwritten. */
export const lostPages = new WeakSet<FileNode>()

export class SimFile implements DiskFile {
  readonly path: string
  readonly #disk: SimDisk
  readonly #node: FileNode
  readonly #wallMs: () => number
  #isClosed = false

  constructor(disk: SimDisk, path: string, node: FileNode, wallMs: () => number) {
    this.#disk = disk
    this.path = path
    this.#node = node
    this.#wallMs = wallMs
  }

  #ensureOpen(): void {
    if (this.#isClosed) throw coded('EBADF', this.path)
  }

  writeGathered(views: readonly Uint8Array[], position: number): number {
    return this.write(Buffer.concat(views), position)
  }

  write(bytes: Uint8Array, position: number): number {
    this.#ensureOpen()
    const short = this.#disk.operate('write', this.path, bytes.length, position)
    const taken = Buffer.from(short < 0 ? bytes : bytes.subarray(0, short))
    if (taken.length === 0) return 0
    this.#node.change({ kind: 'write', position, bytes: taken })
    this.#node.modifiedMs = this.#wallMs()
    return taken.length
  }

  read(into: Uint8Array, position: number): number {
    this.#ensureOpen()
    const short = this.#disk.operate('read', this.path, into.length, position)
    const end = position + (short < 0 ? into.length : short)
    const bytes = this.#node.cache.bytes.subarray(position, end)
    into.set(bytes)
    return bytes.length
  }

  /** Everything is in memory here. */
  startTouch(_position: number, _bytes: number, done: () => void): void {
    queueMicrotask(done)
  }

  startSync(done: Done): void {
    this.#ensureOpen()
    // What is written while the sync runs is not covered by it.
    const covered = new Set(this.#node.changes)
    this.#disk.startSync(shortPath(this.path), () => this.#commit(covered), done)
  }

  sync(): void {
    this.#ensureOpen()
    this.#commit(new Set(this.#node.changes))
  }

  #commit(covered: ReadonlySet<FileChange>): void {
    const error = resultOf(() => this.#disk.operate('sync', this.path))
    if (error instanceof CrashError) throw error
    const node = this.#node
    const rest: FileChange[] = []
    for (const change of node.changes) {
      if (!covered.has(change)) rest.push(change)
      else if (error === null) node.durable.apply(change)
    }
    node.changes = rest
    if (error === null) return
    lostPages.add(node)
    throw error
  }

  truncate(sizeBytes: number): void {
    this.#ensureOpen()
    this.#disk.operate('truncate', this.path, 0, sizeBytes)
    this.#node.change({ kind: 'truncate', size: sizeBytes })
    this.#node.modifiedMs = this.#wallMs()
  }

  sizeBytes(): number {
    this.#ensureOpen()
    return this.#node.cache.bytes.length
  }

  close(): void {
    this.#isClosed = true
  }
}

export function resultOf(work: () => void): Error | null {
  try {
    work()
    return null
  } catch (error) {
    return error as Error
  }
}

export function shortPath(path: string): string {
  return path.replace('/data/', '').replace(/0{10,}(?=\d)/g, '..')
}

export function coded(code: string, message: string): Error {
  return Object.assign(new Error(`${code}: ${message}`), { code })
}
