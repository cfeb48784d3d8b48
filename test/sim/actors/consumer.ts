/**
 * A consumer of one partition: fetches along with random sizes, looks up by time now and then, checks every answer
 * against the model of the partition.
 */
import { Errors } from '../../../src/protocol/errors.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import { demand } from '../checker/anomaly.ts'
import { checkAnswer, checkLookUp } from '../checker/reads.ts'
import { Connection } from '../driver/connection.ts'
import type { ReadAnswer } from '../driver/owner.ts'
import type { Simulation } from '../driver/simulation.ts'
import type { Random } from '../world/random.ts'
import { forever } from '../world/world.ts'

export class Consumer {
  readonly index: number
  /** Polls no more, but for `hurry`. */
  isQuiet = false
  #pollsLeft = 0
  readonly #sim: Simulation
  readonly #random: Random
  readonly #slot: number
  #connection: Connection | null = null
  #offset = 0
  /** Grows to what the first batch needs when that is larger. */
  #neededBytes = 0
  #isWaiting = false

  constructor(sim: Simulation, index: number) {
    this.#sim = sim
    this.index = index
    this.#random = sim.world.random.fork()
    this.#slot = this.#random.int(sim.places.length)
  }

  start(): void {
    this.#next()
  }

  #next(): void {
    const pauseMs = this.#random.next() * this.#sim.plan.producePauseMs * 2
    this.#sim.world.after(pauseMs, `poll ${this.index}`, forever, () => {
      if (this.isQuiet && this.#pollsLeft-- <= 0) return
      if (!this.#isWaiting) this.#poll()
      this.#next()
    })
  }

  get isIdle(): boolean {
    return this.#pollsLeft <= 0 && !this.#isWaiting
  }

  /** Some more polls at the end. */
  hurry(): void {
    this.#pollsLeft = 20
    this.#next()
  }

  #poll(): void {
    const { world, broker, plan } = this.#sim
    if (broker === null) return
    if (this.#random.chance(0.05)) this.#offset = this.#random.int(this.#offset + 1)
    if (plan.operations.has('find-by-time') && this.#random.chance(0.1)) {
      this.#lookUp(broker.owner.logs[this.#slot])
      return
    }
    if (!this.#connection?.isOpen || this.#connection.broker !== broker) {
      this.#connection = new Connection(world, broker, () => {
        this.#isWaiting = false
      })
    }
    const connection = this.#connection
    const offset = this.#offset
    const maxBytes = Math.max(this.#neededBytes, this.#random.logRange(1, 64 * 1024))
    this.#neededBytes = 0
    this.#isWaiting = true
    connection.request<ReadAnswer>(
      `fetch ${offset}`,
      answer => {
        broker.fetch(this.#slot, offset, maxBytes, (read, log) => {
          this.#check(offset, read, log)
          answer(read)
        })
      },
      read => this.#taken(offset, read),
    )
  }

  /** In the owner's round, so that the model says what the log held just then. */
  #check(offset: number, read: ReadAnswer, log: PartitionLog | null): void {
    const model = this.#sim.models[this.#slot]
    if (log === null || model === undefined || this.#sim.disk.crashed) return
    checkAnswer(this.#sim, model, log, offset, read)
  }

  #taken(offset: number, { error, neededBytes, nextOffset, length }: ReadAnswer): void {
    this.#isWaiting = false
    if (error === Errors.OFFSET_OUT_OF_RANGE) {
      const log = this.#sim.broker?.owner.logs[this.#slot]
      this.#offset = log?.offsets.logStart ?? 0
      return
    }
    // As consumers do whose operator has read the log line.
    if (error === Errors.CORRUPT_MESSAGE) this.#offset = nextOffset
    if (error !== Errors.NONE || offset !== this.#offset) return
    this.#neededBytes = neededBytes
    demand(nextOffset > offset || length === 0, 'nonmonotonic-poll', () => {
      return `a fetch at ${offset} goes on at ${nextOffset}`
    })
    this.#offset = nextOffset
  }

  #lookUp(log: PartitionLog | undefined): void {
    const model = this.#sim.models[this.#slot]
    if (log === undefined || model === undefined) return
    checkLookUp(this.#sim, model, log, this.#random)
  }
}
