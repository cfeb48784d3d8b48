/**
 * Ends owner threads that burn CPU and get nowhere, which is then a crash like any other: the supervisor recovers their
 * logs on a new thread. Dispatcher thread.
 *
 *   a look a second:   no turn since the last look | event loop busy all the time | in no system call
 *                      five such looks, no turn between them → terminate
 *
 * A thread inside a system call is left alone: a slow disk only slows. So is one that sleeps.
 */
import type { Logger } from '../log.ts'
import { Metric, type ThreadMetrics } from '../metrics.ts'
import type { Owner } from './owner.ts'

const checkMsDefault = 1000
const looksMax = 5
/** Part of the time between two looks that a stuck thread is busy; less is a thread that waits now and then. */
const busyMin = 0.9

export interface WatchdogOptions {
  readonly owners: readonly Owner[]
  readonly log: Logger
  readonly metrics: ThreadMetrics
  /** Between two looks; default 1 s. A thread is ended after five bad ones. */
  readonly checkMs?: number
}

/** How an owner looked last time. */
interface Look {
  readonly threadId: number
  readonly beats: number
  readonly activeMs: number
  readonly atMs: number
  readonly stuckLooks: number
}

export class Watchdog {
  readonly #options: WatchdogOptions
  readonly #looks: (Look | undefined)[] = []
  readonly #timer: NodeJS.Timeout

  constructor(options: WatchdogOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#check(), options.checkMs ?? checkMsDefault)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #check(): void {
    for (const owner of this.#options.owners) this.#look(owner)
  }

  #look(owner: Owner): void {
    const signs = owner.signs()
    // Starting, or gone: the exit event has the word.
    if (signs === null || signs.beats === 0) {
      this.#looks[owner.index] = undefined
      return
    }
    const { threadId } = owner
    const { beats, activeMs, isInCall } = signs
    const atMs = performance.now()
    const last = this.#looks[owner.index]
    let stuckLooks = 0
    if (last?.threadId === threadId && last.beats === beats) {
      const isBusy = activeMs - last.activeMs >= busyMin * (atMs - last.atMs)
      stuckLooks = last.stuckLooks + (isBusy && !isInCall ? 1 : 0)
    }
    this.#looks[owner.index] = { threadId, beats, activeMs, atMs, stuckLooks }
    if (stuckLooks < looksMax) return
    this.#looks[owner.index] = undefined
    this.#options.metrics.add(Metric.watchdogTerminations, 1)
    this.#options.log.error({ owner: owner.index }, 'owner thread is stuck: it is ended')
    void owner.terminate('it was stuck: busy without a turn of its loop')
  }
}
