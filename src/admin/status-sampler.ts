/**
 * Tells how the broker is doing. Nothing is sampled unless somebody asks, and then at most about once a second, however
 * many ask: rates are differences of counters and offsets that are there anyway. Dispatcher thread.
 *
 *   look ──── 1 s ──── look ──── 1 s ──── look        rates = (counters now - counters at the look before) / time
 *                        └ all who ask until the next look get the same answer
 */
import type { Clock } from '../contracts/clock.ts'
import { bucketSeconds, Metric, MetricsReader } from '../metrics.ts'
import { apiNames } from '../metrics-table.ts'
import type { Hosted } from '../partitions/hosted.ts'
import { emptyOffsetView, PartitionState } from '../partitions/offset-table.ts'
import type { Owner } from '../partitions/owner.ts'
import type { Partition } from '../partitions/partition.ts'
import type { Traffic } from '../partitions/traffic.ts'
import type { Services } from '../services.ts'
import type { Topic } from '../topics/topic-registry.ts'
import { groupLags, listGroups } from './group-views.ts'
import { SizeCache } from './size-cache.ts'
import type {
  GroupStatus,
  PartitionStatus,
  Rates,
  Status,
  TopicStatus,
  WorkerStatus,
} from './status.ts'

/** Those who ask once a second do not always come a whole second later. */
const lookMs = 900
/** Rates over a longer time say nothing about now. */
const rateMsMax = 10_000
const groupsMax = 1000

export interface StatusSources {
  readonly services: Services
  readonly owners: readonly Owner[]
  /** All partitions but those that are being deleted. */
  readonly hosted: () => Iterable<Hosted>
  /** Why it takes no records; null when it does. */
  readonly whyUnavailable: (hosted: Hosted) => string | null
  readonly kafkaConnections: () => number
  readonly clock: Clock
}

interface ThreadCounters {
  readonly threadId: number
  readonly activeMs: number
  readonly flushes: number
  readonly flushSeconds: number
}

interface Look {
  readonly atMs: number
  /** Log ends; -1 for a log that is not open. */
  readonly ends: ReadonlyMap<Partition, number>
  /** Copies of the counters of all slots. */
  readonly traffic: Pick<Traffic, 'bytesIn' | 'recordsOut' | 'bytesOut'>
  readonly owners: readonly ThreadCounters[]
  readonly dispatcherActiveMs: number
  readonly kafkaRequests: number
  readonly httpRequests: number
}

const view = emptyOffsetView()

export class StatusSampler {
  readonly #sources: StatusSources
  readonly #metrics: MetricsReader
  readonly #sizes: SizeCache
  readonly #startedMs: number
  #last: Look | null = null
  #status: Promise<Status> | null = null

  constructor(sources: StatusSources) {
    this.#sources = sources
    this.#metrics = new MetricsReader(sources.services.metrics.memory)
    this.#sizes = new SizeCache(sources.services.logDirectory, sources.clock)
    this.#startedMs = sources.clock.monotonicMs()
  }

