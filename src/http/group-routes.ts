/**
 * Consumer groups as JSON: /v1/groups, and /v1/groups/{group} with members, offsets and timeline. Dispatcher thread.
 * Names are as in Kafka's REST APIs, snake case; offsets are strings.
 */
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { GroupMemberView, GroupOffsetView, GroupView } from '../admin/group-views.ts'
import type { TimelineEvent } from '../groups/timeline.ts'
import { errorName } from '../protocol/errors.ts'
import { groupSchema, groupsSchema } from './group-schemas.ts'
import type { HttpServices } from './http-services.ts'
import { echoed, HttpProblem } from './problem.ts'

export function registerGroupRoutes(app: FastifyInstance, { groups, broker }: HttpServices): void {
  app.get('/v1/groups', { schema: groupsSchema }, () => ({
    cluster_id: broker.clusterId,
    groups: groups.list().map(({ groupId, state, protocolType, members, committedOffsets }) => ({
      group_id: groupId,
      state,
      protocol_type: protocolType,
      members,
      committed_offsets: committedOffsets,
    })),
  }))

  const routes = app.withTypeProvider<ZodTypeProvider>()
  routes.get('/v1/groups/:group', { schema: groupSchema }, request => {
    const { group } = request.params
    const view = groups.view(group)
    if (view === null) {
      throw new HttpProblem(404, `there is no group ${echoed(group)}; GET /v1/groups lists them`)
    }
    if (typeof view === 'number') {
      const why = `group ${echoed(group)} cannot be told now (${errorName(view)})`
      throw new HttpProblem(503, `${why}; /readyz says which partitions are missing`)
    }
    const { clusterId, nodeId, host, port } = broker
    return { cluster_id: clusterId, coordinator: { node_id: nodeId, host, port }, ...json(view) }
  })
}

function json(view: GroupView) {
  return {
    group_id: view.groupId,
    state: view.state,
    protocol_type: view.protocolType,
    protocol: view.protocol,
    generation: view.generation,
    leader: view.leader,
    members: view.members.map(memberJson),
    offsets: view.offsets.map(offsetJson),
    timeline: view.timeline.map(eventJson),
  }
}

function memberJson({ assignment, ...member }: GroupMemberView) {
  return {
    member_id: member.memberId,
    group_instance_id: member.groupInstanceId,
    client_id: member.clientId,
    client_host: member.clientHost,
    session_timeout_ms: member.sessionTimeoutMs,
    rebalance_timeout_ms: member.rebalanceTimeoutMs,
    assignment:
      assignment && Array.from(assignment, ([topic, partitions]) => ({ topic, partitions })),
  }
}

function offsetJson({ topic, partition, committed, logStart, logEnd, lag }: GroupOffsetView) {
  return {
    topic,
    partition,
    committed_offset: String(committed.offset),
    metadata: committed.metadata,
    committed_at: isoTime(committed.commitTimestampMs),
    log_start_offset: text(logStart),
    log_end_offset: text(logEnd),
    lag: text(lag),
  }
}

function eventJson(event: TimelineEvent) {
  return {
    time: isoTime(event.wallMs),
    event: event.kind,
    generation: event.generation,
    member_id: event.memberId,
    group_instance_id: event.groupInstanceId,
    client_id: event.clientId,
    client_host: event.clientHost,
    detail: event.detail,
    decided_by: event.decidedBy,
    elapsed_ms: event.elapsedMs,
    times: event.times,
  }
}

const text = (offset: number | null): string | null => (offset === null ? null : String(offset))

/** Null for a time that no calendar has: those of commits may come from a file. */
function isoTime(wallMs: number): string | null {
  const time = new Date(wallMs)
  return Number.isNaN(time.getTime()) ? null : time.toISOString()
}
