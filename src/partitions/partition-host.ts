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
import type { OpenedPartition, PartitionSpec, RecoveryVerdict } from '../contracts/control.ts'
import type { LogConfig } from '../contracts/log-config.ts'
import type { Dispatcher } from '../dispatcher.ts'
import type { Logger } from '../log.ts'
import { Metric, type ThreadMetrics } from '../metrics.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import { partitionDirectoryName } from '../topics/topic-names.ts'
import { emptyOffsetView } from './offset-table.ts'
import { Owner, type OwnerThreadOptions, type SharedMemory } from './owner.ts'
import type { OwnerTasks } from './owner-tasks.ts'
import type { Partition, PartitionHost, TopicLogSettings } from './partition.ts'
import { PartitionMap } from './partition-map.ts'
import type { RecoveryCheckpoint } from './recovery-checkpoint.ts'
import type { RecoveryScans } from './recovery-scans.ts'

const crashesMax = 5
const crashWindowMs = 60_000
/** Logs opened by one call of the control plane: the first ones serve while the last ones are still recovered. */
const openAtOnce = 16

export interface HostOptions {
  readonly dataDirectory: string
  readonly ownerCount: number
  readonly memory: SharedMemory
  readonly dispatcher: Dispatcher
  readonly metrics: ThreadMetrics
  readonly clock: Clock
  readonly log: Logger
  readonly scans: RecoveryScans
  readonly tasks: OwnerTasks
  readonly checkpoint: RecoveryCheckpoint
  readonly ownerThreads?: OwnerThreadOptions
}

/** A partition and what it takes to open it again. */
interface Hosted {
  readonly partition: Partition
  readonly topicId: string
  readonly directory: string
  config: LogConfig
  /** Known to be flushed: recovery starts here. */
  recoveryPoint: number
}

