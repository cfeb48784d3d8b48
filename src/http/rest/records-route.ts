/**
 * GET /consumers/{group}/instances/{instance}/records: asking for more means that what came before is done with.
 * Dispatcher thread.
 */
import type { FastifyRequest } from 'fastify'
import type { HttpProblem } from '../problem.ts'
import { checked, recordsAnswer, recordsQuery } from './consumer-bodies.ts'
import type { ConsumerInstance } from './instance.ts'
import { binaryType, jsonType, negotiated, v2Type } from './media-types.ts'
import { Poll } from './poll.ts'
import { RestCode, restProblem } from './rest-problem.ts'
import { routeOptions } from './route-options.ts'
import {
  consumerTag,
  type InstancePath,
  instancePath,
  type RestParts,
  sendText,
} from './route-parts.ts'

/** Of answers that their clients have not taken yet, all together: as they grow, new answers get smaller. */
const unsentCharsMax = 64 * 1024 * 1024
const answerCharsMin = 64 * 1024

/** @param bytesMost keys and values in one answer, whatever is asked for */
export function registerRecords({ app, instances }: RestParts, bytesMost: number): void {
  let unsentChars = 0
  app.get<InstancePath>(
    `${instancePath}/records`,
    {
      // A HEAD request would take records away without showing them.
      exposeHeadRoute: false,
      ...routeOptions(consumerTag, 'Records', {
        description:
          'In the format of the instance. With auto.commit.enable, what earlier calls gave out is committed.',
        querystring: recordsQuery,
        answer: recordsAnswer,
        fails: [404, 406, 409, 410, 422, 500, 503],
      }),
    },
    async (request, reply) => {
      const { group, instance: id } = request.params
      const query = checked(recordsQuery, request.query, RestCode.badPayload)
      const gone = new AbortController()
      let undo = (): void => {}
      let chars = 0
      reply.raw.once('close', () => {
        unsentChars -= chars
        gone.abort()
        // Who did not get them all gets them again.
        if (!reply.raw.writableFinished) undo()
      })
      const answer = await instances.poll(group, id, async instance => {
        const type = recordsType(request, instance)
        if (instance.isWaitingForNothing) throw wantsNothing()
        instance.acknowledge()
        const poll = new Poll(instance, {
          bytesMax: Math.min(query.max_bytes ?? bytesMost, bytesMost),
          charsMax: Math.max(answerCharsMin, (unsentCharsMax - unsentChars) / 4),
          waitMs: query.timeout ?? instance.options.requestTimeoutMs,
          signal: gone.signal,
        })
        return { type, ...(await poll.run()) }
      })
      if (gone.signal.aborted) answer.undo()
      else {
        undo = answer.undo
        chars = answer.body.length
        unsentChars += chars
      }
      return sendText(reply.header('cache-control', 'no-store'), answer.type, answer.body)
    },
  )
}

/** @throws HttpProblem 40601 when records are asked for in another format than the instance gives */
function recordsType({ headers }: FastifyRequest, { options }: ConsumerInstance): string {
  const own = options.format === 'json' ? jsonType : binaryType
  const others = [v2Type, 'application/vnd.kafka+json', 'application/json']
  const type = negotiated(headers.accept, [own, ...others])
  if (type !== null) return type
  const what = `this instance gives records as ${own}`
  throw restProblem(
    RestCode.formatMismatch,
    `${what}: ask for that, or create one with that format`,
  )
}

function wantsNothing(): HttpProblem {
  const cure = 'POST …/subscription or …/assignments first'
  return restProblem(RestCode.illegalState, `this instance reads nothing yet: ${cure}`)
}
