/**
 * What a client is told when it is refused, over every API that has room for words: Kafka's own code, and a message
 * that names the culprit and says what to change. An API with such a field and no case fails.
 */
import { beforeAll, describe, expect, test } from 'vitest'
import { apiRows } from '../../src/apis/index.ts'
import { refusalOfBatch } from '../../src/apis/produce-errors.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { OffsetCommit } from '../../src/protocol/messages/offset-commit.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import type { ApiSchema, Field, Fields } from '../../src/protocol/schema.ts'
import { WireClient } from '../support/wire-client.ts'
import { connect, produceRequest, sharedBroker } from './fixture.ts'
import { config, idempotent, newTopic, refusalCases } from './refusal-cases.ts'

const broker = sharedBroker({
  set: { 'max.partitions': 40, 'offsets.topic.num.partitions': 1, 'message.max.bytes': 20_000 },
})
/** Every part of an answer that carries an error. */
function failedParts(part: unknown): Record<string, unknown>[] {
  if (Array.isArray(part)) return part.flatMap(failedParts)
  if (typeof part !== 'object' || part === null || part instanceof Uint8Array) return []
  const inner = Object.values(part).flatMap(failedParts)
  const { errorCode } = part as { errorCode?: number }
  const isFailed = errorCode !== undefined && errorCode !== Errors.NONE
  return isFailed ? [part as Record<string, unknown>, ...inner] : inner
}

/** Of a part: its message, and those of its records. */
function wordsOf({ errorMessage, recordErrors }: Record<string, unknown>): string {
  const records = (recordErrors ?? []) as { batchIndexErrorMessage: string }[]
  return [errorMessage, ...records.map(row => row.batchIndexErrorMessage)].join(' ')
}

beforeAll(async () => {
  const client = await WireClient.connect(broker().bootstrap)
  const topics = [
    newTopic('a.b', { numPartitions: 2 }),
    newTopic('seq'),
    newTopic('tiny', config('segment.bytes', '2048')),
    newTopic('compacted', config('cleanup.policy', 'compact')),
    newTopic('timed', config('message.timestamp.after.max.ms', '1000')),
  ].flatMap(request => request.topics)
  const made = await client.request(CreateTopics, 7, { ...newTopic(''), topics })
  expect(made.topics.map(({ errorMessage }) => errorMessage)).toEqual(topics.map(() => null))
  await client.request(Produce, 11, produceRequest('seq', idempotent(2, 0)))
  // Makes the topic of the broker's own.
  await client.request(OffsetCommit, 8, {
    groupId: 'g',
    generationIdOrMemberEpoch: -1,
    memberId: '',
    groupInstanceId: null,
    retentionTimeMs: -1,
    topics: [
      {
        name: 'seq',
        partitions: [
          {
            partitionIndex: 0,
            committedOffset: 1,
            committedLeaderEpoch: 0,
            commitTimestamp: -1,
            committedMetadata: '',
          },
        ],
      },
    ],
  })
  client.close()
})

describe.each(refusalCases)('$schema.name refuses $what', one => {
  test(`with ${errorName(one.errorCode)} and a message`, async () => {
    const client = await connect(broker())
    const answer = await client.request(one.schema, one.version, one.request as never)
    const failed = failedParts(answer)
    expect(failed.map(({ errorCode }) => errorCode)).toContain(one.errorCode)
    for (const part of failed) {
      expect(part.errorCode).toBe(one.errorCode)
      const words = wordsOf(part)
      for (const word of one.words) expect(words).toContain(word)
      expect(words).not.toContain('\n')
      expect(words).not.toBe(errorName(one.errorCode))
    }
  })
})

/** Whether some version of the answer has room for a message. */
function hasMessage(fields: Fields): boolean {
  return Object.entries(fields).some(([name, field]) => {
    if (/ErrorMessage$/i.test(name)) return true
    const inner: Field<unknown> | null = field.element ?? field
    return inner.fields !== null && hasMessage(inner.fields)
  })
}

test('no API that has room for a message is left out', () => {
  const named = apiRows()
    .map(row => row.schema as ApiSchema<never, never>)
    .filter(({ response }) => hasMessage(response))
    .map(({ name }) => name)
  expect(new Set(refusalCases.map(({ schema }) => schema.name))).toEqual(new Set(named))
})

test('whatever an append fails with, a producer is told more than the name of the code', () => {
  const { config: settings } = broker().parts
  const batch = { topic: 't', partition: 0, batchBytes: 100, decompressedBytesMax: 1000 }
  for (const name of [
    'CORRUPT_MESSAGE',
    'MESSAGE_TOO_LARGE',
    'NOT_LEADER_OR_FOLLOWER',
    'REQUEST_TIMED_OUT',
    'RECORD_LIST_TOO_LARGE',
    'INVALID_TIMESTAMP',
    'INVALID_RECORD',
    'INVALID_TXN_STATE',
    'TRANSACTION_ABORTABLE',
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
    'INVALID_PRODUCER_EPOCH',
    'KAFKA_STORAGE_ERROR',
    'UNSUPPORTED_COMPRESSION_TYPE',
  ] as const) {
    const words = refusalOfBatch(Errors[name], { ...batch, log: settings.defaultLog })
    expect(words.length, name).toBeGreaterThan(40)
  }
})
