/**
 * A producer as load: one connection, up to five requests on the way, each with batches for one or more partitions. It
 * outlives the broker: told of the next life's address it goes on, an idempotent one with what was not answered.
 *
 *   lane (one per partition)   next record ->  in flight (at most 5 batches)  -> acknowledged
 *                                     ^                |
 *                                     '--- again <-----'  connection lost, or an error: first all others come back
 *
 * A producer that is not idempotent never sends a record twice: what was not answered may be there once, or not.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { CodecName } from '../../src/protocol/compression.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { InitProducerId } from '../../src/protocol/messages/init-producer-id.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { encodeBatch } from '../../src/protocol/record-batch.ts'
import type { ResponseOf } from '../../src/protocol/schema.ts'
import { WireClient } from '../support/wire-client.ts'
import { type PartitionChecker, Violation } from './checker.ts'
import type { Random } from './random.ts'
import { type Lane, recordOf } from './records.ts'

export interface LoadProducerOptions {
  readonly topic: string
  readonly lanes: readonly { readonly lane: Lane; readonly checker: PartitionChecker }[]
  readonly random: Random
  readonly isIdempotent: boolean
  readonly acks: 1 | -1
  readonly recordsMax: number
  /** Codes that are no surprise in this scenario. */
  readonly allowedErrors?: ReadonlySet<number>
  /** A request without answer for so long: the connection is given up, as a client does. */
  readonly requestTimeoutMs?: number
  /** Pause in front of each request, at most. */
  readonly thinkMs?: number
}

interface Batch {
  readonly seq: number
  readonly count: number
  readonly codec: CodecName
}

interface LaneWork {
  readonly lane: Lane
  readonly checker: PartitionChecker
  nextSeq: number
  readonly inFlight: Set<Batch>
  /** To be sent again, ascending; only idempotent producers have any. */
  again: Batch[]
  /** Something was acknowledged. */
  isKnown: boolean
  /** An error came: nothing new until all that is in flight has come back. */
  isDraining: boolean
}

interface Sending {
  readonly work: LaneWork
  readonly batch: Batch
}

type ProduceAnswer = ResponseOf<typeof Produce>

const requestsInFlight = 5
const retryMs = 10
const codecs: readonly CodecName[] = ['none', 'none', 'none', 'none', 'gzip', 'lz4']

export class LoadProducer {
  readonly #options: LoadProducerOptions
  readonly #lanes: LaneWork[]
  #producerId = -1
  #producerEpoch = -1
  #isOver = true
  #client: WireClient | null = null
  readonly errors = new Map<string, number>()

