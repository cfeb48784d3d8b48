/**
 * What one partition must hold, kept beside it: a list of batches, no files, no indexes. The driver tells it what was
 * staged, written and answered; the log is held against it after every event, every restart, and at the end.
 *
 *   entries   | batch | batch | batch | batch | batch |   maybes: staged, failed or cut off by a crash: may be there
 *             ^ logStart         ^ proven      ^ written
 *             below `proven` nothing may change; up to `written` only a machine crash or a failed flush may take
 */
import type { Clock } from '../../../src/contracts/clock.ts'
import { maxTimestampAt } from '../../../src/protocol/record-batch.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import type { SentBatch } from '../actors/batches.ts'
import { AgeRule } from './ages.ts'
import { Anomaly, demand } from './anomaly.ts'
import type { StoredBatch } from './batch-list.ts'
import { KeyHistory } from './cleaned.ts'
import { type NotedBefore, RottenBatches } from './rotten.ts'

export interface Entry {
  readonly base: number
  readonly last: number
  /** As stored: with its offset, and its stamp where the broker stamps. */
  readonly bytes: Buffer
  readonly batch: SentBatch
}

interface Time {
  readonly clock: Clock
  /** Nobody sets the wall clock. */
  readonly isWallSteady: boolean
}

export class PartitionModel {
  readonly name: string
  entries: Entry[] = []
  readonly #byBase = new Map<number, Entry>()
  readonly keys = new KeyHistory()
  /** Below, compaction may have taken records. */
  gapsBelow = 0
  #staged: Entry[] = []
  maybes: Entry[] = []
  readonly rotten = new RottenBatches()
  /** Largest end that segments alone have proven. */
  #segmentsProved = 0
  /** Largest flushed end the log ever claimed. */
  proven = 0
  written = 0
  highWatermark = 0
  /** Largest high watermark that was published while unflushed records could be read. */
  weakHighWatermark = 0
  logStart = 0
  isMachineCrashed = false
  isFlushFailed = false
  /** The flushed end when the log went offline. */
  #poisonedAt = -1

  readonly #ages = new AgeRule()
  /** Null where records go for other reasons than their age. */
  readonly #time: Time | null

  constructor(name: string, time: Time | null) {
    this.name = name
    this.#time = time
  }

