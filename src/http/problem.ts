/**
 * What a failed HTTP request is answered with: `{"error_code": 404, "message": "..."}`, the shape REST clients of Kafka
 * know from Confluent's REST Proxy. The first three digits of `error_code` are the status. Dispatcher thread.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from '../log.ts'

export interface Problem {
  readonly error_code: number
  readonly message: string
}

/** A client's mistake in an HTTP request: thrown by hooks and routes, answered as a Problem. */
export class HttpProblem extends Error {
  readonly statusCode: number
  /** The status, or five digits that begin with it, as in Confluent's REST Proxy v2. */
  readonly errorCode: number

  /** @param status 400 to 599. @param message for the person who sent the request: culprit and cure. */
  constructor(status: number, message: string, errorCode = status) {
    super(message)
    this.name = 'HttpProblem'
    this.statusCode = status
    this.errorCode = errorCode
  }
}

/** Longest piece of a request that is repeated in an answer. */
const echoedCharsMax = 200

/** @returns `text` fit to be repeated in a message: short, and without control bytes. */
export function echoed(text: string): string {
  const short = text.length > echoedCharsMax ? `${text.slice(0, echoedCharsMax)}...` : text
  return JSON.stringify(short)
}

export function sendProblem(
  reply: FastifyReply,
  status: number,
  message: string,
  errorCode = status,
): FastifyReply {
  const problem: Problem = { error_code: errorCode, message }
  return reply.code(status).type('application/json; charset=utf-8').send(problem)
}

/** Answers what a hook, a body parser or a route threw. Only failures of our own are logged, and never shown. */
export function answerError(
  error: Error & { readonly statusCode?: number },
  request: FastifyRequest,
  reply: FastifyReply,
  log: Logger,
): FastifyReply {
  const status = error.statusCode ?? 500
  // What follows on the connection is not to be taken for another request.
  if (status === 431 || status === 505) reply.header('connection', 'close')
  if (status === 503 || status === 429) reply.header('retry-after', '1')
  const meantForClient = error instanceof HttpProblem || (status >= 400 && status < 500)
  const errorCode = error instanceof HttpProblem ? error.errorCode : status
  if (meantForClient) return sendProblem(reply, status, error.message, errorCode)
  log.error({ err: error, method: request.method, url: request.url }, 'HTTP request failed')
  return sendProblem(reply, 500, 'internal error; the log of the broker has more')
}
