/** What the admin routes have in common: pieces of their schemas, and how a refusal becomes an answer. Pure. */
import { z } from 'zod'
import { KafkaError } from '../protocol/errors.ts'
import { kafkaProblem } from './error-status.ts'

export const tags = ['Administration']

export const groupPath = z.object({
  group: z.string().meta({ description: 'Id of a consumer group.' }),
})

export const count = z.number().int().min(1).max(1_000_000)

/** Values of configs are text, as everywhere with Kafka; numbers and booleans are taken as what they look like. */
export const configTexts = z.record(
  z.string(),
  z.union([z.string(), z.number().transform(String), z.boolean().transform(String)]),
)

/** 64 bits: in JSON and in a query it is text, as `"17"`. */
export const offset = z
  .string()
  .regex(/^\d{1,15}$/, 'must be an offset, as "17"')
  .transform(Number)

export const dryRun = z.boolean().default(false).describe('Checks everything, changes nothing.')

/** As answers have it. */
export const offsetText = z.string().meta({ description: 'A 64-bit number in decimal.' })

/** Runs a change; what it refuses is answered with the code's status, and its own words. */
export async function admin<T>(change: () => Promise<T>): Promise<T> {
  try {
    return await change()
  } catch (error) {
    throw error instanceof KafkaError ? kafkaProblem(error.code, error.message) : error
  }
}
