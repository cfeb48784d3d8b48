/**
 * A topic with its writers, readers and checkers, through many lives of a broker.
 *
 *   create -> [ start load -> stop load -> (the broker dies, comes back) -> check ] again and again
 */
import { Admin } from '../../src/client/admin.ts'
import { WireClient } from '../support/wire-client.ts'
import { type Death, PartitionChecker } from './checker.ts'
import { LoadProducer } from './load-producer.ts'
import { LoadReader, type ReadPlace, readAgain, readBack } from './load-reader.ts'
import type { Random } from './random.ts'
import type { Lane } from './records.ts'

export interface ProducerPlan {
  readonly acks: 1 | -1
  readonly isIdempotent: boolean
}

export interface SessionOptions {
  readonly topic: string
  readonly partitionCount: number
  readonly configs: ReadonlyMap<string, string>
  readonly producers: readonly ProducerPlan[]
  readonly random: Random
  /** Records of a batch, at most. */
  readonly recordsMax?: number
  readonly allowedErrors?: ReadonlySet<number>
  readonly requestTimeoutMs?: number
  readonly thinkMs?: number
  /** Of the partitions of many; all of them without it. */
  readonly readersMax?: number
}

export interface SessionCounts {
  /** Acknowledged records; a record that was sent twice may count twice. */
  readonly acked: number
  /** Records compared with what was sent, after a restart. */
  readonly checked: number
  /** Records that readers got while producers wrote. */
  readonly followed: number
}

/** So many that an owner of two has more than 16 of them to flush, and uses its journal; few are followed. */
export const manyPartitions = { partitionCount: 80, readersMax: 4 } as const

/** Every kind of producer that loses nothing when only the process dies. */
export const allProducers: readonly ProducerPlan[] = [
  { acks: -1, isIdempotent: false },
  { acks: 1, isIdempotent: false },
  { acks: -1, isIdempotent: true },
  { acks: 1, isIdempotent: true },
]

/** For machines that die: an idempotent producer under acks=1 would be left with a gap. */
export const durableProducers: readonly ProducerPlan[] = allProducers.slice(0, 3)
export const plainProducers: readonly ProducerPlan[] = allProducers.slice(0, 2)

/** Numbers of lanes are unique in the process: a record in a foreign topic is a phantom. */
let laneCount = 0

export class Session {
  readonly places: readonly ReadPlace[]
  readonly topic: string
  readonly #producers: LoadProducer[]
  readonly #readers: LoadReader[]
  readonly #random: Random
  #work: Promise<unknown>[] = []
  /** The first failure of the load. */
  #failure: unknown = null
  #failed = Promise.withResolvers<never>()

  private constructor(options: SessionOptions) {
    const { topic, partitionCount, producers, random } = options
    this.topic = topic
    this.#random = random.fork()
    const isUnflushedReadable = options.configs.get('flush.policy') === 'os'
    const isCompacted = options.configs.get('cleanup.policy') === 'compact'
    this.places = Array.from({ length: partitionCount }, (_, partition) => ({
      topic,
      partition,
      checker: new PartitionChecker({
        name: `${topic}-${partition}`,
        isUnflushedReadable,
        isCompacted,
      }),
    }))
    this.#producers = producers.map(plan => this.#producer(plan, options))
    const followed = this.places.slice(0, options.readersMax)
    this.#readers = followed.map(place => new LoadReader(place, options.allowedErrors))
    this.#failed.promise.catch(() => {})
  }

  /** Creates the topic. */
  static async create(bootstrap: string, options: SessionOptions): Promise<Session> {
    const { topic, partitionCount, configs } = options
    await using admin = new Admin({ bootstrap })
    await admin.createTopic({ name: topic, partitions: partitionCount, configs })
    return new Session(options)
  }

