/**
 * Topics as people manage them: /v1/topics. Dispatcher thread. Every change goes through the admin service, as the
 * wire's does; the same topics are /topics in the REST Proxy's own shape. Offsets are strings.
 */
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { admin, configTexts, count, dryRun, offset, offsetText, tags } from './admin-schemas.ts'
import type { AdminBackend, CreatedTopic, TopicDetails } from './backend/admin-backend.ts'
import { ownConfigs } from './config-routes.ts'
import { partitionPath, problems, topicPath } from './raw/schemas.ts'

const newTopic = z.strictObject({
  topic: z.string().describe('Its name: up to 249 of a-z, A-Z, 0-9, dot, underscore, hyphen.'),
  partitions: count.optional().describe("Default: the broker's num.partitions."),
  replication_factor: count.optional().describe('One broker keeps one copy.'),
  configs: configTexts.optional().describe('Topic configs by name.'),
  validate_only: dryRun,
})
const growth = z.strictObject({
  count: count.describe('Partitions afterwards.'),
  validate_only: dryRun,
})
const deletion = z.strictObject({
  before: z
    .union([z.literal('end'), offset])
    .describe('The first offset that stays; end: all that consumers may read now goes.'),
})

const summary = z.object({
  topic: z.string(),
  topic_id: z.string(),
  internal: z.boolean(),
  partitions: z.int(),
  configs: z.record(z.string(), z.string()),
})
const created = z.object({
  topic: z.string(),
  topic_id: z.string().nullable().meta({ description: 'Null when it was only checked.' }),
  partitions: z.int(),
  replication_factor: z.int(),
  configs: z.record(z.string(), z.string()),
})
const details = summary.extend({
  partitions: z.array(
    z.object({
      partition: z.int(),
      leader: z.int().nullable(),
      worker: z.int().nullable().meta({ description: 'The thread that owns it.' }),
      state: z.string(),
      log_start_offset: offsetText.nullable(),
      log_end_offset: offsetText.nullable(),
    }),
  ),
})
const deleted = z.object({ topic: z.string(), topic_id: z.string(), deleted: z.boolean() })
const grown = z.object({ topic: z.string(), partitions: z.int() })
const shortened = z.object({
  topic: z.string(),
  partition: z.int(),
  log_start_offset: offsetText,
})

export function registerTopicRoutes(server: FastifyInstance, backend: AdminBackend): void {
  const app = server.withTypeProvider<ZodTypeProvider>()

  const all = z.object({ topics: z.array(summary) })
  const listing = { tags, summary: 'All topics', response: { 200: all } }
  app.get('/v1/topics', { schema: listing }, async () => ({
    topics: (await backend.listTopics()).map(summaryJson),
  }))

  const creation = {
    tags,
    summary: 'Create a topic',
    body: newTopic,
    response: { 200: created, 201: created, ...problems(400, 409, 503) },
  }
  app.post('/v1/topics', { schema: creation }, async (request, reply) => {
    const { topic: name, partitions = -1, replication_factor = -1, configs = {} } = request.body
    const made = await admin(() =>
      backend.createTopic({
        name,
        partitions,
        replicationFactor: replication_factor,
        configs: Object.entries(configs),
        validateOnly: request.body.validate_only,
      }),
    )
    if (made.id === null) return createdJson(made)
    const location = `/v1/topics/${encodeURIComponent(name)}`
    return await reply.code(201).header('location', location).send(createdJson(made))
  })

  const one = {
    tags,
    summary: 'One topic: partitions, offsets, own configs',
    params: topicPath,
    response: { 200: details, ...problems(404) },
  }
  app.get('/v1/topics/:topic', { schema: one }, async ({ params }) =>
    detailsJson(await admin(() => backend.describeTopic(params.topic))),
  )

  const removal = {
    tags,
    summary: 'Delete a topic with all its records',
    params: topicPath,
    response: { 200: deleted, ...problems(400, 403, 404, 503) },
  }
  app.delete('/v1/topics/:topic', { schema: removal }, async ({ params }) => {
    const { name, id } = await admin(() => backend.deleteTopic(params.topic))
    return { topic: name, topic_id: id, deleted: true }
  })

  registerPartitionRoutes(server, backend)
}

function registerPartitionRoutes(server: FastifyInstance, backend: AdminBackend): void {
  const app = server.withTypeProvider<ZodTypeProvider>()

  const more = {
    tags,
    summary: 'Add partitions',
    params: topicPath,
    body: growth,
    response: { 200: grown, ...problems(400, 404, 503) },
  }
  app.post('/v1/topics/:topic/partitions', { schema: more }, async ({ params, body }) => {
    const { count: partitions, validate_only } = body
    await admin(() => backend.createPartitions(params.topic, partitions, validate_only))
    return { topic: params.topic, partitions }
  })

  const records = {
    tags,
    summary: 'Delete the oldest records of a partition',
    params: partitionPath,
    querystring: deletion,
    response: { 200: shortened, ...problems(400, 404, 416, 503) },
  }
  app.delete(
    '/v1/topics/:topic/partitions/:partition/records',
    { schema: records },
    async ({ params, query }) => {
      const { topic, partition } = params
      const before = query.before === 'end' ? -1 : query.before
      const logStart = await admin(() => backend.deleteRecords(topic, partition, before))
      return { topic, partition, log_start_offset: String(logStart) }
    },
  )
}

function summaryJson({ name, id, isInternal, partitions, configs }: TopicDetails) {
  return {
    topic: name,
    topic_id: id,
    internal: isInternal,
    partitions: partitions.length,
    configs: Object.fromEntries(configs),
  }
}

function createdJson({ name, id, partitions, replicationFactor, configs }: CreatedTopic) {
  return {
    topic: name,
    topic_id: id,
    partitions,
    replication_factor: replicationFactor,
    configs: ownConfigs(configs),
  }
}

function detailsJson({ partitions, ...topic }: TopicDetails) {
  const text = (value: number | null): string | null => (value === null ? null : String(value))
  return {
    topic: topic.name,
    topic_id: topic.id,
    internal: topic.isInternal,
    configs: Object.fromEntries(topic.configs),
    partitions: partitions.map(({ index, leader, worker, state, logStart, logEnd }) => ({
      partition: index,
      leader,
      worker,
      state,
      log_start_offset: text(logStart),
      log_end_offset: text(logEnd),
    })),
  }
}