  /** The same object for all who ask within about a second. */
  status(): Promise<Status> {
    const nowMs = this.#sources.clock.monotonicMs()
    if (this.#status !== null && this.#last !== null && nowMs - this.#last.atMs < lookMs) {
      return this.#status
    }
    const before = this.#last
    const now = this.#look(nowMs)
    this.#last = now
    this.#status = this.#tell(before, now)
    // One that failed is not told twice.
    this.#status.catch(() => {
      this.#status = null
    })
    return this.#status
  }

  #look(atMs: number): Look {
    const { owners, services } = this.#sources
    const { bytesIn, recordsOut, bytesOut } = services.dispatcher.traffic
    const ends = new Map<Partition, number>()
    for (const { partition } of this.#sources.hosted()) {
      const { slot, generation } = partition
      ends.set(partition, services.offsets.read(slot, generation, view) ? view.logEnd : -1)
    }
    return {
      atMs,
      ends,
      traffic: {
        bytesIn: bytesIn.slice(),
        recordsOut: recordsOut.slice(),
        bytesOut: bytesOut.slice(),
      },
      owners: owners.map(owner => this.#threadCounters(owner)),
      dispatcherActiveMs: performance.eventLoopUtilization().active,
      kafkaRequests: this.#total(Metric.requests, apiNames.length + 1),
      httpRequests: this.#total(Metric.httpRequests, 4),
    }
  }

  #threadCounters(owner: Owner): ThreadCounters {
    const flushSum = Metric.flushSeconds + bucketSeconds.length + 1
    return {
      threadId: owner.threadId,
      activeMs: owner.signs()?.activeMs ?? 0,
      flushes: this.#metrics.of(owner.index + 1, Metric.flushes),
      flushSeconds: this.#metrics.of(owner.index + 1, flushSum),
    }
  }

  #total(firstId: number, labels: number): number {
    let sum = 0
    for (let id = firstId; id < firstId + labels; id++) sum += this.#metrics.total(id)
    return sum
  }

  async #tell(last: Look | null, now: Look): Promise<Status> {
    const { services, clock, kafkaConnections } = this.#sources
    // What stood still has no bearing on what is.
    const before = last !== null && now.atMs - last.atMs <= rateMsMax ? last : null
    const [sizes, disk] = await Promise.all([
      this.#sizes.of(now.ends.keys()),
      services.logDirectory.diskSize().catch(() => null),
    ])
    const rates = ratesOf(before, now)
    const shown = this.#partitions(rates, sizes)
    const topics = services.admin.listTopics().map(topic => topicStatus(topic, shown))
    const perSecond = (count: (look: Look) => number): number | null =>
      before && ((count(now) - count(before)) * 1000) / (now.atMs - before.atMs)
    const groups = this.#groups()
    return {
      wallMs: clock.wallMs(),
      uptimeMs: now.atMs - this.#startedMs,
      ratesOverMs: before && now.atMs - before.atMs,
      rates: before && sum([...rates.values()]),
      kafkaRequestsPerSecond: perSecond(({ kafkaRequests }) => kafkaRequests),
      httpRequestsPerSecond: perSecond(({ httpRequests }) => httpRequests),
      kafkaConnections: kafkaConnections(),
      unflushedRecords: this.#metrics.total(Metric.ackedUnflushedRecords),
      diskFreeBytes: disk?.usableBytes ?? null,
      diskTotalBytes: disk?.totalBytes ?? null,
      dispatcherLoad: share(perSecond(({ dispatcherActiveMs }) => dispatcherActiveMs)),
      workerRestarts: this.#metrics.total(Metric.ownerRestarts),
      workers: this.#workers(before, now, rates),
      topics: topics.sort(byName),
      groupCount: groups.length,
      groups: groups.slice(0, groupsMax),
    }
  }

  #partitions(
    rates: ReadonlyMap<Partition, Rates>,
    sizes: ReadonlyMap<Partition, number>,
  ): Map<Partition, PartitionStatus> {
    const { services, hosted, whyUnavailable } = this.#sources
    const shown = new Map<Partition, PartitionStatus>()
    for (const one of hosted()) {
      const { partition } = one
      const isKnown = services.offsets.read(partition.slot, partition.generation, view)
      const { state, logStart, highWatermark } = view
      shown.set(partition, {
        index: partition.index,
        worker: partition.ownerIndex,
        state: isKnown ? stateOf(partition, state) : unknownState(partition),
        logStart: isKnown ? logStart : null,
        logEnd: isKnown ? highWatermark : null,
        reason: whyUnavailable(one),
        sizeBytes: sizes.get(partition) ?? null,
        rates: rates.get(partition) ?? null,
      })
    }
    return shown
  }

  #workers(before: Look | null, now: Look, rates: ReadonlyMap<Partition, Rates>): WorkerStatus[] {
    const byOwner = Map.groupBy(now.ends.keys(), ({ ownerIndex }) => ownerIndex)
    return this.#sources.owners.map(({ index, alive }) => {
      const partitions = byOwner.get(index) ?? []
      const after = now.owners[index]
      const first = before?.owners[index]
      const seconds = before === null ? 0 : (now.atMs - before.atMs) / 1000
      const isSame = first !== undefined && first.threadId === after.threadId && alive
      const flushes = first === undefined ? 0 : after.flushes - first.flushes
      const flushSeconds = first === undefined ? 0 : after.flushSeconds - first.flushSeconds
      return {
        index,
        isUp: alive,
        partitions: partitions.length,
        load: isSame ? share((after.activeMs - first.activeMs) / seconds) : null,
        rates: before && sum(partitions.flatMap(partition => rates.get(partition) ?? [])),
        flushesPerSecond: before && flushes / seconds,
        flushMeanMs: flushes > 0 ? (flushSeconds * 1000) / flushes : null,
      }
    })
  }

  #groups(): GroupStatus[] {
    const { services } = this.#sources
    const lags = new Map(groupLags(services))
    return listGroups(services).map(({ groupId, state, members }) => ({
      groupId,
      state,
      members,
      lag: lags.get(groupId) ?? null,
    }))
  }
}

