/**
 * Opens partitions on owner threads and keeps them there: slots, placement, recovery, and what happens when an owner
 * dies. Dispatcher thread.
 *
 *   owner exits → outstanding commands answered NOT_LEADER_OR_FOLLOWER, partitions `opening`, generation + 1
 *               → new thread, new rings → logs recovered and reopened → `online`
 *               → after 5 crashes in 60 s its partitions stay `offline`: no crash loop
 */
import { join } from 'node:path'
import type { Clock } from '../contracts/clock.ts'
import type { OpenedPartition, PartitionSpec } from '../contracts/control.ts'
import type { LogConfig } from '../contracts/log-config.ts'
import type { Dispatcher } from '../dispatcher.ts'
import type { Logger } from '../log.ts'
import { Metric, type ThreadMetrics } from '../metrics.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import { partitionDirectoryName } from '../topics/topic-names.ts'
import { Owner, type SharedMemory } from './owner.ts'
import type { Partition, PartitionHost, TopicLogSettings } from './partition.ts'
import { PartitionMap } from './partition-map.ts'
import type { RecoveryCheckpoint } from './recovery-checkpoint.ts'
import type { RecoveryScans } from './recovery-scans.ts'

const crashesMax = 5
const crashWindowMs = 60_000

export interface HostOptions {
  readonly dataDirectory: string
  readonly ownerCount: number
  readonly memory: SharedMemory
  readonly dispatcher: Dispatcher
  readonly metrics: ThreadMetrics
  readonly clock: Clock
  readonly log: Logger
  readonly scans: RecoveryScans
  readonly checkpoint: RecoveryCheckpoint
  /** Heap limit of an owner thread in MiB; V8's own when absent (tests run owners out of heap). */
  readonly ownerHeapMbMax?: number
}

/** A partition and what it takes to open it again. */
interface Hosted {
  readonly partition: Partition
  readonly topicId: string
  readonly directory: string
  config: LogConfig
}

export class ThreadedPartitionHost implements PartitionHost {
  readonly owners: Owner[] = []
  readonly #options: HostOptions
  readonly #map: PartitionMap
  readonly #hosted = new Map<number, Hosted>()
  readonly #freeSlots: number[] = []
  #slotCount = 0
  #clean = false
  #recoveryPoints = new Map<string, number>()
  #closing = false
  /** Opens that wait for the next microtask, by owner: one control call opens many logs. */
  readonly #openQueues: Hosted[][]
  #openDone: (Promise<void> | null)[]

