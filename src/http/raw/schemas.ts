/** Pieces that the schemas of several routes share: they validate requests and make up the OpenAPI document. */
import { z } from 'zod'

const topicName = z.string().min(1).meta({ description: 'Name of a topic.' })

/** An index in a path, as a number. */
const partitionIndex = z
  .string()
  .regex(/^\d{1,6}$/, 'must be the number of a partition')
  .transform(Number)
  .meta({ description: 'Index of a partition, from 0.' })

export const topicPath = z.object({ topic: topicName })
export const partitionPath = z.object({ topic: topicName, partition: partitionIndex })

export const problem = z
  .object({
    error_code: z.int().meta({ description: 'The status, or five digits that begin with it.' }),
    message: z.string().meta({ description: 'What is wrong, and how to mend it.' }),
  })
  .meta({ id: 'Problem' })

const meanings = new Map([
  [400, 'The request makes no sense.'],
  [403, 'Not allowed: a foreign Host or Origin.'],
  [404, 'There is no such thing.'],
  [406, 'Nothing that can be sent is accepted.'],
  [409, 'It contradicts the state of things.'],
  [413, 'Too large.'],
  [415, 'A body of a kind that is not taken.'],
  [416, 'The offset is not in the log.'],
  [422, 'The content cannot be taken.'],
  [429, 'Too many; try again later.'],
  [500, 'The broker failed; its log has more.'],
  [503, 'Not now; try again in a moment (Retry-After).'],
  [504, 'It took too long.'],
])

interface DocumentedProblem {
  readonly description: string
  readonly content: { readonly 'application/json': { readonly schema: typeof problem } }
}

/** The `response` entries of statuses that are answered with a Problem. */
export function problems(...statuses: readonly number[]): Record<number, DocumentedProblem> {
  const content = { 'application/json': { schema: problem } }
  const entries = statuses.map(status => {
    const description = meanings.get(status) ?? 'A problem.'
    return [status, { description, content }] as const
  })
  return Object.fromEntries(entries)
}
