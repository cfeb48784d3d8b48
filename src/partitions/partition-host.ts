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
import type { LogFailure, OpenedPartition, OwnerHost, PartitionSpec } from '../contracts/control.ts'
import { type FlushedEnd, flushedEndKey } from '../contracts/flushed-ends.ts'
import type { LogConfig } from '../contracts/log-config.ts'
import type { Dispatcher } from '../dispatcher.ts'
import type { Logger } from '../log.ts'
import { Metric, type ThreadMetrics } from '../metrics.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import { partitionDirectoryName } from '../topics/topic-names.ts'
import { type BringBackPort, bringBack } from './bring-back.ts'
import { deleteLogs } from './delete-logs.ts'
import { DiskNotices } from './disk-notices.ts'
import {
  type Hosted,
  isOnline,
  newHosted,
  noteFlushed,
  noteRecovered,
  noteSeen,
  notOpened,
  tellConfig,
  triesEnded,
  warnIfUnflushed,
} from './hosted.ts'
import { Journals } from './journals.ts'
import { LogOpener } from './log-opener.ts'
import { OfflinePartitions } from './offline-partitions.ts'
import { emptyOffsetView, PartitionState } from './offset-table.ts'
import { Owner, type OwnerThreadOptions, type SharedMemory } from './owner.ts'
import type { OwnerTasks } from './owner-tasks.ts'
import type { DeletedRecords, Partition, PartitionHost, TopicPlaces } from './partition.ts'
import { PartitionMap } from './partition-map.ts'
import type { RecoveryCheckpoint } from './recovery-checkpoint.ts'
import type { RecoveryScans } from './recovery-scans.ts'

/** In a minute. */
const crashesMax = 5

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
  /** From a partition's failure to the automatic try to bring it back; default 5 s. */
  readonly retryMs?: number
}

const view = emptyOffsetView()

export class ThreadedPartitionHost implements PartitionHost {
  readonly owners: Owner[] = []
  readonly offline: OfflinePartitions
  readonly #disk: DiskNotices
  readonly #options: HostOptions
  readonly #map: PartitionMap
  readonly #hosted = new Map<number, Hosted>()
  readonly #freeSlots: number[] = []
  #slotCount = 0
  readonly #bringBackPort: BringBackPort
  /** As the last process noted them; empty once all of its logs are open. */
  #noted = new Map<string, FlushedEnd>()
  #closing = false
  readonly #opener: LogOpener
  readonly #journals: Journals

