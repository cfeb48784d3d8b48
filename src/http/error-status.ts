/**
 * What a Kafka error code is over HTTP: a status, and an `error_code` of five digits that starts with it. Codes that
 * Confluent's REST Proxy has mean here what they mean there. Used by every route and by the hot path. Pure functions.
 */
import { Errors, errorName, isRetriable } from '../protocol/errors.ts'
import { HttpProblem } from './problem.ts'

export interface ErrorStatus {
  readonly status: number
  /** Five digits; the first three are the status. */
  readonly errorCode: number
}

const topicNotFound = 40401
const partitionNotFound = 40402

const groupNotFound = 40404
const badRequest = 40002
const forbidden = 40301
const topicExists = 40900
const groupNotEmpty = 40904
const tooLarge = 41301
const offsetOutOfRange = 41601
const unfitRecord = 42210
const kafkaFailed = 50002
const retryLater = 50301
const storageFailed = 50302
const timedOut = 50401

const codes: ReadonlyMap<number, number> = new Map([
  [Errors.UNKNOWN_TOPIC_OR_PARTITION, topicNotFound],
  [Errors.UNKNOWN_TOPIC_ID, topicNotFound],
  [Errors.RESOURCE_NOT_FOUND, topicNotFound],
  [Errors.GROUP_ID_NOT_FOUND, groupNotFound],
  [Errors.OFFSET_OUT_OF_RANGE, offsetOutOfRange],
  [Errors.INVALID_TOPIC_EXCEPTION, badRequest],
  [Errors.INVALID_PARTITIONS, badRequest],
  [Errors.INVALID_REPLICATION_FACTOR, badRequest],
  [Errors.INVALID_REPLICA_ASSIGNMENT, badRequest],
  [Errors.INVALID_CONFIG, badRequest],
  [Errors.INVALID_REQUEST, badRequest],
  [Errors.INVALID_REQUIRED_ACKS, badRequest],
  [Errors.INVALID_GROUP_ID, badRequest],
  [Errors.POLICY_VIOLATION, badRequest],
  [Errors.TOPIC_AUTHORIZATION_FAILED, forbidden],
  [Errors.GROUP_AUTHORIZATION_FAILED, forbidden],
  [Errors.CLUSTER_AUTHORIZATION_FAILED, forbidden],
  [Errors.TOPIC_DELETION_DISABLED, forbidden],
  [Errors.TOPIC_ALREADY_EXISTS, topicExists],
  [Errors.NON_EMPTY_GROUP, groupNotEmpty],
  [Errors.MESSAGE_TOO_LARGE, tooLarge],
  [Errors.RECORD_LIST_TOO_LARGE, tooLarge],
  [Errors.INVALID_RECORD, unfitRecord],
  [Errors.INVALID_TIMESTAMP, unfitRecord],
  [Errors.UNSUPPORTED_COMPRESSION_TYPE, unfitRecord],
  [Errors.KAFKA_STORAGE_ERROR, storageFailed],
  [Errors.REQUEST_TIMED_OUT, timedOut],
  // Bytes on the disk are damaged: asking again does not help, whatever Kafka's own clients do with this code.
  [Errors.CORRUPT_MESSAGE, kafkaFailed],
])

/** @param kafkaCode of `Errors`, not NONE. */
export function statusOf(kafkaCode: number): ErrorStatus {
  const errorCode = codes.get(kafkaCode) ?? (isRetriable(kafkaCode) ? retryLater : kafkaFailed)
  return { status: Math.floor(errorCode / 100), errorCode }
}

/** A Kafka error code as what a route throws. */
export function kafkaProblem(kafkaCode: number, message = errorName(kafkaCode)): HttpProblem {
  const { status, errorCode } = statusOf(kafkaCode)
  return new HttpProblem(status, message, errorCode)
}

export function noTopic(topic: string): HttpProblem {
  return new HttpProblem(404, `topic ${JSON.stringify(topic)} does not exist`, topicNotFound)
}

export function noPartition(topic: string, partition: number, count: number): HttpProblem {
  const why = `topic ${topic} has partitions 0 to ${count - 1}, no ${partition}`
  return new HttpProblem(404, why, partitionNotFound)
}
