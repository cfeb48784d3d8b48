/**
 * A producer: up to five batches in flight to one partition, sent again in order, with the same sequences, after an
 * error that allows it, a lost connection or a time-out. What it is told is checked against what it knows.
 *
 *   sending ──error, lost connection──> draining (nothing new; answers of the rest come) ──all in──> sent again
 *           ──sequence lost, fenced───> next epoch, sequences from 0; what was in flight may be there or not
 */
import { Errors } from '../../../src/protocol/errors.ts'
import { demand } from '../checker/anomaly.ts'
import { describe } from '../checker/model.ts'
import type { ProduceAnswer } from '../driver/acks.ts'
import { Connection } from '../driver/connection.ts'
import type { Simulation } from '../driver/simulation.ts'
import type { Random } from '../world/random.ts'
import { type Cancel, forever } from '../world/world.ts'
import { makeSentBatch, type SentBatch } from './batches.ts'

const inFlightMax = 5
const definite = new Set<number>([
  Errors.MESSAGE_TOO_LARGE,
  Errors.RECORD_LIST_TOO_LARGE,
  Errors.CORRUPT_MESSAGE,
  Errors.INVALID_RECORD,
  Errors.INVALID_TIMESTAMP,
])
const retriable = new Set<number>([
  Errors.NOT_LEADER_OR_FOLLOWER,
  Errors.KAFKA_STORAGE_ERROR,
  Errors.OUT_OF_ORDER_SEQUENCE_NUMBER,
  Errors.REQUEST_TIMED_OUT,
])

interface InFlight {
  readonly batch: SentBatch
  /** The answer of its last sending has come, and was an error. */
  isFailed: boolean
  /** What it was sent on last. */
  connection: Connection | null
}

export class Producer {
  readonly index: number
  readonly sent: SentBatch[] = []
  /** Sends nothing new any more. */
  isQuiet = false
  readonly #sim: Simulation
  readonly #random: Random
  readonly #slot: number
  readonly #acks: number
  readonly #inFlightMax: number
  readonly #isIdempotent: boolean
  readonly #producerId: number
  readonly #timeoutMs: number
  #epoch = 0
  #nextSequence: number
  #number = 0
  #inFlight: InFlight[] = []
  #connection: Connection | null = null
  #isDraining = false
  #cancelTimeout: Cancel | null = null
  /** Largest offset of an answer that says where a batch went for the first time. */
  #lastOffset = -1

  constructor(sim: Simulation, index: number) {
    this.#sim = sim
    this.index = index
    this.#random = sim.world.random.fork()
    const random = this.#random
    this.#slot = random.int(sim.places.length)
    this.#isIdempotent = sim.plan.operations.has('idempotent') && random.chance(0.7)
    this.#acks = random.pick(this.#isIdempotent ? [-1, -1, 1] : [-1, -1, 1, 1, 0])
    this.#inFlightMax = random.pick([1, 2, inFlightMax, inFlightMax])
    this.#producerId = this.#isIdempotent ? 1_000 + index : -1
    this.#timeoutMs = random.logRange(500, 30_000)
    this.#nextSequence = this.#isIdempotent && random.chance(0.2) ? 2 ** 31 - 1 - random.int(50) : 0
    if (!this.#isIdempotent) this.#nextSequence = -1
  }

  get isDone(): boolean {
    return this.#inFlight.length === 0
  }

  describe(): string {
    return this.#inFlight.map(({ batch }) => describe(batch)).join(', ')
  }

  start(): void {
    this.#next()
  }

  /** One more batch, to see that the partition takes it. */
  sendLast(): void {
    this.#sendNew()
  }

  #next(): void {
    const { world, plan } = this.#sim
    const pauseMs = this.#random.next() * plan.producePauseMs
    world.after(pauseMs, `produce ${this.index}`, forever, () => {
      if (this.isQuiet) return
      const burst = this.#random.range(1, this.#inFlightMax)
      for (let i = 0; i < burst; i++) this.#sendNew()
      this.#maybeCut()
      this.#next()
    })
  }

  #sendNew(): void {
    if (this.#isDraining || this.#inFlight.length >= this.#inFlightMax) return
    const { world, plan } = this.#sim
    const skewMs = this.#random.chance(0.1) ? this.#random.logRange(1, 1e9) : 0
    const batch = makeSentBatch(this.#random, plan.batches, {
      id: this.index * 1e6 + this.#number,
      slot: this.#slot,
      producer: this.index,
      number: this.#number++,
      producerId: this.#producerId,
      epoch: this.#isIdempotent ? this.#epoch : -1,
      baseSequence: this.#nextSequence,
      acks: this.#acks,
      timestampMs: 1_700_000_000_000 + Math.floor(world.nowMs) - skewMs,
    })
    if (this.#isIdempotent) {
      this.#nextSequence = (this.#nextSequence + batch.records.length) % 2 ** 31
    }
    this.sent.push(batch)
    const entry: InFlight = { batch, isFailed: false, connection: null }
    if (this.#acks !== 0) this.#inFlight.push(entry)
    this.#send(entry)
  }