  constructor(options: HostOptions) {
    this.#options = options
    this.#map = new PartitionMap(options.ownerCount)
    this.#disk = new DiskNotices(options.log)
    this.offline = new OfflinePartitions({
      ...options,
      recover: hosted => this.recover(hosted.partition),
      stopAll: reason => this.#stopAll(reason),
    })
    const { journalBytes } = options.memory.settings
    const isWhole = (index: number): boolean => this.#hostedBy(index).every(isOnline)
    this.#journals = new Journals({ ...options, owners: this.owners, journalBytes, isWhole })
    this.#opener = new LogOpener(options.ownerCount, {
      owners: this.owners,
      scans: options.scans,
      log: options.log,
      isJournaled: this.#journals.isEnabled,
      refusal: () => this.offline.directoryReason,
      refusalOf: ({ directory }) => this.#journals.refusalOf(directory),
      settle: (hosted, result, config) => this.#settle(hosted, result, config),
    })
    this.#bringBackPort = {
      owners: this.owners,
      offline: this.offline,
      offsets: options.dispatcher.offsets,
      log: options.log,
      specFor: async hosted => {
        const spec = await this.#opener.spec(hosted, { recover: true, copyForward: true })
        return { ...spec, generation: this.#nextGeneration() }
      },
      isOver: ({ partition }) => this.#closing || partition.state === 'closed',
      opened: (hosted, spec, result) => this.#broughtBack(hosted, spec, result),
    }
    for (let index = 0; index < options.ownerCount; index++) {
      const owner = new Owner(index, options.memory, this.#hostOf.bind(this), options.ownerThreads)
      this.owners.push(owner)
      options.dispatcher.addOwner(owner)
      owner.start(error => this.#ownerExited(owner, error))
    }
  }

  /** How the last process left the directory; decides whether logs opened from now on are scanned. */
  async prepare(clean: boolean): Promise<void> {
    this.#opener.recovers = !clean
    this.#noted = new Map(await this.#options.checkpoint.load())
  }

  async replayJournals(topics: readonly TopicPlaces[]): Promise<void> {
    await this.#journals.replay(!this.#opener.recovers, topics, this.#noted)
  }

  /** After all logs of the last process are open: new ones are empty, there is nothing to recover. */
  opened(): void {
    this.#journals.opened()
    this.#opener.recovers = false
    this.#noted.clear()
    this.#options.scans.endProgress()
    this.#options.tasks.open()
  }

  get partitionCount(): number {
    return this.#hosted.size
  }

  /** All but those that are being deleted. */
  *hosted(): Generator<Hosted> {
    for (const hosted of this.#hosted.values()) {
      if (hosted.partition.state !== 'closed') yield hosted
    }
  }

  *partitions(): Generator<Partition> {
    for (const { partition } of this.hosted()) yield partition
  }

  async open(
    topic: { readonly name: string; readonly id: string; readonly config: LogConfig },
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
    warnIfUnflushed(this.#options.log, topic.name, topic.config)
    const opened: Hosted[] = []
    for (let index = from; index < to; index++) {
      opened.push(this.#host(topic, index))
    }
    await Promise.all(opened.map(hosted => this.#opener.open(hosted)))
    return opened.map(({ partition }) => partition)
  }

  /** Rejects when not all directories could be removed; none of the partitions is there any more in either case. */
  async delete(partitions: readonly Partition[]): Promise<void> {
    const doomed = partitions.map(({ slot }) => this.#hosted.get(slot) as Hosted)
    for (const partition of partitions) this.#fence(partition, 'closed')
    for (const hosted of doomed) {
      this.offline.forget(hosted)
      this.#journals.forget(hosted.directory)
    }
    await triesEnded(doomed)
    const byOwner = Map.groupBy(doomed, ({ partition }) => partition.ownerIndex)
    const deletions = [...byOwner].map(([index, group]) => deleteLogs(this.owners[index], group))
    const results = await Promise.allSettled(deletions)
    for (const { slot, generation, ownerIndex } of partitions) {
      this.#hosted.delete(slot)
      this.#journals.settled(ownerIndex)
      this.#options.dispatcher.offsets.reset(slot, generation)
      this.#freeSlots.push(slot)
    }
    const [first] = partitions
    if (first !== undefined) this.#map.remove(first.topic)
    const failed = results.find(result => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    // Kafka's tools must not find the log starts of this one in a topic made anew under its name.
    await this.saveCheckpoint()
  }

  async applyConfig(partitions: readonly Partition[], config: LogConfig): Promise<void> {
    const [first] = partitions
    if (first !== undefined) warnIfUnflushed(this.#options.log, first.topic, config)
    const hosted = partitions.map(({ slot }) => this.#hosted.get(slot)).filter(one => !!one)
    // All of them first: an owner that dies meanwhile reopens its logs with the new config.
    for (const one of hosted) one.config = config
    await Promise.all(hosted.map(one => this.#tellConfig(one)))
  }

  #tellConfig(hosted: Hosted): Promise<void> {
    const owner = this.owners[hosted.partition.ownerIndex]
    return tellConfig(hosted, owner, this.#options.dispatcher.offsets)
  }

  /** What became of it is unknown when the owner dies over it: the log start is where the log says after that. */
  async deleteRecords(partition: Partition, beforeOffset: number): Promise<DeletedRecords> {
    const refused = (error: number): DeletedRecords => ({ error, logStartOffset: -1 })
    const { slot, generation, state } = partition
    if (state === 'offline') return refused(Errors.KAFKA_STORAGE_ERROR)
    if (state !== 'online') return refused(Errors.NOT_LEADER_OR_FOLLOWER)
    const owner = this.owners[partition.ownerIndex] as Owner
    const done = await owner.call(control => control.deleteRecords(slot, generation, beforeOffset))
    return done ?? refused(Errors.NOT_LEADER_OR_FOLLOWER)
  }

  /** Flushed ends as of now, for the next start after a crash. */
  saveCheckpoint(): Promise<void> {
    const points = []
    for (const hosted of this.#hosted.values()) {
      const { partition } = hosted
      noteSeen(hosted, this.#options.dispatcher.offsets)
      if (partition.state === 'closed') continue
      const { topic, index } = partition
      const { topicId, recoveryPoint: flushedEnd, logStart } = hosted
      points.push({ topic, topicId, partition: index, flushedEnd, logStart })
    }
    return this.#options.checkpoint.save(points)
  }

  /** Flushes and closes every log and ends the threads. True when everything is proven on disk. */
  async close(): Promise<boolean> {
    this.#closing = true
    this.offline.stop()
    const areOnline = this.offline.count === 0 && [...this.#hosted.values()].every(isOnline)
    await triesEnded(this.#hosted.values())
    const results = await Promise.all(
      this.owners.map(owner => owner.call(control => control.shutdown()).catch(() => false)),
    )
    await Promise.all(this.owners.map(owner => owner.terminate()))
    return areOnline && results.every(Boolean)
  }

  /**
   * Brings a partition back that is offline: its log is opened anew, with what is not proven copied into new files.
   * Resolves to what it became, online or why not; one that is online already is left alone. Never rejects.
   */
  recover(partition: Partition): Promise<OpenedPartition> {
    const hosted = this.#hosted.get(partition.slot)
    const isThere = hosted?.partition === partition
    const refusal = isThere ? this.#journals.refusalOf(hosted.directory) : 'it was deleted'
    if (!isThere || refusal !== null)
      return Promise.resolve(notOpened(partition.slot, refusal ?? ''))
    return bringBack(hosted, this.#bringBackPort)
  }

  #broughtBack(hosted: Hosted, spec: PartitionSpec, result: OpenedPartition): void {
    hosted.partition.generation = spec.generation
    this.#settle(hosted, result, spec.config)
    // Those that wait for the log of before look again.
    this.#options.dispatcher.purgatory.failed(spec.slot, Errors.NOT_LEADER_OR_FOLLOWER)
  }

  /** What one incarnation of an owner may ask and tell. */
  #hostOf(ownerIndex: number, signal: AbortSignal): OwnerHost {
    return {
      ...this.#options.tasks.runnerFor(signal),
      partitionFailed: async (slot, generation, failure) =>
        this.#logFailed(slot, generation, failure),
      diskFull: async (isFull, freeBytes) => this.#disk.changed(ownerIndex, isFull, freeBytes),
    }
  }

  #logFailed(slot: number, generation: number, failure: LogFailure): void {
    const hosted = this.#hosted.get(slot)
    if (hosted === undefined || hosted.partition.state === 'closed' || this.#closing) return
    // A log that was just opened may fail before its opening is known here.
    if (generation < hosted.partition.generation) return
    hosted.failedGeneration = generation
    noteFlushed(hosted, failure.recoveryPoint)
    this.offline.failed(hosted, failure)
  }

  #stopAll(reason: string): void {
    for (const owner of this.owners) {
      // One that dies over it leaves its partitions offline.
      void owner.call(control => control.takeOffline(reason)).catch(() => null)
    }
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
    const directory = join(this.#options.dataDirectory, name)
    const noted = this.#noted.get(flushedEndKey(topic.id, index))
    const hosted = newHosted(partition, topic, directory, noted)
    this.#hosted.set(slot, hosted)
    return hosted
  }

  #generation = 0
  #nextGeneration(): number {
    this.#generation = (this.#generation + 1) & 0x7fff_ffff
    return this.#generation
  }

  #settle(hosted: Hosted, result: OpenedPartition, config: LogConfig): void {
    hosted.partition.state = result.error === null ? 'online' : 'offline'
    if (result.error !== null) {
      this.offline.notOpened(hosted, result.error)
      return
    }
    this.#journals.settled(hosted.partition.ownerIndex)
    hosted.unflushedBelow = config.flushPolicy === 'os' ? Number.POSITIVE_INFINITY : -1
    if (hosted.failedGeneration !== hosted.partition.generation) this.offline.recovered(hosted)
    noteRecovered(hosted, result, this.#options)
    // It was changed while the log was being opened. An owner that dies over it opens the log once more.
    if (config !== hosted.config) void this.#tellConfig(hosted).catch(() => {})
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
    this.#disk.forget(owner.index)
    if (this.#closing) return
    const mine = this.#hostedBy(owner.index)
    const givenUp = owner.noteCrash(clock.monotonicMs()) >= crashesMax
    const reason = error === null ? 'it exited' : error.message
    const what = givenUp
      ? `owner thread died ${crashesMax} times in a minute (${reason}): its partitions stay offline until a restart`
      : `owner thread died (${reason}): recovering its partitions`
    log.error({ owner: owner.index, partitions: mine.length, err: error }, what)
    const lost: Hosted[] = []
    for (const hosted of mine) {
      noteSeen(hosted, dispatcher.offsets)
      const isOffline = givenUp || this.#hasFailed(hosted)
      this.#fence(hosted.partition, isOffline ? 'offline' : 'opening')
      if (givenUp) this.offline.stillOffline(hosted, `owner thread ${owner.index} is down`)
      if (!isOffline) lost.push(hosted)
    }
    this.#journals.ownerDied(owner.index)
    if (givenUp) return
    metrics.add(Metric.ownerRestarts, 1)
    this.#restart(owner, lost)
  }

  #restart(owner: Owner, mine: readonly Hosted[]): void {
    try {
      owner.start(error => this.#ownerExited(owner, error))
    } catch (error) {
      this.#options.log.error({ err: error, owner: owner.index }, 'owner thread cannot be started')
    }
    void this.#opener.openNow(owner.index, mine, true)
  }

  #hostedBy(index: number): Hosted[] {
    return [...this.hosted()].filter(({ partition }) => partition.ownerIndex === index)
  }

  /** A log that failed is not simply opened again by the next thread: its tail is not believed. */
  #hasFailed(hosted: Hosted): boolean {
    const { slot, generation, state } = hosted.partition
    if (state === 'offline' || this.offline.reasonOf(hosted) !== null) return true
    const { offsets } = this.#options.dispatcher
    if (!offsets.read(slot, generation, view) || view.state !== PartitionState.offline) return false
    // Its owner died before it could say so.
    const reason = 'its log had failed when its owner thread died'
    const { recoveryPoint } = hosted
    this.#logFailed(slot, generation, { reason, isDiskFailure: true, recoveryPoint })
    return true
  }
}
