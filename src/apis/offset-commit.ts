/**
 * OffsetCommit 0-9, v0 and v1 as v2. Dispatcher thread. Answered when the offsets are durable as acks=all makes them.
 *
 * Unknown topics and partitions, and too long texts, fail in their own rows (3, 12); the others go on. What the group
 * has against the commit, or the store, fails all of them. A null text is stored as "". Offsets are not compared with
 * those of the topic, as in Kafka.
 */

import { isIdTooLong } from '../groups/ids.ts'
import type { OffsetRow } from '../groups/types.ts'
import { Errors } from '../protocol/errors.ts'
import { OffsetCommit } from '../protocol/messages/offset-commit.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'

type Request = RequestOf<typeof OffsetCommit>
type Response = ResponseOf<typeof OffsetCommit>
type Asked = Request['topics'][number]['partitions'][number]
type ResponseRow = Response['topics'][number]['partitions'][number]

export const offsetCommit: ApiRow<Request, Response> = {
  schema: OffsetCommit,
  resource: 'group',
  operation: 'read',
  async handle(request, { apiVersion }, services) {
    const open: ResponseRow[] = []
    const rows: OffsetRow[] = []
    const nowMs = services.dispatcher.clock.wallMs()
    const { retentionTimeMs } = request
    const expireTimestampMs =
      retentionTimeMs < 0 ? -1 : Math.min(nowMs + retentionTimeMs, Number.MAX_SAFE_INTEGER)
    const topics = request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(asked => {
        const errorCode = rowError(name, asked, services)
        const row = { partitionIndex: asked.partitionIndex, errorCode }
        if (errorCode !== Errors.NONE) return row
        open.push(row)
        rows.push(toRow(name, asked, nowMs, expireTimestampMs))
        return row
      }),
    }))
    if (rows.length > 0) {
      const errorCode = await commit(request, apiVersion, rows, services)
      for (const row of open) row.errorCode = errorCode
    }
    return { throttleTimeMs: 0, topics }
  },
}

function commit(
  request: Request,
  apiVersion: number,
  rows: readonly OffsetRow[],
  { committed, config }: Services,
): number | Promise<number> {
  const { groupId, memberId, groupInstanceId, generationIdOrMemberEpoch: generation } = request
  if (isIdTooLong(groupId, config.groups.idBytesMax)) return Errors.INVALID_GROUP_ID
  const knowsGroupIdNotFound = apiVersion >= 9
  const committer = { groupId, memberId, groupInstanceId, generation, knowsGroupIdNotFound }
  return committed.commit(committer, rows.length > 1 ? lastOfEach(rows) : rows)
}

/** A partition that is named again and again is written once. */
function lastOfEach(rows: readonly OffsetRow[]): OffsetRow[] {
  return [...new Map(rows.map(row => [`${row.partition} ${row.topic}`, row])).values()]
}

function rowError(topic: string, asked: Asked, { topics, config }: Services): number {
  if (topics.partition(topic, asked.partitionIndex) === undefined) {
    return Errors.UNKNOWN_TOPIC_OR_PARTITION
  }
  const length = asked.committedMetadata?.length ?? 0
  const isTooLong = length > config.groups.offsetMetadataLengthMax
  return isTooLong ? Errors.OFFSET_METADATA_TOO_LARGE : Errors.NONE
}

function toRow(
  topic: string,
  asked: Asked,
  commitTimestampMs: number,
  expireTimestampMs: number,
): OffsetRow {
  const offset = {
    offset: asked.committedOffset,
    leaderEpoch: asked.committedLeaderEpoch,
    metadata: asked.committedMetadata ?? '',
    commitTimestampMs,
    expireTimestampMs,
  }
  return { topic, partition: asked.partitionIndex, offset }
}
