/** A real HTTP listener over a small HttpServices object, and clients that can send what fetch refuses to send. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { onTestFinished } from 'vitest'
import type { AdminBackend } from '../../src/http/backend/admin-backend.ts'
import type { LogBackend } from '../../src/http/backend/log-backend.ts'
import { type HttpServices, type Readiness, startHttp } from '../../src/http/server.ts'
import { createLogger } from '../../src/log.ts'
import { ThreadMetrics } from '../../src/metrics.ts'

export interface TestServices extends HttpServices {
  state: { readiness: Readiness; refreshes: number }
}

/** For tests of routes that need no log. */
const noBackend = {} as LogBackend
const noAdmin = {} as AdminBackend

/** @returns services of a broker with one dispatcher and two owners that serves. */
export function makeServices(changes: Partial<HttpServices> = {}): TestServices {
  const metricsMemory = new SharedArrayBuffer(ThreadMetrics.bytesFor(3))
  const state = { readiness: { serving: true, unavailable: [] as string[] }, refreshes: 0 }
  return {
    config: { http: { host: '127.0.0.1', port: 0 } },
    broker: { clusterId: 'this-cluster', nodeId: 1, host: '127.0.0.1', port: 9092 },
    groups: { list: () => [], view: () => null, lags: () => [['orders', 12]] },
    version: '1.2.3',
    metricsMemory,
    metrics: new ThreadMetrics(metricsMemory, 0),
    refreshGauges: () => {
      state.refreshes++
    },
    readiness: () => state.readiness,
    status: () => Promise.reject(new Error('this test has no status')),
    backend: noBackend,
    admin: noAdmin,
    tasks: { run: () => Promise.reject(new Error('this test has no task pool')) },
    recoverPartition: async () => null,
    fastPath: 'direct',
    log: createLogger({ level: 'silent' }),
    ...changes,
    state,
  }
}

/** Starts a listener that the running test's end closes. */
export async function startTestHttp(services: HttpServices = makeServices()) {
  const http = await startHttp(services)
  onTestFinished(() => http.close())
  return http
}

export interface RawAnswer {
  readonly status: number
  readonly headers: Map<string, string>
  readonly body: string
}

/** Sends bytes as they are on a fresh connection. @returns the first answer; the server must close the connection. */
export async function rawRequest(port: number, bytes: string | Buffer): Promise<RawAnswer> {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', chunk => chunks.push(chunk))
  // A server that refuses may reset while this side still sends; what it answered has been read by then.
  socket.on('error', () => {})
  socket.write(bytes)
  await once(socket, 'close')
  return parseAnswer(Buffer.concat(chunks).toString('latin1'))
}

function parseAnswer(text: string): RawAnswer {
  const headEnd = text.indexOf('\r\n\r\n')
  const [statusLine, ...lines] = text.slice(0, headEnd).split('\r\n')
  const headers = new Map(
    lines.map(line => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
  return { status: Number(statusLine.split(' ')[1]), headers, body: text.slice(headEnd + 4) }
}