const view = emptyOffsetView()

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
      const owner = new Owner(index, options.memory, options.tasks, options.ownerThreads)
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
    this.#options.scans.endProgress()
    this.#options.tasks.open()
  }

  /** All but those that are being deleted. */
  *partitions(): Generator<Partition> {
    for (const { partition } of this.#hosted.values()) {
      if (partition.state !== 'closed') yield partition
    }
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

  /** Rejects when not all directories could be removed; none of the partitions is there any more in either case. */
  async delete(partitions: readonly Partition[]): Promise<void> {
    const doomed = partitions.map(({ slot }) => this.#hosted.get(slot) as Hosted)
    for (const partition of partitions) this.#fence(partition, 'closed')
    const byOwner = Map.groupBy(doomed, ({ partition }) => partition.ownerIndex)
    const deletions = [...byOwner].map(([index, group]) => this.#deleteOn(index, group))
    const results = await Promise.allSettled(deletions)
    for (const { slot, generation } of partitions) {
      this.#hosted.delete(slot)
      this.#options.dispatcher.offsets.reset(slot, generation)
      this.#freeSlots.push(slot)
    }
    const [first] = partitions
    if (first !== undefined) this.#map.remove(first.topic)
    const failed = results.find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    // A topic made anew under this name must not find the recovery points of this one.
    await this.saveCheckpoint()
  }

  /** A thread that dies over it leaves the rest to the next one. */
  async #deleteOn(ownerIndex: number, doomed: readonly Hosted[]): Promise<void> {
    const owner = this.owners[ownerIndex] as Owner
    const places = doomed.map(({ partition, topicId, directory }) => ({
      topic: partition.topic,
      topicId,
      partition: partition.index,
      slot: partition.slot,
      directory,
    }))
    while (owner.alive) {
      const deleted = await owner.call(control => control.deletePartitions(places))
      if (deleted !== null) return
    }
    throw new Error(`owner thread ${ownerIndex} is down`)
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
      this.owners.map(owner => owner.call(control => control.shutdown()).catch(() => false)),
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
    const name = partitionDirectoryName(topic.name, index)
    const hosted = {
      partition,
      topicId: topic.id,
      directory: join(this.#options.dataDirectory, name),
      config: topic.config,
      recoveryPoint: this.#recoveryPoints.get(name) ?? 0,
    }
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

  /** Never rejects: what does not open is offline, and the log says why. */
  async #openNow(ownerIndex: number, group: readonly Hosted[], recover: boolean): Promise<void> {
    const generations = new Map(group.map(hosted => [hosted, hosted.partition.generation]))
    // The owner may die and come back meanwhile, and with it the partition under a newer generation: that one counts.
    const isCurrent = (hosted: Hosted): boolean =>
      hosted.partition.generation === generations.get(hosted)
    const verdicts = new Map<Hosted, RecoveryVerdict | null>()
    await Promise.all(
      group.map(async hosted => verdicts.set(hosted, await this.#verdict(hosted, recover))),
    )
    const owner = this.owners[ownerIndex] as Owner
    for (let at = 0; at < group.length; at += openAtOnce) {
      const part = group.slice(at, at + openAtOnce).filter(isCurrent)
      const specs = part.map(hosted => this.#spec(hosted, recover, verdicts.get(hosted) ?? null))
      const results = await owner
        .call(control => control.openPartitions(specs))
        .catch((error: Error) => specs.map(({ slot }) => notOpened(slot, error.message)))
      // It died over this: its exit has opened them again, unless it was the last time.
      if (results === null && owner.alive) return
      for (const [i, hosted] of part.entries()) {
        const down = notOpened(hosted.partition.slot, `owner thread ${ownerIndex} is down`)
        if (isCurrent(hosted)) this.#settle(hosted.partition, results?.[i] ?? down)
      }
    }
  }

  /** What a scan of a large tail found; null leaves it to the owner, also when the scan failed. */
  async #verdict(hosted: Hosted, recover: boolean): Promise<RecoveryVerdict | null> {
    const { directory, recoveryPoint, partition } = hosted
    if (!recover) return null
    const { scans, log } = this.#options
    return await scans.scan(directory, recoveryPoint).catch((error: unknown) => {
      const name = partitionDirectoryName(partition.topic, partition.index)
      log.warn({ err: error, partition: name }, 'scan failed: the owner thread scans by itself')
      return null
    })
  }

  #spec(hosted: Hosted, recover: boolean, verdict: RecoveryVerdict | null): PartitionSpec {
    const { partition, topicId, directory, config, recoveryPoint } = hosted
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
    if (this.#closing) return
    const mine = [...this.#hosted.values()].filter(
      ({ partition }) => partition.ownerIndex === owner.index && partition.state !== 'closed',
    )
    const nowMs = clock.monotonicMs()
    owner.crashes = owner.crashes.filter(atMs => nowMs - atMs < crashWindowMs)
    owner.crashes.push(nowMs)
    const givenUp = owner.crashes.length >= crashesMax
    const reason = error === null ? 'it exited' : error.message
    log.error(
      { owner: owner.index, partitions: mine.length, err: error },
      givenUp
        ? `owner thread died ${crashesMax} times in a minute (${reason}): its partitions stay offline until a restart`
        : `owner thread died (${reason}): recovering its partitions`,
    )
    for (const hosted of mine) {
      this.#noteFlushedEnd(hosted)
      this.#fence(hosted.partition, givenUp ? 'offline' : 'opening')
    }
    if (givenUp) return
    metrics.add(Metric.ownerRestarts, 1)
    this.#restart(owner, mine)
  }

  #restart(owner: Owner, mine: readonly Hosted[]): void {
    try {
      owner.start(error => this.#ownerExited(owner, error))
    } catch (error) {
      this.#options.log.error({ err: error, owner: owner.index }, 'owner thread cannot be started')
    }
    if (mine.length > 0) void this.#openNow(owner.index, mine, true)
  }

  /** The table outlives the thread: what was flushed need not be scanned again. Under `os` nothing is proven. */
  #noteFlushedEnd(hosted: Hosted): void {
    const { slot, generation } = hosted.partition
    if (hosted.config.flushPolicy === 'os') return
    if (!this.#options.dispatcher.offsets.read(slot, generation, view)) return
    hosted.recoveryPoint = view.highWatermark
  }
}

function notOpened(slot: number, error: string): OpenedPartition {
  const offsets = { logStartOffset: 0, logEndOffset: 0 }
  return { slot, error, ...offsets, recoveredBytes: 0, truncatedBytes: 0 }
}
