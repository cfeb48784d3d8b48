/**
 * The shared reader of one kind of stream: reads and formats every record once, for all tails that have come to the
 * end. It reads only while some tail wants more than there is; what it made lately is kept for those that are a little
 * behind. Dispatcher thread.
 *
 *   log ──read──▶ chain of chunks ──▶ tail, tail, tail (each at its own link)
 *                                     tail (further behind: reads by itself, catch-up.ts)
 */
import type { ThreadMetrics } from '../../metrics.ts'
import { errorName } from '../../protocol/errors.ts'
import type { LogBackend, Unwatch } from '../backend/log-backend.ts'
import { Chain } from './chain.ts'
import { type Chunk, partitionsMax, type StreamShape } from './chunk.ts'
import type { PacedWork, Pacer } from './pacer.ts'
import { TailSource } from './tail-source.ts'

/** What a feed knows of a tail. */
export interface Follower extends PacedWork {
  /** The stream cannot go on for anybody. */
  endForTopic(message: string): void
}

export interface FeedParts {
  readonly backend: LogBackend
  readonly pacer: Pacer
  readonly metrics: ThreadMetrics
  /** Bytes of chunks that a feed may keep now. */
  readonly chainBytes: () => number
}

export interface FeedShape extends StreamShape {
  readonly topicId: string
  readonly partitions: number[]
  /** Partitions that are added to the topic join the stream. */
  readonly isWholeTopic: boolean
}

export class Feed implements PacedWork {
  readonly shape: FeedShape
  readonly chain: Chain
  readonly followers = new Set<Follower>()
  readonly #parts: FeedParts
  readonly #source: TailSource
  readonly #unwatch: Unwatch[] = []
  /** Tails that have everything there is and want more. */
  readonly #waiting = new Set<Follower>()
  /** Slots that cannot be read now; looked at again with every sweep. */
  readonly #failing = new Set<number>()
  readonly #toldUnavailable = new Set<number>()
  /** Where the search for the next slot to read begins: none is read twice while another has to wait. */
  #nextSlot = 0
  #isReading = false
  #isClosed = false

  /** @param positions where the stream begins for the first tail: used where the end is not known */
  constructor(shape: FeedShape, positions: readonly number[], parts: FeedParts) {
    this.shape = shape
    this.#parts = parts
    this.#source = new TailSource(shape, 'shared', parts)
    for (const slot of shape.partitions.keys()) this.#watch(slot)
    const ends = shape.partitions.map((_, slot) => this.endOf(slot) ?? positions[slot])
    this.chain = new Chain(ends)
  }

  /** High watermark; null while the partition is not open. */
  endOf(slot: number): number | null {
    const { topic, partitions } = this.shape
    return this.#parts.backend.offsets(topic, partitions[slot])?.highWatermark ?? null
  }

  /** `step` of the tail is called once there is more than the chain holds now. */
  wait(tail: Follower): void {
    this.#waiting.add(tail)
    this.#poke()
  }

  leave(tail: Follower): void {
    this.followers.delete(tail)
    this.#waiting.delete(tail)
  }

  /** One read. */
  step(): void {
    void this.#readNext()
  }

  /** Every second or so: topics and partitions that changed, partitions that could not be read. */
  sweep(): void {
    const { topic, topicId, partitions, isWholeTopic } = this.shape
    const view = this.#parts.backend.topic(topic)
    if (view === null || view.id !== topicId) {
      this.#endAll(`topic ${topic} was deleted`)
      return
    }
    if (isWholeTopic) this.extend(view.partitionCount)
    this.#failing.clear()
    partitions.forEach((partition, slot) => {
      if (this.endOf(slot) !== null) return
      this.#tellUnavailable(slot, `${topic}-${partition} is not open now; /readyz says why`)
    })
    this.#poke()
  }

  /** Follows partitions that were added to the topic, from their beginning. */
  extend(partitionCount: number): void {
    const { topic, partitions } = this.shape
    if (partitionCount > partitionsMax) {
      const why = `topic ${topic} has ${partitionCount} partitions now, a tail follows up to`
      this.#endAll(`${why} ${partitionsMax}: name some, as in partition=0,1,2`)
      return
    }
    while (partitions.length < partitionCount) {
      partitions.push(partitions.length)
      this.chain.positions.push(0)
      this.#watch(partitions.length - 1)
    }
  }

  close(): void {
    this.#isClosed = true
    for (const unwatch of this.#unwatch) unwatch()
  }

  #watch(slot: number): void {
    const { topic, partitions } = this.shape
    this.#unwatch.push(this.#parts.backend.watch(topic, partitions[slot], () => this.#poke()))
  }

  #poke(): void {
    if (this.#isReading || this.#isClosed || this.#waiting.size === 0) return
    if (this.#slotToRead() < 0) return
    this.#isReading = true
    this.#parts.pacer.add(this)
  }

  async #readNext(): Promise<void> {
    try {
      const slot = this.#slotToRead()
      if (slot < 0) return
      this.#nextSlot = slot + 1
      await this.#read(slot)
    } finally {
      this.#isReading = false
    }
    this.#poke()
  }

  /** @returns the next slot that has something new, in turn; -1 when none has */
  #slotToRead(): number {
    const { positions } = this.chain
    for (let i = 0; i < positions.length; i++) {
      const slot = (this.#nextSlot + i) % positions.length
      const end = this.endOf(slot)
      if (end !== null && end !== positions[slot] && !this.#failing.has(slot)) return slot
    }
    return -1
  }

  async #read(slot: number): Promise<void> {
    const { positions } = this.chain
    const before = positions[slot]
    const wants = (): boolean => this.#waiting.size > 0 && !this.#isClosed
    const { state, errorCode, message } = await this.#source.read({
      slot,
      positions,
      until: Number.MAX_SAFE_INTEGER,
      wants,
      take: chunk => this.#push(chunk),
    })
    if (state === 'done') {
      this.#toldUnavailable.delete(slot)
      // Nothing is there, although there should be: not asked for again and again.
      if (positions[slot] === before && wants()) this.#failing.add(slot)
      return
    }
    this.#failing.add(slot)
    // A topic that is gone is seen by the sweep: its partitions go one by one.
    if (state === 'failed') this.#tellUnavailable(slot, message || errorName(errorCode))
  }

  #tellUnavailable(slot: number, message: string): void {
    if (this.#toldUnavailable.has(slot)) return
    this.#toldUnavailable.add(slot)
    const { positions } = this.chain
    const notice = { message: `${message}. The stream goes on when it is back` }
    this.#push(this.#source.maker.notice('unavailable', slot, positions, positions[slot], notice))
  }

  #push(chunk: Chunk): void {
    this.chain.push(chunk, this.#parts.chainBytes())
    for (const tail of this.#waiting) this.#parts.pacer.add(tail)
    this.#waiting.clear()
  }

  #endAll(message: string): void {
    for (const tail of this.followers) tail.endForTopic(message)
  }
}
