/**
 * An admin service over real files and a host without threads; `restart` is a crash and a new process on the same
 * files.
 */

import { AdminService, type CreateTopic } from '../../src/admin/admin-service.ts'
import { type BrokerConfig, loadConfig } from '../../src/config/config.ts'
import type { Partition } from '../../src/partitions/partition.ts'
import { KafkaError } from '../../src/protocol/errors.ts'
import { ProducerIds } from '../../src/topics/producer-ids.ts'
import { TopicRegistry } from '../../src/topics/topic-registry.ts'
import { FileTopicStore, type TopicStore } from '../../src/topics/topic-store.ts'
import { DiskPartitionHost } from './disk-partition-host.ts'

export interface AdminFixture {
  readonly dataDirectory: string
  readonly config: BrokerConfig
  readonly store: TopicStore
  readonly host: DiskPartitionHost
  readonly topics: TopicRegistry
  readonly admin: AdminService
  readonly producerIds: ProducerIds
}

export const nodeId = 3

/** Starts on whatever the directory holds. Settings as `KEY=VALUE`. */
export async function startAdmin(
  dataDirectory: string,
  set: readonly string[] = [],
  store: TopicStore = new FileTopicStore(dataDirectory),
): Promise<AdminFixture> {
  const config = loadConfig({ set })
  const host = new DiskPartitionHost(dataDirectory)
  const topics = new TopicRegistry()
  const admin = new AdminService({ config, dataDirectory, nodeId, topics, store, host })
  await admin.start()
  const producerIds = await ProducerIds.open(dataDirectory)
  return { dataDirectory, config, store, host, topics, admin, producerIds }
}

export const topicRequest = (name: string, more: Partial<CreateTopic> = {}): CreateTopic => ({
  name,
  partitions: 1,
  replicationFactor: 1,
  configs: [],
  ...more,
})

/** The code an operation is refused with, 0 when it is not. */
export async function codeOf(operation: Promise<unknown>): Promise<number> {
  try {
    await operation
    return 0
  } catch (error) {
    if (error instanceof KafkaError) return error.code
    throw error
  }
}

/** What clients can see of all topics. */
export function visible(topics: TopicRegistry): Record<string, unknown>[] {
  const states = (partitions: readonly Partition[]) =>
    partitions.map(({ topic, index, state }) => `${topic}-${index} ${state}`)
  return Array.from(topics.all(), ({ name, id, configs, partitions }) => ({
    name,
    id,
    configs: [...configs],
    partitions: states(partitions),
  }))
}
