/** CreatePartitions 0-3: one row per topic, always. Dispatcher thread. The time-out of the request is not used. */
import { Errors } from '../protocol/errors.ts'
import { CreatePartitions } from '../protocol/messages/create-partitions.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'
import { duplicates, invalidRequest, rowError, shown } from './row-errors.ts'

type CreatePartitionsRequest = RequestOf<typeof CreatePartitions>
type CreatePartitionsResponse = ResponseOf<typeof CreatePartitions>
type Asked = CreatePartitionsRequest['topics'][number]
type TopicRow = CreatePartitionsResponse['results'][number]

export const createPartitions: ApiRow<CreatePartitionsRequest, CreatePartitionsResponse> = {
  schema: CreatePartitions,
  resource: 'topic',
  operation: 'alter',
  async handle({ topics, validateOnly }, _call, services) {
    const twice = duplicates(topics.map(({ name }) => name))
    const unique = [...new Map(topics.map(topic => [topic.name, topic])).values()]
    const rows = unique.map(async topic =>
      twice.has(topic.name)
        ? {
            name: topic.name,
            ...invalidRequest(`Topic ${shown(topic.name)} is named twice in the request`),
          }
        : await grow(topic, validateOnly, services),
    )
    return { throttleTimeMs: 0, results: await Promise.all(rows) }
  },
}

async function grow(
  { name, count, assignments }: Asked,
  validateOnly: boolean,
  { admin }: Services,
): Promise<TopicRow> {
  try {
    await admin.createPartitions({
      name,
      count,
      assignments: assignments === null ? null : assignments.map(({ brokerIds }) => brokerIds),
      validateOnly,
    })
    return { name, errorCode: Errors.NONE, errorMessage: null }
  } catch (error) {
    return { name, ...rowError(error) }
  }
}
