/**
 * REST Proxy v2 on this listener: topics and partitions, and consumer instances where the broker has groups. Bodies of
 * its produce requests come in by restProduceTypes. Dispatcher thread.
 */
import type { FastifyInstance } from 'fastify'
import { systemClock } from '../../clock.ts'
import type { ConsumerConfig } from '../../config/consumer-settings.ts'
import type { Clock } from '../../contracts/clock.ts'
import type { GroupBackend } from '../backend/group-backend.ts'
import type { HttpServices } from '../http-services.ts'
import type { RequestBodies } from '../raw/request-bodies.ts'
import { registerCommits } from './commit-routes.ts'
import {
  registerAssignments,
  registerLife,
  registerPositions,
  registerSubscription,
} from './consumer-routes.ts'
import { Instances } from './instances.ts'
import { registerRecords } from './records-route.ts'
import { registerBodies } from './request-body.ts'
import { PatternMatcher } from './topic-pattern.ts'
import { registerPartitionRoutes, registerTopicRoutes } from './topic-routes.ts'

/** What consumer instances need of the broker. */
export interface ConsumerServices {
  readonly groups: GroupBackend
  readonly limits: ConsumerConfig
  /** What instances tell the coordinator; within its bounds. */
  readonly sessionTimeoutMs: number
  readonly heartbeatMs: number
  /** Default: the real one. */
  readonly clock?: Clock
}

/** @param bodies memory of the request bodies of all routes */
export function registerRest(
  app: FastifyInstance,
  services: HttpServices,
  bodies: RequestBodies,
): void {
  const { backend, broker, consumers, log, metrics } = services
  registerTopicRoutes(app, backend, broker.nodeId)
  registerPartitionRoutes(app, backend, broker.nodeId)
  if (consumers === undefined) return
  const { groups, limits, sessionTimeoutMs, heartbeatMs, clock = systemClock } = consumers
  const warn = (message: string): void => log.warn(message)
  const context = { backend, groups, clock, sessionTimeoutMs, heartbeatMs, warn }
  const instances = new Instances(limits, context, metrics)
  app.addHook('preClose', () => instances.close())
  void app.register(async scope => {
    registerBodies(scope, bodies)
    const parts = { app: scope, backend, instances }
    registerLife(parts, limits.requestTimeoutMs)
    registerSubscription(parts, new PatternMatcher(services.tasks))
    registerAssignments(parts)
    registerPositions(parts)
    registerRecords(parts, limits.requestBytesMax)
    registerCommits(parts, groups.metadataLengthMax)
  })
}
