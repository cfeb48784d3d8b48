/** What /v1/groups and /v1/groups/{group} take and answer, for the OpenAPI document. */
import { z } from 'zod'
import { problems } from './raw/schemas.ts'

const tags = ['Administration']
const offset = z.string().nullable().meta({ description: 'A 64-bit number; null: not known now.' })
const time = z.string().nullable().meta({ description: 'ISO 8601.' })

const summary = z.object({
  group_id: z.string(),
  state: z.string(),
  protocol_type: z.string(),
  members: z.int(),
  committed_offsets: z.int(),
})

const member = z.object({
  member_id: z.string(),
  group_instance_id: z.string().nullable(),
  client_id: z.string(),
  client_host: z.string(),
  session_timeout_ms: z.number(),
  rebalance_timeout_ms: z.number(),
  assignment: z
    .array(z.object({ topic: z.string(), partitions: z.array(z.int()).readonly() }))
    .nullable(),
})

const committed = z.object({
  topic: z.string(),
  partition: z.int(),
  committed_offset: z.string(),
  metadata: z.string().nullable(),
  committed_at: time,
  log_start_offset: offset,
  log_end_offset: offset,
  lag: offset,
})

const group = z
  .looseObject({
    cluster_id: z.string(),
    coordinator: z.object({ node_id: z.int(), host: z.string(), port: z.int() }),
    group_id: z.string(),
    state: z.string(),
    protocol_type: z.string(),
    protocol: z.string().nullable(),
    generation: z.int(),
    leader: z.string().nullable(),
    members: z.array(member),
    offsets: z.array(committed),
    timeline: z
      .array(z.looseObject({ time, event: z.string(), generation: z.int() }))
      .meta({ description: 'What happened to the group lately, and who decided it.' }),
  })
  .meta({ id: 'Group' })

export const groupsSchema = {
  summary: 'Consumer groups',
  tags,
  response: { 200: z.object({ cluster_id: z.string(), groups: z.array(summary) }) },
}

export const groupSchema = {
  summary: 'One consumer group: members, offsets, what happened lately',
  tags,
  params: z.object({ group: z.string().meta({ description: 'Its id.' }) }),
  response: { 200: group, ...problems(404, 503) },
}
