/**
 * A Kafka client that is nothing but a socket and the schemas read the other way: what it sends is under the test's
 * control to the byte, and every answer is checked as the strictest client would. Answers must come in request order
 * with the right correlation id, and fill their frame exactly (sarama refuses spare bytes).
 *
 *   request()   one call, its decoded answer          frame()  the bytes of a request, to be sent as the test likes
 *   pipeline()  many frames in one write              write()  any bytes
 */
import { once } from 'node:events'
import net from 'node:net'
import { Reader, Writer } from '../../src/protocol/bytes.ts'
import { codec } from '../../src/protocol/compile.ts'
import { readResponseHeader, writeRequestHeader } from '../../src/protocol/headers.ts'
import type { ApiSchema } from '../../src/protocol/schema.ts'

/** A request that is to be sent: what it is, in which version. */
export interface WireCall<Req, Res> {
  readonly schema: ApiSchema<Req, Res>
  readonly version: number
  readonly message: Req
}

export interface FrameOptions {
  readonly correlationId: number
  readonly clientId?: string | null
}

interface Waiter {
  take(frame: Buffer): void
  fail(error: Error): void
}

export class ConnectionClosed extends Error {}

const sizeBytes = 4

export class WireClient {
  readonly socket: net.Socket
  /** Resolves when the connection is gone, whoever ended it. */
  readonly closed: Promise<void>
  #received: Buffer[] = []
  #receivedBytes = 0
  /** Whole answers nobody has asked for yet. */
  readonly #early: Buffer[] = []
  readonly #waiting: Waiter[] = []
  #correlationId = 1000
  #isClosed = false

  private constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', chunk => this.#onData(chunk))
    // A reset is one of the ways to be closed.
    socket.on('error', () => socket.destroy())
    this.closed = new Promise(resolve => {
      socket.on('close', () => {
        this.#isClosed = true
        const error = new ConnectionClosed('the broker closed the connection')
        for (const waiter of this.#waiting.splice(0)) waiter.fail(error)
        resolve()
      })
    })
  }

  static async connect(bootstrap: string): Promise<WireClient> {
    const colon = bootstrap.lastIndexOf(':')
    const socket = net.connect({
      host: bootstrap.slice(0, colon),
      port: Number(bootstrap.slice(colon + 1)),
      noDelay: true,
    })
    await once(socket, 'connect')
    return new WireClient(socket)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Bytes that have arrived and belong to no answer asked for. */
  get unclaimedBytes(): number {
    return this.#early.reduce((sum, frame) => sum + frame.length, this.#receivedBytes)
  }

  nextCorrelationId(): number {
    this.#correlationId = (this.#correlationId + 7919) | 0
    return this.#correlationId
  }

  /** The bytes of one request with its size in front. */
  frame<Req, Res>(call: WireCall<Req, Res>, options: FrameOptions): Buffer {
    const { schema, version, message } = call
    const writer = new Writer()
    writer.begin()
    const clientId = options.clientId === undefined ? 'wire-client' : options.clientId
    writeRequestHeader(writer, schema, version, options.correlationId, clientId)
    codec(schema, version).request.write(writer, message)
    return Buffer.concat(writer.end())
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  request<Req, Res>(schema: ApiSchema<Req, Res>, version: number, message: Req): Promise<Res> {
    const correlationId = this.nextCorrelationId()
    this.write(this.frame({ schema, version, message }, { correlationId }))
    return this.answer(schema, version, correlationId)
  }

  /** Sends all requests in one write, then takes the answers one after another. */
  pipeline<Req, Res>(calls: readonly WireCall<Req, Res>[]): Promise<Res[]> {
    const ids = calls.map(() => this.nextCorrelationId())
    this.write(
      Buffer.concat(calls.map((call, i) => this.frame(call, { correlationId: ids[i] ?? 0 }))),
    )
    return Promise.all(
      calls.map(({ schema, version }, i) => this.answer(schema, version, ids[i] ?? 0)),
    )
  }

  /** The next answer: it must be the one with this correlation id. */
  answer<Req, Res>(
    schema: ApiSchema<Req, Res>,
    version: number,
    correlationId: number,
  ): Promise<Res> {
    return this.nextFrame().then(frame => decodeAnswer(schema, version, correlationId, frame))
  }

  /** The next answer as it came, without its size. Rejects with ConnectionClosed. */
  nextFrame(): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const early = this.#early.shift()
      if (early !== undefined) resolve(early)
      else if (this.#isClosed) reject(new ConnectionClosed('the connection is closed'))
      else this.#waiting.push({ take: resolve, fail: reject })
    })
  }

  /** Everything that arrives until the broker closes: for peers that speak something else. */
  async drain(): Promise<Buffer> {
    const chunks: Buffer[] = [...this.#received]
    this.socket.removeAllListeners('data')
    this.socket.on('data', chunk => chunks.push(chunk))
    await this.closed
    return Buffer.concat(chunks)
  }

  close(): void {
    this.socket.destroy()
  }

  #onData(chunk: Buffer): void {
    this.#received.push(chunk)
    this.#receivedBytes += chunk.length
    while (this.#receivedBytes >= sizeBytes) {
      const all = this.#received.length === 1 ? this.#received[0] : Buffer.concat(this.#received)
      this.#received = [all]
      const end = sizeBytes + all.readInt32BE(0)
      if (this.#receivedBytes < end) return
      this.#received = [all.subarray(end)]
      this.#receivedBytes -= end
      this.#deliver(all.subarray(sizeBytes, end))
    }
  }

  #deliver(frame: Buffer): void {
    const waiter = this.#waiting.shift()
    if (waiter === undefined) this.#early.push(frame)
    else waiter.take(frame)
  }
}

/** @throws Error unless the frame is exactly one answer of that request. */
function decodeAnswer<Req, Res>(
  schema: ApiSchema<Req, Res>,
  version: number,
  correlationId: number,
  frame: Buffer,
): Res {
  const reader = new Reader(frame)
  const answered = readResponseHeader(reader, schema, version)
  if (answered !== correlationId) {
    throw new Error(`correlation id ${answered} instead of ${correlationId} (${schema.name})`)
  }
  const response = codec(schema, version).response.read(reader)
  if (reader.pos !== frame.length) {
    throw new Error(`${frame.length - reader.pos} spare bytes in ${schema.name} v${version}`)
  }
  return response
}
