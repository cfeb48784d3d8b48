/**
 * What compaction may take: a record of which a newer one with the same key is in the log, and a tombstone. Batches
 * keep their offsets; what stays in one must be what was sent.
 */
import { records } from '../../../src/protocol/records.ts'
import type { Entry } from './model.ts'

export class KeyHistory {
  /** Offset of the newest record of each key. */
  readonly #newest = new Map<string, number>()

  add({ base, batch }: Entry): void {
    for (const [index, { key }] of batch.records.entries()) {
      if (key !== null) this.#newest.set(key.toString('latin1'), base + index)
    }
  }

  clear(): void {
    this.#newest.clear()
  }

  /** Whether compaction may have taken record `index` of the batch. */
  mayBeGone({ base, batch }: Entry, index: number): boolean {
    const record = batch.records[index]
    if (record === undefined || record.key === null) return false
    if (record.value === null) return true
    return (this.#newest.get(record.key.toString('latin1')) ?? -1) > base + index
  }

  allMayBeGone(entry: Entry): boolean {
    return entry.batch.records.every((_, index) => this.mayBeGone(entry, index))
  }

  /** What is wrong with the batch as compaction left it; null when it is right. */
  wrongIn(entry: Entry, stored: Buffer): string | null {
    const { base, last, batch } = entry
    if (base + stored.readInt32BE(23) !== last) return `batch ${base} ends at another offset`
    const seen = new Set<number>()
    for (const { offset, key, value } of records(stored)) {
      const index = offset - base
      const sent = batch.records[index]
      const isSame = sent !== undefined && isEqual(sent.key, key) && isEqual(sent.value, value)
      if (!isSame) return `offset ${offset} holds another record than was sent`
      seen.add(index)
    }
    const missing = batch.records.findIndex((_, index) => {
      return !seen.has(index) && !this.mayBeGone(entry, index)
    })
    return missing < 0 ? null : `offset ${base + missing} is gone, and was the newest of its key`
  }

  /** The last record read of each key must be the newest; only a tombstone may be gone with all before it. */
  wrongAfter(
    read: ReadonlyMap<string, number>,
    entries: readonly Entry[],
    logStart: number,
  ): string | null {
    for (const entry of entries) {
      for (const [index, { key, value }] of entry.batch.records.entries()) {
        const offset = entry.base + index
        if (key === null || offset < logStart) continue
        const name = key.toString('latin1')
        if (this.#newest.get(name) !== offset) continue
        const found = read.get(name)
        if (found === offset || (found === undefined && value === null)) continue
        return `${name} was last written at ${offset}, read is ${found}`
      }
    }
    return null
  }
}

function isEqual(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b
  return Buffer.compare(a, b) === 0
}
