/** Messages as callers write them: the words of the paper's producer, checked before anything is encoded. */
import { Errors, KafkaError } from '../protocol/errors.ts'
import type { Bytes, Headers } from './batch-builder.ts'

export interface Message {
  /** Text is sent as UTF-8; null is a tombstone. */
  readonly value: Bytes
  readonly key?: Bytes
  readonly headers?: Headers | Readonly<Record<string, Bytes>>
  /** Milliseconds since 1970, an integer. Default: now. */
  readonly timestampMs?: number
  readonly partition?: number
}

/** A bare value is a message without a key. */
export type MessageLike = Message | string | Uint8Array

/** Below the broker's frame limit of 32 MiB; topics allow far less (`max.message.bytes`). */
const messageBytesMax = 30 * 1024 * 1024

/** @throws KafkaError for a message that cannot be sent whatever the broker says */
export function checkMessage(message: MessageLike, partitionCount: number): void {
  if (typeof message === 'string' || message instanceof Uint8Array) {
    checkSize(message.length)
    return
  }
  const { value, key = null, timestampMs = 0, partition = 0 } = message
  checkBytes(value, 'value')
  checkBytes(key, 'key')
  checkSize((value?.length ?? 0) + (key?.length ?? 0))
  if (!Number.isSafeInteger(timestampMs) || timestampMs < 0) {
    throw new KafkaError(Errors.INVALID_TIMESTAMP, `timestamp ${timestampMs} is not a time`)
  }
  checkPartition(partition, partitionCount)
}

/** @throws KafkaError UNKNOWN_TOPIC_OR_PARTITION */
export function checkPartition(partition: number, partitionCount: number): void {
  if (Number.isInteger(partition) && partition >= 0 && partition < partitionCount) return
  throw new KafkaError(
    Errors.UNKNOWN_TOPIC_OR_PARTITION,
    `partition ${partition} does not exist, the topic has ${partitionCount}`,
  )
}

export function headerList(headers: NonNullable<Message['headers']>): Headers {
  return isList(headers) ? headers : Object.entries(headers)
}

function isList(headers: NonNullable<Message['headers']>): headers is Headers {
  return Array.isArray(headers)
}

function checkBytes(bytes: unknown, what: string): void {
  if (bytes !== null && typeof bytes !== 'string' && !(bytes instanceof Uint8Array)) {
    throw new KafkaError(
      Errors.INVALID_RECORD,
      `a message's ${what} is a string, a Uint8Array or null, not ${typeof bytes}`,
    )
  }
}

function checkSize(sizeBytes: number): void {
  if (sizeBytes > messageBytesMax) {
    throw new KafkaError(Errors.MESSAGE_TOO_LARGE, `a message of ${sizeBytes} bytes is too large`)
  }
}
