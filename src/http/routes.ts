/** Routes for machines that watch the broker: /healthz, /readyz, /metrics. Dispatcher thread. */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Exposition } from './exposition.ts'
import type { HttpServices } from './http-services.ts'
import { problem } from './raw/schemas.ts'

/** More names than this are only counted: the answer of a broker with 4,096 broken partitions stays readable. */
const namesMax = 100

const tags = ['Status']

const healthy = {
  summary: 'Whether the process answers',
  tags,
  response: { 200: z.object({ status: z.literal('ok') }) },
}

const notReady = problem.extend({
  ready: z.literal(false),
  unavailable_count: z.int(),
  unavailable: z.array(z.string()).meta({ description: 'Partitions that take no records.' }),
  reasons: z.array(z.string()),
})
const readySchema = {
  summary: 'Whether every partition takes records',
  tags,
  response: { 200: z.object({ ready: z.literal(true) }), 503: notReady },
}

const metricsSchema = {
  summary: 'Metrics in the text format of Prometheus',
  tags,
  response: {
    200: { description: 'Metrics.', content: { 'text/plain': { schema: z.string() } } },
  },
}

export function registerRoutes(app: FastifyInstance, services: HttpServices): void {
  let exposition: Exposition | null = null

  // Answering at all is the proof: the dispatcher's event loop turns.
  app.get('/healthz', { schema: healthy }, () => ({ status: 'ok' }))

  app.get('/readyz', { schema: readySchema }, async (_request, reply) => {
    const { serving, unavailable, reasons = [] } = services.readiness()
    if (serving && unavailable.length === 0) return { ready: true }
    const message = serving ? 'partitions do not take records' : 'starting or shutting down'
    return await reply.code(503).send({
      error_code: 503,
      message,
      ready: false,
      unavailable_count: unavailable.length,
      unavailable: unavailable.slice(0, namesMax),
      reasons: reasons.slice(0, namesMax),
    })
  })

  app.get('/metrics', { schema: metricsSchema }, async (_request, reply) => {
    if (exposition === null) {
      const { metricsMemory, version, groups } = services
      const loaded = await import('./exposition.ts')
      exposition ??= new loaded.Exposition(metricsMemory, version, groups.lags)
    }
    services.refreshGauges()
    return await reply.type(exposition.contentType).send(await exposition.text())
  })
}