  constructor(options: LoadProducerOptions) {
    this.#options = options
    this.#lanes = options.lanes.map(({ lane, checker }) => {
      checker.addLane(lane)
      const inFlight = new Set<Batch>()
      return { lane, checker, nextSeq: 0, inFlight, again: [], isKnown: false, isDraining: false }
    })
  }

  /** Sends until `stop`, over as many connections as it takes. Rejects with a Violation. */
  async run(bootstrap: string): Promise<void> {
    this.#isOver = false
    while (!this.#isOver) {
      const client = await WireClient.connect(bootstrap).catch(() => null)
      if (client === null) {
        await delay(retryMs)
        continue
      }
      this.#client = client
      await this.#live(client)
    }
  }

  /** No further requests; those on the way are still waited for, unless the broker is gone. */
  stop(): void {
    this.#isOver = true
  }

  /** Does not wait for answers either. */
  abandon(): void {
    this.stop()
    this.#client?.close()
  }

  /** One connection, until it is lost or the load is over. */
  async #live(client: WireClient): Promise<void> {
    if (this.#options.isIdempotent && this.#producerId < 0) await this.#identify(client)
    // The first failure counts: what the other pumps meet afterwards are its consequences.
    let failure: unknown = null
    const pumps = Array.from({ length: requestsInFlight }, () =>
      this.#pump(client).catch((error: unknown) => {
        if (!(error instanceof LostConnection)) failure ??= error
        client.close()
      }),
    )
    await Promise.all(pumps)
    client.close()
    for (const work of this.#lanes) this.#connectionLost(work)
    if (failure !== null) throw failure
  }

  async #identify(client: WireClient): Promise<void> {
    const request = {
      transactionalId: null,
      transactionTimeoutMs: 60_000,
      producerId: -1,
      producerEpoch: -1,
    }
    const answer = await client.request(InitProducerId, 4, request).catch(() => null)
    if (answer?.errorCode !== Errors.NONE) return
    this.#producerId = answer.producerId
    this.#producerEpoch = answer.producerEpoch
  }

  async #pump(client: WireClient): Promise<void> {
    const { random, thinkMs = 0, isIdempotent } = this.#options
    while (!this.#isOver && !client.isClosed) {
      if (isIdempotent && this.#producerId < 0) throw new LostConnection()
      if (thinkMs > 0) await delay(random.next() * thinkMs)
      const sendings = this.#take()
      if (sendings.length > 0) await this.#exchange(client, sendings)
      else await delay(1)
    }
  }

  /** The next batches, for a random part of the lanes. */
  #take(): Sending[] {
    const { random } = this.#options
    const first = random.between(0, this.#lanes.length - 1)
    const count = random.between(1, this.#lanes.length)
    const sendings: Sending[] = []
    for (let i = 0; i < count; i++) {
      const work = this.#lanes[(first + i) % this.#lanes.length]
      const batch = this.#nextBatch(work)
      if (batch === null) continue
      work.inFlight.add(batch)
      sendings.push({ work, batch })
    }
    return sendings
  }

  #nextBatch(work: LaneWork): Batch | null {
    const { random, recordsMax, isIdempotent } = this.#options
    if (work.isDraining && work.inFlight.size > 0) return null
    // The protocol lets a producer that a partition does not know begin with any sequence: the first batch goes alone,
    // or the second one could be stored when only the first was refused.
    if (isIdempotent && !work.isKnown && work.inFlight.size > 0) return null
    work.isDraining = false
    const again = work.again.shift()
    if (again !== undefined) return again
    const count = random.between(1, recordsMax)
    const batch = { seq: work.nextSeq, count, codec: random.pick(codecs) }
    work.nextSeq += count
    work.checker.sent(work.lane, batch.seq, count)
    return batch
  }

  async #exchange(client: WireClient, sendings: readonly Sending[]): Promise<void> {
    const { topic, acks, requestTimeoutMs = 30_000 } = this.#options
    const partitionData = sendings.map(({ work, batch }) => ({
      index: work.lane.partition,
      records: this.#encode(work, batch),
    }))
    const message = {
      transactionalId: null,
      acks,
      timeoutMs: 10_000,
      topicData: [{ name: topic, partitionData }],
    }
    const timer = setTimeout(() => client.close(), requestTimeoutMs)
    const answer = await client
      .request(Produce, 9, message)
      .catch(() => null)
      .finally(() => clearTimeout(timer))
    if (answer === null) throw new LostConnection()
    const isRefused = this.#answered(sendings, answer)
    if (isRefused) await delay(retryMs)
  }

  #encode({ lane }: LaneWork, { seq, count, codec }: Batch): Buffer {
    const records = Array.from({ length: count }, (_, i) => recordOf(lane, seq + i))
    if (!this.#options.isIdempotent) return encodeBatch({ records, codec })
    const [producerId, producerEpoch] = [this.#producerId, this.#producerEpoch]
    return encodeBatch({ records, codec, producerId, producerEpoch, baseSequence: seq })
  }

  /** True when something was refused. */
  #answered(sendings: readonly Sending[], answer: ProduceAnswer): boolean {
    const rows = answer.responses.flatMap(topic => topic.partitionResponses)
    let isRefused = false
    for (const { work, batch } of sendings) {
      const row = rows.find(({ index }) => index === work.lane.partition)
      if (row === undefined) {
        throw new Violation('unexpected', `${work.checker.name}: no row in the answer`)
      }
      work.inFlight.delete(batch)
      if (row.errorCode === Errors.NONE) {
        work.isKnown = true
        work.checker.acked(work.lane, batch.seq, batch.count, row.baseOffset)
      } else {
        isRefused = true
        this.#refused(work, batch, row.errorCode)
      }
    }
    return isRefused
  }

  #refused(work: LaneWork, batch: Batch, code: number): void {
    const { allowedErrors, isIdempotent } = this.#options
    const name = errorName(code)
    this.errors.set(name, (this.errors.get(name) ?? 0) + 1)
    // Batches behind a refused one are out of order by nature; the first one never is.
    const isConsequence =
      code === Errors.OUT_OF_ORDER_SEQUENCE_NUMBER && isIdempotent && work.isDraining
    if (!isConsequence && !allowedErrors?.has(code)) {
      const what = `${work.checker.name}: ${name} for record ${batch.seq} of lane ${work.lane.id}`
      throw new Violation('unexpected', what)
    }
    if (!isIdempotent) return
    work.isDraining = true
    this.#sendAgain(work, [batch])
  }

  #connectionLost(work: LaneWork): void {
    if (this.#options.isIdempotent) this.#sendAgain(work, [...work.inFlight])
    work.inFlight.clear()
    work.isDraining = false
  }

  #sendAgain(work: LaneWork, batches: readonly Batch[]): void {
    work.again = [...work.again, ...batches].sort((a, b) => a.seq - b.seq)
  }
}

class LostConnection extends Error {}
