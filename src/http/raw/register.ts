/** The raw API: produce and read without an envelope. Dispatcher thread. */
import type { FastifyInstance } from 'fastify'
import type { HttpServices } from '../http-services.ts'
import { ByteBudget } from './byte-budget.ts'
import { registerProduceRoutes } from './produce-routes.ts'
import type { ProduceTypes } from './produce-types.ts'
import { registerReadRoutes } from './read-routes.ts'
import type { RequestBodies } from './request-bodies.ts'

/** Of all answers that are not sent yet. */
const answerBytesMax = 128 * 1024 * 1024

export function registerRaw(
  app: FastifyInstance,
  services: HttpServices,
  types: ProduceTypes,
  bodies: RequestBodies,
): void {
  registerProduceRoutes(app, services, types, bodies)
  registerReadRoutes(app, services, new ByteBudget(services.answerBytesMax ?? answerBytesMax))
}
