/**
 * Bytes of every partition as its owner last told them. Owners are asked now and then while somebody looks, and nobody
 * waits long for one that is busy. Dispatcher thread.
 */
import type { Clock } from '../contracts/clock.ts'
import type { Partition } from '../partitions/partition.ts'
import type { LogDirectory } from './log-directory.ts'

/** Between two questions; longer with many partitions, of which an owner speaks for a few milliseconds. */
const askMs = 2000
const partitionsPerMs = 1
/** What an answer of ours waits for theirs at most. */
const patienceMs = 250

export class SizeCache {
  readonly #directory: Pick<LogDirectory, 'describe'>
  readonly #clock: Clock
  #sizes: ReadonlyMap<Partition, number> = new Map()
  #asked: ReadonlySet<Partition> = new Set()
  #askedMs = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | null = null

  constructor(directory: Pick<LogDirectory, 'describe'>, clock: Clock) {
    this.#directory = directory
    this.#clock = clock
  }

  /** Sizes of these partitions; those not known yet are left out. */
  async of(wanted: Iterable<Partition>): Promise<ReadonlyMap<Partition, number>> {
    const partitions = [...wanted]
    const nowMs = this.#clock.monotonicMs()
    const pauseMs = Math.max(askMs, partitions.length / partitionsPerMs)
    const isDue = nowMs - this.#askedMs >= pauseMs
    const isNew = (one: Partition): boolean => !this.#asked.has(one)
    if (this.#asking === null && (isDue || partitions.some(isNew))) {
      this.#askedMs = nowMs
      this.#asked = new Set(partitions)
      this.#asking = this.#ask(partitions).finally(() => {
        this.#asking = null
      })
    }
    if (this.#asking === null) return this.#sizes
    const { promise, resolve } = Promise.withResolvers<void>()
    const giveUp = this.#clock.after(patienceMs, resolve)
    await Promise.race([this.#asking, promise])
    giveUp()
    return this.#sizes
  }

  /** An owner that cannot be asked leaves the sizes as they were. */
  async #ask(partitions: readonly Partition[]): Promise<void> {
    const bySlot = await this.#directory.describe(partitions).catch(() => null)
    if (bySlot === null) return
    const sizes = new Map<Partition, number>()
    for (const partition of partitions) {
      const bytes = bySlot.get(partition.slot)?.sizeBytes ?? this.#sizes.get(partition)
      if (bytes !== undefined) sizes.set(partition, bytes)
    }
    this.#sizes = sizes
  }
}
