/**
 * Batches of one partition in which bits were flipped on the disk: they may be unreadable from then on, or gone where
 * nothing had noted that they were flushed. Everything else must be as it was. Logs with rot are dense: what lies in a
 * file next to what is known without looking at it.
 */
import { batchAt, type StoredBatch } from './batch-list.ts'
import type { Entry } from './model.ts'

/** What was known of a log before it was opened. */
export interface NotedBefore {
  /** Below, recovery must know rot from a torn end. */
  readonly flushedEnd: number
  readonly logStart: number
}

export class RottenBatches {
  readonly #byBase = new Map<number, Entry>()
  /** The file of marks was damaged: what was deleted may come back, down to where the log start was noted. */
  areMarksRotten = false
  /** Offsets [from, to) that went then. */
  readonly holes: [from: number, to: number][] = []

  get isEmpty(): boolean {
    return this.#byBase.size === 0
  }

  has({ base }: Entry): boolean {
    return this.#byBase.has(base)
  }

  /** Also of one that was deleted since. */
  isAt(base: number): boolean {
    return this.#byBase.has(base)
  }

  add(entry: Entry): void {
    this.#byBase.set(entry.base, entry)
  }

  /** What is not in the log any more is forgotten: its offsets are given out again. */
  keep(entries: readonly Entry[], logStart: number): void {
    if (this.isEmpty) return
    const kept = new Set(entries)
    for (const [base, entry] of this.#byBase) {
      // Deleted ones lie in the first segment as before.
      if (!kept.has(entry) && entry.last >= logStart) this.#byBase.delete(base)
    }
  }

  /** Where a recovery may end that took rot for a torn end; Infinity when it has no reason to. */
  mayEndAt(notedEnd: number): number {
    let end = Number.POSITIVE_INFINITY
    for (const { base, last } of this.#byBase.values()) {
      if (last >= notedEnd && base < end) end = Math.max(base, notedEnd)
    }
    return end
  }

  /** Whether all of these entries, which are in order, are rotten, and reach from one offset to the other. */
  covers(entries: readonly Entry[], from: number, to: number): boolean {
    let next = from
    for (const entry of entries) {
      if (!this.has(entry) || entry.base > next) return false
      next = entry.last + 1
    }
    return next >= to
  }

  /** The batches of a segment's bytes, which begin with offset `base`; what is rotten is given as it was. */
  *storedIn(bytes: Buffer, base: number): Generator<StoredBatch, void, undefined> {
    let next = base
    for (let at = 0; at < bytes.length; ) {
      const batch = this.#rottenAt(bytes, at, next) ?? batchAt(bytes, at)
      if (batch === null || at + batch.bytes.length > bytes.length) return
      yield batch
      next = batch.last + 1
      at += batch.bytes.length
    }
  }

  #rottenAt(bytes: Buffer, at: number, base: number): StoredBatch | null {
    const entry = this.#byBase.get(base)
    if (entry === undefined) return null
    const size = entry.bytes.length
    return bytes.subarray(at, at + size).equals(entry.bytes) ? null : entry
  }
}
