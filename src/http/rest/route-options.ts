/**
 * How the routes of REST Proxy v2 stand in the OpenAPI document. Their bodies are checked by the routes themselves,
 * because its clients know codes that no general check would give; answers are bytes by the time they get here.
 */
import type { ZodType } from 'zod'
import { problems } from '../raw/schemas.ts'

interface Shown {
  readonly description?: string
  readonly body?: ZodType
  readonly querystring?: ZodType
  /** Of the answer with status 200; without it the answer is 204, and empty. */
  readonly answer?: ZodType
  /** Statuses that can be answered beside it. */
  readonly fails?: readonly number[]
}

const passed = () => (value: unknown) => ({ value })

/** @param tag heading under which the document has it */
export function routeOptions(tag: string, summary: string, shown: Shown = {}) {
  const { answer, fails = [], ...rest } = shown
  const good =
    answer === undefined
      ? { 204: { description: 'Done.', type: 'null' } }
      : {
          200: {
            description: 'Done.',
            content: { 'application/vnd.kafka.v2+json': { schema: answer } },
          },
        }
  const schema = { tags: [tag], summary, ...rest, response: { ...good, ...problems(...fails) } }
  return { schema, validatorCompiler: passed }
}
