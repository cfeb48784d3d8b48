/**
 * The HTTP listener: fastify, with bounds on everything a client sends. Dispatcher thread. broker.ts imports this file
 * after the Kafka port answers, so that loading fastify does not delay the first client.
 */
import type { AddressInfo, Socket } from 'node:net'
import { type FastifyInstance, fastify } from 'fastify'
import { labelled, type ThreadMetrics } from '../metrics.ts'
import { registerGroupRoutes } from './group-routes.ts'
import { checkRequest, hostNamesOf } from './guards.ts'
import type { HttpDeadlines, HttpServices } from './http-services.ts'
import { registerJsonBody } from './json-body.ts'
import { registerLogRoutes } from './log-routes.ts'
import { answerError, echoed, type Problem, sendProblem } from './problem.ts'
import { registerRoutes } from './routes.ts'

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
  const { headersMs, requestMs, checkMs } = services.deadlines ?? deadlineDefaults
  const { metrics, log, config } = services
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
    clientErrorHandler: (error, socket) => answerClientError(error, socket, metrics),
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply, log),
  })
  app.server.maxConnections = services.connectionsMax ?? connectionsMaxDefault
  const hostNames = hostNamesOf(config.http.host, config.advertised?.host)
  app.addHook('onRequest', (request, _reply, done) => {
    checkRequest(request.raw, hostNames)
    done()
  })
  app.addHook('onResponse', (_request, reply, done) => {
    countStatus(metrics, reply.statusCode)
    done()
  })
  registerJsonBody(app)
  app.setErrorHandler<Error>((error, request, reply) => answerError(error, request, reply, log))
  app.setNotFoundHandler((request, reply) => {
    const what = `${request.method} ${echoed(request.url)}`
    return sendProblem(reply, 404, `no such route: ${what}; try /healthz, /readyz or /metrics`)
  })
  registerRoutes(app, services)
  registerLogRoutes(app, services)
  registerGroupRoutes(app, services)
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

/** Bytes that are no HTTP request, or come too slowly: node's parser gave up, so there is no request to reply to. */
function answerClientError(
  error: NodeJS.ErrnoException,
  socket: Socket,
  metrics: ThreadMetrics,
): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, reason, message] = clientErrors.get(error.code ?? '') ?? malformed
  const problem: Problem = { error_code: status, message }
  const body = JSON.stringify(problem)
  countStatus(metrics, status)
  socket.end(
    `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

type ClientErrorAnswer = readonly [status: number, reason: string, message: string]
const malformed: ClientErrorAnswer = [400, 'Bad Request', 'not a valid HTTP/1.1 request']
const clientErrors = new Map<string, ClientErrorAnswer>([
  ['ERR_HTTP_REQUEST_TIMEOUT', [408, 'Request Timeout', 'the request came too slowly']],
  [
    'HPE_HEADER_OVERFLOW',
    [431, 'Request Header Fields Too Large', `more than ${headerBytesMax} bytes of headers`],
  ],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', [413, 'Payload Too Large', 'chunk extensions too large']],
])

async function closeHttp(app: FastifyInstance, drainMs: number): Promise<void> {
  const deadline = setTimeout(() => app.server.closeAllConnections(), drainMs)
  try {
    await app.close()
  } finally {
    clearTimeout(deadline)
  }
}
