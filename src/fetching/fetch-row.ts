/** One partition of a fetch: what was asked, what was read so far, what will be answered. Dispatcher thread. */
import type { FetchResponse } from '../apis/fetch.ts'
import type { Partition } from '../partitions/partition.ts'
import { Errors } from '../protocol/errors.ts'
import type { FetchPartition } from '../protocol/fetch-request.ts'
import type { Region } from '../ring/arena.ts'

export type ResponseRow = FetchResponse['responses'][number]['partitions'][number]
export type RequestRow = FetchPartition

export const noRecords = Buffer.alloc(0)
const readCommitted = 1

export interface FetchRow {
  readonly index: number
  readonly request: RequestRow
  readonly response: ResponseRow
  readonly partition: Partition | null
  /** The error of a row whose topic or partition does not exist. */
  readonly missing: number
  region: Region | null
  /** Size of the first batch when it did not fit the region, else 0. */
  neededBytes: number
  /** Records of the answer at or behind the offset asked for. */
  recordCount: number
  /** High watermark of a read that found too little (min.bytes): only an advance beyond it is news. -1: none. */
  seenEnd: number
}

export function newFetchRow(
  index: number,
  request: RequestRow,
  response: ResponseRow,
  partition: Partition | null,
  missing: number,
): FetchRow {
  return {
    index,
    request,
    response,
    partition,
    missing,
    region: null,
    neededBytes: 0,
    recordCount: 0,
    seenEnd: -1,
  }
}

/** There are no transactions yet, so none was aborted: an empty list under read_committed, null otherwise. */
export function newResponseRow(partitionIndex: number, isolationLevel: number): ResponseRow {
  return {
    partitionIndex,
    errorCode: Errors.NONE,
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    divergingEpoch: null,
    currentLeader: null,
    snapshotId: null,
    abortedTransactions: isolationLevel === readCommitted ? [] : null,
    preferredReadReplica: -1,
    records: noRecords,
  }
}
