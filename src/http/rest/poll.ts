/**
 * One call for records of a consumer instance: goes round its partitions, gathers records until the answer is full, and
 * waits where there are none. Dispatcher thread.
 *
 * Positions move when the answer is complete, not before: a call that is cut short (the client went away, a rebalance,
 * a seek) gives out nothing, and nothing is lost.
 */
import type { RecordCursor } from '../../client/record-cursor.ts'
import { Errors, KafkaError } from '../../protocol/errors.ts'
import type { ReadPage } from '../backend/log-backend.ts'
import { noTopic } from '../error-status.ts'
import type { HttpProblem } from '../problem.ts'
import type { Held } from './held-partitions.ts'
import { type ConsumerInstance, endedProblem } from './instance.ts'
import { RecordText, type TextLimits } from './record-text.ts'
import { groupProblem, RestCode, restProblem } from './rest-problem.ts'

export interface PollCall extends TextLimits {
  readonly waitMs: number
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal
}

/** Read at once from a partition: little enough that unpacking it does not hold up everybody else. */
const chunkBytesMax = 256 * 1024
const chunkBytesMin = 16 * 1024

export class Poll {
  readonly #instance: ConsumerInstance
  readonly #call: PollCall
  readonly #text: RecordText
  readonly #dueMs: number
  #next = new Map<Held, number>()
  /** Why positions that the group committed cannot be told. */
  #placing: number = Errors.NONE
  /** What kept a partition from being read; told when nothing else is. */
  #problem: HttpProblem | null = null

  constructor(instance: ConsumerInstance, call: PollCall) {
    this.#instance = instance
    this.#call = call
    this.#text = new RecordText(instance.options.format, call)
    this.#dueMs = instance.context.clock.monotonicMs() + call.waitMs
  }

