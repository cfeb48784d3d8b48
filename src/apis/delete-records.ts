/**
 * DeleteRecords 0-2: moves the log start of partitions, -1 meaning up to the high watermark. Dispatcher thread.
 * Answered when the new log start is durable, with it as the low watermark: there is one replica. A request that runs
 * out of time is answered REQUEST_TIMED_OUT; what it began is finished all the same.
 */
import { Errors } from '../protocol/errors.ts'
import { DeleteRecords } from '../protocol/messages/delete-records.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'
import { duplicates, rowError } from './row-errors.ts'

type DeleteRecordsRequest = RequestOf<typeof DeleteRecords>
type DeleteRecordsResponse = ResponseOf<typeof DeleteRecords>
type ResponseRow = DeleteRecordsResponse['topics'][number]['partitions'][number]

/** Kafka's DeleteRecordsResponse.INVALID_LOW_WATERMARK. */
const noLowWatermark = -1

export const deleteRecords: ApiRow<DeleteRecordsRequest, DeleteRecordsResponse> = {
  schema: DeleteRecords,
  resource: 'topic',
  operation: 'delete',
  async handle({ topics, timeoutMs }, _call, services) {
    const pending: Promise<void>[] = []
    const answered = topics.map(({ name, partitions }) => {
      const twice = duplicates(partitions.map(({ partitionIndex }) => partitionIndex))
      const rows = partitions.map(({ partitionIndex, offset }) => {
        const isTwice = twice.has(partitionIndex)
        const row = newRow(partitionIndex, isTwice ? Errors.INVALID_REQUEST : Errors.NONE)
        if (!isTwice) pending.push(deleteFrom(name, offset, row, services))
        return row
      })
      return { name, partitions: rows }
    })
    await withTimeout(Promise.all(pending), timeoutMs, services)
    return {
      throttleTimeMs: 0,
      topics: answered.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(settled),
      })),
    }
  },
}

/** Fills the row; until then it has neither an error nor a low watermark. */
async function deleteFrom(
  name: string,
  offset: number,
  row: ResponseRow,
  { admin }: Services,
): Promise<void> {
  try {
    row.lowWatermark = await admin.deleteRecords(name, row.partitionIndex, offset)
  } catch (error) {
    row.errorCode = rowError(error).errorCode
  }
}

/** A copy: rows that come later do not change an answer that is under way. */
function settled(row: ResponseRow): ResponseRow {
  const isOpen = row.errorCode === Errors.NONE && row.lowWatermark === noLowWatermark
  return isOpen ? newRow(row.partitionIndex, Errors.REQUEST_TIMED_OUT) : { ...row }
}

async function withTimeout(
  work: Promise<unknown>,
  timeoutMs: number,
  { dispatcher }: Services,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const cancel = dispatcher.clock.after(Math.max(1, timeoutMs), resolve)
  try {
    await Promise.race([work, promise])
  } finally {
    cancel()
  }
}

function newRow(partitionIndex: number, errorCode: number): ResponseRow {
  return { partitionIndex, lowWatermark: noLowWatermark, errorCode }
}
