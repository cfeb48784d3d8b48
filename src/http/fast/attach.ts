/** Puts the hot path before the HTTP server of fastify. Dispatcher thread. */
import type { FastifyInstance } from 'fastify'
import type { HttpServices } from '../http-services.ts'
import { FastListener, type FastOptions } from './fast-listener.ts'

/** Does nothing when the hot path is turned off. */
export function attachFastPath(
  app: FastifyInstance,
  { fastPath, backend, metrics }: HttpServices,
  limits: Pick<FastOptions, 'deadlines' | 'keepAliveMs' | 'stalledMs' | 'hostNames'>,
): void {
  if (fastPath === undefined || fastPath === null) return
  const options = { ...limits, backend, metrics, readPath: fastPath }
  const listener = new FastListener(app.server, options)
  app.addHook('preClose', done => {
    listener.drain()
    done()
  })
}
