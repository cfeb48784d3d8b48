/** The body types of REST Proxy v2 for `POST /topics/{topic}[/partitions/{partition}]`. Dispatcher thread. */
import { z } from 'zod'
import { type Acks, isRefusal, type LogBackend } from '../backend/log-backend.ts'
import { kafkaProblem, noPartition } from '../error-status.ts'
import { echoed } from '../problem.ts'
import type { ProduceTarget, ProduceType } from '../raw/produce-types.ts'
import { answerType, binaryType, jsonType, schemaTypes } from './media-types.ts'
import { parseProduceBody } from './produce-body.ts'
import { produceRecords } from './produce-records.ts'
import type { EmbeddedFormat } from './record-text.ts'
import { RestCode, restProblem } from './rest-problem.ts'
import { sendText } from './route-parts.ts'

/** It is walked on the dispatcher, which nobody may hold up for long; what is larger has raw types. */
const bodyBytesMax = 2 * 1024 * 1024

const header = z.object({ name: z.string(), value: z.base64().nullable() })

const schemaOf = (content: z.ZodType) =>
  z.object({
    records: z
      .array(
        z.object({
          key: content.optional(),
          value: content.optional(),
          partition: z.int().min(0).optional(),
          timestamp: z.int().min(0).optional().describe('milliseconds since 1970'),
          headers: z.array(header).optional(),
        }),
      )
      .min(1),
  })

export function restProduceTypes(backend: LogBackend): ProduceType[] {
  return [
    typeOf(backend, 'json', jsonType, 'Keys and values are any JSON', z.unknown()),
    typeOf(backend, 'binary', binaryType, 'Keys and values are base64', z.base64().nullable()),
    ...schemaTypes.map(refused),
  ]
}

function typeOf(
  backend: LogBackend,
  format: EmbeddedFormat,
  mediaType: string,
  description: string,
  content: z.ZodType,
): ProduceType {
  return {
    mediaType,
    description: `REST Proxy v2: {"records": [{"key", "value", "partition"}]}. ${description}.`,
    schema: schemaOf(content),
    bodyBytesMax,
    async handle(request, reply, target, body) {
      const acks = acksOf((request.query as { readonly acks?: unknown }).acks)
      const type = answerType(request.headers.accept)
      const offsets = await produce(backend, format, target, acks, body)
      const answer = { offsets, key_schema_id: null, value_schema_id: null }
      return sendText(reply, type, JSON.stringify(answer))
    },
  }
}

async function produce(
  backend: LogBackend,
  format: EmbeddedFormat,
  { topic: name, partition }: ProduceTarget,
  acks: Acks,
  body: Buffer,
) {
  const records = parseProduceBody(body, format)
  const topic = await backend.ensureTopic(name)
  if (isRefusal(topic)) throw kafkaProblem(topic.errorCode, topic.message)
  if (partition !== null) {
    if (partition >= topic.partitionCount) {
      throw noPartition(topic.name, partition, topic.partitionCount)
    }
    for (const [index, record] of records.entries()) {
      if (record.partition !== null && record.partition !== partition) {
        const where = `records[${index}].partition`
        throw restProblem(RestCode.badPayload, `${where} is not ${partition}, that of the path`)
      }
      record.partition = partition
    }
  }
  return await produceRecords(backend, topic, records, acks)
}

/** @throws HttpProblem 40001 */
function acksOf(acks: unknown): Acks {
  if (acks === undefined || acks === 'all' || acks === '-1') return -1
  if (acks === '1') return 1
  if (acks === '0') return 0
  throw restProblem(RestCode.badOption, `acks=${echoed(JSON.stringify(acks))}: give all, 1 or 0`)
}

function refused(mediaType: string): ProduceType {
  return {
    mediaType,
    description: 'Not taken: there is no schema registry. Answers 422 with error_code 42205.',
    handle() {
      const cure = `send ${jsonType} or ${binaryType}`
      throw restProblem(RestCode.noSchemas, `${mediaType} needs a schema registry: ${cure}`)
    },
  }
}
