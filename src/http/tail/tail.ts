/**
 * One tail: a client that follows a stream. Follows the shared reader from link to link of its chain, or reads by
 * itself while it is further behind; is sent nothing while it has not read what it was sent, or has given no credit.
 * Dispatcher thread.
 *
 *        ┌────────── its position is a seam of the chain ─────────┐
 *        │                                                        ▼
 *     behind ◀── the next link has been dropped: it was slow ── following ──▶ ended
 */
import type { Reader } from './catch-up.ts'
import type { Chunk } from './chunk.ts'
import type { Feed, Follower } from './feed.ts'
import type { TailHub } from './tail-hub.ts'
import type { EndReason, TailSink } from './tail-sink.ts'
import { TailSource } from './tail-source.ts'

/** Error codes of the last event, by reason: the first three digits are the HTTP status that says the same. */
const errorCodes: Readonly<Record<EndReason, number>> = {
  client: 200,
  slow: 40801,
  dead: 40801,
  protocol: 400,
  topic: 40401,
  shutdown: 503,
  error: 500,
}

export class Tail implements Follower, Reader {
  /** Where the client stands: the next offset of each partition. */
  readonly positions: number[]
  readonly sink: TailSink
  readonly #feed: Feed
  readonly #hub: TailHub
  readonly #source: TailSource
  /** The link of the chain it gets next, and how many records of it it has; null while it is behind. */
  #link: { seq: number; index: number } | null = null
  /** A chunk of its own that the credit did not reach for, and how many records of it were sent. */
  #rest: { readonly chunk: Chunk; readonly index: number } | null = null
  /** Records that the client still takes. */
  #credit: number
  /** How far it reads by itself: where the shared reader stood when it set out. */
  #target: number[] = []
  #lastSlot = -1
  readonly #failing = new Set<number>()
  readonly #toldUnavailable = new Set<number>()
  #isQueued = false
  #isReadingOwn = false
  #ended: EndReason | null = null
  /** Bytes written in all; when those waiting at some time must have been taken. */
  #written = 0
  #mark: { atMs: number; written: number } | null = null
  #lastSentMs = performance.now()
  #countedBytes = 0

  constructor(sink: TailSink, feed: Feed, positions: readonly number[], hub: TailHub) {
    this.sink = sink
    this.positions = [...positions]
    this.#feed = feed
    this.#hub = hub
    this.#credit = sink.kind === 'sse' ? Number.POSITIVE_INFINITY : 0
    this.#source = new TailSource(feed.shape, 'own', hub)
    sink.tell(
      () => this.#wake(),
      () => hub.closed(this),
    )
  }

  get ended(): EndReason | null {
    return this.#ended
  }

  /** Sends what a stream begins with, then whatever there is. */
  start(beginning: readonly Chunk[]): void {
    this.#feed.followers.add(this)
    for (const notice of beginning) this.#send(notice, 0)
    this.#write(this.#source.maker.event('position', this.positions, {}))
    this.#wake()
  }

  /** @param records that the client takes beyond those granted before */
  grant(records: number): void {
    this.#credit += records
    this.#wake()
  }

  /** Records sent so far. */
  recordsSent = 0

  get credit(): number {
    return this.#credit
  }