  constructor(options: HostOptions) {
    this.#options = options
    this.#map = new PartitionMap(options.ownerCount)
    this.#openQueues = Array.from({ length: options.ownerCount }, () => [])
    this.#openDone = new Array(options.ownerCount).fill(null)
    for (let index = 0; index < options.ownerCount; index++) {
      const owner = new Owner(index, options.memory, options.ownerHeapMbMax)
      this.owners.push(owner)
      options.dispatcher.addOwner(owner)
      owner.start(error => this.#ownerExited(owner, error))
    }
  }

  /** How the last process left the directory; decides whether logs opened from now on are scanned. */
  async prepare(clean: boolean): Promise<void> {
    this.#clean = clean
    if (!clean) this.#recoveryPoints = await this.#options.checkpoint.load()
  }

  /** After all logs of the last process are open: new ones are empty, there is nothing to recover. */
  opened(): void {
    this.#clean = true
    this.#recoveryPoints.clear()
  }

  *partitions(): Generator<Partition> {
    for (const { partition } of this.#hosted.values()) yield partition
  }

  async open(
    topic: { readonly name: string; readonly id: string; readonly config: TopicLogSettings },
    from: number,
    to: number,
  ): Promise<Partition[]> {
    const room = this.#options.memory.partitionsMax - this.#hosted.size
    if (to - from > room) {
      throw new KafkaError(
        Errors.POLICY_VIOLATION,
        `max.partitions is ${this.#options.memory.partitionsMax}, ${room} are left`,
      )
    }
    const opened: Hosted[] = []
    for (let index = from; index < to; index++) {
      opened.push(this.#host(topic, index))
    }
    await Promise.all(opened.map(hosted => this.#openLater(hosted)))
    return opened.map(({ partition }) => partition)
  }

  async delete(partitions: readonly Partition[]): Promise<void> {
    const byOwner = Map.groupBy(partitions, partition => partition.ownerIndex)
    for (const partition of partitions) this.#fence(partition, 'closed')
    for (const [ownerIndex, group] of byOwner) {
      const slots = group.map(({ slot }) => slot)
      const owner = this.owners[ownerIndex] as Owner
      const deleted = await owner.call(control => control.deletePartitions(slots))
      if (deleted === null) throw new Error(`owner thread ${ownerIndex} died`)
    }
    for (const partition of partitions) {
      this.#hosted.delete(partition.slot)
      this.#options.dispatcher.offsets.reset(partition.slot, partition.generation)
      this.#freeSlots.push(partition.slot)
    }
    const [first] = partitions
    if (first !== undefined) this.#map.remove(first.topic)
    await this.saveCheckpoint()
  }

  async applyConfig(partitions: readonly Partition[], config: TopicLogSettings): Promise<void> {
    for (const { slot, ownerIndex } of partitions) {
      const hosted = this.#hosted.get(slot)
      if (hosted !== undefined) hosted.config = config
      const owner = this.owners[ownerIndex] as Owner
      await owner.call(control => control.applyConfig(slot, config))
    }
  }

  /** Flushed ends as of now, for the next start after a crash. */
  saveCheckpoint(): Promise<void> {
    const points = []
    for (const { partition, config } of this.#hosted.values()) {
      // Under `os` the high watermark is not the flushed end: nothing is proven.
      if (partition.state !== 'online' || config.flushPolicy === 'os') continue
      const offset = this.#options.dispatcher.offsets.highWatermark(partition.slot)
      points.push({ topic: partition.topic, partition: partition.index, offset })
    }
    return this.#options.checkpoint.save(points)
  }

  /** Flushes and closes every log and ends the threads. True when everything is proven on disk. */
  async close(): Promise<boolean> {
    this.#closing = true
    const offline = [...this.#hosted.values()].some(({ partition }) => partition.state !== 'online')
    const results = await Promise.all(
      this.owners.map(owner => owner.call(control => control.shutdown())),
    )
    await Promise.all(this.owners.map(owner => owner.terminate()))
    return !offline && results.every(Boolean)
  }

  #host(topic: { name: string; id: string; config: LogConfig }, index: number): Hosted {
    const slot = this.#freeSlots.pop() ?? this.#slotCount++
    const partition: Partition = {
      topic: topic.name,
      index,
      slot,
      generation: this.#nextGeneration(),
      ownerIndex: this.#map.place(topic.name, index),
      state: 'opening',
    }
    const directory = join(this.#options.dataDirectory, partitionDirectoryName(topic.name, index))
    const hosted = { partition, topicId: topic.id, directory, config: topic.config }
    this.#hosted.set(slot, hosted)
    return hosted
  }

  #generation = 0
  #nextGeneration(): number {
    this.#generation = (this.#generation + 1) & 0x7fff_ffff
    return this.#generation
  }

  #openLater(hosted: Hosted): Promise<void> {
    const index = hosted.partition.ownerIndex
    const queue = this.#openQueues[index] as Hosted[]
    queue.push(hosted)
    this.#openDone[index] ??= Promise.resolve().then(() => {
      this.#openDone[index] = null
      return this.#openNow(index, queue.splice(0), !this.#clean)
    })
    return this.#openDone[index]
  }

  async #openNow(ownerIndex: number, group: readonly Hosted[], recover: boolean): Promise<void> {
    const generations = group.map(({ partition }) => partition.generation)
    const specs = await Promise.all(group.map(hosted => this.#spec(hosted, recover)))
    const owner = this.owners[ownerIndex] as Owner
    const results = await owner.call(control => control.openPartitions(specs))
    // Null: the owner died in it; its exit opens them again.
    if (results === null) return
    group.forEach(({ partition }, i) => {
      // The owner died and came back meanwhile: the newer opening counts.
      if (partition.generation === generations[i]) {
        this.#settle(partition, results[i] as OpenedPartition)
      }
    })
  }

  async #spec(hosted: Hosted, recover: boolean): Promise<PartitionSpec> {
    const { partition, topicId, directory, config } = hosted
    const name = partitionDirectoryName(partition.topic, partition.index)
    const recoveryPoint = this.#recoveryPoints.get(name) ?? 0
    const verdict = recover ? await this.#options.scans.scan(directory, recoveryPoint) : null
    return {
      topic: partition.topic,
      topicId,
      partition: partition.index,
      slot: partition.slot,
      generation: partition.generation,
      directory,
      config,
      recover,
      verdict,
      recoveryPoint,
    }
  }

  #settle(partition: Partition, result: OpenedPartition): void {
    const { log, metrics } = this.#options
    const name = partitionDirectoryName(partition.topic, partition.index)
    partition.state = result.error === null ? 'online' : 'offline'
    if (result.error !== null) {
      log.error({ partition: name }, `partition stays offline: ${result.error}`)
      return
    }
    metrics.add(Metric.recoveredBytes, result.recoveredBytes)
    metrics.add(Metric.truncatedBytes, result.truncatedBytes)
    if (result.truncatedBytes > 0) {
      const end = result.logEndOffset
      log.warn(
        { partition: name, truncatedBytes: result.truncatedBytes, logEndOffset: end },
        'a torn tail was cut and saved beside the log',
      )
    }
  }

  /** Takes a partition out of service: commands under way for it come back as refused. */
  #fence(partition: Partition, state: 'opening' | 'offline' | 'closed'): void {
    partition.state = state
    partition.generation = this.#nextGeneration()
    const code = state === 'offline' ? Errors.KAFKA_STORAGE_ERROR : Errors.NOT_LEADER_OR_FOLLOWER
    this.#options.dispatcher.purgatory.failed(partition.slot, code)
  }

