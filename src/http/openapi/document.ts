/**
 * The OpenAPI 3.1 document: made of the zod schemas that validate the requests, by a server that never listens, so that
 * swagger and its helpers are loaded only when somebody asks. Dispatcher thread.
 */
import swagger, { type SwaggerTransform } from '@fastify/swagger'
import { type FastifySchema, fastify, type HTTPMethods } from 'fastify'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { DocumentedBody, ListedRoute } from './route-list.ts'

const description =
  'A log broker that speaks the Kafka wire protocol and HTTP. Offsets are 64-bit numbers; in ' +
  'JSON they are strings, except in REST Proxy v2. Every error is {"error_code", "message"}.'

/** The headings of the document, in its order. */
const tags = [
  { name: 'Produce', description: 'Append records.' },
  { name: 'Read', description: 'Read records without any state in the broker.' },
  { name: 'Topics', description: 'Topics and partitions, as in the REST Proxy v2.' },
  {
    name: 'Consumer instances',
    description: 'Members of consumer groups, as in the REST Proxy v2.',
  },
  { name: 'Tail', description: 'Records as they come, by Server-Sent Events or WebSocket.' },
  { name: 'Status', description: 'How the broker is doing.' },
  { name: 'Administration', description: 'Topics, configs, groups and logs.' },
]

const done = { description: 'Done.' }

/** @returns the document as JSON */
export async function openApiDocument(
  routes: readonly ListedRoute[],
  version: string,
): Promise<string> {
  const app = fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(() => value => ({ value }))
  app.setSerializerCompiler(() => JSON.stringify)
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'odradek', version, description, license: { name: 'Apache-2.0' } },
      servers: [{ url: '/' }],
      tags,
    },
    transform,
    transformObject: jsonSchemaTransformObject,
  })
  for (const { method, url, schema, documented } of routes) {
    app.route({
      method: method as HTTPMethods,
      url,
      schema: { ...schema, ...(documented.headers && { headers: documented.headers }) },
      config: { documented },
      handler: () => null,
    })
  }
  await app.ready()
  const text = JSON.stringify(app.swagger(), withoutNoise)
  await app.close()
  return withoutUnused(text)
}

/** Every integer of a schema would be told that it is a safe one. */
function withoutNoise(name: string, value: unknown): unknown {
  const isNoise = name === 'minimum' || name === 'maximum'
  return isNoise && Math.abs(value as number) === Number.MAX_SAFE_INTEGER ? undefined : value
}

interface Components {
  readonly components?: { readonly schemas?: Record<string, unknown> }
}

/** Shared schemas come in two shapes, for requests and for answers: those that nothing points at are left out. */
function withoutUnused(text: string): string {
  const document = JSON.parse(text) as Components
  const schemas = document.components?.schemas ?? {}
  for (const name of Object.keys(schemas)) {
    if (!text.includes(`"#/components/schemas/${name}"`)) delete schemas[name]
  }
  return JSON.stringify(document)
}

const transform: SwaggerTransform = call => {
  const { schema, route } = call
  const { responses, plain } = splitResponses(schema)
  const shown = { ...schema, response: responses } as FastifySchema
  const transformed = jsonSchemaTransform({ ...call, schema: shown } as never)
  const result = transformed.schema as Record<string, unknown>
  const response = { ...(result.response as object), ...plain }
  result.response = Object.keys(response).length === 0 ? { 200: done } : response
  const bodies = route.config?.documented?.bodies?.()
  if (bodies !== undefined) result.body = { content: contentOf(bodies) }
  return { schema: result, url: transformed.url }
}

/** Answers without a body have no zod schema: they stay as they are. */
function splitResponses(schema: FastifySchema) {
  const responses: Record<string, unknown> = {}
  const plain: Record<string, unknown> = {}
  for (const [status, response] of Object.entries((schema.response ?? {}) as object)) {
    const isZod = response instanceof z.ZodType || 'content' in (response as object)
    if (isZod) responses[status] = response
    else plain[status] = response
  }
  return { responses, plain }
}

function contentOf(bodies: readonly DocumentedBody[]) {
  const content: Record<string, { schema: object }> = {}
  for (const { contentType, description: what, schema } of bodies) {
    const shape = schema === undefined ? {} : jsonSchema(schema)
    content[contentType] = { schema: { ...shape, description: what } }
  }
  return content
}

function jsonSchema(schema: z.ZodType): object {
  const options = { target: 'draft-2020-12', io: 'input', unrepresentable: 'any' } as const
  const { $schema: _dialect, ...shape } = z.toJSONSchema(schema, options)
  return shape
}
