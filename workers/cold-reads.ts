/**
 * Keeps an owner thread from waiting for the disk when somebody reads what is not in memory: all of its partitions
 * would wait with it. Such a read is put aside while libuv's pool brings its bytes into the page cache, then served as
 * if it had just come: nothing of what happened meanwhile (a partition closed, a segment replaced) is special.
 *
 *   command ── just appended, or quick so far? ─ yes ─▶ served at once, timed
 *                        └─ no ─▶ aside ─ touch ─▶ served
 *
 * Which bytes are in memory nobody tells: a log's readers far behind its end are suspects at first and after every
 * read that took long. On a busy machine many do, of warm bytes, too, because the thread had to give way; so a read is
 * only blamed when the process has fetched something from a disk meanwhile. Owner thread only.
 */
import type { Command } from '../src/ring/commands.ts'
import type { Link } from './links.ts'
import type { PartitionLog } from './log/log.ts'
import type { ReadPlace } from './log/log-reader.ts'

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
  readonly place: ReadPlace
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
  readonly #warmths = new WeakMap<PartitionLog, Warmth>()
  readonly #waiting: Aside[] = []
  #touches = 0

  /**
   * @param serve executes the command now. Called between rounds.
   * @param fetched see `fetchedSoFar`
   */
  constructor(serve: (link: Link, command: Command) => void, fetched = fetchedSoFar) {
    this.#serve = serve
    this.#fetched = fetched
  }

  /** True when the command is put aside; `serve` gets a copy of it later. */
  putAside(link: Link, log: PartitionLog, command: Command): boolean {
    const nowMs = performance.now()
    this.#noteFetched(nowMs)
    const warmth = this.#warmthOf(log)
    if (nowMs < warmth.knownUntilMs && nowMs >= warmth.suspectUntilMs) return false
    const place = log.reader.placeOf(command.offset)
    if (place === null || isFresh(log, place, nowMs)) return false
    warmth.knownUntilMs = nowMs + FORGET_MS
    this.#waiting.push({ link, command: { ...command }, log, place })
    this.#touchNext()
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
    const { link, command, log, place } = aside
    this.#touches++
    const startMs = performance.now()
    place.file.startTouch(place.position, command.maxBytes, () => {
      this.#touches--
      this.took(log, performance.now() - startMs)
      this.#serve(link, command)
      this.#touchNext()
    })
  }
}

/** Written a moment ago. */
function isFresh(
  { active }: PartitionLog,
  { segment, position }: ReadPlace,
  nowMs: number,
): boolean {
  if (segment !== active || active.sizeBytes - position > FRESH_BYTES) return false
  return nowMs - active.lastAppendMonotonicMs < FRESH_MS
}
