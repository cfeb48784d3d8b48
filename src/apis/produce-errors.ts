/**
 * What a producer is told of a batch that was refused: what is wrong with it and what would change that. Pure. The code
 * decides what the client does; the message is for whoever reads its log.
 */
import type { LogConfig } from '../contracts/log-config.ts'
import { Errors, errorName } from '../protocol/errors.ts'

export interface RefusedBatch {
  readonly topic: string
  readonly partition: number
  readonly batchBytes: number
  readonly log: LogConfig
  /** decompressed.max.bytes */
  readonly decompressedBytesMax: number
}

const noTransactions = 'odradek has no transactions yet: produce without a transactional.id'

const sentences = new Map<number, (batch: RefusedBatch) => string>([
  [
    Errors.MESSAGE_TOO_LARGE,
    ({ topic, batchBytes, log }) =>
      `The record batch has ${batchBytes} bytes, topic ${topic} takes ${log.batchBytesMax}: send smaller ones ` +
      '(batch.size, max.request.size), or raise max.message.bytes of the topic',
  ],
  [
    Errors.RECORD_LIST_TOO_LARGE,
    ({ topic, batchBytes, log }) =>
      `The record batch has ${batchBytes} bytes, a segment of topic ${topic} holds ${log.segmentBytesMax}: send ` +
      'smaller ones, or raise segment.bytes of the topic',
  ],
  [
    Errors.CORRUPT_MESSAGE,
    () =>
      'The CRC-32C of the record batch is not that of its bytes, or it is shorter than its header: send it again',
  ],
  [
    Errors.INVALID_RECORD,
    ({ decompressedBytesMax, log }) =>
      'The records must be one whole batch of format 2 (message.format.version 0.11 or newer), with base offset 0, a ' +
      'count that fits its bytes and neither control records nor a delete horizon' +
      (log.cleanupCompact
        ? `; to a compacted topic also readable, within ${decompressedBytesMax} bytes (decompressed.max.bytes)`
        : ''),
  ],
  [
    Errors.INVALID_TIMESTAMP,
    ({ topic, log }) =>
      'The record batch has a time beyond 2^53 ms or says LogAppendTime, which only the broker may, or its largest ' +
      `time is ahead by more than message.timestamp.after.max.ms=${log.timestampAfterMsMax} of topic ${topic}`,
  ],
  [
    Errors.UNSUPPORTED_COMPRESSION_TYPE,
    () =>
      'The compression must be none, gzip, snappy, lz4 or, from Produce 7 on, zstd: set compression.type of the producer',
  ],
  [Errors.INVALID_TXN_STATE, () => noTransactions],
  [Errors.TRANSACTION_ABORTABLE, () => noTransactions],
  [
    Errors.OUT_OF_ORDER_SEQUENCE_NUMBER,
    ({ topic, partition }) =>
      `The sequence number does not follow the last one of this producer in ${topic}-${partition}: batches were lost ` +
      'or overtook each other; a new producer begins anew',
  ],
  [
    Errors.INVALID_PRODUCER_EPOCH,
    ({ topic, partition }) =>
      `A newer epoch of this producer has written to ${topic}-${partition}: close this one`,
  ],
  [
    Errors.NOT_LEADER_OR_FOLLOWER,
    ({ topic, partition }) =>
      `${topic}-${partition} is being opened, moved or deleted: ask for the metadata and try again`,
  ],
  [
    Errors.KAFKA_STORAGE_ERROR,
    ({ topic, partition }) =>
      `The disk under ${topic}-${partition} has failed or is full, see /readyz of the broker: free space ` +
      `(disk.reserve.bytes), or "odradek log recover ${topic}-${partition}"`,
  ],
  [
    Errors.REQUEST_TIMED_OUT,
    () =>
      'The batch is written and was not flushed within the timeout of the request: it may be there, raise request.timeout.ms',
  ],
])

/** @returns a sentence for every code that an append can fail with; for any other its name */
export function refusalOfBatch(errorCode: number, batch: RefusedBatch): string {
  return sentences.get(errorCode)?.(batch) ?? errorName(errorCode)
}