function ratesOf(before: Look | null, now: Look): Map<Partition, Rates> {
  const rates = new Map<Partition, Rates>()
  if (before === null) return rates
  const perSecond = 1000 / (now.atMs - before.atMs)
  for (const [partition, end] of now.ends) {
    const { slot } = partition
    // One that is new began at zero; whoever had its slot before is not told of any more.
    const first = before.ends.get(partition) ?? 0
    // A log that was cut, or is open again, has not been written to backwards.
    const records = first < 0 ? 0 : Math.max(0, end - first)
    const grown = (counter: keyof Look['traffic']): number =>
      (now.traffic[counter][slot] - before.traffic[counter][slot]) * perSecond
    rates.set(partition, {
      recordsIn: records * perSecond,
      bytesIn: grown('bytesIn'),
      recordsOut: grown('recordsOut'),
      bytesOut: grown('bytesOut'),
    })
  }
  return rates
}

const none: Rates = { recordsIn: 0, bytesIn: 0, recordsOut: 0, bytesOut: 0 }

function sum(all: readonly Rates[]): Rates {
  const total = { ...none }
  for (const { recordsIn, bytesIn, recordsOut, bytesOut } of all) {
    total.recordsIn += recordsIn
    total.bytesIn += bytesIn
    total.recordsOut += recordsOut
    total.bytesOut += bytesOut
  }
  return total
}

function topicStatus(topic: Topic, shown: ReadonlyMap<Partition, PartitionStatus>): TopicStatus {
  const partitions = topic.partitions.flatMap(partition => shown.get(partition) ?? [])
  const sizes = partitions.flatMap(({ sizeBytes }) => sizeBytes ?? [])
  const rates = partitions.flatMap(partition => partition.rates ?? [])
  return {
    name: topic.name,
    id: topic.id,
    isInternal: topic.log.isInternal,
    records: partitions.reduce((all, one) => all + (one.logEnd ?? 0) - (one.logStart ?? 0), 0),
    sizeBytes: sizes.length === 0 ? null : sizes.reduce((all, one) => all + one, 0),
    rates: rates.length === 0 ? null : sum(rates),
    partitions,
  }
}

function stateOf(partition: Partition, state: number): PartitionStatus['state'] {
  if (state === PartitionState.offline) return 'offline'
  if (state === PartitionState.readOnly) return 'read-only'
  return unknownState(partition)
}

const unknownState = ({ state }: Partition): PartitionStatus['state'] =>
  state === 'closed' ? 'opening' : state

/** From active milliseconds a second. */
const share = (activeMs: number | null): number | null =>
  activeMs === null ? null : Math.min(1, Math.max(0, activeMs / 1000))

const byName = (a: TopicStatus, b: TopicStatus): number => (a.name < b.name ? -1 : 1)
