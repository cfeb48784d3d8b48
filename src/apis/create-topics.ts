/**
 * CreateTopics 0-7: one row per topic, each on its own. Dispatcher thread. -1 partitions or replicas
 * mean the default in every version (kafkajs sends them in v3). The time-out of the request is not
 * used: a creation takes a few milliseconds and is answered when it is durable.
 */
import type { ConfigEntry, CreatedTopic } from '../admin/admin-service.ts'
import { zeroUuid } from '../protocol/bytes.ts'
import { Errors } from '../protocol/errors.ts'
import { CreateTopics } from '../protocol/messages/create-topics.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'
import { duplicates, invalidRequest, type RowError, rowError, shown } from './row-errors.ts'

type CreateTopicsRequest = RequestOf<typeof CreateTopics>
type CreateTopicsResponse = ResponseOf<typeof CreateTopics>
type Asked = CreateTopicsRequest['topics'][number]
type TopicRow = CreateTopicsResponse['topics'][number]

export const createTopics: ApiRow<CreateTopicsRequest, CreateTopicsResponse> = {
  schema: CreateTopics,
  resource: 'cluster',
  operation: 'create',
  async handle({ topics, validateOnly }, _call, services) {
    const twice = duplicates(topics.map(({ name }) => name))
    const rows = [...twice].map(name =>
      errorRow(name, invalidRequest(`Topic ${shown(name)} is named twice in the request`)),
    )
    const created = await Promise.all(
      topics
        .filter(({ name }) => !twice.has(name))
        .map(asked => createTopic(asked, validateOnly, services)),
    )
    return { throttleTimeMs: 0, topics: [...created, ...rows] }
  },
}

async function createTopic(
  asked: Asked,
  validateOnly: boolean,
  { admin }: Services,
): Promise<TopicRow> {
  try {
    const created = await admin.createTopic({
      name: asked.name,
      partitions: asked.numPartitions,
      replicationFactor: asked.replicationFactor,
      assignments: asked.assignments.map(({ partitionIndex, brokerIds }) => ({
        partition: partitionIndex,
        brokerIds,
      })),
      configs: asked.configs.map(({ name, value }) => [name, value]),
      validateOnly,
    })
    return createdRow(created)
  } catch (error) {
    return errorRow(asked.name, rowError(error))
  }
}

function createdRow({ name, id, partitions, replicationFactor, configs }: CreatedTopic): TopicRow {
  return {
    name,
    topicId: id ?? zeroUuid,
    errorCode: Errors.NONE,
    errorMessage: null,
    topicConfigErrorCode: Errors.NONE,
    numPartitions: partitions,
    replicationFactor,
    configs: configs.map(configRow),
  }
}

function configRow({ name, value, readOnly, source, sensitive }: ConfigEntry) {
  return { name, value, readOnly, configSource: source, isSensitive: sensitive }
}

function errorRow(name: string, { errorCode, errorMessage }: RowError): TopicRow {
  return {
    name,
    topicId: zeroUuid,
    errorCode,
    errorMessage,
    topicConfigErrorCode: Errors.NONE,
    numPartitions: -1,
    replicationFactor: -1,
    configs: [],
  }
}
