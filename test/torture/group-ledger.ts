/**
 * What a group promised and did, from the notes of its members, and what must hold of it (RELIABILITY P7, P8,
 * invariants 11 and 12). All sums are per partition; times are those of group-notes.ts.
 *
 *   found >= every commit acknowledged before anybody asked      (acknowledged commits survive, nothing goes back)
 *   found was sent by somebody, and is not above the high watermark
 *   a commit that is acknowledged is of the newest generation, and a partition has one owner in each
 *   [0, found) was processed, by whomever
 */
import { Violation } from './checker.ts'
import type { Note } from './group-notes.ts'

type Part = Extract<Note, { kind: 'part' }>
type Found = Extract<Note, { kind: 'found' }>
type Sent = Extract<Note, { kind: 'sent' }>

interface Acked extends Sent {
  readonly endMs: number
}

/** The highest of what had happened before a moment. */
class Highest<T extends { readonly endMs: number }> {
  readonly #measure: (one: T) => number
  readonly #all: T[] = []
  /** The highest up to each of them. */
  readonly #highest: T[] = []

  constructor(measure: (one: T) => number) {
    this.#measure = measure
  }

  get last(): T | undefined {
    return this.#highest.at(-1)
  }

  get all(): readonly T[] {
    return this.#all
  }

