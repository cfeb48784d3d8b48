/**
 * ListOffsets 0-9. Dispatcher thread; -1 and -2 are answered from the offset table, look-ups by time ask the owner for
 * the batch (time index, then headers) and a task for the record in it, since a batch may be compressed.
 *
 *   -1 high watermark   -2 log start   -3 record with the largest timestamp (v7+, KIP-734)
 *   -4 as -2, -5 as unknown: no tiered storage (v8+, v9+)   t >= 0 first record with timestamp >= t, else -1
 */
import { BatchLookup } from '../fetching/batch-lookup.ts'
import { emptyOffsetView } from '../partitions/offset-table.ts'
import type { Partition } from '../partitions/partition.ts'
import { Errors } from '../protocol/errors.ts'
import { ListOffsets } from '../protocol/messages/list-offsets.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'
import { leaderEpoch, leaderEpochError, unavailableCode } from './partition-errors.ts'
import { duplicates } from './row-errors.ts'

type Request = RequestOf<typeof ListOffsets>
type RequestRow = Request['topics'][number]['partitions'][number]
type Response = ResponseOf<typeof ListOffsets>
type ResponseRow = Response['topics'][number]['partitions'][number]

const At = {
  latest: -1,
  earliest: -2,
  maxTimestamp: -3,
  earliestLocal: -4,
  latestTiered: -5,
} as const
/** First version that knows a special timestamp. */
const specialSince = new Map<number, number>([
  [At.latest, 0],
  [At.earliest, 0],
  [At.maxTimestamp, 7],
  [At.earliestLocal, 8],
  [At.latestTiered, 9],
])
const view = emptyOffsetView()

export const listOffsets: ApiRow<Request, Response> = {
  schema: ListOffsets,
  resource: 'topic',
  operation: 'describe',
  handle(request, call, services) {
    const pending: Promise<void>[] = []
    const topics = request.topics.map(({ name, partitions }) => {
      const topic = services.topics.get(name)
      const twice = duplicates(partitions.map(({ partitionIndex }) => partitionIndex))
      const rows = partitions.map(row => {
        const response = newRow(row.partitionIndex)
        const partition = topic?.partitions[row.partitionIndex]
        if (twice.has(row.partitionIndex)) response.errorCode = Errors.INVALID_REQUEST
        else if (partition === undefined) response.errorCode = Errors.UNKNOWN_TOPIC_OR_PARTITION
        else {
          const later = lookUp(row, partition, response, call.apiVersion, services)
          if (later !== null) pending.push(later)
        }
        return response
      })
      return { name, partitions: rows }
    })
    const answer = (): Response => {
      if (call.apiVersion === 0) for (const { partitions } of topics) partitions.forEach(toOldStyle)
      return { throttleTimeMs: 0, topics }
    }
    return pending.length === 0 ? answer() : Promise.all(pending).then(answer)
  },
}

/** Fills the row now, or returns a promise that does. */
function lookUp(
  { timestamp, currentLeaderEpoch }: RequestRow,
  partition: Partition,
  row: ResponseRow,
  apiVersion: number,
  services: Services,
): Promise<void> | null {
  row.errorCode = refusal(timestamp, currentLeaderEpoch, partition, apiVersion, services)
  if (row.errorCode !== Errors.NONE || timestamp === At.latestTiered) return null
  if (timestamp === At.latest || timestamp === At.earliest || timestamp === At.earliestLocal) {
    row.offset = timestamp === At.latest ? view.highWatermark : view.logStart
    row.leaderEpoch = leaderEpoch
    return null
  }
  const wanted = timestamp === At.maxTimestamp ? null : timestamp
  return new BatchLookup(partition, wanted, services).run().then(found => {
    row.errorCode = found.errorCode
    if (found.offset === -1) return
    row.offset = found.offset
    row.timestamp = found.timestampMs
    row.leaderEpoch = leaderEpoch
  })
}

/** NONE with `view` filled, or why the row cannot be answered. */
function refusal(
  timestamp: number,
  currentLeaderEpoch: number,
  partition: Partition,
  apiVersion: number,
  services: Services,
): number {
  const since = timestamp >= 0 ? 0 : specialSince.get(timestamp)
  if (since === undefined || apiVersion < since) return Errors.UNSUPPORTED_VERSION
  if (partition.state !== 'online') return unavailableCode(partition)
  const epochError = leaderEpochError(currentLeaderEpoch)
  if (epochError !== Errors.NONE) return epochError
  const known = services.offsets.read(partition.slot, partition.generation, view)
  return known ? Errors.NONE : unavailableCode(partition)
}

/** Version 0 has an array of offsets in place of one. */
function toOldStyle(row: ResponseRow): void {
  if (row.offset !== -1) row.oldStyleOffsets = [row.offset]
}

function newRow(partitionIndex: number): ResponseRow {
  return {
    partitionIndex,
    errorCode: Errors.NONE,
    oldStyleOffsets: [],
    timestamp: -1,
    offset: -1,
    leaderEpoch: -1,
  }
}
