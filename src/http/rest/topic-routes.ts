/**
 * Topics and partitions as REST Proxy v2 tells them. One broker is leader and only replica of everything; offsets are
 * numbers here, as that API has them. Dispatcher thread.
 */
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { LogBackend, TopicView } from '../backend/log-backend.ts'
import { noPartition, noTopic } from '../error-status.ts'
import { echoed } from '../problem.ts'
import { RestCode, restProblem } from './rest-problem.ts'
import { routeOptions } from './route-options.ts'
import { sendJson } from './route-parts.ts'

interface TopicPath {
  readonly Params: { readonly topic: string }
}

interface PartitionPath {
  readonly Params: { readonly topic: string; readonly partition: string }
}

const tag = 'Topics'
const partitionAnswer = z.object({
  partition: z.int(),
  leader: z.int(),
  replicas: z.array(z.object({ broker: z.int(), leader: z.boolean(), in_sync: z.boolean() })),
})
const topicAnswer = z.object({
  name: z.string(),
  configs: z.record(z.string(), z.string()),
  partitions: z.array(partitionAnswer),
})

export function registerTopicRoutes(
  app: FastifyInstance,
  backend: LogBackend,
  nodeId: number,
): void {
  app.get(
    '/topics',
    routeOptions(tag, 'Names of the topics, without the internal ones', {
      answer: z.array(z.string()),
    }),
    (request, reply) => {
      const topics = backend.topics().filter(({ isInternal }) => !isInternal)
      return sendJson(
        request,
        reply,
        topics.map(({ name }) => name),
      )
    },
  )

  app.get<TopicPath>(
    '/topics/:topic',
    routeOptions(tag, 'A topic', { answer: topicAnswer, fails: [404] }),
    (request, reply) => {
      const topic = topicOf(backend, request.params.topic)
      const { name } = topic
      return sendJson(request, reply, {
        name,
        configs: topic.configs(),
        partitions: partitionsJson(topic, nodeId),
      })
    },
  )
}

export function registerPartitionRoutes(
  app: FastifyInstance,
  backend: LogBackend,
  nodeId: number,
): void {
  const partitions = '/topics/:topic/partitions'
  app.get<TopicPath>(
    partitions,
    routeOptions(tag, 'Partitions of a topic', {
      answer: z.array(partitionAnswer),
      fails: [404],
    }),
    (request, reply) =>
      sendJson(request, reply, partitionsJson(topicOf(backend, request.params.topic), nodeId)),
  )

  app.get<PartitionPath>(
    `${partitions}/:partition`,
    routeOptions(tag, 'A partition', { answer: partitionAnswer, fails: [404] }),
    (request, reply) => {
      const { partition } = partitionOf(backend, request.params)
      return sendJson(request, reply, partitionJson(partition, nodeId))
    },
  )

  app.get<PartitionPath>(
    `${partitions}/:partition/offsets`,
    routeOptions(tag, 'Where a partition begins and ends', {
      answer: z.object({ beginning_offset: z.int(), end_offset: z.int() }),
      fails: [404, 503],
    }),
    (request, reply) => {
      const { topic, partition } = partitionOf(backend, request.params)
      const offsets = backend.offsets(topic.name, partition)
      if (offsets === null) {
        const what = `partition ${partition} of topic ${topic.name} is not open now`
        throw restProblem(RestCode.unavailable, `${what}; /readyz says why`)
      }
      const { logStart, highWatermark } = offsets
      return sendJson(request, reply, { beginning_offset: logStart, end_offset: highWatermark })
    },
  )
}

const partitionJson = (partition: number, nodeId: number) => ({
  partition,
  leader: nodeId,
  replicas: [{ broker: nodeId, leader: true, in_sync: true }],
})

const partitionsJson = ({ partitionCount }: TopicView, nodeId: number) =>
  Array.from({ length: partitionCount }, (_, partition) => partitionJson(partition, nodeId))

/** @throws HttpProblem 40401 */
function topicOf(backend: LogBackend, name: string): TopicView {
  const topic = backend.topic(name)
  if (topic === null) throw noTopic(name)
  return topic
}

/** @throws HttpProblem 40401, 40402 */
function partitionOf(backend: LogBackend, path: PartitionPath['Params']) {
  const topic = topicOf(backend, path.topic)
  if (!/^\d{1,10}$/.test(path.partition)) {
    const message = `${echoed(path.partition)} is not a partition: it must be a number`
    throw restProblem(RestCode.partitionNotFound, message)
  }
  const partition = Number(path.partition)
  if (partition >= topic.partitionCount) {
    throw noPartition(topic.name, partition, topic.partitionCount)
  }
  return { topic, partition }
}
