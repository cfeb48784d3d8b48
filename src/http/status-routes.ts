/**
 * GET /v1/status: how the broker is doing, for the page at / and for `odradek status`. Dispatcher thread. The answer is
 * made once for all who ask within about a second. Names are in snake case; offsets are strings.
 */
import { setImmediate } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { z } from 'zod'
import type {
  GroupStatus,
  PartitionStatus,
  Rates,
  Status,
  TopicStatus,
  WorkerStatus,
} from '../admin/status.ts'
import type { HttpServices, Readiness } from './http-services.ts'

/** More reasons than this are only counted. */
const reasonsMax = 100
/** About a millisecond. */
const partitionsPerPiece = 256

/** Answers with the status as JSON. */
export type StatusBody = (reply: FastifyReply) => Promise<FastifyReply>

/** What is told, for the page and the command line. */
export type StatusJson = ReturnType<typeof headJson> & {
  readonly topics: readonly ReturnType<typeof topicJson>[]
}

/** @returns what answers a request with the status: for the page's route, which has it, too, when asked for JSON */
export function registerStatusRoutes(app: FastifyInstance, services: HttpServices): StatusBody {
  const send = statusSender(services)
  const schema = {
    tags: ['Status'],
    summary: 'How the broker is doing',
    description:
      'Topics with their partitions, rates, workers, groups. Rates are those since somebody asked ' +
      'last; null when that is more than ten seconds ago.',
    response: { 200: z.looseObject({ time: z.string(), ready: z.boolean() }) },
  }
  app.get('/v1/status', { schema }, async (_request, reply) => await send(reply))
  return send
}

function statusSender(services: HttpServices): StatusBody {
  let told: Status | null = null
  let body: Promise<string> | null = null
  return async reply => {
    const status = await services.status()
    if (body === null || status !== told) {
      told = status
      body = bodyOf(status, services)
    }
    const text = await body
    // Of this moment, for whoever asks.
    return reply
      .header('cache-control', 'no-store')
      .type('application/json; charset=utf-8')
      .send(text)
  }
}

/** A piece for each topic, with pauses: thousands of partitions must not hold up anybody's records. */
async function bodyOf(status: Status, services: HttpServices): Promise<string> {
  const topics: string[] = []
  let partitions = 0
  for (const topic of status.topics) {
    topics.push(JSON.stringify(topicJson(topic)))
    partitions += topic.partitions.length
    if (partitions < partitionsPerPiece) continue
    partitions = 0
    await setImmediate()
  }
  const head = JSON.stringify(headJson(status, services))
  return `${head.slice(0, -1)},"topics":[${topics.join(',')}]}`
}

function headJson(status: Status, services: HttpServices) {
  const { broker, version } = services
  const readiness = services.readiness()
  return {
    time: new Date(status.wallMs).toISOString(),
    version,
    node_version: process.version,
    cluster_id: broker.clusterId,
    broker: { node_id: broker.nodeId, host: broker.host, port: broker.port },
    uptime_seconds: Math.floor(status.uptimeMs / 1000),
    ...readinessJson(readiness),
    rates_over_ms: status.ratesOverMs && Math.round(status.ratesOverMs),
    rates: ratesJson(status.rates),
    kafka_requests_per_second: rounded(status.kafkaRequestsPerSecond),
    http_requests_per_second: rounded(status.httpRequestsPerSecond),
    kafka_connections: status.kafkaConnections,
    unflushed_records: status.unflushedRecords,
    disk_free_bytes: status.diskFreeBytes,
    disk_total_bytes: status.diskTotalBytes,
    dispatcher_load: fraction(status.dispatcherLoad),
    worker_restarts: status.workerRestarts,
    workers: status.workers.map(workerJson),
    group_count: status.groupCount,
    groups: status.groups.map(groupJson),
  }
}

function readinessJson({ serving, unavailable, reasons = [] }: Readiness) {
  return {
    ready: serving && unavailable.length === 0,
    serving,
    unavailable_count: unavailable.length,
    reasons: reasons.slice(0, reasonsMax),
  }
}

function workerJson(worker: WorkerStatus) {
  return {
    worker: worker.index,
    up: worker.isUp,
    partitions: worker.partitions,
    load: fraction(worker.load),
    rates: ratesJson(worker.rates),
    flushes_per_second: rounded(worker.flushesPerSecond),
    flush_mean_ms: rounded(worker.flushMeanMs),
  }
}

function topicJson(topic: TopicStatus) {
  return {
    topic: topic.name,
    topic_id: topic.id,
    internal: topic.isInternal,
    records: String(topic.records),
    size_bytes: topic.sizeBytes,
    rates: ratesJson(topic.rates),
    partitions: topic.partitions.map(partitionJson),
  }
}

function partitionJson(partition: PartitionStatus) {
  return {
    partition: partition.index,
    worker: partition.worker,
    state: partition.state,
    reason: partition.reason,
    log_start_offset: text(partition.logStart),
    log_end_offset: text(partition.logEnd),
    size_bytes: partition.sizeBytes,
    rates: ratesJson(partition.rates),
  }
}

function groupJson({ groupId, state, members, lag }: GroupStatus) {
  return { group_id: groupId, state, members, lag: text(lag) }
}

function ratesJson(rates: Rates | null) {
  return (
    rates && {
      records_in_per_second: tenths(rates.recordsIn),
      bytes_in_per_second: tenths(rates.bytesIn),
      records_out_per_second: tenths(rates.recordsOut),
      bytes_out_per_second: tenths(rates.bytesOut),
    }
  )
}

const text = (offset: number | null): string | null => (offset === null ? null : String(offset))

const tenths = (value: number): number => Math.round(value * 10) / 10

const rounded = (value: number | null): number | null => value && tenths(value)

const fraction = (value: number | null): number | null => value && Math.round(value * 1000) / 1000
