/** A partition and what it takes to open it again: what partition-host.ts keeps of each. Dispatcher thread. */
import type { OpenedPartition, PartitionPlace } from '../contracts/control.ts'
import type { FlushedEnd } from '../contracts/flushed-ends.ts'
import type { LogConfig } from '../contracts/log-config.ts'
import type { Logger } from '../log.ts'
import { Metric, type ThreadMetrics } from '../metrics.ts'
import { partitionDirectoryName } from '../topics/topic-names.ts'
import { emptyOffsetView, type OffsetTable } from './offset-table.ts'
import type { Owner } from './owner.ts'
import type { Partition } from './partition.ts'

const view = emptyOffsetView()

export interface Hosted {
  readonly partition: Partition
  readonly topicId: string
  readonly directory: string
  config: LogConfig
  /** Flushed, as this process knows or the last one noted: bad bytes below are rot. */
  recoveryPoint: number
  /** Flushed by this process: no recovery may end below. -1 before the first open. */
  flushedOffset: number
  /** A high watermark up to here says nothing about the disk: it was moved under flush.policy `os`. */
  unflushedBelow: number
  /** As last seen, or as the last process noted it. */
  logStart: number
  /** The try to bring it back that is under way. */
  recovery: Promise<OpenedPartition> | null
  /** Generation of a log that failed; -1 when none has. */
  failedGeneration: number
}

/** As in Kafka's directory names and all our messages: `clicks-0`. */
export function nameOf({ partition }: Hosted): string {
  return partitionDirectoryName(partition.topic, partition.index)
}

export function isOnline({ partition }: Hosted): boolean {
  return partition.state === 'online'
}

export function placeOf({ partition, topicId, directory }: Hosted): PartitionPlace {
  const { topic, index, slot } = partition
  return { topic, topicId, partition: index, slot, directory }
}

export function notOpened(slot: number, error: string): OpenedPartition {
  const offsets = { logStartOffset: 0, logEndOffset: 0 }
  return { slot, error, ...offsets, recoveredBytes: 0, truncatedBytes: 0 }
}

/** This process has seen everything below `offset` flushed. */
export function noteFlushed(hosted: Hosted, offset: number): void {
  hosted.recoveryPoint = offset
  hosted.flushedOffset = offset
}

/** As the offset table knows it. The table outlives the owner: what was flushed need not be scanned again. */
export function noteSeen(hosted: Hosted, offsets: OffsetTable): void {
  const { slot, generation } = hosted.partition
  if (!offsets.read(slot, generation, view)) return
  hosted.logStart = view.logStart
  if (view.highWatermark > hosted.unflushedBelow) noteFlushed(hosted, view.highWatermark)
}

/** Resolves when nobody tries any more to bring one of them back. */
export async function triesEnded(all: Iterable<Hosted>): Promise<void> {
  for (const { recovery } of all) await recovery
}

/** A partition that is about to be opened for the first time in this process. */
export function newHosted(
  partition: Partition,
  topic: { readonly id: string; readonly config: LogConfig },
  directory: string,
  noted: FlushedEnd | undefined,
): Hosted {
  const unflushedBelow = Number.POSITIVE_INFINITY
  const { flushedEnd: recoveryPoint, logStart } = noted ?? { flushedEnd: 0, logStart: 0 }
  const offsets = { recoveryPoint, flushedOffset: -1, unflushedBelow, logStart }
  const rest = { recovery: null, failedGeneration: -1 }
  return { partition, topicId: topic.id, directory, config: topic.config, ...offsets, ...rest }
}

/** What an acknowledgement of this topic means is less than people expect. */
export function warnIfUnflushed(log: Logger, topic: string, config: LogConfig): void {
  if (config.flushPolicy !== 'os') return
  log.warn({ topic }, 'flush.policy is os: acknowledged records may be lost when the machine stops')
}

/** Brings the log's config to its owner, and notes from where on a high watermark speaks of the disk. */
export async function tellConfig(
  hosted: Hosted,
  owner: Owner,
  offsets: OffsetTable,
): Promise<void> {
  const { config } = hosted
  const { slot, generation } = hosted.partition
  if (config.flushPolicy === 'os') hosted.unflushedBelow = Number.POSITIVE_INFINITY
  await owner.call(control => control.applyConfig(slot, config))
  if (config.flushPolicy === 'os' || hosted.unflushedBelow < Number.POSITIVE_INFINITY) return
  if (offsets.read(slot, generation, view)) hosted.unflushedBelow = view.highWatermark
}

/** What opening a log has found, for people. */
export function noteRecovered(
  hosted: Hosted,
  { recoveredBytes, truncatedBytes, logEndOffset }: OpenedPartition,
  { log, metrics }: { readonly log: Logger; readonly metrics: ThreadMetrics },
): void {
  metrics.add(Metric.recoveredBytes, recoveredBytes)
  metrics.add(Metric.truncatedBytes, truncatedBytes)
  if (truncatedBytes === 0) return
  const fields = { partition: nameOf(hosted), truncatedBytes, logEndOffset }
  log.warn(fields, 'a torn tail was cut and saved beside the log')
}
