/**
 * All tails of this listener: their number, what they share, and the clock that looks after them. Dispatcher thread.
 */
import type { TailConfig } from '../../config/tail-settings.ts'
import type { Logger } from '../../log.ts'
import { labelled, Metric, type ThreadMetrics } from '../../metrics.ts'
import type { LogBackend } from '../backend/log-backend.ts'
import { HttpProblem } from '../problem.ts'
import { CatchUp } from './catch-up.ts'
import { Feed, type FeedShape } from './feed.ts'
import { Pacer } from './pacer.ts'
import { Tail } from './tail.ts'
import type { TailPlan } from './tail-plan.ts'
import type { EndReason, TailSink } from './tail-sink.ts'

const sweepMsMax = 1000
/** How long a client may take what was written before its stream ended. */
const lingerMs = 5000
/** Chunks of all streams kept for tails that are a little behind; and of one stream. */
const chainsBytesMax = 32 * 1024 * 1024
const chainBytesMax = 4 * 1024 * 1024

export interface HubParts {
  readonly backend: LogBackend
  readonly metrics: ThreadMetrics
  readonly log: Logger
  readonly config: TailConfig
}

export class TailHub {
  readonly backend: LogBackend
  readonly metrics: ThreadMetrics
  readonly config: TailConfig
  readonly pacer = new Pacer()
  readonly catchUp: CatchUp
  /** Written to clients of tails and not taken yet, as far as counted. */
  waitingBytes = 0
  readonly #log: Logger
  readonly #tails = new Set<Tail>()
  readonly #feeds = new Map<string, Feed>()
  /** Ended tails whose client has not closed yet, and when it must have. */
  readonly #lingering = new Map<Tail, number>()
  /** Places given away to clients whose tail is not open yet. */
  #reserved = 0
  #sweeping: NodeJS.Timeout | null = null
  #isClosed = false

  constructor({ backend, metrics, log, config }: HubParts) {
    this.backend = backend
    this.metrics = metrics
    this.config = config
    this.#log = log
    this.catchUp = new CatchUp(config.readsMax)
  }

  /**
   * Takes a place for one more tail; `release` gives it back.
   * @throws HttpProblem 503 when there is none
   */
  reserve(): () => void {
    if (this.#isClosed) throw new HttpProblem(503, 'the broker is shutting down')
    const { tailsMax } = this.config
    if (this.#tails.size + this.#reserved >= tailsMax) {
      this.metrics.add(Metric.tailsRefused, 1)
      throw new HttpProblem(
        503,
        `${tailsMax} tails are open (http.tails.max): close one, or raise it`,
      )
    }
    this.#reserved++
    let isReserved = true
    return () => {
      if (isReserved) this.#reserved--
      isReserved = false
    }
  }

  open(sink: TailSink, plan: TailPlan): Tail {
    const tail = new Tail(sink, this.#feedFor(plan), plan.positions, this)
    this.#tails.add(tail)
    this.metrics.add(labelled('tailsOpened', sink.kind), 1)
    this.metrics.add(labelled('tails', sink.kind), 1)
    if (this.#sweeping === null) {
      const everyMs = Math.min(sweepMsMax, this.config.heartbeatMs)
      this.#sweeping = setInterval(() => this.#sweep(), everyMs)
      this.#sweeping.unref()
    }
    tail.start(plan.notices)
    // The listener closed while the client was being answered.
    if (this.#isClosed) this.end(tail, 'shutdown', 'the broker is shutting down')
    return tail
  }

  /** Whether a client that has left so many bytes unread is sent more. */
  hasRoom(waitingBytes: number): boolean {
    if (waitingBytes === 0) return true
    const { backlogBytes, totalBacklogBytes } = this.config
    return waitingBytes < backlogBytes && this.waitingBytes < totalBacklogBytes
  }

  /** Ends a tail from this side. */
  end(tail: Tail, reason: EndReason, message: string): void {
    if (tail.ended !== null) return
    tail.end(reason, message)
    this.metrics.add(labelled('tailsEnded', reason), 1)
    this.#lingering.set(tail, performance.now() + lingerMs)
    if (reason === 'dead') tail.sink.destroy()
  }

  failed(tail: Tail, error: Error): void {
    this.#log.error({ err: error, topic: tail.feed.shape.topic }, 'a tail failed')
    this.end(tail, 'error', 'internal error; the log of the broker has more')
  }

  /** The connection of a tail is gone. */
  closed(tail: Tail): void {
    if (!this.#tails.delete(tail)) return
    if (tail.ended === null) this.metrics.add(labelled('tailsEnded', 'client'), 1)
    tail.drop()
    this.#lingering.delete(tail)
    const { feed } = tail
    if (feed.followers.size === 0) this.#forget(feed)
    this.metrics.add(labelled('tails', tail.sink.kind), -1)
    if (this.#tails.size > 0 || this.#sweeping === null) return
    clearInterval(this.#sweeping)
    this.#sweeping = null
  }

  sent(records: number, bytes: number): void {
    this.metrics.add(Metric.tailRecords, records)
    this.metrics.add(Metric.tailBytes, bytes)
  }

  /** Ends all tails. @returns cuts off those that have not closed */
  close(): () => void {
    this.#isClosed = true
    for (const tail of this.#tails) this.end(tail, 'shutdown', 'the broker is shutting down')
    return () => {
      for (const tail of this.#tails) tail.sink.destroy()
    }
  }

  #feedFor(plan: TailPlan): Feed {
    const { topic, topicId, partitions, encoding, kind, isWholeTopic } = plan
    const which = isWholeTopic ? null : partitions
    const key = JSON.stringify([topic, topicId, which, encoding, kind])
    const present = this.#feeds.get(key)
    if (present !== undefined) {
      if (isWholeTopic) present.extend(partitions.length)
      return present
    }
    const shape: FeedShape = {
      topic,
      topicId,
      partitions: [...partitions],
      encoding,
      kind,
      isWholeTopic,
    }
    const feed = new Feed(shape, plan.positions, {
      backend: this.backend,
      pacer: this.pacer,
      metrics: this.metrics,
      chainBytes: () => Math.min(chainBytesMax, chainsBytesMax / this.#feeds.size),
    })
    this.#feeds.set(key, feed)
    return feed
  }

  #forget(feed: Feed): void {
    feed.close()
    for (const [key, present] of this.#feeds) if (present === feed) this.#feeds.delete(key)
  }

  #sweep(): void {
    const nowMs = performance.now()
    for (const feed of this.#feeds.values()) feed.sweep()
    for (const tail of this.#tails) tail.sweep(nowMs)
    for (const [tail, untilMs] of this.#lingering) if (nowMs > untilMs) tail.sink.destroy()
    this.metrics.set(Metric.tailsBehind, this.catchUp.size)
    this.metrics.set(Metric.tailWaitingBytes, this.waitingBytes)
  }
}