  get #now(): { wallMs: number; monotonicMs: number } {
    const { clock } = this.#time ?? {}
    return { wallMs: clock?.wallMs() ?? 0, monotonicMs: clock?.monotonicMs() ?? 0 }
  }

  entryAt(base: number): Entry | undefined {
    return this.#byBase.get(base)
  }

  staged(base: number, last: number, bytes: Buffer, batch: SentBatch): void {
    const entry = { base, last, bytes, batch }
    const before = this.#staged.at(-1)
    const expected = before === undefined ? this.written : before.last + 1
    demand(base === expected, 'gap', () => `${this.name}: staged at ${base}, not ${expected}`)
    this.#staged.push(entry)
  }

  committed(): void {
    for (const entry of this.#staged) {
      this.entries.push(entry)
      this.#byBase.set(entry.base, entry)
      this.keys.add(entry)
      if (this.#time !== null) this.#ages.appended(entry, this.#now)
      this.written = entry.last + 1
    }
    this.#staged = []
  }

  /** The round failed or a crash cut it off: any of it may be in the file. */
  failed(): void {
    this.maybes.push(...this.#staged)
    this.#staged = []
  }

  /** A success answer of `base` for `batch`. */
  acked(batch: SentBatch, base: number, isDuplicate: boolean): void {
    const entry = this.#byBase.get(base) ?? this.#staged.find(staged => staged.base === base)
    if (entry === undefined && base < this.logStart) return
    demand(entry !== undefined && entry.batch === batch, 'wrong-answer', () => {
      const kind = isDuplicate ? 'duplicate ' : ''
      return `${this.name}: ${kind}batch ${describe(batch)} answered with offset ${base}, which holds ${describeEntry(entry)}`
    })
  }

  /** A batch was refused for its sequence: it must not be one of the producer's last five, which are known. */
  refused(batch: SentBatch): void {
    // What cannot be read is not remembered either.
    if (!this.rotten.isEmpty) return
    let known = 0
    for (let at = this.entries.length - 1; at >= 0 && known < 5; at--) {
      const other = (this.entries[at] as Entry).batch
      if (other.producerId !== batch.producerId) continue
      demand(other !== batch, 'wrong-answer', () => {
        return `${this.name}: batch ${describe(batch)} is refused and is in the log`
      })
      known++
    }
  }

  /** Held against the open log after every event. */
  step(log: PartitionLog): void {
    const { highWatermark, logEnd, flushedEnd } = log.offsets
    const logStart = this.#startOf(log)
    const { name } = this
    demand(highWatermark >= this.highWatermark, 'high-watermark-went-back', () => {
      return `${name}: from ${this.highWatermark} to ${highWatermark}`
    })
    demand(logStart >= this.logStart, 'log-start-went-back', () => {
      return `${name}: from ${this.logStart} to ${logStart}`
    })
    if (log.config.flushPolicy === 'os') {
      this.weakHighWatermark = Math.max(this.weakHighWatermark, highWatermark)
    }
    demand(
      highWatermark <= Math.max(flushedEnd, this.weakHighWatermark, logStart),
      'read-above-high-watermark',
      () => `${name}: high watermark ${highWatermark}, flushed ${flushedEnd}`,
    )
    demand(logEnd === this.written, 'not-equal-to-model', () => {
      return `${name}: log end ${logEnd}, the model's ${this.written}`
    })
    if (this.#poisonedAt >= 0) {
      demand(flushedEnd === this.#poisonedAt, 'poisoned-advance', () => {
        return `${name}: flushed end of an offline log moved from ${this.#poisonedAt} to ${flushedEnd}`
      })
    }
    this.highWatermark = highWatermark
    this.gapsBelow = log.gapsBelowOffset
    this.#segmentsProved = Math.max(this.#segmentsProved, log.offsets.recoveryPoint)
    this.proven = Math.max(this.proven, flushedEnd)
    this.#ages.applies(log.config)
    if (logStart !== this.logStart) this.#startsAt(logStart)
  }

  wentOffline(log: PartitionLog): void {
    this.isFlushFailed = true
    this.#poisonedAt = log.offsets.flushedEnd
  }

  #startsAt(logStart: number): void {
    this.logStart = logStart
    while (this.entries.length > 0 && (this.entries[0] as Entry).last < logStart) {
      const gone = this.entries.shift() as Entry
      this.#byBase.delete(gone.base)
      gone.batch.isLostRightly = true
      if (this.#time !== null) this.#ages.gone(this.name, gone, this.#now, this.#time.isWallSteady)
    }
  }

  /** A journal is damaged: what only journals have proven may be gone. */
  journalRotted(): void {
    for (const entry of this.entries) {
      if (entry.last >= this.#segmentsProved) this.rotten.add(entry)
    }
  }

  /** The last that was seen of a log whose marks are damaged: its files below may be gone already. */
  endedAt({ offsets }: PartitionLog): void {
    if (this.rotten.areMarksRotten) this.#startsAt(Math.max(this.logStart, offsets.logStart))
  }

  crashed(isMachine: boolean): void {
    this.failed()
    this.isMachineCrashed ||= isMachine
  }

  /** The page cache forgot what a failed sync had left in it. */
  evicted(): void {
    this.isFlushFailed = true
  }

  /** Nothing below may be missing after a restart. */
  get required(): number {
    const isKept = !this.isMachineCrashed && !this.isFlushFailed
    return isKept ? Math.max(this.proven, this.written) : this.proven
  }

  /** The log was opened: `stored` is what its files hold below its end. */
  reopened(
    log: PartitionLog,
    stored: readonly StoredBatch[],
    markedStart: number,
    noted: NotedBefore,
  ): void {
    const { logEnd } = log.offsets
    const { name } = this
    const required = Math.min(this.required, this.rotten.mayEndAt(noted.flushedEnd))
    // Nobody knows any more what was deleted above.
    if (this.rotten.areMarksRotten) this.logStart = Math.min(this.logStart, logEnd)
    this.#checkStart(log, noted)
    const logStart = this.#startOf(log)
    demand(logEnd >= required, 'lost-write', () => {
      return `${name}: recovered to ${logEnd}, ${required} was promised`
    })
    const startMax = required <= this.logStart ? logEnd : Math.max(markedStart, this.logStart)
    demand(logStart <= startMax, 'lost-write', () => {
      return `${name}: the log starts at ${logStart}, ${startMax} was promised`
    })
    demand(logStart >= this.logStart, 'log-start-went-back', () => {
      return `${name}: the log starts at ${logStart} again, it was at ${this.logStart}`
    })
    const found: Entry[] = []
    let expected = logStart
    this.gapsBelow = log.gapsBelowOffset
    for (const batch of stored) {
      if (batch.last < logStart) continue
      if (batch.base > expected && this.#mayMiss(expected, batch.base)) {
        found.push(...this.rotten.outsideHoles(this.goneBetween(expected, batch.base), logStart))
        expected = batch.base
      }
      const isFirst = found.length === 0 && batch.base < logStart
      demand(batch.base === expected || isFirst, 'gap', () => {
        return `${name}: batch at ${batch.base}, expected ${expected}`
      })
      found.push(this.#resolve(batch))
      expected = batch.last + 1
    }
    const isWhole = expected === logEnd || this.#mayMiss(expected, logEnd)
    if (expected < logEnd) {
      found.push(...this.rotten.outsideHoles(this.goneBetween(expected, logEnd), logStart))
    }
    demand(isWhole, 'gap', () => `${name}: batches to ${expected}, log end ${logEnd}`)
    // Rot was taken for a torn end.
    this.proven = Math.min(this.proven, logEnd)
    this.highWatermark = Math.min(this.highWatermark, logEnd)
    this.#take(found, log)
  }

  /** Of damaged marks nothing is left but what was noted elsewhere. */
  #checkStart({ offsets }: PartitionLog, noted: NotedBefore): void {
    if (!this.rotten.areMarksRotten) return
    demand(offsets.logStart >= noted.logStart, 'log-start-went-back', () => {
      return `${this.name}: the log starts at ${offsets.logStart}, noted was ${noted.logStart}`
    })
  }

  /** What came back because the marks were damaged is not looked at. */
  #startOf({ offsets }: PartitionLog): number {
    const { areMarksRotten } = this.rotten
    return areMarksRotten ? Math.max(this.logStart, offsets.logStart) : offsets.logStart
  }

  #mayMiss(from: number, to: number): boolean {
    const tolerated = to <= this.gapsBelow ? this.required : Number.POSITIVE_INFINITY
    // Asked first: of what a crash tore, some compaction might have taken; a reader may be told that it is lost.
    const gone = this.goneBetween(from, to)
    return this.rotten.mayMiss(gone, from, to, tolerated) || this.maySkip(from, to)
  }

  /** Which of the batches that were ever put at this offset it is. */
  #resolve(batch: StoredBatch): Entry {
    const entry = this.#byBase.get(batch.base)
    if (entry !== undefined && this.wrongIn(entry, batch.bytes) === null) return entry
    if (batch.base < this.proven) {
      const kind = entry === undefined ? 'phantom' : 'inconsistent-offsets'
      throw new Anomaly(kind, `${this.name}: offset ${batch.base} changed`)
    }
    const maybe = this.maybes.find(({ base, bytes }) => {
      return base === batch.base && bytes.equals(batch.bytes)
    })
    if (maybe === undefined) {
      throw new Anomaly('phantom', `${this.name}: nobody sent what is at offset ${batch.base}`)
    }
    return maybe
  }

  /** What is wrong with the bytes stored or read for `entry`; null when they are right. */
  wrongIn(entry: Entry, bytes: Buffer): string | null {
    if (entry.bytes.equals(bytes)) return null
    if (entry.base >= this.gapsBelow) return `batch ${entry.base} is not as it was written`
    return this.keys.wrongIn(entry, bytes)
  }

  /** Whether compaction may have taken every record of these offsets. */
  maySkip(from: number, to: number): boolean {
    if (this.rotten.isHole(from, to)) return true
    if (to > this.gapsBelow) return false
    return this.goneBetween(from, to).every(entry => this.keys.allMayBeGone(entry))
  }

  goneBetween(from: number, to: number): Entry[] {
    return this.entries.filter(({ base, last }) => last >= from && base < to)
  }

  #take(found: readonly Entry[], { offsets }: PartitionLog): void {
    const { logEnd, flushedEnd } = offsets
    const logStart = Math.max(this.logStart, offsets.logStart)
    const kept = new Set(found)
    for (const entry of this.entries) {
      if (kept.has(entry) || entry.last < logStart) continue
      entry.batch.isLostRightly = true
    }
    this.entries = [...found]
    this.#byBase.clear()
    this.keys.clear()
    for (const entry of found) {
      this.#byBase.set(entry.base, entry)
      this.keys.add(entry)
    }
    this.maybes = []
    this.#staged = []
    this.#ages.reset()
    this.written = logEnd
    // What could be read without a flush may be gone after a crash, or be out of sight until it is flushed.
    const seen = this.weakHighWatermark > 0 ? offsets.highWatermark : this.proven
    this.highWatermark = Math.min(this.highWatermark, seen)
    this.proven = Math.max(this.proven, flushedEnd)
    this.#startsAt(logStart)
    this.weakHighWatermark = 0
    this.isMachineCrashed = false
    this.isFlushFailed = false
    this.#poisonedAt = -1
    this.rotten.keep(found, logStart)
    checkProducers(this.name, found, this.rotten)
  }

  /** What a look-up by time must find. */
  firstAtTime(timestampMs: number, highWatermark: number): Entry | undefined {
    return this.entries.find(({ last, bytes }) => {
      return (
        last < highWatermark && last >= this.logStart && maxTimestampAt(bytes, 0) >= timestampMs
      )
    })
  }
}