  /** Most come in order; the others are put in their places. */
  add(one: T): void {
    let at = this.#all.length
    while (at > 0 && this.#all[at - 1].endMs > one.endMs) at--
    this.#all.splice(at, 0, one)
    this.#highest.length = at
    for (const next of this.#all.slice(at)) {
      const before = this.#highest.at(-1)
      const isHigher = before === undefined || this.#measure(next) > this.#measure(before)
      this.#highest.push(isHigher ? next : before)
    }
  }

  before(atMs: number): T | undefined {
    let at = this.#all.length
    while (at > 0 && this.#all[at - 1].endMs >= atMs) at--
    return at === 0 ? undefined : this.#highest[at - 1]
  }
}

/** Disjoint spans of offsets that somebody has processed. */
class Spans {
  #spans: { from: number; to: number }[] = []

  add(from: number, to: number): void {
    const apart = this.#spans.filter(span => span.to < from || span.from > to)
    const touched = this.#spans.filter(span => span.to >= from && span.from <= to)
    const merged = touched.reduce(
      (all, span) => ({ from: Math.min(all.from, span.from), to: Math.max(all.to, span.to) }),
      { from, to },
    )
    this.#spans = [...apart, merged]
  }

  /** First offset from 0 on that nobody has processed. */
  get end(): number {
    return this.#spans.find(({ from }) => from === 0)?.to ?? 0
  }
}

class PartitionLedger {
  readonly sent = new Set<number>([-1])
  readonly processed = new Spans()
  readonly acked = new Highest<Acked>(({ offset }) => offset)
}

export class GroupLedger {
  readonly groupId: string
  readonly #partitions: PartitionLedger[]
  readonly #parts = new Highest<Part>(({ generation }) => generation)
  /** Generation and partition -> member, or the instance that one process after the other is. */
  readonly #owners = new Map<string, string>()
  /** The commit that a member has sent last, by the name of its notes. */
  readonly #open = new Map<string, Sent>()
  /** Not looked at yet: when they were found not all of the others' notes had been read. */
  #found: Found[] = []
  readonly errors = new Map<string, number>()
  ackedCount = 0

  constructor(groupId: string, partitionCount: number) {
    this.groupId = groupId
    this.#partitions = Array.from({ length: partitionCount }, () => new PartitionLedger())
  }

  /** Parts of generations that are over: whoever has them is fenced. */
  get staleParts(): readonly Part[] {
    const newest = this.#parts.last?.generation ?? -1
    return this.#parts.all.filter(({ generation }) => generation < newest)
  }

  get partCount(): number {
    return this.#parts.all.length
  }

  /** Offsets of a partition that members have processed, from 0 on without a gap. */
  processedEnd(partition: number): number {
    return this.#partitions[partition].processed.end
  }

  /**
   * Takes what members have noted since the last time. Throws Violation.
   * @param noted by the name of the notes
   * @param readMs before the first of them was read
   */
  take(noted: ReadonlyMap<string, readonly Note[]>, readMs: number): void {
    const acked: Acked[] = []
    for (const [name, notes] of noted) {
      for (const note of notes) {
        const one = this.#takeOne(name, note)
        if (one !== null) acked.push(one)
      }
    }
    for (const one of acked) this.#checkAcked(one)
    const [ready, later] = [this.#found.filter(isReady), this.#found.filter(one => !isReady(one))]
    this.#found = later
    for (const one of ready) this.checkFound(one)

    function isReady({ endMs }: Found): boolean {
      return endMs < readMs
    }
  }

  #takeOne(name: string, note: Note): Acked | null {
    switch (note.kind) {
      case 'part':
        this.#takePart(note)
        return null
      case 'found':
        this.#found.push(note)
        return null
      case 'processed':
        this.#partitions[note.partition].processed.add(note.from, note.to)
        return null
      case 'sent':
        this.#partitions[note.partition].sent.add(note.offset)
        this.#open.set(name, note)
        return null
      case 'acked': {
        const sent = this.#open.get(name)
        if (sent === undefined) throw new Violation('unexpected', `${name}: nothing was sent`)
        const one = { ...sent, endMs: note.endMs }
        this.#partitions[sent.partition].acked.add(one)
        this.ackedCount++
        return one
      }
      default:
        this.errors.set(note.name, (this.errors.get(note.name) ?? 0) + 1)
        return null
    }
  }

  #takePart(part: Part): void {
    const { generation, partitions, startMs } = part
    const member = part.groupInstanceId ?? part.memberId
    const newest = this.#parts.before(startMs)
    if (newest !== undefined && newest.generation > generation) {
      const what = `generation ${generation} after ${newest.generation}`
      throw new Violation('nonmonotonic', `${this.groupId}: ${what}`)
    }
    for (const partition of partitions) {
      const key = `${generation} ${partition}`
      const owner = this.#owners.get(key)
      if (owner !== undefined && owner !== member) {
        const what = `${owner} and ${member} have it in generation ${generation}`
        throw new Violation('two-owners', `${this.#name(partition)}: ${what}`)
      }
      this.#owners.set(key, member)
    }
    this.#parts.add(part)
  }

  #checkAcked({ partition, startMs, generation, offset }: Acked): void {
    const name = this.#name(partition)
    const newest = this.#parts.before(startMs)
    if (newest !== undefined && newest.generation > generation) {
      const what = `${offset} of generation ${generation}, when it was ${newest.generation}`
      throw new Violation('not-fenced', `${name}: committed ${what}`)
    }
    const before = this.#partitions[partition].acked.before(startMs)
    if (before !== undefined && before.offset > offset) {
      const what = `${offset} (generation ${generation}) after ${before.offset} (${before.generation})`
      throw new Violation('nonmonotonic', `${name}: committed ${what}`)
    }
  }

  /** What was found when somebody asked; all that was noted before has been taken. Throws Violation. */
  checkFound({ partition, startMs, offset }: Omit<Found, 'kind'>): void {
    const { acked, sent, processed } = this.#partitions[partition]
    const highest = acked.before(startMs)
    const name = this.#name(partition)
    if (highest !== undefined && highest.offset > offset) {
      const what = `${offset}, acknowledged was ${highest.offset} (${highest.generation})`
      throw new Violation('lost', `${name}: found ${what}`)
    }
    if (!sent.has(offset)) {
      throw new Violation('phantom', `${name}: found ${offset}, which nobody has committed`)
    }
    if (processed.end < offset) {
      const what = `nobody has processed ${processed.end}`
      throw new Violation('skipped', `${name}: found ${offset}, but ${what}`)
    }
  }

  #name(partition: number): string {
    return `${this.groupId}, partition ${partition}`
  }
}
