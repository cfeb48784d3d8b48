/**
 * Looks at every stored byte once in a while, a slice at a time, so that rot in cold data is found while it can still
 * be told from other trouble (RELIABILITY P12). One per owner thread; the pool does the reading, this sets the pace.
 *
 *   pass    log 0: segment, segment | log 1: segment | ...        then nothing until `intervalMs` after its start
 *   pace    slice | pause | slice | pause                          never above `bytesPerSecondMax`
 *
 * Bytes below the flushed end only. What a slice finds is believed only if the segment is still the one it was given:
 * retention and compaction go on meanwhile.
 */
import type { Clock } from '../../src/contracts/clock.ts'
import type { RottenRange } from '../../src/contracts/control.ts'
import type { ScrubInput, ScrubResult } from '../../src/contracts/scrub.ts'
import type { TaskRunner } from '../../src/contracts/tasks.ts'
import type { Segment } from './segment.ts'

/** What one task reads: a few milliseconds of a core. */
const SLICE_BYTES = 4 * 1024 * 1024
/** A pass over little data is not spread thinner than this. */
const PAUSE_MS_MAX = 60_000

/** A log as the scrub sees it. */
export interface Scrubbed {
  readonly slot: number
  readonly generation: number
  readonly state: string
  readonly segments: readonly Segment[]
  /** Offsets below may be missing: compaction. */
  readonly gapsBelowOffset: number
  /** Bytes of `segment` that a finished sync covers, up to a batch boundary. */
  provenBytes(segment: Segment): number
  /** These bytes of `segment` are bad: readers get an error there from now on. */
  quarantine(segment: Segment, ranges: readonly RottenRange[]): void
  /** These bytes of `segment` are well. */
  verified(segment: Segment, start: number, end: number): void
}

export interface ScrubberOptions {
  readonly clock: Clock
  readonly tasks: TaskRunner
  /** The owner's logs by slot; holes are slots of others. */
  readonly logs: readonly (Scrubbed | undefined)[]
  /** 0 for never. */
  readonly intervalMs: number
  readonly bytesPerSecondMax: number
  /** Bytes read, and whether a pass has just ended. */
  readonly onProgress: (bytes: number, isPassDone: boolean) => void
  /** A task could not be run: the segment is left for the next pass. */
  readonly onFailure: (slot: number, error: Error) => void
}

/** Where the pass is. */
interface Place {
  log: Scrubbed
  segment: Segment
  position: number
  nextOffset: number
}

export class Scrubber {
  readonly #options: ScrubberOptions
  #cancelTimer: (() => void) | null = null
  #place: Place | null = null
  #slot = 0
  #passStartMs = 0
  #pauseMs = 0
  #isPassDone = false
  #isStopped = false

  constructor(options: ScrubberOptions) {
    this.#options = options
  }

  /** The first pass begins one pause from now, when the logs are open. */
  start(): void {
    const { intervalMs } = this.#options
    if (intervalMs === 0) return
    this.#isPassDone = true
    this.#wait(Math.min(PAUSE_MS_MAX, intervalMs) / 2)
  }

  stop(): void {
    this.#isStopped = true
    this.#cancelTimer?.()
  }

  #beginPass(): void {
    this.#passStartMs = this.#options.clock.monotonicMs()
    this.#isPassDone = false
    this.#slot = 0
    this.#place = null
    this.#setPace()
  }

  /** Half of the time that is left is enough for what is left: logs that are opened or grow meanwhile find room. */
  #setPace(): void {
    const { clock, intervalMs, bytesPerSecondMax, logs } = this.#options
    const leftMs = this.#passStartMs + intervalMs - clock.monotonicMs()
    let slices = 1
    for (let slot = this.#slot; slot < logs.length; slot++) {
      const log = logs[slot]
      if (log !== undefined) slices += slicesOf(log)
    }
    const atMostMs = Math.min(PAUSE_MS_MAX, leftMs / slices)
    this.#pauseMs = Math.max((SLICE_BYTES / bytesPerSecondMax) * 1000, atMostMs / 2)
  }

  #wait(delayMs: number): void {
    if (this.#isStopped) return
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#slice().catch((error: unknown) => this.#skipLog(error as Error))
    })
  }

  /** A file of the log could not even be opened, for want of descriptors perhaps: the next pass tries again. */
  #skipLog(error: Error): void {
    this.#options.onFailure(this.#slot, error)
    this.#slot++
    this.#place = null
    this.#wait(this.#pauseMs)
  }

  async #slice(): Promise<void> {
    if (this.#isPassDone) this.#beginPass()
    const place = this.#next()
    if (place === null) {
      this.#endPass()
      return
    }
    const { log, segment } = place
    const { tasks, onFailure } = this.#options
    const input: ScrubInput = {
      path: segment.path,
      baseOffset: segment.baseOffset,
      limitBytes: log.provenBytes(segment),
      gapsBelowOffset: log.gapsBelowOffset,
      position: place.position,
      nextOffset: place.nextOffset,
      sliceBytes: SLICE_BYTES,
    }
    try {
      const result = (await tasks.run('scrub-segment', input)) as ScrubResult
      this.#judge(place, input, result)
    } catch (error) {
      place.position = Number.POSITIVE_INFINITY
      if (this.#isCurrent(place, input)) onFailure(log.slot, error as Error)
    }
    this.#wait(this.#pauseMs)
  }

  #judge(place: Place, input: ScrubInput, result: ScrubResult): void {
    const { log, segment } = place
    this.#options.onProgress(
      Math.max(0, Math.min(result.position, input.limitBytes) - input.position),
      false,
    )
    if (!this.#isCurrent(place, input)) {
      place.position = Number.POSITIVE_INFINITY
      return
    }
    if (result.rotten !== null) log.quarantine(segment, result.rotten)
    else log.verified(segment, input.position, result.position)
    place.position = result.position
    place.nextOffset = result.nextOffset
  }

  /** The segment is still what the task was told it is. */
  #isCurrent({ log, segment }: Place, { path }: ScrubInput): boolean {
    const { logs } = this.#options
    return logs[log.slot] === log && log.segments.includes(segment) && segment.path === path
  }

  /** The next slice of this pass; null when all of it has been looked at. */
  #next(): Place | null {
    const { logs } = this.#options
    while (this.#slot < logs.length) {
      const log = logs[this.#slot]
      const place = log === undefined ? null : this.#nextIn(log)
      if (place !== null) return place
      this.#slot++
      if (this.#place !== null) this.#setPace()
      this.#place = null
    }
    return null
  }

  #nextIn(log: Scrubbed): Place | null {
    const place = this.#place?.log === log ? this.#place : null
    if (place !== null && log.segments.includes(place.segment)) {
      if (place.position < log.provenBytes(place.segment)) return place
    }
    const behind = place === null ? -1 : place.segment.baseOffset
    const segment = log.segments.find(
      other => other.baseOffset > behind && log.provenBytes(other) > 0,
    )
    if (segment === undefined) return null
    this.#place = { log, segment, position: 0, nextOffset: segment.baseOffset }
    return this.#place
  }

  #endPass(): void {
    const { clock, intervalMs, onProgress } = this.#options
    onProgress(0, true)
    const leftMs = this.#passStartMs + intervalMs - clock.monotonicMs()
    this.#isPassDone = true
    this.#wait(Math.max(leftMs, this.#pauseMs))
  }
}

function slicesOf(log: Scrubbed): number {
  let slices = 0
  try {
    for (const segment of log.segments) slices += Math.ceil(log.provenBytes(segment) / SLICE_BYTES)
  } catch {
    // A file that cannot be opened: told when it is that log's turn.
  }
  return slices
}
