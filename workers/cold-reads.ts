/**
 * Keeps an owner thread from waiting for the disk when somebody reads what is not in memory: all of its partitions
 * would wait with it. Such a read is put aside while libuv's pool brings its bytes into the page cache, then served as
 * if it had just come: nothing of what happened meanwhile (a partition closed, a segment replaced) is special.
 *
 *   command ── just appended, or quick so far? ─ yes ─▶ served at once, timed
 *                        └─ no ─▶ aside ─ touch indexes ─ touch records ─▶ served
 *
 * Which bytes are in memory nobody tells: a log's readers far behind its end are suspects at first and after every
 * read that took long. On a busy machine many do, of warm bytes, too, because the thread had to give way; so a read is
 * only blamed when the process has fetched something from a disk meanwhile. Searches by time, which look into one
 * segment after another, are always put aside. Owner thread only.
 */
import { type Command, Op } from '../src/ring/commands.ts'
import type { Link } from './links.ts'
import type { PartitionLog } from './log/log.ts'
import { floorSegment, type ReadPlace } from './log/log-reader.ts'
import { placeOfTime } from './log/log-search.ts'
import type { Segment } from './log/segment.ts'

/** The newest bytes of a log that is written to are in memory. */
const FRESH_BYTES = 16 * 1024 * 1024
const FRESH_MS = 30_000
/** Memory answers sooner. */
const SLOW_MS = 3
/** So slow is suspect in any case: not every file system counts what it fetches (FUSE). */
const VERY_SLOW_MS = 50
/** Between two looks at what was fetched: a look costs a microsecond. */
const FETCHED_MS = 100
/** After a slow read: longer than a reader takes for what the system reads ahead. */
const SUSPECT_MS = 2000
/** After so long it is asked anew: somebody may read at quite another place by now. */
const FORGET_MS = 10_000
/** Of what a search by time finds: about the largest batch there is by default, and where it is looked for. */
const SEARCH_BYTES = 1024 * 1024 + 64 * 1024
/** The others wait: syncs want threads of the same pool. */
const TOUCHES_MAX = 4

/** What is known of a log's readers that are far behind its end. */
interface Warmth {
  knownUntilMs: number
  suspectUntilMs: number
}

interface Aside {
  readonly link: Link
  readonly command: Command
  readonly log: PartitionLog
}

/** Something that grows whenever this process fetches bytes from a disk, and at other times where nobody counts. */
function fetchedSoFar(): number {
  return process.platform === 'linux' ? process.resourceUsage().fsRead : performance.now()
}

export class ColdReads {
  readonly #serve: (link: Link, command: Command) => void
  readonly #fetched: () => number
  /** A moment ago: what a read waits for, one before it may have begun to fetch. */
  #fetchedBefore = 0
  #fetchedBeforeMs = Number.NEGATIVE_INFINITY
  readonly #isServed: (log: PartitionLog) => boolean
  readonly #warmths = new WeakMap<PartitionLog, Warmth>()
  /** When their indexes were brought into memory. */
  readonly #touchedMs = new WeakMap<Segment, number>()
  readonly #waiting: Aside[] = []
  #touches = 0

  /**
   * @param serve executes the command now. Called between rounds.
   * @param fetched see `fetchedSoFar`
   * @param isServed false for a log that was closed: its files are not to be opened any more
   */
  constructor(
    serve: (link: Link, command: Command) => void,
    fetched = fetchedSoFar,
    isServed: (log: PartitionLog) => boolean = () => true,
  ) {
    this.#serve = serve
    this.#fetched = fetched
    this.#isServed = isServed
  }

  /** True when the command is put aside; `serve` gets a copy of it later. */
  putAside(link: Link, log: PartitionLog, command: Command): boolean {
    if (command.op === Op.read && !this.#isCold(log, command.offset)) return false
    this.#waiting.push({ link, command: { ...command }, log })
    this.#touchNext()
    return true
  }

  #isCold(log: PartitionLog, offset: number): boolean {
    const { segments, offsets, active } = log
    const nowMs = performance.now()
    this.#noteFetched(nowMs)
    const warmth = this.#warmthOf(log)
    const isWarm = nowMs < warmth.knownUntilMs && nowMs >= warmth.suspectUntilMs
    if (offset >= offsets.highWatermark || offset < segments[0].baseOffset) return false
    const segment = segments[floorSegment(segments, offset)]
    if (isWarm && segment.hasIndexes) return false
    if (segment === active && isFresh(log, log.reader.placeOf(offset), nowMs)) return false
    warmth.knownUntilMs = nowMs + FORGET_MS
    return true
  }

