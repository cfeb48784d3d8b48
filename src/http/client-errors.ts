/**
 * Bytes that are no HTTP request, or come too slowly: node's parser gave up, so there is no request to reply to, only a
 * socket. Requests that came before them on the same connection are answered first, or their clients would take the
 * refusal for their own. Dispatcher thread.
 */
import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Problem } from './problem.ts'

type Refusal = readonly [status: number, reason: string, message: string]

const malformed: Refusal = [400, 'Bad Request', 'not a valid HTTP/1.1 request']
const refusals: ReadonlyMap<string, Refusal> = new Map<string, Refusal>([
  ['ERR_HTTP_REQUEST_TIMEOUT', [408, 'Request Timeout', 'the request came too slowly']],
  [
    'HPE_HEADER_OVERFLOW',
    [431, 'Request Header Fields Too Large', 'the request line and headers are too large'],
  ],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', [413, 'Payload Too Large', 'chunk extensions too large']],
])
/** Something follows a request that said it is the last one. */
const afterLast = 'HPE_CLOSED_CONNECTION'

export class ClientErrors {
  readonly #countStatus: (status: number) => void
  readonly #answers = new WeakMap<Socket, Set<ServerResponse>>()
  readonly #given = new WeakSet<Socket>()

  constructor(countStatus: (status: number) => void) {
    this.#countStatus = countStatus
  }

  /** Learns of the requests under way on each connection. */
  watch(server: Server): void {
    server.on('request', (request, response) => {
      let answers = this.#answers.get(request.socket)
      if (answers === undefined) {
        answers = new Set()
        this.#answers.set(request.socket, answers)
      }
      const open = answers
      open.add(response)
      response.once('close', () => open.delete(response))
    })
  }

  /** For fastify's `clientErrorHandler`. */
  readonly answer = (error: NodeJS.ErrnoException, socket: Socket): void => {
    if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
      socket.destroy()
      return
    }
    // What still comes is not parsed by anybody, but node tells of it again.
    if (this.#given.has(socket)) return
    this.#given.add(socket)
    this.#refuse(error.code ?? '', socket)
  }

  #refuse(code: string, socket: Socket): void {
    if (socket.destroyed || !socket.writable) return
    const open = [...(this.#answers.get(socket) ?? [])]
    const owed = open.find(({ req }) => req.complete)
    if (owed !== undefined) {
      owed.once('close', () => this.#refuse(code, socket))
      return
    }
    // The request that is broken off may have been answered before its end came.
    if (code === afterLast || open.some(({ headersSent }) => headersSent)) {
      socket.destroySoon()
      return
    }
    const [status, reason, message] = refusals.get(code) ?? malformed
    const problem: Problem = { error_code: status, message }
    const body = JSON.stringify(problem)
    this.#countStatus(status)
    socket.end(
      `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/json; charset=utf-8\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    )
  }
}
