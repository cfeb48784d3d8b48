/**
 * Collects what the OpenAPI document is made of: the routes with their schemas, the very objects that validate. Cheap,
 * so that it can run at every start; the document itself is made when somebody asks for it. Dispatcher thread.
 */
import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify'
import type { ZodType } from 'zod'

/** What a route documents beside its schema; nothing of it is checked. */
export interface Documented {
  /** Request headers that the route reads itself. */
  readonly headers?: ZodType
  /** Bodies that the route reads itself, by content type. */
  readonly bodies?: () => readonly DocumentedBody[]
}

export interface DocumentedBody {
  readonly contentType: string
  readonly description: string
  readonly schema: ZodType | undefined
}

declare module 'fastify' {
  interface FastifyContextConfig {
    documented?: Documented
  }
}

export interface ListedRoute {
  readonly method: string
  readonly url: string
  readonly schema: FastifySchema
  readonly documented: Documented
}

/** @returns a list that grows while routes are registered; call it before they are */
export function listRoutes(app: FastifyInstance): readonly ListedRoute[] {
  const routes: ListedRoute[] = []
  app.addHook('onRoute', ({ method, url, schema, config }: RouteOptions) => {
    if (schema === undefined || method === 'HEAD') return
    for (const name of Array.isArray(method) ? method : [method]) {
      if (name === 'HEAD') continue
      routes.push({ method: name, url, schema, documented: config?.documented ?? {} })
    }
  })
  return routes
}