/** Order and number of what each producer has in the log. */
export function checkProducers(
  name: string,
  entries: readonly Entry[],
  rotten: RottenBatches,
): void {
  const lastOf = new Map<number, Entry>()
  const times = new Map<SentBatch, number>()
  for (const entry of entries) {
    const { batch, base } = entry
    if (rotten.has(entry)) {
      // Nobody knows what it was: it may come again, and what follows need not fit.
      lastOf.delete(batch.producerId)
      continue
    }
    const seen = (times.get(batch) ?? 0) + 1
    times.set(batch, seen)
    const allowed = batch.producerId >= 0 ? 1 : batch.attempts
    demand(seen <= allowed, 'duplicate', () => {
      return `${name}: batch ${describe(batch)} is in the log ${seen} times, again at ${base}`
    })
    if (batch.producerId < 0) continue
    const before = lastOf.get(batch.producerId)
    lastOf.set(batch.producerId, entry)
    if (before !== undefined) checkNeighbours(name, before, entry, rotten)
  }
}

function checkNeighbours(name: string, before: Entry, entry: Entry, rotten: RottenBatches): void {
  const [{ batch: previous, last }, { batch, base }] = [before, entry]
  demand(batch.number > previous.number, 'int-nonmonotonic-send', () => {
    return `${name}: batch ${describe(batch)} at ${base} comes after ${describe(previous)}`
  })
  if (batch.epoch !== previous.epoch || rotten.hasHole(last + 1, base)) return
  const next = (previous.baseSequence + previous.records.length) % 2 ** 31
  demand(batch.baseSequence === next, 'int-send-skip', () => {
    return `${name}: batch ${describe(batch)} at ${base} has sequence ${batch.baseSequence}, not ${next}`
  })
}

export function describe(batch: SentBatch): string {
  const { producer, number, producerId, epoch, baseSequence, records } = batch
  const sequence = producerId < 0 ? '' : ` sequence ${epoch}/${baseSequence}`
  return `${producer}:${number} (${records.length} records${sequence})`
}

function describeEntry(entry: Entry | undefined): string {
  return entry === undefined ? 'nothing' : describe(entry.batch)
}