  #send(entry: InFlight): void {
    const connection = this.#connected()
    if (connection === null) {
      entry.isFailed = true
      this.#drained()
      return
    }
    const { batch } = entry
    batch.attempts++
    entry.isFailed = false
    entry.connection = connection
    this.#sim.world.note(() => `client sends ${describe(batch)}, acks ${this.#acks}`)
    connection.request<ProduceAnswer>(
      `batch ${batch.id}`,
      answer => connection.broker.produce(batch, this.#acks, answer),
      answer => this.#answered(entry, answer),
    )
    if (this.#acks !== 0) this.#armTimeout()
  }

  /** The network takes the connection away: what was sent may have arrived, the answers do not come. */
  #maybeCut(): void {
    const { world, plan } = this.#sim
    if (!plan.operations.has('cut-connections') || !this.#random.chance(0.1)) return
    world.after(this.#random.next() * 10, 'connection cut', forever, () => {
      if (this.#inFlight.length === 0 || this.#connection?.isOpen !== true) return
      world.count('connections cut')
      this.#connection.drop()
      // It begins anew under its next epoch, while what it sent before may still arrive.
      if (this.#isIdempotent && this.#random.chance(0.3)) this.#nextEpoch(Errors.NONE)
      for (const entry of this.#inFlight) entry.isFailed = true
      this.#drained()
    })
  }

  #connected(): Connection | null {
    const { world, broker } = this.#sim
    if (this.#connection?.isOpen) return this.#connection
    this.#connection = null
    if (broker === null) return null
    const connection = new Connection(world, broker, () => this.#lost(connection))
    this.#connection = connection
    return connection
  }

  #armTimeout(): void {
    if (!this.#sim.plan.operations.has('client-timeouts') || this.#cancelTimeout !== null) return
    this.#cancelTimeout = this.#sim.world.after(this.#timeoutMs, 'time-out', forever, () => {
      this.#cancelTimeout = null
      if (this.#inFlight.length === 0) return
      this.#sim.world.count('client time-outs')
      this.#connection?.drop()
      for (const entry of this.#inFlight) entry.isFailed = true
      this.#drained()
    })
  }

  /** Everything in flight is unknown: it may have been appended or not. */
  #lost(connection: Connection): void {
    for (const entry of this.#inFlight) entry.isFailed ||= entry.connection === connection
    this.#drained()
  }

  #answered(entry: InFlight, { error, baseOffset }: ProduceAnswer): void {
    const at = this.#inFlight.indexOf(entry)
    if (at < 0 || entry.isFailed) return
    this.#cancelTimeout?.()
    this.#cancelTimeout = null
    this.#sim.world.note(() => `client told ${describe(entry.batch)}: ${error} at ${baseOffset}`)
    if (error === Errors.NONE) {
      this.#inFlight.splice(at, 1)
      this.#noteAck(entry.batch, baseOffset)
    } else if (definite.has(error)) this.#rejected(entry, error)
    else if (isFenced(error) || (error === Errors.OUT_OF_ORDER_SEQUENCE_NUMBER && at === 0)) {
      this.#nextEpoch(error)
    } else {
      demand(retriable.has(error), 'unexpected-error', () => {
        return `batch ${describe(entry.batch)} was answered with error ${error}`
      })
      entry.isFailed = true
    }
    this.#drained()
  }

  #noteAck(batch: SentBatch, baseOffset: number): void {
    batch.ackedAt = baseOffset
    if (batch.attempts > 1 || this.#inFlightMax > 1 || batch.isLostRightly) return
    demand(baseOffset > this.#lastOffset || !this.#isSteady(), 'nonmonotonic-send', () => {
      return `batch ${describe(batch)} got offset ${baseOffset} after ${this.#lastOffset}`
    })
    this.#lastOffset = baseOffset
  }

  /** Offsets that a crash, or rot that looked like a torn end, has freed may be given out again. */
  #isSteady(): boolean {
    const { policies, rot } = this.#sim.plan
    return this.#acks === -1 && !policies.includes('os') && !rot.has('rot-records')
  }

  #rejected(entry: InFlight, error: number): void {
    const { batch } = entry
    this.#sim.world.count(`rejected with ${error}`)
    batch.isRejected = true
    this.#inFlight.splice(this.#inFlight.indexOf(entry), 1)
    if (this.#isIdempotent) this.#nextEpoch(error)
  }

  /** As clients do when the broker has lost track: a new epoch, and what was in flight is given up. */
  #nextEpoch(error: number): void {
    this.#sim.world.count(`new epoch after ${error}`)
    this.#inFlight = []
    this.#isDraining = false
    this.#epoch++
    this.#nextSequence = 0
  }

  /** Once every answer is in, what failed goes out again, in order. */
  #drained(): void {
    this.#isDraining = this.#inFlight.some(({ isFailed }) => isFailed)
    if (!this.#isDraining || this.#inFlight.some(({ isFailed }) => !isFailed)) return
    const { world } = this.#sim
    const pauseMs = this.#random.logRange(1, 500)
    const again = this.#inFlight
    world.after(pauseMs, `again ${this.index}`, forever, () => {
      if (again !== this.#inFlight || again.some(({ isFailed }) => !isFailed)) return
      this.#isDraining = false
      world.count('retries')
      if (this.#sim.broker === null) this.#drained()
      else for (const entry of [...again]) this.#send(entry)
    })
  }
}

function isFenced(error: number): boolean {
  return error === Errors.INVALID_PRODUCER_EPOCH || error === Errors.UNKNOWN_PRODUCER_ID
}
