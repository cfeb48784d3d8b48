/**
 * Topics, configs and groups as HTTP changes them: plain values in, plain values out, so that they may live elsewhere
 * later. What is refused rejects with a KafkaError: a code of `Errors`, and what is wrong and how to mend it. Today it
 * is this broker's admin service, which the wire handlers call, too.
 *
 *   admin routes ──▶ AdminBackend ──▶ LocalAdmin ──▶ AdminService, GroupCoordinator, CommittedOffsets
 */
import type {
  ConfigChange,
  ConfigEntry,
  CreatedTopic,
  CreateTopic,
} from '../../admin/admin-service.ts'
import { busy, deleteGroup, type Reset, resetOffsets } from '../../admin/group-changes.ts'
import type { Move } from '../../admin/offset-moves.ts'
import { emptyOffsetView } from '../../partitions/offset-table.ts'
import { Errors, errorName, KafkaError } from '../../protocol/errors.ts'
import type { Services } from '../../services.ts'
import type { LogBackend } from './log-backend.ts'

export type { ConfigEntry, CreatedTopic } from '../../admin/admin-service.ts'
export type { Reset } from '../../admin/group-changes.ts'
export type { Move } from '../../admin/offset-moves.ts'

export interface TopicDetails {
  readonly name: string
  readonly id: string
  readonly isInternal: boolean
  /** Those it was given; the rest are the broker's. */
  readonly configs: ReadonlyMap<string, string>
  readonly partitions: readonly PartitionDetails[]
}

export interface PartitionDetails {
  readonly index: number
  /** Node id of its leader; null while there is none. */
  readonly leader: number | null
  /** Index of the owner thread; null where that cannot be told. */
  readonly worker: number | null
  readonly state: string
  readonly logStart: number | null
  /** Of what consumers may read. */
  readonly logEnd: number | null
}

export interface AdminBackend {
  /** All topics, internal ones too, by name. */
  listTopics(): Promise<readonly TopicDetails[]>
  describeTopic(name: string): Promise<TopicDetails>
  createTopic(request: CreateTopic): Promise<CreatedTopic>
  deleteTopic(name: string): Promise<{ readonly name: string; readonly id: string }>
  /** Grows it to `count` partitions. */
  createPartitions(name: string, count: number, validateOnly: boolean): Promise<void>
  /** `names` null: all. */
  topicConfigs(name: string, names: readonly string[] | null): Promise<readonly ConfigEntry[]>
  alterTopicConfigs(name: string, change: ConfigChange, validateOnly: boolean): Promise<void>
  brokerConfigs(names: readonly string[] | null): Promise<readonly ConfigEntry[]>
  /** Makes records below `beforeOffset` (-1: all that consumers may read) unreadable. @returns the log start offset */
  deleteRecords(topic: string, partition: number, beforeOffset: number): Promise<number>
  deleteGroup(groupId: string): Promise<void>
  resetOffsets(reset: Reset): Promise<readonly Move[]>
}

const view = emptyOffsetView()

export class LocalAdmin implements AdminBackend {
  readonly #services: Services
  readonly #log: Pick<LogBackend, 'offsetForTime'>

  constructor(services: Services, log: Pick<LogBackend, 'offsetForTime'>) {
    this.#services = services
    this.#log = log
  }

  async listTopics(): Promise<readonly TopicDetails[]> {
    const names = this.#services.admin.listTopics().map(({ name }) => name)
    return names.sort().map(name => this.#describe(name))
  }

  async describeTopic(name: string): Promise<TopicDetails> {
    return this.#describe(name)
  }

  createTopic(request: CreateTopic): Promise<CreatedTopic> {
    return this.#services.admin.createTopic(request)
  }

  deleteTopic(name: string): Promise<{ readonly name: string; readonly id: string }> {
    return this.#services.admin.deleteTopic({ name })
  }

  createPartitions(name: string, count: number, validateOnly: boolean): Promise<void> {
    return this.#services.admin.createPartitions({ name, count, assignments: null, validateOnly })
  }

  async topicConfigs(name: string, names: readonly string[] | null) {
    return this.#services.admin.describeTopicConfigs(name, names)
  }

  alterTopicConfigs(name: string, change: ConfigChange, validateOnly: boolean): Promise<void> {
    return this.#services.admin.alterTopicConfigs(name, change, validateOnly)
  }

  async brokerConfigs(names: readonly string[] | null): Promise<readonly ConfigEntry[]> {
    return this.#services.admin.describeBrokerConfigs(names)
  }

  deleteRecords(topic: string, partition: number, beforeOffset: number): Promise<number> {
    return this.#services.admin.deleteRecords(topic, partition, beforeOffset)
  }

  async deleteGroup(groupId: string): Promise<void> {
    const code = await deleteGroup(groupId, this.#services)
    if (code === Errors.NONE) return
    if (code === Errors.NON_EMPTY_GROUP) throw busy(groupId, this.#services)
    const why = code === Errors.GROUP_ID_NOT_FOUND ? 'there is none of that name' : errorName(code)
    throw new KafkaError(code, `group ${JSON.stringify(groupId)} was not deleted: ${why}`)
  }

  resetOffsets(reset: Reset): Promise<readonly Move[]> {
    return resetOffsets(reset, this.#services, async (topic, partition, timeMs) => {
      const found = await this.#log.offsetForTime(topic, partition, timeMs)
      if (typeof found === 'number') return found
      throw new KafkaError(found.errorCode, found.message)
    })
  }

  #describe(name: string): TopicDetails {
    const { nodeId, offsets, topics } = this.#services
    const topic = topics.get(name)
    if (topic === undefined) {
      const what = JSON.stringify(name.slice(0, 300))
      throw new KafkaError(Errors.UNKNOWN_TOPIC_OR_PARTITION, `topic ${what} does not exist`)
    }
    const partitions = topic.partitions.map(({ index, slot, generation, ownerIndex, state }) => {
      const isKnown = offsets.read(slot, generation, view)
      return {
        index,
        leader: state === 'online' ? nodeId : null,
        worker: ownerIndex,
        state,
        logStart: isKnown ? view.logStart : null,
        logEnd: isKnown ? view.highWatermark : null,
      }
    })
    const { id, configs, log } = topic
    return { name, id, isInternal: log.isInternal, configs, partitions }
  }
}