  /** Sends what there is, as long as the client takes it. */
  step(): void {
    this.#isQueued = false
    // Its own read moves its position; it goes on when that is done.
    if (this.#ended !== null || this.#isReadingOwn) return
    this.sink.cork()
    while (this.#wants() && this.#next()) {}
    this.sink.uncork()
    this.#count()
  }

  async readOwn(): Promise<void> {
    const slot = this.#slotBehind()
    if (slot < 0 || this.#rest !== null || this.#link !== null || this.#ended !== null) return
    this.#isReadingOwn = true
    this.#lastSlot = slot
    try {
      await this.#readSlot(slot)
    } catch (error) {
      this.#hub.failed(this, error as Error)
    } finally {
      this.#isReadingOwn = false
      this.#count()
      this.#wake()
    }
  }

  /** Every second or so: signs of life, clients that take nothing, partitions that could not be read. */
  sweep(nowMs: number): void {
    this.#count()
    if (this.#ended !== null) return
    const { sendTimeoutMs, heartbeatMs } = this.#hub.config
    const seconds = Math.round(sendTimeoutMs / 1000)
    if (!this.sink.isAlive) {
      this.#hub.end(this, 'dead', 'pings were not answered')
      return
    }
    if (this.#isSlow(nowMs, sendTimeoutMs)) {
      const what = `slow: the client has left ${this.sink.waitingBytes} bytes unread for ${seconds} s`
      this.#hub.end(this, 'slow', what)
      return
    }
    const isQuiet = this.sink.kind === 'websocket' || this.sink.waitingBytes === 0
    if (isQuiet && nowMs - this.#lastSentMs >= heartbeatMs) {
      this.#lastSentMs = nowMs
      this.sink.ping()
    }
    this.#failing.clear()
    this.#wake()
  }

  endForTopic(message: string): void {
    this.#hub.end(this, 'topic', message)
  }

  /** Tells the client why and closes behind that; called once, by the hub. */
  end(reason: EndReason, message: string): void {
    this.#ended = reason
    this.#feed.leave(this)
    this.#hub.catchUp.delete(this)
    const about = { error_code: errorCodes[reason], reason, message }
    this.sink.end(reason, message, this.#source.maker.event('error', this.positions, about))
  }

  /** The connection is gone. */
  drop(): void {
    this.#ended ??= 'client'
    this.#feed.leave(this)
    this.#hub.catchUp.delete(this)
    this.#hub.waitingBytes -= this.#countedBytes
    this.#countedBytes = 0
  }

  get feed(): Feed {
    return this.#feed
  }

  #wake(): void {
    if (this.#isQueued || this.#ended !== null || this.#isReadingOwn) return
    this.#isQueued = true
    this.#hub.pacer.add(this)
  }

  #wants(): boolean {
    if (this.#ended !== null || this.#credit === 0) return false
    return this.#hub.hasRoom(this.sink.waitingBytes)
  }

  /** One step of a client that wants more. @returns whether there may be another one now */
  #next(): boolean {
    if (this.#rest !== null) {
      this.#sendOwn(this.#rest.chunk, this.#rest.index)
      return true
    }
    if (this.#link === null) return this.#goOnBehind()
    const { chain } = this.#feed
    if (this.#link.seq === chain.endSeq) {
      this.#feed.wait(this)
      return false
    }
    const chunk = chain.at(this.#link.seq)
    if (chunk === null) {
      this.#link = null
      return true
    }
    this.#link.index = this.#send(chunk, this.#link.index)
    if (this.#link.index >= chunk.ends.length) this.#link = { seq: this.#link.seq + 1, index: 0 }
    return true
  }

  #goOnBehind(): boolean {
    const { chain } = this.#feed
    while (this.positions.length < chain.positions.length) this.positions.push(0)
    const seq = chain.seqAt(this.positions)
    if (seq >= 0) {
      this.#link = { seq, index: 0 }
      this.#hub.catchUp.delete(this)
      return true
    }
    if (this.#slotBehind() < 0) this.#target = [...chain.positions]
    // Ahead of the shared reader, which is on its way; or nothing can be read now.
    if (this.#slotBehind() < 0) this.#feed.wait(this)
    else this.#hub.catchUp.add(this)
    return false
  }

  /** @returns a slot that has not come to the target, in turn; -1 when all have */
  #slotBehind(): number {
    const { length } = this.positions
    for (let i = 1; i <= length; i++) {
      const slot = (this.#lastSlot + i) % length
      if (this.positions[slot] < (this.#target[slot] ?? 0) && !this.#failing.has(slot)) return slot
    }
    return -1
  }

  async #readSlot(slot: number): Promise<void> {
    const before = this.positions[slot]
    const outcome = await this.#source.read({
      slot,
      positions: this.positions,
      until: this.#target[slot],
      // What is left of the chunk before comes first, once there is credit for it.
      wants: () => this.#rest === null && this.#wants(),
      take: chunk => this.#sendOwn(chunk, 0),
    })
    if (outcome.state === 'done') {
      this.#toldUnavailable.delete(slot)
      // Nothing is there, although there should be: not asked for again and again.
      if (this.positions[slot] === before && this.#wants()) this.#failing.add(slot)
      return
    }
    this.#failing.add(slot)
    if (this.#toldUnavailable.has(slot) || outcome.state === 'gone') return
    this.#toldUnavailable.add(slot)
    const about = { message: `${outcome.message}. The stream goes on when it is back` }
    const here = this.positions[slot]
    this.#send(this.#source.maker.notice('unavailable', slot, this.positions, here, about), 0)
  }

  /** Keeps what the client has no credit for: it would be made again for every record of credit. */
  #sendOwn(chunk: Chunk, index: number): void {
    const has = this.#send(chunk, index)
    this.#rest = has < chunk.ends.length ? { chunk, index: has } : null
  }

  /** Sends the records of a chunk from `index` on that the client takes. @returns how many it has then */
  #send(chunk: Chunk, index: number): number {
    if (this.#ended !== null) return index
    const { slot, bytes, ends, nexts, next } = chunk
    const has = Math.min(ends.length, index + this.#credit)
    const isWhole = has === ends.length
    const start = index === 0 ? 0 : ends[index - 1]
    const end = isWhole ? bytes.length : ends[has - 1]
    if (end > start) this.#write(end - start === bytes.length ? bytes : bytes.subarray(start, end))
    this.positions[slot] = isWhole ? next : nexts[has - 1]
    this.#credit -= has - index
    this.recordsSent += has - index
    this.#hub.sent(has - index, end - start)
    return has
  }

  #write(bytes: Buffer): void {
    this.#written += bytes.length
    this.#lastSentMs = performance.now()
    this.sink.write(bytes)
  }

  /** No byte may wait longer than the time-out: what waited at the mark must have been taken by then. */
  #isSlow(nowMs: number, timeoutMs: number): boolean {
    const { waitingBytes } = this.sink
    const taken = this.#written - waitingBytes
    if (waitingBytes === 0) this.#mark = null
    else if (this.#mark === null || taken >= this.#mark.written) {
      this.#mark = { atMs: nowMs, written: this.#written }
    } else return nowMs - this.#mark.atMs >= timeoutMs
    return false
  }

  /** Tells the hub how many bytes wait here. */
  #count(): void {
    const { waitingBytes } = this.sink
    this.#hub.waitingBytes += waitingBytes - this.#countedBytes
    this.#countedBytes = waitingBytes
  }
}
