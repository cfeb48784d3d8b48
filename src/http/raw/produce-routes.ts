/**
 * POST /topics/{topic} and /topics/{topic}/partitions/{partition}: reads the body, hands it to whoever takes its
 * content type. Dispatcher thread.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { HttpServices } from '../http-services.ts'
import type { DocumentedBody } from '../openapi/route-list.ts'
import { echoed, HttpProblem } from '../problem.ts'
import {
  bodyBytesMaxDefault,
  mediaTypeOf,
  type ProduceTarget,
  type ProduceType,
  type ProduceTypes,
} from './produce-types.ts'
import { addRawTypes } from './raw-types.ts'
import { produceHeaders, produceQuery } from './record-options.ts'
import type { RequestBodies } from './request-bodies.ts'
import { partitionPath, problems, topicPath } from './schemas.ts'
import { BodyUnpacker, isGzip } from './unpack-body.ts'

const produced = z
  .object({
    topic: z.string(),
    partition: z.int(),
    base_offset: z.string().nullable().meta({ description: 'Of the first record; null: acks=0.' }),
    count: z.int().meta({ description: 'Records stored.' }),
    durable: z.boolean().meta({ description: 'They are flushed to the disk.' }),
  })
  .meta({ id: 'Produced' })

const summary = 'Append records'
const schema = {
  summary,
  description:
    'The topic is made if it does not exist and auto.create.topics.enable is on. Records without ' +
    'a key and a partition go to one partition per batch, in turn.',
  tags: ['Produce'],
  querystring: produceQuery,
  response: { 200: produced, ...problems(400, 404, 413, 415, 422, 503, 504) },
}

export function registerProduceRoutes(
  app: FastifyInstance,
  services: HttpServices,
  types: ProduceTypes,
  bodies: RequestBodies,
): void {
  addRawTypes(types, services.backend)
  const unpacker = new BodyUnpacker(services.tasks, bodies)
  const answer = async (request: FastifyRequest, reply: FastifyReply, target: ProduceTarget) => {
    const type = typeOf(request, types)
    const bytesMax = type.bodyBytesMax ?? bodyBytesMaxDefault
    const encoding = request.headers['content-encoding']
    isGzip(encoding)
    const sent = await bodies.read(request.raw, bytesMax)
    const body = await unpacker.unpack(sent, encoding, bytesMax)
    try {
      // Each type documents its own answer; they are not checked at run time.
      return (await type.handle(request, reply, target, body.bytes)) as never
    } finally {
      body.release()
    }
  }
  const config = { documented: { headers: produceHeaders, bodies: () => documentedBodies(types) } }
  void app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers()
    // The body stays in the socket until its type is known to be taken.
    scope.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null))
    const routes = scope.withTypeProvider<ZodTypeProvider>()
    routes.post(
      '/topics/:topic',
      { schema: { ...schema, params: topicPath }, config },
      async (request, reply) => {
        const { topic } = request.params
        return await answer(request, reply, { topic, partition: null })
      },
    )
    routes.post(
      '/topics/:topic/partitions/:partition',
      { schema: { ...schema, params: partitionPath }, config },
      async (request, reply) => await answer(request, reply, request.params),
    )
    done()
  })
}

function documentedBodies(types: ProduceTypes): DocumentedBody[] {
  return types.all().map(({ contentType, mediaType, description, schema: shape }) => {
    return { contentType: contentType ?? mediaType, description, schema: shape }
  })
}

function typeOf({ headers }: FastifyRequest, types: ProduceTypes): ProduceType {
  const sent = headers['content-type']
  const type = types.get(mediaTypeOf(sent))
  if (type !== undefined) return type
  const known = types.all().map(({ contentType, mediaType }) => contentType ?? mediaType)
  const what = sent === undefined ? 'no Content-Type' : `Content-Type ${echoed(sent)}`
  throw new HttpProblem(415, `${what}: records come as ${known.join(', ')}`, 41501)
}
