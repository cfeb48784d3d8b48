/**
 * OffsetFetch 0-9, v0 as v1 (Kafka's v0 asked ZooKeeper). Dispatcher thread. Answers what is durable: commits that are
 * on their way do not show. Nothing committed is offset -1 without an error, whether topic and group exist or not.
 *
 * Errors of the group stand in every row up to v1, at the top up to v7, with the group from v8 on. `require_stable`
 * changes nothing: there are no transactions whose offsets could be pending. One request gets 16 MiB of offsets at
 * most, and every group once: beyond, a group is answered INVALID_REQUEST.
 */
import type { CommittedOffset } from '../groups/types.ts'
import { Errors } from '../protocol/errors.ts'
import { OffsetFetch } from '../protocol/messages/offset-fetch.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'
import { duplicates } from './row-errors.ts'

type Request = RequestOf<typeof OffsetFetch>
type Response = ResponseOf<typeof OffsetFetch>
type AskedTopics = Request['groups'][number]['topics']
type GroupAnswer = Omit<Response['groups'][number], 'groupId'>
type TopicAnswer = GroupAnswer['topics'][number]
type Row = TopicAnswer['partitions'][number]

const answerBytesMax = 16 * 1024 * 1024
/** Of a row beside its text. */
const rowBytes = 32

/** Room that is left in the answer to one request. */
interface Room {
  bytes: number
}

class TooMuch extends Error {}

export const offsetFetch: ApiRow<Request, Response> = {
  schema: OffsetFetch,
  resource: 'group',
  operation: 'describe',
  handle(request, { apiVersion }, services) {
    const room = { bytes: answerBytesMax }
    if (apiVersion >= 8) return answerGroups(request, room, services)
    const answer = answerGroup(request.groupId, request.topics, room, services)
    const { errorCode, topics } = answer
    const isFailed = apiVersion < 2 && errorCode !== Errors.NONE
    const rows = isFailed ? failedRows(request.topics ?? [], errorCode) : topics
    return { throttleTimeMs: 0, topics: rows, errorCode, groups: [] }
  },
}

function answerGroups({ groups }: Request, room: Room, services: Services): Response {
  const twice = duplicates(groups.map(({ groupId }) => groupId))
  const answers = groups.map(({ groupId, topics }) => {
    const answer = twice.has(groupId)
      ? { errorCode: Errors.INVALID_REQUEST, topics: [] }
      : answerGroup(groupId, topics, room, services)
    return { groupId, ...answer }
  })
  return { throttleTimeMs: 0, topics: [], errorCode: Errors.NONE, groups: answers }
}

function answerGroup(
  groupId: string,
  asked: AskedTopics,
  room: Room,
  { committed }: Services,
): GroupAnswer {
  const errorCode = committed.availability(groupId)
  if (errorCode !== Errors.NONE) return { errorCode, topics: [] }
  try {
    const topics = asked === null ? allOf(groupId) : asked.map(someOf)
    return { errorCode, topics }
  } catch (error) {
    if (error instanceof TooMuch) return { errorCode: Errors.INVALID_REQUEST, topics: [] }
    throw error
  }

  function allOf(id: string): TopicAnswer[] {
    return [...committed.all(id)].map(([name, partitions]) => ({
      name,
      partitions: [...partitions].map(([index, offset]) => toRow(index, offset, room)),
    }))
  }

  function someOf({ name, partitionIndexes }: NonNullable<AskedTopics>[number]): TopicAnswer {
    const partitions = partitionIndexes.map(index =>
      toRow(index, committed.get(groupId, name, index), room),
    )
    return { name, partitions }
  }
}

function toRow(partitionIndex: number, committed: CommittedOffset | undefined, room: Room): Row {
  room.bytes -= rowBytes + (committed?.metadata.length ?? 0)
  if (room.bytes < 0) throw new TooMuch()
  return {
    partitionIndex,
    committedOffset: committed?.offset ?? -1,
    committedLeaderEpoch: committed?.leaderEpoch ?? -1,
    metadata: committed?.metadata ?? '',
    errorCode: Errors.NONE,
  }
}

function failedRows(asked: NonNullable<AskedTopics>, errorCode: number): TopicAnswer[] {
  return asked.map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map(partitionIndex => ({
      partitionIndex,
      committedOffset: -1,
      committedLeaderEpoch: -1,
      metadata: '',
      errorCode,
    })),
  }))
}
