/**
 * Bits that flip in stored bytes. On the platter alone they stay unseen while the page cache holds the file, and come
 * to light when the process is gone and its pages with it; a file that was not read yet shows them at once.
 */
import type { FileNode } from '../../support/fault-disk-nodes.ts'
import type { Random } from './random.ts'

interface Flip {
  readonly node: FileNode
  readonly at: number
  readonly mask: number
}

export class Rot {
  readonly #random: Random
  #unseen: Flip[] = []

  constructor(random: Random) {
    this.#random = random
  }

  /** One to three bits of node[start, end); `isSeen`: in the page cache as well. */
  flip(node: FileNode, start: number, end: number, isSeen: boolean): void {
    for (let flips = this.#random.range(1, 3); flips > 0; flips--) {
      const at = this.#random.range(start, end - 1)
      const mask = 1 << this.#random.int(8)
      if (at < node.durable.bytes.length) flipBit(node.durable.bytes, at, mask)
      if (isSeen) flipInCache({ node, at, mask })
      else this.#unseen.push({ node, at, mask })
    }
  }

  /** The process has ended: pages of its files are read from the platter again, or not yet. */
  processEnded(): void {
    const left: Flip[] = []
    for (const flip of this.#unseen) {
      const { node, at } = flip
      const isThere = at < node.cache.bytes.length && at < node.durable.bytes.length
      if (!isThere || node.cache.bytes[at] === node.durable.bytes[at]) continue
      if (this.#random.chance(0.5)) flipInCache(flip)
      else left.push(flip)
    }
    this.#unseen = left
  }
}

function flipInCache({ node, at, mask }: Flip): void {
  if (at < node.cache.bytes.length) flipBit(node.cache.bytes, at, mask)
  for (const change of node.changes) {
    if (change.kind !== 'write') continue
    const within = at - change.position
    if (within >= 0 && within < change.bytes.length) flipBit(change.bytes, within, mask)
  }
}

function flipBit(bytes: Buffer, at: number, mask: number): void {
  bytes[at] = (bytes[at] as number) ^ mask
}
