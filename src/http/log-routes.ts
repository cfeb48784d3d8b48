/** Routes that act on logs: /v1/logs/{topic}/{partition}/recover. Dispatcher thread. */
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { HttpServices } from './http-services.ts'
import { echoed, HttpProblem } from './problem.ts'
import { partitionPath, problems } from './raw/schemas.ts'

const recovered = z.object({
  topic: z.string(),
  partition: z.int(),
  state: z.literal('online'),
  log_start_offset: z.string(),
  log_end_offset: z.string(),
  truncated_bytes: z.int(),
})

const schema = {
  summary: 'Bring an offline partition back',
  description: 'Recovers its log again, and cuts what cannot be proven to be whole.',
  tags: ['Administration'],
  params: partitionPath,
  response: { 200: recovered, ...problems(400, 404, 503) },
}

export function registerLogRoutes(app: FastifyInstance, services: HttpServices): void {
  const routes = app.withTypeProvider<ZodTypeProvider>()
  routes.post('/v1/logs/:topic/:partition/recover', { schema }, async request => {
    const { topic, partition } = request.params
    const opened = await services.recoverPartition(topic, partition)
    if (opened === null) {
      throw new HttpProblem(404, `there is no partition ${partition} of topic ${echoed(topic)}`)
    }
    const { error, logStartOffset, logEndOffset, truncatedBytes } = opened
    if (error !== null) throw new HttpProblem(503, `${topic}-${partition} stays offline: ${error}`)
    return {
      topic,
      partition,
      state: 'online' as const,
      // JavaScript readers would round larger ones.
      log_start_offset: String(logStartOffset),
      log_end_offset: String(logEndOffset),
      truncated_bytes: truncatedBytes,
    }
  })
}
