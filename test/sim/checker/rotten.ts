/**
 * Batches of one partition in which bits were flipped on the disk: they may be unreadable from then on, or gone where
 * nothing had noted that they were flushed. Everything else must be as it was. Logs with rot are dense: what lies in a
 * file next to what is known without looking at it.
 */
import type { PartitionLog } from '../../../workers/log/log.ts'
import { batchAt, type StoredBatch } from './batch-list.ts'
import type { Entry, PartitionModel } from './model.ts'

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
  /** Largest log start that such a file had said: what lay below may have gone before. */
  markedStart = 0
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

  /** Somewhere in between batches are missing that nobody had to keep: what is behind need not follow on. */
  hasHole(from: number, to: number): boolean {
    return this.holes.some(hole => from < hole[1] && hole[0] < to)
  }

  isHole(from: number, to: number): boolean {
    return this.holes.some(hole => hole[0] <= from && to <= hole[1])
  }

  /** What a crash tore, and not compaction, is not in the log: whoever sent it may send it again. */
  outsideHoles(entries: readonly Entry[], logStart: number): Entry[] {
    return entries.filter(({ base, last }) => !this.isHole(Math.max(base, logStart), last + 1))
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
    let next = this.#behindHole(from)
    for (const entry of entries) {
      // A batch across the start of the log reaches into an empty range, too.
      if (next >= to) return true
      if (!this.has(entry) || entry.base > next) return false
      next = this.#behindHole(entry.last + 1)
    }
    return next >= to
  }

  /**
   * Whether a log may have come back without the offsets [from, to), which these entries hold. They are rotten, but
   * where the marks were damaged, too. Then any hole below where the log ended may be of compaction's making, and two
   * pass that it did not make (docs/durability.md):
   *
   *   below the log start that the marks had said: files of deleted records, of which a power cut brought some back;
   *   from `promised` on: what a power cut tore out of records that were not flushed.
   *
   * These are noted as holes; everything between must be there.
   */
  mayMiss(entries: readonly Entry[], from: number, to: number, promised: number): boolean {
    const areSkipped = this.areMarksRotten && promised !== Number.POSITIVE_INFINITY
    const keptFrom = areSkipped ? Math.min(to, Math.max(from, this.markedStart)) : from
    const keptTo = areSkipped ? Math.min(to, Math.max(keptFrom, promised)) : to
    const kept = entries.filter(({ base, last }) => last >= keptFrom && base < keptTo)
    if (!this.covers(kept, keptFrom, keptTo)) return false
    if (from < keptFrom) this.holes.push([from, keptFrom])
    if (keptTo < to) this.holes.push([keptTo, to])
    return true
  }

  #behindHole(offset: number): number {
    return this.holes.find(hole => hole[0] <= offset && offset < hole[1])?.[1] ?? offset
  }

  /**
   * Without marks nothing is cut in front of a later segment: what a crash tore there, and nobody was promised, is told
   * as lost.
   */
  torn(log: PartitionLog, { entries, proven }: Pick<PartitionModel, 'entries' | 'proven'>): void {
    if (!this.areMarksRotten) return
    for (const entry of entries) {
      if (entry.base >= proven && log.lostRanges.rangeAt(entry.base) !== null) this.add(entry)
    }
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
