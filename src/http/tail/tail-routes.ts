/**
 * Tails: `GET /topics/{topic}/events` as Server-Sent Events, `/topics/{topic}/socket` as a WebSocket. Dispatcher
 * thread.
 */
import type { Duplex } from 'node:stream'
import fastifyWebsocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { tailDefaults } from '../../config/tail-settings.ts'
import type { HttpServices } from '../http-services.ts'
import { HttpProblem } from '../problem.ts'
import { TailHub } from './tail-hub.ts'
import { planTail, type TailPlan } from './tail-plan.ts'
import { eventsHeaders, eventsSchema, socketSchema, type TailQuery } from './tail-schemas.ts'
import { EventStreamSink, type TailSink, WebSocketSink } from './tail-sink.ts'
import { webSocketUpgrades } from './upgrades.ts'
import { messageBytesMax, takeCredit } from './web-socket-credit.ts'

interface TailRoute {
  readonly Params: { readonly topic: string }
  readonly Querystring: TailQuery
}

/** How long clients have to close when the listener closes. */
const drainMs = 2000

export function registerTails(app: FastifyInstance, services: HttpServices): void {
  const { backend, metrics, log, tails: config = tailDefaults } = services
  const hub = new TailHub({ backend, metrics, log, config })
  app.addHook('preClose', done => {
    const cutOff = hub.close()
    setTimeout(cutOff, drainMs).unref()
    done()
  })
  app.route<TailRoute>({
    method: 'GET',
    url: '/topics/:topic/events',
    exposeHeadRoute: false,
    schema: eventsSchema,
    config: { documented: { headers: eventsHeaders } },
    handler: async (request, reply) => {
      const release = hub.reserve()
      try {
        const plan = await planTail(backend, wishOf(request, 'sse'))
        // The client has gone while its request was looked at: there is nobody to answer.
        if (reply.raw.destroyed || request.raw.socket.destroyed) return reply
        reply.hijack()
        hub.open(new EventStreamSink(reply.raw), plan)
        return reply
      } finally {
        release()
      }
    },
  })
  void app.register(async scope => await registerSockets(scope, hub))
}

function wishOf(request: FastifyRequest<TailRoute>, kind: TailSink['kind']) {
  const header = request.headers['last-event-id'] ?? ''
  const lastEventId = Array.isArray(header) ? header.join(',') : header
  return { topic: request.params.topic, query: request.query, lastEventId, kind }
}

async function registerSockets(app: FastifyInstance, hub: TailHub): Promise<void> {
  const plans = new WeakMap<object, { plan: TailPlan; release: () => void }>()
  await app.register(fastifyWebsocket, {
    // The hub ends them, with a reason.
    preClose: done => done(),
    // What a client did wrong is told to its tail.
    errorHandler: () => {},
    options: {
      server: webSocketUpgrades(app.server, path => /^\/topics\/[^/?]+\/socket(\?|$)/.test(path)),
      maxPayload: messageBytesMax,
      perMessageDeflate: false,
      autoPong: false,
      clientTracking: false,
    },
  })
  app.route<TailRoute>({
    method: 'GET',
    url: '/topics/:topic/socket',
    exposeHeadRoute: false,
    schema: socketSchema,
    preHandler: async request => {
      if (!request.ws) return
      const release = hub.reserve()
      request.raw.socket.once('close', release)
      try {
        const plan = await planTail(hub.backend, wishOf(request, 'websocket'))
        plans.set(request.raw, { plan, release })
      } catch (error) {
        release()
        throw error
      }
    },
    handler: async () => {
      throw new HttpProblem(
        426,
        'this is a WebSocket; for Server-Sent Events ask /topics/{topic}/events',
      )
    },
    wsHandler: (webSocket, request) => {
      const planned = plans.get(request.raw)
      if (planned === undefined) return webSocket.terminate()
      planned.release()
      const sink = new WebSocketSink(webSocket, request.raw.socket as Duplex)
      takeCredit(webSocket, hub.open(sink, planned.plan), hub)
    },
  })
}
