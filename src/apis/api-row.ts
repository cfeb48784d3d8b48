/**
 * One row per API: schema, the authorizer's resource and operation, and the handler. Dispatcher thread.
 * ApiVersions is derived from the rows (apis/index.ts), so what is advertised and what is served cannot drift.
 */
import type { ApiSchema } from '../protocol/schema.ts'
import type { Services } from '../services.ts'

/**
 * What an authorizer is asked about (allow-all until ACLs exist). `per-topic` rows name their topics in the request.
 */
export type Resource = 'none' | 'cluster' | 'topic' | 'group' | 'transactional-id'
export type Operation =
  | 'none'
  | 'read'
  | 'write'
  | 'create'
  | 'delete'
  | 'alter'
  | 'describe'
  | 'describe-configs'
  | 'alter-configs'
  | 'cluster-action'
  | 'idempotent-write'

/** Who is at the other end. Anonymous until authentication exists. */
export interface Principal {
  readonly type: 'User'
  readonly name: string
}

/** One request being answered. A handler either returns its response (or a promise of it) or calls `respond` later. */
export interface Call<Response = unknown> {
  readonly apiVersion: number
  readonly clientId: string | null
  readonly principal: Principal
  /** Remote address, as `127.0.0.1`. */
  readonly remoteHost: string
  /** Sends the response; answers leave the connection in request order whatever the order of these calls. */
  respond(response: Response): void
}

export type Handler<Request, Response> = (
  request: Request,
  call: Call<Response>,
  services: Services,
) => Response | Promise<Response> | undefined

export interface ApiRow<Request = never, Response = never> {
  readonly schema: ApiSchema<Request, Response>
  /** Advertised range where it differs from the served one (Produce 0: PROTOCOL.md 1.4). */
  readonly advertise?: readonly [min: number, max: number]
  readonly resource: Resource
  readonly operation: Operation
  readonly handle: Handler<Request, Response>
}
