/**
 * The admin routes together: topics, configs, groups. Dispatcher thread. Bodies are JSON, which no web page of others
 * can send without asking first, and what asks is refused (guards.ts).
 */
import type { FastifyInstance } from 'fastify'
import { registerConfigRoutes } from './config-routes.ts'
import { registerGroupAdminRoutes } from './group-admin-routes.ts'
import type { HttpServices } from './http-services.ts'
import { registerTopicRoutes } from './topic-routes.ts'

export function registerAdminRoutes(app: FastifyInstance, { admin }: HttpServices): void {
  registerTopicRoutes(app, admin)
  registerConfigRoutes(app, admin)
  registerGroupAdminRoutes(app, admin)
}
