/**
 * OffsetForLeaderEpoch 2-4 (KIP-320): consumers ask it after a change of leader, to see whether what they read was cut
 * off. There is one leader and one epoch for ever, so the answer is the end of the log. Dispatcher thread.
 */
import { emptyOffsetView } from '../partitions/offset-table.ts'
import type { Partition } from '../partitions/partition.ts'
import { Errors } from '../protocol/errors.ts'
import { OffsetForLeaderEpoch } from '../protocol/messages/offset-for-leader-epoch.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'
import { leaderEpoch, leaderEpochError, unavailableCode } from './partition-errors.ts'

type Request = RequestOf<typeof OffsetForLeaderEpoch>
type RequestRow = Request['topics'][number]['partitions'][number]
type Response = ResponseOf<typeof OffsetForLeaderEpoch>
type ResponseRow = Response['topics'][number]['partitions'][number]

const unknown = -1
const view = emptyOffsetView()

export const offsetForLeaderEpoch: ApiRow<Request, Response> = {
  schema: OffsetForLeaderEpoch,
  resource: 'topic',
  operation: 'describe',
  handle({ topics }, _call, services) {
    const rows = topics.map(({ topic, partitions }) => {
      const found = services.topics.get(topic)?.partitions
      return { topic, partitions: partitions.map(row => lookUp(row, found, services)) }
    })
    return { throttleTimeMs: 0, topics: rows }
  },
}

function lookUp(
  row: RequestRow,
  partitions: readonly Partition[] | undefined,
  { offsets }: Services,
): ResponseRow {
  const partition = partitions?.[row.partition]
  if (partition === undefined) return refused(row, Errors.UNKNOWN_TOPIC_OR_PARTITION)
  if (partition.state !== 'online') return refused(row, unavailableCode(partition))
  const epochError = leaderEpochError(row.currentLeaderEpoch)
  if (epochError !== Errors.NONE) return refused(row, epochError)
  if (!offsets.read(partition.slot, partition.generation, view)) {
    return refused(row, unavailableCode(partition))
  }
  if (row.leaderEpoch !== leaderEpoch) return refused(row, Errors.NONE)
  return { errorCode: Errors.NONE, partition: row.partition, leaderEpoch, endOffset: view.logEnd }
}

/** Also the answer for an epoch that there never was: no error, and nothing known. */
function refused({ partition }: RequestRow, errorCode: number): ResponseRow {
  return { errorCode, partition, leaderEpoch: unknown, endOffset: unknown }
}
