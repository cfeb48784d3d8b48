/**
 * Request bodies of the consumer routes: JSON of a bounded size, also where HTTP expects none, for REST Proxy has a GET
 * with one. Dispatcher thread.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { RequestBodies } from '../raw/request-bodies.ts'
import { isJson } from './json-scan.ts'
import { requestTypes } from './media-types.ts'
import { RestCode, restProblem } from './rest-problem.ts'

const bodyBytesMax = 1024 * 1024

/** `request.body` becomes what the body says; null when there is none, as several calls may come without. */
export function registerBodies(app: FastifyInstance, bodies: RequestBodies): void {
  app.removeAllContentTypeParsers()
  // The body stays in the socket until it is known that its type is taken.
  app.addContentTypeParser(requestTypes, (_request, _payload, parsed) => parsed(null))
  app.addHook('preValidation', async (request: FastifyRequest) => {
    request.body = await read(request, bodies)
  })
}

async function read({ headers, raw }: FastifyRequest, bodies: RequestBodies): Promise<unknown> {
  const length = headers['content-length']
  const isEmpty = length === undefined || length === '0'
  if (isEmpty && headers['transfer-encoding'] === undefined) return null
  const body = await bodies.read(raw, bodyBytesMax)
  try {
    if (body.bytes.length === 0) return null
    if (!isJson(body.bytes)) throw restProblem(RestCode.badJson, 'the body is no JSON')
    return JSON.parse(body.bytes.toString()) as unknown
  } finally {
    body.release()
  }
}
