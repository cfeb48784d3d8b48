/**
 * Groups and committed offsets, kept in the compacted topic `__consumer_offsets` as in Kafka. Dispatcher thread.
 *
 *   group id ──hash──▶ partition ──▶ GroupLogWriter ──▶ batches ──▶ owner         loadPartition ──▶ onLoaded, once each
 *
 * The topic is made by the first save. A partition takes saves once it has been read; one that could not be read at the
 * start is read when it comes back, and until then its groups are answered with a code that makes clients ask again:
 * a group that is believed to have no offsets would begin anew.
 */
import type { AdminService } from '../admin/admin-service.ts'
import type { BrokerConfig } from '../config/config.ts'
import type { Dispatcher } from '../dispatcher.ts'
import type { Logger } from '../log.ts'
import { Metric, type ThreadMetrics } from '../metrics.ts'
import type { Partition } from '../partitions/partition.ts'
import type { RecordToEncode } from '../protocol/encode-batch.ts'
import { Errors } from '../protocol/errors.ts'
import { CONSUMER_OFFSETS } from '../topics/topic-names.ts'
import type { Topic, TopicRegistry } from '../topics/topic-registry.ts'
import { type LoadedPartition, type LoadOptions, loadPartition } from './group-loader.ts'
import { GroupLogWriter, type OnDecided } from './group-log-writer.ts'
import { groupRecord, offsetRecord, partitionOfGroup } from './group-records.ts'
import { offsetsTopicConfigs } from './offsets-topic.ts'
import type { GroupSnapshot, GroupStore, LoadedGroups, OffsetRow } from './types.ts'

/** From a failure to make the topic to the next try. */
const makeAgainMs = 1000
/** Between two looks at partitions that could not be read. */
const readAgainMs = 200

export interface GroupLogOptions {
  readonly config: BrokerConfig
  readonly dispatcher: Dispatcher
  readonly topics: TopicRegistry
  readonly admin: AdminService
  readonly log: Logger
  readonly metrics: ThreadMetrics
  /** What a partition holds: before any change of its groups, once. */
  readonly onLoaded: (loaded: LoadedGroups) => void
  /** Offsets that are durable from now on, in the order of the log. */
  readonly onOffsets: (groupId: string, rows: readonly OffsetRow[]) => void
}

type OnProgress = (doneBytes: number, totalBytes: number) => void

/** One partition of the topic; without a writer it has not been read. */
interface Kept {
  readonly partition: Partition
  writer: GroupLogWriter | null
}

export class GroupLog implements GroupStore {
  readonly #options: GroupLogOptions
  #kept: Kept[] = []
  #topic: Topic | null = null
  #creating: Promise<number> | null = null
  #createAgainMs = 0
  #isLoading = false
  #isClosed = false

  constructor(options: GroupLogOptions) {
    this.#options = options
  }

  /** Reads all partitions that can be read; the others follow when they come back. */
  async load(onProgress: OnProgress = () => {}): Promise<void> {
    const topic = this.#options.topics.get(CONSUMER_OFFSETS)
    if (topic === undefined) return
    this.#topic = topic
    this.#kept = topic.partitions.map(partition => ({ partition, writer: null }))
    await this.#loadUnread(onProgress)
  }