  #ownerExited(owner: Owner, error: Error | null): void {
    const { dispatcher, clock, log, metrics } = this.#options
    dispatcher.ownerExited(owner)
    const mine = [...this.#hosted.values()].filter(
      ({ partition }) => partition.ownerIndex === owner.index && partition.state !== 'closed',
    )
    if (this.#closing) return
    const nowMs = clock.monotonicMs()
    owner.crashes = owner.crashes.filter(atMs => nowMs - atMs < crashWindowMs)
    owner.crashes.push(nowMs)
    metrics.add(Metric.ownerRestarts, 1)
    const givenUp = owner.crashes.length >= crashesMax
    const reason = error === null ? 'it exited' : error.message
    log.error(
      { owner: owner.index, partitions: mine.length, err: error },
      givenUp
        ? `owner thread died ${crashesMax} times in a minute (${reason}): its partitions stay offline until a restart`
        : `owner thread died (${reason}): recovering its partitions`,
    )
    for (const { partition } of mine) this.#fence(partition, givenUp ? 'offline' : 'opening')
    if (givenUp) return
    owner.start(next => this.#ownerExited(owner, next))
    if (mine.length > 0) this.#reopen(owner, mine)
  }

  #reopen(owner: Owner, group: readonly Hosted[]): void {
    this.#openNow(owner.index, group, true).catch((error: unknown) => {
      this.#options.log.error({ err: error, owner: owner.index }, 'partitions were not reopened')
    })
  }
}
