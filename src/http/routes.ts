/** Routes for machines that watch the broker: /healthz, /readyz, /metrics. Dispatcher thread. */
import type { FastifyInstance } from 'fastify'
import type { Exposition } from './exposition.ts'
import type { HttpServices } from './http-services.ts'

/** More names than this are only counted: the answer of a broker with 4,096 broken partitions stays readable. */
const namesMax = 100

export function registerRoutes(app: FastifyInstance, services: HttpServices): void {
  let exposition: Exposition | null = null

  // Answering at all is the proof: the dispatcher's event loop turns.
  app.get('/healthz', () => ({ status: 'ok' }))

  app.get('/readyz', async (_request, reply) => {
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

  app.get('/metrics', async (_request, reply) => {
    if (exposition === null) {
      const { metricsMemory, version, groups } = services
      const loaded = await import('./exposition.ts')
      exposition ??= new loaded.Exposition(metricsMemory, version, groups.lags)
    }
    services.refreshGauges()
    return await reply.type(exposition.contentType).send(await exposition.text())
  })
}
