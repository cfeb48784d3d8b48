/** Changes of consumer groups: delete one, set where it goes on. Dispatcher thread. What they are: group-routes.ts. */
import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { parseTarget, type Target } from '../admin/offset-moves.ts'
import { admin, groupPath, offsetText, tags } from './admin-schemas.ts'
import type { AdminBackend, Move, Reset } from './backend/admin-backend.ts'
import { echoed, HttpProblem } from './problem.ts'
import { problems } from './raw/schemas.ts'

const reset = z.strictObject({
  to: z.string().optional().describe('earliest, latest, an offset as "17", or an ISO time.'),
  shift_by: z.number().int().optional().describe('So many records ahead, or back if negative.'),
  topics: z
    .array(
      z.strictObject({
        topic: z.string(),
        partitions: z.array(z.number().int().min(0)).optional().describe('Default: all.'),
      }),
    )
    .optional()
    .describe('Default: every partition that the group has committed.'),
  dry_run: z.boolean().default(false).describe('Only tells what would be done.'),
})

const deleted = z.object({ group_id: z.string(), deleted: z.boolean() })
const moved = z.object({
  group_id: z.string(),
  dry_run: z.boolean(),
  offsets: z.array(
    z.object({
      topic: z.string(),
      partition: z.int(),
      before: offsetText.nullable(),
      after: offsetText,
      log_start_offset: offsetText,
      log_end_offset: offsetText,
      note: z.string().nullable().meta({ description: 'Why it is not what was asked for.' }),
    }),
  ),
})

export function registerGroupAdminRoutes(server: FastifyInstance, backend: AdminBackend): void {
  const app = server.withTypeProvider<ZodTypeProvider>()

  const removal = {
    tags,
    summary: 'Delete a group and its offsets',
    params: groupPath,
    response: { 200: deleted, ...problems(404, 409, 503) },
  }
  app.delete('/v1/groups/:group', { schema: removal }, async ({ params }) => {
    await admin(() => backend.deleteGroup(params.group))
    return { group_id: params.group, deleted: true }
  })

  const moving = {
    tags,
    summary: 'Set where a group without members goes on reading',
    params: groupPath,
    body: reset,
    response: { 200: moved, ...problems(400, 404, 409, 503) },
  }
  app.post('/v1/groups/:group/offsets', { schema: moving }, async ({ params, body }) => {
    const { group: groupId } = params
    const wanted = {
      groupId,
      target: targetOf(body),
      topics: topicsOf(body.topics),
      dryRun: body.dry_run,
    }
    const moves = await admin(() => backend.resetOffsets(wanted))
    return { group_id: groupId, dry_run: body.dry_run, offsets: moves.map(moveJson) }
  })
}

function targetOf({ to, shift_by }: z.infer<typeof reset>): Target {
  if ((to === undefined) === (shift_by === undefined)) {
    throw new HttpProblem(400, 'give either "to" or "shift_by"')
  }
  if (shift_by !== undefined) return { kind: 'shift', by: shift_by }
  const target = parseTarget(to ?? '')
  if (target !== null) return target
  const why = 'it must be earliest, latest, an offset as "17", or an ISO time'
  throw new HttpProblem(400, `"to" is ${echoed(to ?? '')}: ${why}`)
}

/** A topic that is named twice is given all that both say. */
function topicsOf(named: z.infer<typeof reset>['topics']): Reset['topics'] {
  if (named === undefined) return null
  const topics = new Map<string, readonly number[] | null>()
  for (const { topic, partitions = null } of named) {
    const before = topics.get(topic)
    const isAll = partitions === null || before === null
    topics.set(topic, isAll ? null : [...(before ?? []), ...partitions])
  }
  return topics
}

function moveJson({ topic, partition, before, after, logStart, logEnd, note }: Move) {
  return {
    topic,
    partition,
    before: before === null ? null : String(before),
    after: String(after),
    log_start_offset: String(logStart),
    log_end_offset: String(logEnd),
    note,
  }
}
