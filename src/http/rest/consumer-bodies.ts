/** What the calls of consumer instances carry, as zod schemas: checked here, shown in the OpenAPI document. Pure. */
import { z } from 'zod'
import { restProblem } from './rest-problem.ts'

const topicName = z.string().min(1).max(249)
const partitionIndex = z
  .int()
  .min(0)
  .max(2 ** 31 - 1)
/** More rows than any consumer has partitions. */
const rowsMax = 10_000

const topicPartition = z.strictObject({ topic: topicName, partition: partitionIndex })
const rows = <T extends z.ZodType>(row: T) => z.array(row).max(rowsMax)

/** Clients send numbers and truths as texts, or as what they are. */
const wholeNumber = (max: number, min = 0) =>
  z.union([
    z.int().min(min).max(max),
    z
      .string()
      .regex(/^-?\d{1,10}$/)
      .transform(Number)
      .pipe(z.int().min(min).max(max)),
  ])
const truth = z.union([z.boolean(), z.enum(['true', 'false']).transform(text => text === 'true')])

export const createBody = z.strictObject({
  name: z.string().min(1).optional().describe('default: a name of its own, from the answer'),
  format: z.enum(['binary', 'json']).default('binary').describe('of keys and values in answers'),
  'auto.offset.reset': z
    .enum(['earliest', 'latest', 'none'])
    .default('latest')
    .describe('where reading begins in a partition without a committed offset'),
  'auto.commit.enable': truth
    .optional()
    .describe('default true: what earlier calls gave out is committed when more is asked for'),
  'enable.auto.commit': truth.optional().describe('the same'),
  'fetch.min.bytes': wholeNumber(64 * 1024 * 1024, -1)
    .default(1)
    .describe('keys and values that a call for records waits for'),
  'consumer.request.timeout.ms': wholeNumber(60_000)
    .optional()
    .describe('how long it waits; default: the setting of that name'),
})

export const subscriptionBody = z
  .strictObject({
    topics: z.array(topicName).min(1).max(rowsMax).optional(),
    topic_pattern: z.string().min(1).optional().describe('matches whole names'),
  })
  .refine(
    ({ topics, topic_pattern: pattern }) => (topics === undefined) !== (pattern === undefined),
    'give either topics or topic_pattern',
  )

export const partitionsBody = z.strictObject({ partitions: rows(topicPartition) })

export const positionsBody = z.strictObject({
  offsets: rows(
    topicPartition.extend({
      offset: z.int().min(0).describe('the next record that is read'),
      metadata: z.string().nullish(),
    }),
  ).min(1),
})

export const commitBody = z.strictObject({
  offsets: rows(
    topicPartition.extend({
      offset: z
        .int()
        .min(-1)
        .max(Number.MAX_SAFE_INTEGER - 1)
        .describe('the last record that is done with'),
      metadata: z.string().nullish(),
    }),
  ),
})

export const recordsQuery = z.strictObject({
  timeout: wholeNumber(60_000).optional().describe('milliseconds to wait for records'),
  max_bytes: wholeNumber(2 ** 31 - 1, 1)
    .optional()
    .describe('of keys and values; one record is given whatever its size'),
})

export const createdAnswer = z.object({ instance_id: z.string(), base_uri: z.string() })
export const subscriptionAnswer = z.object({ topics: z.array(topicName) })
export const committedAnswer = z.object({
  offsets: z.array(
    topicPartition.extend({
      offset: z.int().describe('the next record that is read'),
      metadata: z.string(),
    }),
  ),
})
export const recordsAnswer = z.array(
  z.object({
    topic: topicName,
    key: z.unknown(),
    value: z.unknown(),
    partition: partitionIndex,
    offset: z.int(),
  }),
)

/** @throws HttpProblem with `code` that names what is wrong, and where */
export function checked<T extends z.ZodType>(schema: T, value: unknown, code: number): z.infer<T> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const path = issue.path.map(String).join('.')
  throw restProblem(code, path === '' ? issue.message : `${path}: ${issue.message}`)
}
