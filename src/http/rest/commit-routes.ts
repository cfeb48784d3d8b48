/**
 * Commits of consumer instances. Clients of REST Proxy v2 name the last record they are done with; what is kept, and
 * shown, is the next one to read, as everywhere in Kafka. Dispatcher thread.
 */
import type { CommitRow } from '../backend/group-backend.ts'
import { checked, commitBody, committedAnswer, partitionsBody } from './consumer-bodies.ts'
import type { TopicPartition } from './instance.ts'
import { RestCode, restProblem } from './rest-problem.ts'
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

interface AskedRow extends TopicPartition {
  readonly offset: number
  readonly metadata?: string | null | undefined
}

/** @param metadataLengthMax in UTF-16 units */
export function registerCommits(
  { app, backend, instances }: RestParts,
  metadataLengthMax: number,
): void {
  const path = `${instancePath}/offsets`
  app.post<InstancePath>(
    path,
    routeOptions(consumerTag, 'Commit', {
      description:
        'The offset of the last record that is done with, for each partition. Without a body: all that was given out.',
      body: commitBody,
      fails: [404, 408, 409, 410, 422, 503],
    }),
    async (request, reply) => {
      await onInstance(instances, request, async instance => {
        const { body } = request
        const rows = body === null ? [] : askedRows(body, metadataLengthMax)
        checkPartitions(backend, rows)
        await instance.commit(rows.length === 0 ? null : rows)
      })
      return await reply.code(200).send()
    },
  )

  // Its body says of which partitions: REST Proxy made it so, and nothing in HTTP forbids it.
  app.get<InstancePath>(
    path,
    routeOptions(consumerTag, 'Committed offsets', {
      description:
        'Of the partitions in the body, {"partitions": [{"topic", "partition"}]}; without one, of those assigned.',
      answer: committedAnswer,
      fails: [404, 410, 422, 503],
    }),
    async (request, reply) => {
      return await onInstance(instances, request, async instance => {
        const asked =
          request.body === null
            ? [...instance.held.values()]
            : checked(partitionsBody, request.body, RestCode.badPayload).partitions
        checkPartitions(backend, asked)
        const rows = await Promise.all(asked.map(row => instance.committed(row)))
        const offsets = asked.flatMap(({ topic, partition }, index) => {
          const row = rows[index]
          return row === null
            ? []
            : [{ topic, partition, offset: row.offset, metadata: row.metadata }]
        })
        return sendJson(request, reply, { offsets })
      })
    },
  )
}

/** The last row of each partition counts. */
function askedRows(body: unknown, metadataLengthMax: number): CommitRow[] {
  const rows = new Map<string, CommitRow>()
  const { offsets } = checked(commitBody, body, RestCode.badPayload)
  for (const [index, { topic, partition, offset, metadata }] of (offsets as AskedRow[]).entries()) {
    const text = metadata ?? ''
    if (text.length > metadataLengthMax) {
      const what = `offsets.${index}.metadata has ${text.length} characters`
      const cure = `at most ${metadataLengthMax} are kept (offset.metadata.max.bytes)`
      throw restProblem(RestCode.badPayload, `${what}; ${cure}`)
    }
    rows.set(`${partition} ${topic}`, { topic, partition, offset: offset + 1, metadata: text })
  }
  return [...rows.values()]
}
