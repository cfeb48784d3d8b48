/** Routes that act on logs: /v1/logs/{topic}/{partition}/recover. Dispatcher thread. */
import type { FastifyInstance } from 'fastify'
import type { HttpServices } from './http-services.ts'
import { echoed, HttpProblem } from './problem.ts'

interface PartitionPath {
  readonly topic: string
  readonly partition: string
}

export function registerLogRoutes(app: FastifyInstance, services: HttpServices): void {
  app.post<{ Params: PartitionPath }>('/v1/logs/:topic/:partition/recover', async request => {
    const { topic, partition: text } = request.params
    if (!/^\d{1,6}$/.test(text)) {
      throw new HttpProblem(400, `${echoed(text)} is not a partition: it must be a number`)
    }
    const partition = Number(text)
    const recovered = await services.recoverPartition(topic, partition)
    if (recovered === null) {
      throw new HttpProblem(404, `there is no partition ${partition} of topic ${echoed(topic)}`)
    }
    const { error, logStartOffset, logEndOffset, truncatedBytes } = recovered
    if (error !== null) throw new HttpProblem(503, `${topic}-${partition} stays offline: ${error}`)
    return {
      topic,
      partition,
      state: 'online',
      // JavaScript readers would round larger ones.
      log_start_offset: String(logStartOffset),
      log_end_offset: String(logEndOffset),
      truncated_bytes: truncatedBytes,
    }
  })
}
