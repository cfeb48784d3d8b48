/**
 * What a power cut leaves of a file: the kernel writes dirty sectors back when it likes, and the size when it likes.
 *
 *   sector   as it was after some of its unsynced writes: none, the first few, all; never a later without an earlier
 *   size     as it was after some of the changes: shorter than the data, or longer and zeros where no data came
 */
import type { FileChange, FileNode } from '../../support/fault-disk-nodes.ts'
import type { Random } from './random.ts'

const SECTOR_BYTES = 512

export function cutFile(node: FileNode, random: Random): void {
  const changes = node.changes.splice(0)
  if (changes.length > 0) {
    const sizes = sizesOf(node.durable.bytes.length, changes)
    const kept = Buffer.alloc(Math.max(...sizes))
    node.durable.bytes.copy(kept)
    const bySector = sectorsOf(changes, kept.length)
    const lost = random.pick([0, 0.2, 0.8, 1])
    for (const [sector, touching] of bySector) {
      const count = versionOf(touching.length, lost, random)
      for (const change of touching.slice(0, count)) applyTo(kept, sector, change)
    }
    const size = sizes[versionOf(changes.length, lost, random)] as number
    node.durable.set(kept.subarray(0, size))
  }
  node.cache.set(node.durable.bytes)
}

/** How many of `count` changes came through. */
function versionOf(count: number, lost: number, random: Random): number {
  if (random.chance(0.1)) return random.int(count + 1)
  return random.chance(lost) ? 0 : count
}

/** The file's size after none, one, two ... of the changes. */
function sizesOf(first: number, changes: readonly FileChange[]): number[] {
  const sizes = [first]
  let size = first
  for (const change of changes) {
    if (change.kind === 'truncate') size = change.size
    else size = Math.max(size, change.position + change.bytes.length)
    sizes.push(size)
  }
  return sizes
}

/** The changes that touch each sector, in order. */
function sectorsOf(changes: readonly FileChange[], sizeMax: number): Map<number, FileChange[]> {
  const found = new Map<number, FileChange[]>()
  for (const change of changes) {
    const start = change.kind === 'write' ? change.position : change.size
    const end = change.kind === 'write' ? start + change.bytes.length : sizeMax
    const last = Math.ceil(end / SECTOR_BYTES)
    for (let sector = Math.floor(start / SECTOR_BYTES); sector < last; sector++) {
      const touching = found.get(sector)
      if (touching === undefined) found.set(sector, [change])
      else touching.push(change)
    }
  }
  return found
}

function applyTo(into: Buffer, sector: number, change: FileChange): void {
  const from = sector * SECTOR_BYTES
  const to = Math.min(into.length, from + SECTOR_BYTES)
  if (change.kind === 'truncate') {
    into.fill(0, Math.max(from, change.size), Math.max(to, change.size))
    return
  }
  const start = Math.max(from, change.position)
  const end = Math.min(to, change.position + change.bytes.length)
  change.bytes.copy(into, start, start - change.position, end - change.position)
}
