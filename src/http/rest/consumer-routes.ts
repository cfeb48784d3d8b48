/**
 * Consumer instances over HTTP, as in REST Proxy v2: /consumers/{group} and, below it, an instance with what it wants
 * to read and where it is. Its records are in records-route.ts, its commits in commit-routes.ts. Dispatcher thread.
 */
import type { FastifyRequest } from 'fastify'
import {
  checked,
  createBody,
  createdAnswer,
  partitionsBody,
  positionsBody,
  subscriptionAnswer,
  subscriptionBody,
} from './consumer-bodies.ts'
import { RestCode } from './rest-problem.ts'
import { routeOptions } from './route-options.ts'
import {
  checkPartitions,
  consumerTag,
  type InstancePath,
  instancePath,
  onInstance,
  type RestParts,
  sendJson,
} from './route-parts.ts'
import { type PatternMatcher, TopicPattern } from './topic-pattern.ts'

interface GroupPath {
  readonly Params: { readonly group: string }
}

/** @param requestTimeoutMs of an instance that says nothing about it */
export function registerLife({ app, instances }: RestParts, requestTimeoutMs: number): void {
  app.post<GroupPath>(
    '/consumers/:group',
    routeOptions(consumerTag, 'Create a consumer instance in a group', {
      body: createBody,
      answer: createdAnswer,
      fails: [409, 422, 429],
    }),
    (request, reply) => {
      const { group } = request.params
      const config = checked(createBody, request.body ?? {}, RestCode.badConfig)
      const options = {
        format: config.format,
        autoOffsetReset: config['auto.offset.reset'],
        autoCommit: config['auto.commit.enable'] ?? config['enable.auto.commit'] ?? true,
        requestTimeoutMs: config['consumer.request.timeout.ms'] ?? requestTimeoutMs,
        fetchMinBytes: config['fetch.min.bytes'],
      }
      const { id } = instances.create(group, config.name ?? null, options, `/${request.ip}`)
      const path = `/consumers/${encodeURIComponent(group)}/instances/${encodeURIComponent(id)}`
      return sendJson(request, reply, { instance_id: id, base_uri: baseOf(request) + path })
    },
  )

  app.delete<InstancePath>(
    instancePath,
    routeOptions(consumerTag, 'End an instance', {
      description:
        'With auto.commit.enable it commits all that it gave out; then it leaves its group.',
      fails: [404, 410],
    }),
    async ({ params }, reply) => {
      await instances.remove(params.group, params.instance)
      return await reply.code(204).send()
    },
  )
}

export function registerSubscription(
  { app, backend, instances }: RestParts,
  matcher: PatternMatcher,
): void {
  const path = `${instancePath}/subscription`
  app.post<InstancePath>(
    path,
    routeOptions(consumerTag, 'Subscribe to topics, as a member of the group', {
      body: subscriptionBody,
      fails: [400, 404, 409, 410, 422],
    }),
    async (request, reply) => {
      await onInstance(instances, request, async instance => {
        const body = checked(subscriptionBody, request.body, RestCode.badPayload)
        const { topics, topic_pattern: pattern } = body
        const unique = [...new Set(topics ?? [])]
        instance.subscribe(
          pattern === undefined ? unique : await TopicPattern.open(pattern, backend, matcher),
        )
      })
      return await reply.code(204).send()
    },
  )

  app.get<InstancePath>(
    path,
    routeOptions(consumerTag, 'Topics subscribed to', {
      answer: subscriptionAnswer,
      fails: [404, 410],
    }),
    (request, reply) =>
      onInstance(instances, request, ({ topics }) => sendJson(request, reply, { topics })),
  )

  app.delete<InstancePath>(
    path,
    routeOptions(consumerTag, 'End the subscription, or the assignment', { fails: [404, 410] }),
    async (request, reply) => {
      await onInstance(instances, request, instance => instance.unsubscribe())
      return await reply.code(204).send()
    },
  )
}

export function registerAssignments({ app, backend, instances }: RestParts): void {
  const path = `${instancePath}/assignments`
  app.post<InstancePath>(
    path,
    routeOptions(consumerTag, 'Read these partitions, whatever the group shares out', {
      body: partitionsBody,
      fails: [404, 409, 410, 422],
    }),
    async (request, reply) => {
      await onInstance(instances, request, async instance => {
        const { partitions } = checked(partitionsBody, request.body, RestCode.badPayload)
        checkPartitions(backend, partitions)
        await instance.assign(partitions)
      })
      return await reply.code(204).send()
    },
  )

  app.get<InstancePath>(
    path,
    routeOptions(consumerTag, 'Partitions that the instance reads now', {
      answer: partitionsBody,
      fails: [404, 410],
    }),
    (request, reply) =>
      onInstance(instances, request, async instance => {
        await instance.settle(instance.options.requestTimeoutMs)
        const partitions = Array.from(instance.held.values(), ({ topic, partition }) => ({
          topic,
          partition,
        }))
        return sendJson(request, reply, { partitions })
      }),
  )
}

export function registerPositions({ app, backend, instances }: RestParts): void {
  const path = `${instancePath}/positions`
  const fails = [404, 408, 409, 410, 422]
  app.post<InstancePath>(
    path,
    routeOptions(consumerTag, 'Go to an offset in each of these partitions', {
      body: positionsBody,
      fails,
    }),
    async (request, reply) => {
      await onInstance(instances, request, async instance => {
        const { offsets } = checked(positionsBody, request.body, RestCode.badPayload)
        checkPartitions(backend, offsets)
        await instance.seek(offsets)
      })
      return await reply.code(204).send()
    },
  )
  for (const where of ['beginning', 'end'] as const) {
    app.post<InstancePath>(
      `${path}/${where}`,
      routeOptions(consumerTag, `Go to the ${where} of each of these partitions`, {
        body: partitionsBody,
        fails,
      }),
      async (request, reply) => {
        await onInstance(instances, request, async instance => {
          const { partitions } = checked(partitionsBody, request.body, RestCode.badPayload)
          checkPartitions(backend, partitions)
          await instance.seekTo(where, partitions)
        })
        return await reply.code(204).send()
      },
    )
  }
}

/** As the client calls us, so that it works from where it is. */
function baseOf({ headers, host, protocol }: FastifyRequest): string {
  return `${protocol}://${headers.host ?? host}`
}
