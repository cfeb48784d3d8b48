/**
 * The HTTP listener: fastify, with bounds on everything a client sends. Dispatcher thread. broker.ts imports this file
 * after the Kafka port answers, so that loading fastify does not delay the first client.
 */
import type { AddressInfo } from 'node:net'
import { type FastifyInstance, fastify } from 'fastify'
import { labelled, type ThreadMetrics } from '../metrics.ts'
import { registerAdminRoutes } from './admin-routes.ts'
import { ClientErrors } from './client-errors.ts'
import { attachFastPath } from './fast/attach.ts'
import { registerGroupRoutes } from './group-routes.ts'
import { checkRequest, hostNamesOf } from './guards.ts'
import { validatorOf } from './http-schema.ts'
import type { HttpDeadlines, HttpServices } from './http-services.ts'
import { registerJsonBody } from './json-body.ts'
import { registerLogRoutes } from './log-routes.ts'
import { registerDocs } from './openapi/docs-routes.ts'
import { listRoutes } from './openapi/route-list.ts'
import { registerPageRoutes } from './page-routes.ts'
import { answerError, echoed, sendProblem } from './problem.ts'
import { ByteBudget } from './raw/byte-budget.ts'
import { ProduceTypes } from './raw/produce-types.ts'
import { registerRaw } from './raw/register.ts'
import { RequestBodies } from './raw/request-bodies.ts'
import { restProduceTypes } from './rest/produce-types.ts'
import { registerRest } from './rest/register-rest.ts'
import { registerRoutes } from './routes.ts'
import { registerStatusRoutes } from './status-routes.ts'
import { registerTails } from './tail/tail-routes.ts'
import { keepNodeListeners } from './tail/upgrades.ts'

export type { HttpServices, Readiness } from './http-services.ts'

export interface HttpListener {
  /** As `http://127.0.0.1:8082`. */
  readonly url: string
  readonly port: number
  /** Stops listening, lets answers under way finish, closes the rest. */
  close(): Promise<void>
}

/** Largest request body, counted while it streams in. */
const bodyBytesMax = 16 * 1024 * 1024
/** Of all bodies under way. */
const bodiesBytesMax = 128 * 1024 * 1024
/** Request line and headers together. */
const headerBytesMax = 16 * 1024
const connectionsMaxDefault = 10_000
/** A topic name has up to 249 characters, a group id up to 255 bytes, each of which may be percent-encoded. */
const pathParameterCharsMax = 3 * 255
const keepAliveMs = 60_000
/** A connection on which nothing moves, in either direction, while an answer is owed. Long polls must stay below. */
const stalledMs = 90_000

const deadlineDefaults: HttpDeadlines = {
  headersMs: 10_000,
  requestMs: 30_000,
  checkMs: 1_000,
  drainMs: 5_000,
}

/**
 * Starts the HTTP listener.
 * @returns its address, with the port that the system chose for port 0.
 * Rejects with node's listen error (`code` EADDRINUSE, EACCES, ...; `address`, `port`); broker.ts words it.
 */
export async function startHttp(services: HttpServices): Promise<HttpListener> {
  const { host, port } = services.config.http
  const app = buildHttp(services)
  try {
    await app.listen({ host, port })
  } catch (error) {
    await app.close()
    throw error
  }
  const bound = (app.server.address() as AddressInfo).port
  const drainMs = (services.deadlines ?? deadlineDefaults).drainMs
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    close: () => closeHttp(app, drainMs),
  }
}

/** Everything but listening: guards, bounds, routes. Tests add routes of their own to it. */
export function buildHttp(services: HttpServices): FastifyInstance {
  const deadlines = services.deadlines ?? deadlineDefaults
  const { headersMs, requestMs, checkMs } = deadlines
  const { metrics, log, config } = services
  const clientErrors = new ClientErrors(status => countStatus(metrics, status))
  const app = fastify({
    logger: false,
    bodyLimit: bodyBytesMax,
    requestTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
    connectionTimeout: stalledMs,
    forceCloseConnections: 'idle',
    // While draining, /healthz still says ok and /readyz says no; a blanket 503 would hide which.
    return503OnClosing: false,
    routerOptions: { maxParamLength: pathParameterCharsMax },
    http: {
      headersTimeout: headersMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: checkMs,
      maxHeaderSize: headerBytesMax,
      requireHostHeader: false,
    },
    clientErrorHandler: clientErrors.answer,
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply, log),
  })
  clientErrors.watch(app.server)
  app.server.maxConnections = services.connectionsMax ?? connectionsMaxDefault
  const hostNames = hostNamesOf(config.http.host, config.advertised?.host)
  keepNodeListeners(app.server)
  attachFastPath(app, services, { deadlines, keepAliveMs, stalledMs, hostNames })
  app.addHook('onRequest', (request, _reply, done) => {
    checkRequest(request.raw, hostNames)
    done()
  })
  app.addHook('onResponse', (_request, reply, done) => {
    countStatus(metrics, reply.statusCode)
    done()
  })
  const bodies = new RequestBodies(new ByteBudget(services.bodyBytesMax ?? bodiesBytesMax))
  bodies.holdContinue(app.server)
  registerJsonBody(app, bodies)
  app.setValidatorCompiler(validatorOf)
  // Answers are ours: their schemas only document them.
  app.setSerializerCompiler(() => data => JSON.stringify(data))
  app.setErrorHandler<Error>((error, request, reply) => answerError(error, request, reply, log))
  app.setNotFoundHandler((request, reply) => {
    const what = `${request.method} ${echoed(request.url)}`
    return sendProblem(reply, 404, `no such route: ${what}; /docs shows them all`)
  })
  const routes = listRoutes(app)
  registerDocs(app, routes, services.version)
  registerRoutes(app, services)
  registerLogRoutes(app, services)
  registerGroupRoutes(app, services)
  const produceTypes = new ProduceTypes()
  registerRaw(app, services, produceTypes, bodies)
  for (const type of restProduceTypes(services.backend)) produceTypes.add(type)
  registerTails(app, services)
  registerRest(app, services, bodies)
  registerAdminRoutes(app, services)
  registerPageRoutes(app, registerStatusRoutes(app, services))
  return app
}

const statusIds = [
  labelled('httpRequests', '2xx'),
  labelled('httpRequests', '3xx'),
  labelled('httpRequests', '4xx'),
  labelled('httpRequests', '5xx'),
]

function countStatus(metrics: ThreadMetrics, status: number): void {
  const id = statusIds[Math.floor(status / 100) - 2]
  if (id !== undefined) metrics.add(id, 1)
}

async function closeHttp(app: FastifyInstance, drainMs: number): Promise<void> {
  const deadline = setTimeout(() => app.server.closeAllConnections(), drainMs)
  try {
    await app.close()
  } finally {
    clearTimeout(deadline)
  }
}
