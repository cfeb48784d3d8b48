/** Files and directories of the fault disk: what a program sees, what is durable, and the changes in between. */

const SECTOR_BYTES = 512

export type FileChange =
  | { readonly kind: 'write'; readonly position: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly size: number }

/** A file's content; grows in place. */
class Content {
  #buffer = Buffer.alloc(256)
  #size = 0

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#size)
  }

  apply(change: FileChange): void {
    if (change.kind === 'truncate') this.#resize(change.size)
    else {
      this.#resize(Math.max(this.#size, change.position + change.bytes.length))
      change.bytes.copy(this.#buffer, change.position)
    }
  }

  set(bytes: Buffer): void {
    this.#size = 0
    this.#resize(bytes.length)
    bytes.copy(this.#buffer)
  }

  #resize(size: number): void {
    if (size > this.#buffer.length) {
      const larger = Buffer.alloc(size * 2)
      this.#buffer.copy(larger, 0, 0, this.#size)
      this.#buffer = larger
    }
    // What lies between the old and the new end is a hole.
    this.#buffer.fill(0, Math.min(size, this.#size), Math.max(size, this.#size))
    this.#size = size
  }
}

export class FileNode {
  readonly cache = new Content()
  readonly durable = new Content()
  changes: FileChange[] = []
  modifiedMs = 0

  change(change: FileChange): void {
    this.changes.push(change)
    this.cache.apply(change)
  }
}

export type Node = FileNode | DirectoryNode
type NameChange = readonly (readonly [name: string, node: Node | null])[]

export class DirectoryNode {
  names = new Map<string, Node>()
  durable = new Map<string, Node>()
  changes: NameChange[] = []

  change(...change: NameChange): void {
    this.changes.push(change)
    applyNames(this.names, change)
  }
}

export function applyNames(names: Map<string, Node>, change: NameChange): void {
  for (const [name, node] of change) {
    if (node === null) names.delete(name)
    else names.set(name, node)
  }
}

/** Any subset of the unsynced writes reaches the platter, some of them only in part, sector by sector. */
export function cutFile({ durable, cache, changes }: FileNode, random: () => number): void {
  for (const change of changes.splice(0)) {
    const fate = random()
    if (fate < 0.4) continue
    if (fate < 0.7 || change.kind === 'truncate') {
      durable.apply(change)
      continue
    }
    for (let at = 0; at < change.bytes.length; at += SECTOR_BYTES) {
      if (random() < 0.5) continue
      const bytes = change.bytes.subarray(at, at + SECTOR_BYTES)
      durable.apply({ kind: 'write', position: change.position + at, bytes })
    }
  }
  cache.set(durable.bytes)
}