  /**
   * The records as JSON text. Positions have moved when it resolves; `undo` takes that back.
   * @throws HttpProblem when nothing can be read, and it is not for want of records
   */
  async run(): Promise<{ readonly body: string; readonly undo: () => void }> {
    const { signal } = this.#call
    const { clock } = this.#instance.context
    for (;;) {
      const epoch = this.#instance.epoch
      const isSame = await this.#gather(epoch)
      if (this.#instance.isEnded) throw endedProblem(this.#instance)
      if (isSame) return this.#finish(epoch)
      this.#start()
      if (signal.aborted || clock.monotonicMs() >= this.#dueMs) return this.#finish(epoch)
    }
  }

  /** @returns false when the instance has entered another epoch: what was gathered is worth nothing */
  async #gather(epoch: number): Promise<boolean> {
    const instance = this.#instance
    const { signal } = this.#call
    const { fetchMinBytes } = instance.options
    for (;;) {
      if (instance.isSettled) {
        this.#problem = null
        this.#placing = await instance.place()
        await this.#readAll(epoch)
      }
      if (instance.epoch !== epoch || instance.isEnded) return false
      const isEnough = this.#text.count > 0 && this.#text.bytes >= fetchMinBytes
      if (isEnough || this.#text.isFull || signal.aborted) return true
      if (!(await this.#wait())) return instance.epoch === epoch
    }
  }

  async #readAll(epoch: number): Promise<void> {
    const instance = this.#instance
    for (const held of instance.inTurn()) {
      // Several chunks of one partition are better than a bit of each: answers are cut at few places.
      while (!this.#text.isFull && (await this.#read(held))) if (this.#isOver(epoch)) return
      if (this.#text.isFull || this.#isOver(epoch)) return
    }
  }

  #isOver(epoch: number): boolean {
    const { signal } = this.#call
    return this.#instance.epoch !== epoch || this.#instance.isEnded || signal.aborted
  }

  /** One chunk. @returns whether there may be more */
  async #read(held: Held): Promise<boolean> {
    const { backend } = this.#instance.context
    const { topic, partition } = held
    const offset = this.#next.get(held) ?? this.#position(held)
    if (offset < 0) return false
    const offsets = backend.offsets(topic, partition)
    if (offsets === null) {
      const message = `${topic}-${partition} is not open now; /readyz says why`
      const isThere = backend.topic(topic) !== null
      this.#problem = isThere ? restProblem(RestCode.unavailable, message) : noTopic(topic)
      return false
    }
    const isGone = offset < offsets.logStart || offset > offsets.highWatermark
    if (isGone) return this.#startAnew(held)
    if (offset === offsets.highWatermark) return false
    const bytesMax = Math.min(chunkBytesMax, Math.max(chunkBytesMin, this.#text.room))
    const { signal } = this.#call
    const page = await backend.read({ topic, partition, offset, bytesMax, waitMs: 0, signal })
    try {
      return this.#takePage(held, page, offset)
    } finally {
      page.release()
    }
  }

  #takePage(held: Held, page: ReadPage, offset: number): boolean {
    if (page.errorCode === Errors.OFFSET_OUT_OF_RANGE) return this.#startAnew(held)
    const where = `${held.topic}-${held.partition}`
    if (page.errorCode !== Errors.NONE) {
      const code =
        page.errorCode === Errors.CORRUPT_MESSAGE ? RestCode.kafkaError : RestCode.unavailable
      this.#problem = restProblem(code, `${where}: ${page.message}`)
      return false
    }
    try {
      const isAll = this.#takeRecords(held, page.cursor)
      if (isAll) this.#next.set(held, page.nextOffset)
      return isAll && page.nextOffset > offset
    } catch (error) {
      if (!(error instanceof KafkaError)) throw error
      this.#problem = restProblem(RestCode.kafkaError, `${where}: ${error.message}`)
      return false
    }
  }

  /** @returns whether all records of the cursor were taken */
  #takeRecords(held: Held, cursor: RecordCursor): boolean {
    const topicText = JSON.stringify(held.topic)
    while (cursor.advance()) {
      const outcome = this.#text.add(cursor, topicText, held.partition)
      if (outcome === 'full') return false
      if (outcome !== 'taken') {
        this.#problem = notJson(held, cursor.offset, outcome)
        return false
      }
      this.#next.set(held, cursor.offset + 1)
    }
    return true
  }

  #position(held: Held): number {
    if (held.position >= 0) return held.position
    if (this.#placing === Errors.NONE) return this.#reset(held)
    this.#problem = groupProblem(this.#placing, this.#instance.group)
    return -1
  }

  /** The position is not, or no longer, in the log. */
  #startAnew(held: Held): boolean {
    const offset = this.#reset(held)
    if (offset < 0) return false
    this.#next.set(held, offset)
    return true
  }

  #reset(held: Held): number {
    try {
      return this.#instance.reset(held)
    } catch (error) {
      this.#problem = error as HttpProblem
      return -1
    }
  }

  /** Waits for records, or a change. @returns false when the time is over */
  async #wait(): Promise<boolean> {
    const { clock, backend } = this.#instance.context
    const leftMs = this.#dueMs - clock.monotonicMs()
    if (leftMs <= 0 || this.#problem !== null) return false
    const { promise, resolve } = Promise.withResolvers<void>()
    const stops = [
      clock.after(leftMs, resolve),
      this.#instance.changed.once(resolve),
      ...Array.from(this.#instance.held.values(), ({ topic, partition }) =>
        backend.watch(topic, partition, resolve),
      ),
    ]
    this.#call.signal.addEventListener('abort', () => resolve(), { once: true })
    // An advance between the last read and the watch is not missed.
    if (this.#hasNews()) resolve()
    await promise
    for (const stop of stops) stop()
    return true
  }

  #hasNews(): boolean {
    const { backend } = this.#instance.context
    for (const held of this.#instance.held.values()) {
      const offset = this.#next.get(held) ?? held.position
      const offsets = backend.offsets(held.topic, held.partition)
      if (offsets !== null && offset >= 0 && offset < offsets.highWatermark) return true
    }
    return false
  }

  #start(): void {
    this.#text.clear()
    this.#next = new Map()
  }

  #finish(epoch: number): { readonly body: string; readonly undo: () => void } {
    const instance = this.#instance
    if (this.#text.count === 0) this.#complain()
    if (this.#call.signal.aborted || instance.epoch !== epoch) this.#start()
    const before = Array.from(this.#next, ([held, offset]) => ({
      held,
      offset,
      was: held.position,
    }))
    for (const { held, offset } of before) held.position = offset
    const undo = (): void => {
      for (const { held, offset, was } of before) if (held.position === offset) held.position = was
    }
    return { body: this.#text.toString(), undo }
  }

  /** Nothing was read: is that for want of records? */
  #complain(): void {
    const instance = this.#instance
    const failure = instance.groupFailure
    if (failure !== Errors.NONE) throw groupProblem(failure, instance.group)
    if (this.#problem !== null) throw this.#problem
  }
}

function notJson({ topic, partition }: Held, offset: number, part: string): HttpProblem {
  const what = `the ${part} of offset ${offset} in ${topic}-${partition} is no JSON`
  const cure = `read it with an instance of format binary, or go past it: POST …/positions with offset ${offset + 1}`
  return restProblem(RestCode.notJson, `${what}; ${cure}`)
}