  #producer(plan: ProducerPlan, options: SessionOptions): LoadProducer {
    const lanes = this.places.map(({ partition, checker }) => {
      const id = ++laneCount
      const lane: Lane = {
        id,
        partition,
        acks: plan.acks,
        isKeyed: checker.isCompacted,
        isExactlyOnce: plan.isIdempotent,
        baseTimestampMs: Date.now(),
      }
      return { lane, checker }
    })
    const { topic, allowedErrors, requestTimeoutMs, thinkMs, recordsMax = 30 } = options
    const common = { topic, allowedErrors, requestTimeoutMs, thinkMs, recordsMax }
    return new LoadProducer({ ...common, ...plan, lanes, random: options.random.fork() })
  }

  /** Rejects when the load finds something wrong while it runs: race it with what you wait for. */
  get failed(): Promise<never> {
    return this.#failed.promise
  }

  get counts(): SessionCounts {
    const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0)
    return {
      acked: sum(this.places.map(({ checker }) => checker.ackedCount)),
      checked: sum(this.places.map(({ checker }) => checker.checkedCount)),
      followed: sum(this.#readers.map(({ recordCount }) => recordCount)),
    }
  }

  /** Error codes that clients were answered, by name. */
  get errors(): Map<string, number> {
    const all = new Map<string, number>()
    for (const { errors } of [...this.#producers, ...this.#readers]) {
      for (const [name, count] of errors) all.set(name, (all.get(name) ?? 0) + count)
    }
    return all
  }

  startProducers(bootstrap: string): void {
    this.#begin(this.#producers.map(producer => producer.run(bootstrap)))
  }

  startReaders(bootstrap: string): void {
    this.#begin(
      this.#readers.map((reader, i) => {
        const { settled, logStart } = this.places[i].checker
        const oldest = Math.max(settled.start, logStart)
        // Most readers go on where they are; some begin somewhere in what is settled.
        const from = this.#random.chance(0.7)
          ? settled.end
          : this.#random.between(oldest, Math.max(oldest, settled.end))
        return reader.run(bootstrap, from)
      }),
    )
  }

  startLoad(bootstrap: string): void {
    this.startProducers(bootstrap)
    this.startReaders(bootstrap)
  }

  #begin(runs: readonly Promise<void>[]): void {
    for (const run of runs) {
      const noted = run.catch((error: unknown) => {
        this.#failure ??= error
        this.#failed.reject(error)
      })
      this.#work.push(noted)
    }
  }

  /** Lets producers take the answers they are owed (unless the broker is gone), then stops all. Throws Violation. */
  async stopLoad(): Promise<void> {
    for (const producer of this.#producers) producer.stop()
    for (const reader of this.#readers) reader.stop()
    await Promise.all(this.#work.splice(0))
    if (this.#failure !== null) throw this.#failure
  }

  /** Stops without waiting for answers: for a broker that does not answer any more. */
  async abandonLoad(): Promise<void> {
    for (const producer of this.#producers) producer.abandon()
    await this.stopLoad()
  }

  /** Compares what the broker holds with what it promised, from the last check on. Throws Violation. */
  async check(bootstrap: string, death: Death | null): Promise<void> {
    await this.#withClient(bootstrap, async client => {
      await Promise.all(this.places.map(place => readBack(client, place, death)))
    })
  }

  /** Reads everything once more. Throws Violation. */
  async checkAll(bootstrap: string): Promise<void> {
    await this.#withClient(bootstrap, async client => {
      for (const place of this.places) {
        if (place.checker.isCompacted) await readBack(client, place, null)
        else await readAgain(client, place)
      }
    })
  }

  /** Resolves when `count` more records than now are acknowledged. Rejects when the load finds something wrong. */
  async progress(count: number, timeoutMs = 30_000): Promise<void> {
    const goal = this.counts.acked + count
    const untilMs = performance.now() + timeoutMs
    while (this.counts.acked < goal) {
      if (performance.now() > untilMs) {
        throw new Error(`${this.topic}: no ${count} records acknowledged in ${timeoutMs} ms`)
      }
      await Promise.race([this.failed, new Promise(resolve => setTimeout(resolve, 5))])
    }
  }

  async #withClient(bootstrap: string, work: (client: WireClient) => Promise<void>): Promise<void> {
    const client = await WireClient.connect(bootstrap)
    try {
      await work(client)
    } finally {
      client.close()
    }
  }
}
