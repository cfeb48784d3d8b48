/** Checks parts of requests against the zod schemas of their routes, and words what does not fit. Dispatcher thread. */
import type { FastifySchemaCompiler } from 'fastify'
import type { ZodError, ZodType } from 'zod'
import { echoed, HttpProblem } from './problem.ts'

/** More issues of one request are not told. */
const issuesMax = 5

const partNames = new Map([
  ['querystring', 'query parameter'],
  ['params', 'path'],
  ['headers', 'header'],
  ['body', 'body'],
])

/** For fastify: a schema becomes a function that gives the parsed value, or an HttpProblem 400. */
export const validatorOf: FastifySchemaCompiler<ZodType> = ({ schema, httpPart }) => {
  const part = partNames.get(httpPart ?? '') ?? 'request'
  return data => {
    const { data: value, error } = schema.safeParse(data)
    return error === undefined ? { value } : { error: new HttpProblem(400, worded(part, error)) }
  }
}

function worded(part: string, { issues }: ZodError): string {
  const sentences = issues.slice(0, issuesMax).map(issue => {
    if (issue.code === 'unrecognized_keys') {
      return `no such ${part}: ${issue.keys.slice(0, issuesMax).map(echoed).join(', ')}`
    }
    const path = issue.path.map(String).join('.')
    return `${part}${path === '' ? '' : ` ${path}`}: ${issue.message}`
  })
  return sentences.join('; ')
}
