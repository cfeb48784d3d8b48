/** What the routes of consumer instances share: their paths, how they find an instance, how they answer. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { LogBackend } from '../backend/log-backend.ts'
import { noPartition, noTopic } from '../error-status.ts'
import type { ConsumerInstance, TopicPartition } from './instance.ts'
import type { Instances } from './instances.ts'
import { answerType } from './media-types.ts'

export interface RestParts {
  readonly app: FastifyInstance
  readonly backend: LogBackend
  readonly instances: Instances
}

export interface InstancePath {
  readonly Params: { readonly group: string; readonly instance: string }
}

export const instancePath = '/consumers/:group/instances/:instance'
export const consumerTag = 'Consumer instances'

export function onInstance<T>(
  instances: Instances,
  { params }: FastifyRequest<InstancePath>,
  run: (instance: ConsumerInstance) => T | Promise<T>,
): Promise<T> {
  return instances.call(params.group, params.instance, run)
}

/** @throws HttpProblem 40401, 40402 */
export function checkPartitions(backend: LogBackend, rows: readonly TopicPartition[]): void {
  for (const { topic, partition } of rows) {
    const view = backend.topic(topic)
    if (view === null) throw noTopic(topic)
    if (partition >= view.partitionCount) throw noPartition(topic, partition, view.partitionCount)
  }
}

/** As JSON, under the type that the client wants. @throws HttpProblem 406 */
export function sendJson(request: FastifyRequest, reply: FastifyReply, body: object): FastifyReply {
  return sendText(reply, answerType(request.headers.accept), JSON.stringify(body))
}

/** Bytes, for to a text with a JSON type a charset is added, which clients that compare types do not expect. */
export function sendText(reply: FastifyReply, type: string, text: string): FastifyReply {
  return reply.type(type).send(Buffer.from(text))
}