  availability(groupId: string): number {
    if (this.#isClosed) return Errors.NOT_COORDINATOR
    const kept = this.#keptOf(groupId)
    if (kept === null || kept.writer !== null) return Errors.NONE
    const isOffline = kept.partition.state === 'offline'
    return isOffline ? Errors.NOT_COORDINATOR : Errors.COORDINATOR_LOAD_IN_PROGRESS
  }

  async saveGroup(snapshot: GroupSnapshot): Promise<number> {
    const { groupId } = snapshot
    return groupError(await this.#save(groupId, [groupRecord(groupId, snapshot)], () => {}))
  }

  async removeGroup(groupId: string): Promise<number> {
    // Nothing is kept of it as long as there is no topic.
    if (this.#topic === null && this.#creating === null) return Errors.NONE
    return groupError(await this.#save(groupId, [groupRecord(groupId, null)], () => {}))
  }

  async saveOffsets(
    groupId: string,
    rows: readonly OffsetRow[],
    onDecided: () => void,
  ): Promise<number> {
    const records = rows.map(row => offsetRecord(groupId, row))
    const { onOffsets, metrics } = this.#options
    const error = await this.#save(groupId, records, isDurable => {
      if (isDurable) onOffsets(groupId, rows)
      onDecided()
    })
    const outcome = error === Errors.NONE ? Metric.offsetsCommitted : Metric.offsetCommitErrors
    metrics.add(outcome, rows.length)
    return offsetError(error)
  }

  /** Takes nothing more, and waits for what is under way, `graceMs` at most. */
  async close(graceMs: number): Promise<void> {
    this.#isClosed = true
    const writers = this.#kept.map(({ writer }) => writer).filter(writer => writer !== null)
    await Promise.all(writers.map(writer => writer.drain(graceMs)))
  }

  #keptOf(groupId: string): Kept | null {
    if (this.#kept.length === 0) return null
    return this.#kept[partitionOfGroup(groupId, this.#kept.length)]
  }

  /** Saves of one group reach its partition in the order of the calls. */
  async #save(
    groupId: string,
    records: readonly RecordToEncode[],
    onDecided: OnDecided,
  ): Promise<number> {
    let error: number = this.#isClosed ? Errors.NOT_LEADER_OR_FOLLOWER : Errors.NONE
    if (error === Errors.NONE && this.#topic === null) error = await this.#create()
    const writer = error === Errors.NONE ? this.#keptOf(groupId)?.writer : null
    if (writer) return await writer.save(records, onDecided)
    onDecided(false)
    return error === Errors.NONE ? Errors.NOT_LEADER_OR_FOLLOWER : error
  }

  /** Makes the topic; all who need it meanwhile share the making. */
  #create(): Promise<number> {
    this.#creating ??= this.#createTopic().finally(() => {
      this.#creating = null
    })
    return this.#creating
  }

  async #createTopic(): Promise<number> {
    const { admin, config, dispatcher, log } = this.#options
    const nowMs = dispatcher.clock.monotonicMs()
    if (nowMs < this.#createAgainMs) return Errors.NOT_ENOUGH_REPLICAS
    try {
      const { offsetsPartitions } = config.groups
      const topic = await admin.ensureInternalTopic(
        CONSUMER_OFFSETS,
        offsetsPartitions,
        offsetsTopicConfigs(config),
      )
      this.#topic = topic
      this.#kept = topic.partitions.map(partition => ({
        partition,
        writer: this.#writer(partition, 0),
      }))
      return Errors.NONE
    } catch (error) {
      this.#createAgainMs = nowMs + makeAgainMs
      log.error({ err: error }, `${CONSUMER_OFFSETS} cannot be made: groups are not served`)
      return Errors.NOT_ENOUGH_REPLICAS
    }
  }

  #writer(partition: Partition, logEnd: number): GroupLogWriter {
    const { config, dispatcher } = this.#options
    const bytesMax = (): number => {
      const { batchBytesMax: topicMax, segmentBytesMax } = (this.#topic as Topic).log
      return Math.min(topicMax, segmentBytesMax, config.requestArenaBytes / 4)
    }
    const timeoutMs = config.groups.commitTimeoutMs
    return new GroupLogWriter({ dispatcher, partition, logEnd, batchBytesMax: bytesMax, timeoutMs })
  }

  async #loadUnread(onProgress: OnProgress): Promise<void> {
    if (this.#isLoading) return
    this.#isLoading = true
    const unread = this.#kept.filter(({ writer }) => writer === null)
    let doneBytes = 0
    for (const [index, kept] of unread.entries()) {
      await this.#loadOne(kept, (bytes, part) => {
        doneBytes += bytes
        // The rest is as large as what was read, for all that is known.
        onProgress(doneBytes, (doneBytes * unread.length) / (index + part))
      })
    }
    this.#isLoading = false
    const isLeft = this.#kept.some(({ writer }) => writer === null)
    if (!isLeft || this.#isClosed) return
    this.#options.dispatcher.clock.after(readAgainMs, () => void this.#loadUnread(() => {}))
  }

  async #loadOne(kept: Kept, onProgress: LoadOptions['onProgress']): Promise<void> {
    const { dispatcher, log, onLoaded } = this.#options
    const { partition } = kept
    if (partition.state !== 'online' || this.#isClosed) return
    const name = `${partition.topic}-${partition.index}`
    const onLost = (first: number, next: number): void => {
      const range = `records ${first} to ${next - 1} of ${name} are rotten`
      log.error(`${range}: groups that committed there go on from an earlier commit`)
    }
    const isOwn = (groupId: string): boolean => this.#keptOf(groupId) === kept
    const loaded = await loadPartition({ dispatcher, partition, isOwn, onLost, onProgress })
    if (loaded === null) return
    this.#report(name, loaded)
    kept.writer = this.#writer(partition, loaded.logEnd)
    onLoaded(loaded.content)
  }

  #report(name: string, { content }: LoadedPartition): void {
    const { log } = this.#options
    const { unreadCount, pendingCount, otherCount, strayCount } = content
    if (strayCount > 0)
      log.error(`${strayCount} records of ${name} are of groups that belong elsewhere, passed over`)
    if (unreadCount > 0) log.error(`${unreadCount} records of ${name} cannot be read, passed over`)
    if (pendingCount > 0)
      log.warn(`${pendingCount} offsets in ${name} are of transactions that never ended, left out`)
    if (otherCount > 0)
      log.info(`${otherCount} records of ${name} are of a kind not known here, left out`)
  }
}

/** What an append that failed means to whoever talks to a coordinator, as Kafka translates it. */
function coordinatorError(errorCode: number): number {
  switch (errorCode) {
    case Errors.UNKNOWN_TOPIC_OR_PARTITION:
    case Errors.NOT_ENOUGH_REPLICAS:
    case Errors.REQUEST_TIMED_OUT:
      return Errors.COORDINATOR_NOT_AVAILABLE
    case Errors.NOT_LEADER_OR_FOLLOWER:
    case Errors.KAFKA_STORAGE_ERROR:
      return Errors.NOT_COORDINATOR
    default:
      return errorCode
  }
}

const isTooLarge = (errorCode: number): boolean =>
  errorCode === Errors.MESSAGE_TOO_LARGE || errorCode === Errors.RECORD_LIST_TOO_LARGE

function offsetError(errorCode: number): number {
  return isTooLarge(errorCode) ? Errors.INVALID_COMMIT_OFFSET_SIZE : coordinatorError(errorCode)
}

function groupError(errorCode: number): number {
  return isTooLarge(errorCode) ? Errors.UNKNOWN_SERVER_ERROR : coordinatorError(errorCode)
}
