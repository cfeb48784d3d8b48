/**
 * The raw bodies of produce requests: one record, or a record a line. Dispatcher thread.
 *
 *   application/octet-stream     the body is one record
 *   application/x-ndjson         a record a line, blank lines skipped, lines not parsed
 *   text/plain; format=lines     a record a line, an empty line one with an empty value
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { Errors } from '../../protocol/errors.ts'
import type { LogBackend, RecordSource } from '../backend/log-backend.ts'
import { isRefusal } from '../backend/log-backend.ts'
import { lineRecords, OneRecord } from '../backend/record-sources.ts'
import { kafkaProblem, noPartition, statusOf } from '../error-status.ts'
import { HttpProblem } from '../problem.ts'
import { type Appended, append } from './append.ts'
import type { ProduceTarget, ProduceTypes } from './produce-types.ts'
import { partlyStored, producedBody } from './produced-body.ts'
import { optionsOf, type ProduceQuery, type RecordOptions } from './record-options.ts'

type SourceOf = (body: Buffer, options: RecordOptions, request: FastifyRequest) => RecordSource

const bytes = z.string().meta({ format: 'binary' })

export function addRawTypes(types: ProduceTypes, backend: LogBackend): void {
  const handlerOf =
    (sourceOf: SourceOf) =>
    (request: FastifyRequest, reply: FastifyReply, target: ProduceTarget, body: Buffer) =>
      produceRaw(backend, request, reply, target, body, sourceOf)
  types.add({
    mediaType: 'application/octet-stream',
    description: 'The body is the value of one record.',
    schema: bytes,
    handle: handlerOf(oneRecord),
  })
  types.add({
    mediaType: 'application/x-ndjson',
    description:
      'Each line is the value of a record, stored as it stands. Blank lines are skipped.',
    schema: bytes,
    handle: handlerOf((body, options) => lines(body, 'ndjson', options)),
  })
  types.add({
    mediaType: 'text/plain',
    contentType: 'text/plain; format=lines',
    description: 'Each line is the value of a record, an empty line an empty value.',
    schema: bytes,
    handle: handlerOf((body, options, request) => {
      checkFormat(request)
      return lines(body, 'lines', options)
    }),
  })
}

async function produceRaw(
  backend: LogBackend,
  request: FastifyRequest,
  reply: FastifyReply,
  target: ProduceTarget,
  body: Buffer,
  sourceOf: SourceOf,
): Promise<unknown> {
  const options = optionsOf(request.query as ProduceQuery, request.raw.rawHeaders)
  if (target.partition !== null && options.partition !== null) {
    throw new HttpProblem(400, 'the partition is given by the path and once more: give one of them')
  }
  const source = sourceOf(body, options, request)
  const topic = backend.topic(target.topic) ?? (await backend.ensureTopic(target.topic))
  if (isRefusal(topic)) throw kafkaProblem(topic.errorCode, topic.message)
  const { name, partitionCount } = topic
  const chosen = target.partition ?? options.partition
  const partition = chosen ?? backend.partitionFor(name, options.key)
  if (partition >= partitionCount) throw noPartition(name, partition, partitionCount)
  const { acks } = options
  const call = { topic: name, partition, acks, source }
  const appended = await append(backend, call, () => request.raw.socket.destroyed)
  if (appended.errorCode !== Errors.NONE) return sendFailed(backend, reply, call, appended)
  const isDurable = acks === -1 && backend.isFlushed(name)
  const { baseOffset, storedCount } = appended
  return reply
    .type('application/json; charset=utf-8')
    .send(producedBody(name, partition, baseOffset, storedCount, isDurable))
}

function oneRecord(body: Buffer, { key, headers, timestampMs, isTombstone }: RecordOptions) {
  if (isTombstone && body.length > 0) {
    throw new HttpProblem(400, 'tombstone=true takes no value: send an empty body')
  }
  return new OneRecord().set(isTombstone ? null : body, key, headers, timestampMs)
}

function lines(body: Buffer, mode: 'lines' | 'ndjson', options: RecordOptions): RecordSource {
  if (options.isTombstone) {
    throw new HttpProblem(400, 'tombstone=true goes with application/octet-stream only')
  }
  const source = lineRecords(body, mode, options)
  if (source === null) throw new HttpProblem(400, 'the body holds no record')
  return source
}

const linesFormat = /;\s*format\s*=\s*"?lines"?\s*(?:;|$)/i

function checkFormat(request: FastifyRequest): void {
  if (linesFormat.test(request.headers['content-type'] ?? '')) return
  const why = 'text/plain is taken as "text/plain; format=lines" (a record a line) only'
  throw new HttpProblem(415, why, 41501)
}

/** A large body goes in several batches: some may be stored although a later one was refused. */
function sendFailed(
  backend: LogBackend,
  reply: FastifyReply,
  { topic, partition }: { readonly topic: string; readonly partition: number },
  { errorCode, baseOffset, storedCount }: Appended,
): FastifyReply {
  const message = backend.explain(topic, partition, errorCode)
  if (storedCount === 0) throw kafkaProblem(errorCode, message)
  const { status, errorCode: code } = statusOf(errorCode)
  const told = partlyStored(code, message, topic, partition, baseOffset, storedCount)
  return reply.code(status).send(told)
}
