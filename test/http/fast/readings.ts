/** The same bytes as two parsers read them: the hot path's, and node's own. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { Duplex } from 'node:stream'
import { Head, parseHead } from '../../../src/http/fast/fast-parser.ts'

export interface Reading {
  readonly path: string
  readonly host: string
  readonly body: string
}

export interface NodeReading extends Reading {
  readonly method: string
  readonly version: string
  /** Names in lower case with their values, as sent. */
  readonly headers: readonly (readonly [name: string, value: string])[]
}

/** All requests at the beginning of `bytes` that are in the hot path's subset. */
export function fastReading(bytes: Buffer): Reading[] {
  const head = new Head()
  const found: Reading[] = []
  let pos = 0
  for (;;) {
    const headBytes = parseHead(bytes, pos, bytes.length, head)
    const bodyStart = pos + headBytes
    const end = bodyStart + head.bodyBytes
    if (headBytes <= 0 || end > bytes.length) return found
    const topic = bytes.toString('latin1', pos + head.topicStart, pos + head.topicEnd)
    const partition = head.partition < 0 ? '' : `/partitions/${head.partition}`
    found.push({
      path: `/topics/${topic}${partition}`,
      host: bytes.toString('latin1', pos + head.hostStart, pos + head.hostEnd),
      body: bytes.toString('latin1', bodyStart, end),
    })
    pos = end
  }
}

/** One end of a connection, in memory: gives `bytes` and then ends; what is written to it is dropped. */
class Wire extends Duplex {
  constructor(bytes: Buffer) {
    super({ allowHalfOpen: true })
    this.push(bytes)
    this.push(null)
  }

  override _read(): void {}

  override _write(_chunk: unknown, _encoding: BufferEncoding, done: () => void): void {
    done()
  }
}

/** Node's HTTP server without a port: `read` gives it a connection's bytes and tells which requests it saw. */
export class NodeReader {
  readonly #server: Server
  #requests: NodeReading[] = []
  #isRefused = false

  constructor() {
    this.#server = createServer({ requireHostHeader: false }, (request, response) => {
      const body: Buffer[] = []
      request.on('data', (chunk: Buffer) => body.push(chunk))
      request.on('end', () => {
        this.#requests.push(readingOf(request, Buffer.concat(body)))
        response.end()
      })
    })
    this.#server.on('clientError', (_error, socket) => {
      this.#isRefused = true
      // Requests before the bad one end in this turn.
      setImmediate(() => socket.destroy())
    })
    // Neither is in the subset; without a listener node treats the first as a plain request.
    this.#server.on('upgrade', (_request, socket) => socket.destroy())
  }

  /** Whole requests only. */
  async read(bytes: Buffer): Promise<{ requests: NodeReading[]; isRefused: boolean }> {
    this.#requests = []
    this.#isRefused = false
    const wire = new Wire(bytes)
    this.#server.emit('connection', wire)
    if (!wire.destroyed) await once(wire, 'close').catch(() => {})
    return { requests: this.#requests, isRefused: this.#isRefused }
  }

  close(): void {
    this.#server.close()
  }
}

function readingOf(request: IncomingMessage, body: Buffer): NodeReading {
  const { rawHeaders, method = '', url = '', headers, httpVersion } = request
  const pairs: [string, string][] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    pairs.push([rawHeaders[i].toLowerCase(), rawHeaders[i + 1]])
  }
  return {
    method,
    version: httpVersion,
    path: url,
    host: headers.host ?? '',
    headers: pairs,
    body: body.toString('latin1'),
  }
}

/** What the two disagree about; null when they agree on every request that the hot path takes. */
export async function disagreement(bytes: Buffer, node: NodeReader): Promise<string | null> {
  const fast = fastReading(bytes)
  if (fast.length === 0) return null
  const { requests } = await node.read(bytes)
  for (const [index, ours] of fast.entries()) {
    const theirs = requests[index]
    if (theirs === undefined) return `request ${index}: node saw only ${requests.length} requests`
    const why = difference(ours, theirs)
    if (why !== null) return `request ${index}: ${why}`
  }
  return null
}

const mustNotBeThere = [
  'transfer-encoding',
  'content-encoding',
  'expect',
  'upgrade',
  'te',
  'trailer',
  'origin',
]

function difference(ours: Reading, theirs: NodeReading): string | null {
  const { method, version, headers } = theirs
  if (method !== 'POST' || version !== '1.1') return `${method} HTTP/${version}`
  const path = theirs.path.replace(/\?acks=(?:all|0|1)$/, '')
  if (path !== ours.path) return `path ${ours.path}, node has ${theirs.path}`
  if (theirs.host !== ours.host) return `host ${ours.host}, node has ${theirs.host}`
  if (theirs.body !== ours.body) return `body ${ours.body}, node has ${theirs.body}`
  for (const once of ['host', 'content-length', 'content-type']) {
    const count = headers.filter(([name]) => name === once).length
    if (count !== 1) return `${count} headers ${once}`
  }
  const evil = headers.find(([name]) => mustNotBeThere.includes(name))
  return evil === undefined ? null : `header ${evil[0]}`
}
