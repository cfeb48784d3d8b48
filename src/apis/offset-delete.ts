/**
 * OffsetDelete 0 (KIP-496). Dispatcher thread. Offsets of topics that a member reads stay (86), unknown topics and
 * partitions are 3; where nothing was committed nothing is to be done. Answered when the deletion is durable.
 */
import { Errors } from '../protocol/errors.ts'
import { OffsetDelete } from '../protocol/messages/offset-delete.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'

type Request = RequestOf<typeof OffsetDelete>
type Response = ResponseOf<typeof OffsetDelete>

export const offsetDelete: ApiRow<Request, Response> = {
  schema: OffsetDelete,
  resource: 'group',
  operation: 'delete',
  async handle({ groupId, topics: asked }, _call, services) {
    const { committed } = services
    const refusal = committed.removeError(groupId)
    if (refusal !== Errors.NONE) return failed(refusal)
    const doomed: { topic: string; partition: number }[] = []
    const topics = asked.map(({ name, partitions }) => {
      const isSubscribed = committed.isSubscribed(groupId, name)
      const rows = partitions.map(({ partitionIndex }) => {
        const errorCode = rowError(name, partitionIndex, isSubscribed, services)
        if (errorCode === Errors.NONE) doomed.push({ topic: name, partition: partitionIndex })
        return { partitionIndex, errorCode }
      })
      return { name, partitions: rows }
    })
    const errorCode = await committed.remove(groupId, doomed)
    return errorCode === Errors.NONE ? { errorCode, throttleTimeMs: 0, topics } : failed(errorCode)
  },
}

function rowError(
  topic: string,
  partition: number,
  isSubscribed: boolean,
  { topics }: Services,
): number {
  if (topics.partition(topic, partition) === undefined) return Errors.UNKNOWN_TOPIC_OR_PARTITION
  return isSubscribed ? Errors.GROUP_SUBSCRIBED_TO_TOPIC : Errors.NONE
}

const failed = (errorCode: number): Response => ({ errorCode, throttleTimeMs: 0, topics: [] })
