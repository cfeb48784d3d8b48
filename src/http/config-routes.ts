/**
 * Configs: of a topic, which can be changed, at /v1/topics/{topic}/configs; of the broker, which are settings of its
 * start, at /v1/configs. Dispatcher thread.
 */
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { ConfigSource } from '../admin/config-entries.ts'
import type { ConfigStep } from '../admin/config-plan.ts'
import { admin, configTexts, dryRun, tags } from './admin-schemas.ts'
import type { AdminBackend, ConfigEntry } from './backend/admin-backend.ts'
import { problems, topicPath } from './raw/schemas.ts'

const names = z.strictObject({
  names: z
    .string()
    .optional()
    .describe('Only these, separated by commas; names that are none are left out.'),
})
const changes = z.strictObject({
  set: configTexts.default({}),
  delete: z.array(z.string()).default([]).describe('Back to their defaults.'),
  append: configTexts.default({}).describe('Items added to lists, separated by commas.'),
  subtract: configTexts.default({}).describe('Items taken out of lists.'),
  validate_only: dryRun,
})
const replacement = z.strictObject({
  configs: configTexts.describe('All that the topic has of its own from now on.'),
  validate_only: dryRun,
})

const entry = z.object({
  name: z.string(),
  value: z.string().nullable(),
  source: z.enum(['topic', 'broker', 'default']),
  read_only: z.boolean(),
  documentation: z.string(),
})
const entries = z.object({ configs: z.array(entry) })
const topicEntries = entries.extend({ topic: z.string() })
const changed = z.object({ topic: z.string(), configs: z.record(z.string(), z.string()) })

export function registerConfigRoutes(server: FastifyInstance, backend: AdminBackend): void {
  const app = server.withTypeProvider<ZodTypeProvider>()

  const broker = {
    tags,
    summary: 'Settings of the broker in force',
    querystring: names,
    response: { 200: entries },
  }
  app.get('/v1/configs', { schema: broker }, async ({ query }) => ({
    configs: (await backend.brokerConfigs(namesOf(query.names))).map(entryJson),
  }))

  const path = '/v1/topics/:topic/configs'
  const topic = {
    tags,
    summary: 'Configs of a topic in force',
    params: topicPath,
    querystring: names,
    response: { 200: topicEntries, ...problems(404) },
  }
  app.get(path, { schema: topic }, async ({ params, query }) => {
    const found = await admin(() => backend.topicConfigs(params.topic, namesOf(query.names)))
    return { topic: params.topic, configs: found.map(entryJson) }
  })

  const response = { 200: changed, ...problems(400, 404, 503) }
  const params = topicPath
  const patch = { tags, summary: 'Change configs of a topic', params, body: changes, response }
  app.patch(path, { schema: patch }, async ({ params, body }) => {
    const change = { steps: stepsOf(body) }
    await admin(() => backend.alterTopicConfigs(params.topic, change, body.validate_only))
    return await own(backend, params.topic)
  })

  const put = { tags, summary: 'Replace configs of a topic', params, body: replacement, response }
  app.put(path, { schema: put }, async ({ params, body }) => {
    const change = { all: Object.entries(body.configs) }
    await admin(() => backend.alterTopicConfigs(params.topic, change, body.validate_only))
    return await own(backend, params.topic)
  })
}

/** Values of a topic's own, by name; what it has from the broker is not among them. */
export function ownConfigs(entries: readonly ConfigEntry[]): Record<string, string> {
  const own = entries.filter(({ source }) => source === ConfigSource.TOPIC)
  return Object.fromEntries(own.map(({ name, value }) => [name, value]))
}

async function own(backend: AdminBackend, topic: string) {
  return { topic, configs: ownConfigs(await admin(() => backend.topicConfigs(topic, null))) }
}

function namesOf(text: string | undefined): readonly string[] | null {
  return text === undefined ? null : text.split(',').map(name => name.trim())
}

/** A config that is named twice is found where all steps are checked. */
function stepsOf(body: z.infer<typeof changes>): ConfigStep[] {
  const valued = (['set', 'append', 'subtract'] as const).flatMap(operation =>
    Object.entries(body[operation]).map(([name, text]) => ({ operation, name, text })),
  )
  const deleted = body.delete.map(name => ({ operation: 'delete' as const, name, text: null }))
  return [...valued, ...deleted]
}

const sources = new Map<number, 'topic' | 'broker' | 'default'>([
  [ConfigSource.TOPIC, 'topic'],
  [ConfigSource.STATIC_BROKER, 'broker'],
  [ConfigSource.DEFAULT, 'default'],
])

function entryJson(config: ConfigEntry): z.infer<typeof entry> {
  const { name, value, readOnly, sensitive, source: number, documentation } = config
  const source = sources.get(number) ?? 'default'
  const shown = sensitive ? null : value
  return { name, value: shown, source, read_only: readOnly, documentation }
}