  /** A read took so long. */
  took(log: PartitionLog, timeMs: number): void {
    if (timeMs < SLOW_MS) return
    if (timeMs < VERY_SLOW_MS && this.#fetched() === this.#fetchedBefore) return
    this.#warmthOf(log).suspectUntilMs = performance.now() + SUSPECT_MS
  }

  #noteFetched(nowMs: number): void {
    if (nowMs - this.#fetchedBeforeMs < FETCHED_MS) return
    this.#fetchedBefore = this.#fetched()
    this.#fetchedBeforeMs = nowMs
  }

  #warmthOf(log: PartitionLog): Warmth {
    let warmth = this.#warmths.get(log)
    if (warmth === undefined) {
      warmth = { knownUntilMs: 0, suspectUntilMs: 0 }
      this.#warmths.set(log, warmth)
    }
    return warmth
  }

  #touchNext(): void {
    if (this.#touches === TOUCHES_MAX) return
    const aside = this.#waiting.shift()
    if (aside === undefined) return
    this.#touches++
    const { link, command, log } = aside
    this.#touchIndexes(
      aside,
      command.op === Op.read ? command.offset : log.offsets.logStart,
      () => {
        this.#touchRecords(aside, () => {
          this.#touches--
          this.#serve(link, command)
          this.#touchNext()
        })
      },
    )
  }

  /** Of the segments from `offset` on that the command looks into. */
  #touchIndexes(aside: Aside, offset: number, done: () => void): void {
    const segment = this.#nextCold(aside, offset)
    if (segment === null) {
      done()
      return
    }
    segment.startTouchIndexes(() => {
      this.#touchedMs.set(segment, performance.now())
      this.#touchIndexes(aside, Math.max(offset, segment.baseOffset), done)
    })
  }

  /** The next segment from `offset` on that the command looks up something in and whose indexes nobody has touched. */
  #nextCold({ log, command }: Aside, offset: number): Segment | null {
    if (!this.#isServed(log)) return null
    const { segments, active } = log
    try {
      for (let index = floorSegment(segments, offset); index < segments.length; index++) {
        const segment = segments[index]
        // Its indexes are being written.
        if (segment === active) return null
        const isTouched = this.#isTouched(segment)
        if (!isTouched && !segment.hasIndexes) return segment
        if (endsIn(segment, command)) return isTouched ? null : segment
      }
    } catch {
      // Whoever serves the command meets it again, and says so.
    }
    return null
  }

  #isTouched(segment: Segment): boolean {
    const touchedMs = this.#touchedMs.get(segment) ?? Number.NEGATIVE_INFINITY
    return performance.now() - touchedMs < FORGET_MS
  }

  #touchRecords({ log, command }: Aside, done: () => void): void {
    const place = this.#isServed(log) ? placeOf(log, command) : null
    if (place === null) {
      done()
      return
    }
    const startMs = performance.now()
    const bytes = command.op === Op.read ? command.maxBytes : SEARCH_BYTES
    place.file.startTouch(place.position, bytes, () => {
      if (command.op === Op.read) this.took(log, performance.now() - startMs)
      done()
    })
  }
}

function isSearchByTime({ op }: Command): boolean {
  return op === Op.findTime || op === Op.findTimeBehindStart
}

/** The command looks into no segment behind this one, as far as its indexes tell. */
function endsIn(segment: Segment, command: Command): boolean {
  if (command.op === Op.read) return true
  return isSearchByTime(command) && segment.indexes.maxTimestampMs >= command.offset
}

/** Where the command begins to read records; null when that is nowhere, or not to be found out. */
function placeOf(log: PartitionLog, command: Command): ReadPlace | null {
  if (command.op === Op.read) return log.reader.placeOf(command.offset)
  if (!isSearchByTime(command)) return null
  try {
    return placeOfTime(log, command.offset, log.offsets.logStart)
  } catch {
    return null
  }
}

/** Written a moment ago, or not to be found. */
function isFresh({ active }: PartitionLog, place: ReadPlace | null, nowMs: number): boolean {
  if (place === null) return true
  const isNear = active.sizeBytes - place.position <= FRESH_BYTES
  return isNear && nowMs - active.lastAppendMonotonicMs < FRESH_MS
}
