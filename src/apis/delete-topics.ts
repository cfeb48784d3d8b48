/**
 * DeleteTopics 0-6: by name, from v6 on also by id. Dispatcher thread. Answered when the files are gone; the time-out
 * of the request is not used. With `delete.topic.enable=false` v0-2 get INVALID_REQUEST, which they know, instead of
 * TOPIC_DELETION_DISABLED.
 */
import type { TopicRef } from '../admin/admin-service.ts'
import { zeroUuid } from '../protocol/bytes.ts'
import { Errors } from '../protocol/errors.ts'
import { DeleteTopics } from '../protocol/messages/delete-topics.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'
import { duplicates, invalidRequest, type RowError, rowError, shown } from './row-errors.ts'

type DeleteTopicsRequest = RequestOf<typeof DeleteTopics>
type DeleteTopicsResponse = ResponseOf<typeof DeleteTopics>
type Asked = DeleteTopicsRequest['topics'][number]
type TopicRow = DeleteTopicsResponse['responses'][number]

export const deleteTopics: ApiRow<DeleteTopicsRequest, DeleteTopicsResponse> = {
  schema: DeleteTopics,
  resource: 'topic',
  operation: 'delete',
  async handle(request, { apiVersion }, services) {
    const asked =
      apiVersion >= 6
        ? request.topics
        : request.topicNames.map(name => ({ name, topicId: zeroUuid }))
    const twice = duplicates(asked.map(keyOf))
    const rows = [...new Map(asked.map(topic => [keyOf(topic), topic]))].map(
      async ([key, topic]) =>
        twice.has(key)
          ? errorRow(
              topic,
              invalidRequest(
                `Topic ${shown(topic.name ?? topic.topicId)} is named twice in the request`,
              ),
            )
          : await deleteTopic(topic, apiVersion, services),
    )
    return { throttleTimeMs: 0, responses: await Promise.all(rows) }
  },
}

const keyOf = ({ name, topicId }: Asked) => `${topicId} ${name}`

async function deleteTopic(
  asked: Asked,
  apiVersion: number,
  { admin }: Services,
): Promise<TopicRow> {
  const { name, topicId } = asked
  if ((name === null) === (topicId === zeroUuid))
    return errorRow(asked, invalidRequest('Give either the name or the id of a topic.'))
  const ref: TopicRef = name === null ? { id: topicId } : { name }
  try {
    const deleted = await admin.deleteTopic(ref)
    return {
      name: deleted.name,
      topicId: deleted.id,
      errorCode: Errors.NONE,
      errorMessage: null,
    }
  } catch (error) {
    const row = errorRow(asked, rowError(error))
    if (row.errorCode === Errors.TOPIC_DELETION_DISABLED && apiVersion < 3)
      row.errorCode = Errors.INVALID_REQUEST
    return row
  }
}

function errorRow({ name, topicId }: Asked, { errorCode, errorMessage }: RowError): TopicRow {
  return { name, topicId, errorCode, errorMessage }
}
