/**
 * One TCP connection to one broker on our own codecs: requests go out back to back, answers come back in the same
 * order and are matched by that order, the correlation id only proves it.
 *
 *   waiting: | oldest request ... newest |      an answer always belongs to the oldest one
 *
 * Anything that breaks the order (a malformed answer, a request that got none in time) closes the connection, for
 * there is no way to find the order again; whoever waits is told NETWORK_EXCEPTION or REQUEST_TIMED_OUT, both
 * retriable. Reads go to buffers of our choice (`onread`), so a large answer is never copied after it arrived.
 */
import net from 'node:net'
import { Reader, Writer } from '../protocol/bytes.ts'
import { codec } from '../protocol/compile.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import { readResponseHeader, writeRequestHeader } from '../protocol/headers.ts'
import { ApiVersions } from '../protocol/messages/api-versions.ts'
import type { ApiSchema } from '../protocol/schema.ts'
import { type Address, formatAddress } from './address.ts'
import { FrameReceiver } from './frame-receiver.ts'

export interface ConnectionOptions {
  readonly clientId?: string
  /** Time to connect and to learn the broker's versions. Default 10,000. */
  readonly connectTimeoutMs?: number
  /** Longest wait for an answer; a request may ask for more. Default 30,000. */
  readonly requestTimeoutMs?: number
  /** Largest answer taken. Default 128 MiB. */
  readonly responseBytesMax?: number
}

interface Waiting {
  readonly schema: ApiSchema<never, unknown>
  readonly version: number
  readonly correlationId: number
  readonly deadlineMs: number
  readonly resolve: (response: unknown) => void
  readonly reject: (error: Error) => void
}

/** Bytes handed to the socket and not yet taken by the system, above which `congested` is true. */
const congestedBytes = 1024 * 1024
const sweepMs = 250
const noBytes = Buffer.alloc(0)
const noSpace = Buffer.alloc(1)

export class Connection {
  readonly address: Address
  readonly #socket: net.Socket
  readonly #receiver: FrameReceiver
  readonly #clientId: string
  readonly #requestTimeoutMs: number
  readonly #writer = new Writer()
  readonly #reader = new Reader()
  /** api key -> [min, max] the broker serves. Empty until the handshake is over. */
  readonly #served = new Map<number, readonly [number, number]>()
  #waiting: Waiting[] = []
  #correlationId = 0
  #corked = false
  #closed: Error | null = null
  #sweeper: NodeJS.Timeout | null = null

  private constructor(address: Address, options: ConnectionOptions) {
    this.address = address
    this.#clientId = options.clientId ?? 'odradek'
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 30_000
    this.#receiver = new FrameReceiver(options.responseBytesMax ?? 128 * 1024 * 1024)
    this.#socket = net.connect({
      host: address.host,
      port: address.port,
      noDelay: true,
      onread: {
        // Node asks for space once more after the read that closed the connection.
        buffer: () => (this.#closed === null ? this.#receiver.space() : noSpace),
        callback: count => this.#onBytes(count),
      },
    })
    this.#socket.on('error', error => this.close(unreachable(address, error)))
    this.#socket.on('close', () => this.close(unreachable(address, null)))
  }

  /**
   * Connects and learns which versions the broker serves.
   * @throws KafkaError NETWORK_EXCEPTION when nobody answers there, UNSUPPORTED_VERSION when it speaks another age
   */
  static async open(address: Address, options: ConnectionOptions = {}): Promise<Connection> {
    const connection = new Connection(address, options)
    const timeoutMs = options.connectTimeoutMs ?? 10_000
    const timer = setTimeout(
      () => connection.close(networkError(address, `no answer within ${timeoutMs} ms`)),
      timeoutMs,
    )
    try {
      await connection.#handshake(timeoutMs)
      return connection
    } catch (error) {
      connection.close(error as Error)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  get isClosed(): boolean {
    return this.#closed !== null
  }

  /** True while more than 1 MiB of requests wait for the socket: a sender without answers (acks=0) should pause. */
  get congested(): boolean {
    return this.#socket.writableLength > congestedBytes
  }

  /** Requests that wait for their answer. */
  get pendingCount(): number {
    return this.#waiting.length
  }

  /** Resolves once everything written so far was taken by the system, or the connection is closed. */
  drained(): Promise<void> {
    if (this.#closed !== null || this.#socket.writableLength === 0) return Promise.resolve()
    return new Promise(resolve => {
      this.#socket.write(noBytes, () => resolve())
    })
  }

  /**
   * The highest version both sides know.
   * @throws KafkaError UNSUPPORTED_VERSION
   */
  versionOf(schema: {
    name: string
    key: number
    versions: readonly [number, number]
    request?: unknown
  }): number {
    const served = this.#served.get(schema.key)
    const version = served === undefined ? -1 : Math.min(served[1], schema.versions[1])
    if (served === undefined || version < Math.max(served[0], schema.versions[0])) {
      throw new KafkaError(
        Errors.UNSUPPORTED_VERSION,
        `the broker at ${formatAddress(this.address)} does not serve ${schema.name} in a version known here`,
      )
    }
    return version
  }

  /** Sends a request and gives its answer. Never blocks others: any number may be on the way. */
  request<Req, Res>(
    schema: ApiSchema<Req, Res>,
    message: Req,
    options: { readonly timeoutMs?: number; readonly version?: number } = {},
  ): Promise<Res> {
    return new Promise<Res>((resolve, reject) => {
      const version = options.version ?? this.versionOf(schema)
      const correlationId = this.#write(schema, version, message)
      this.#waiting.push({
        schema: schema as unknown as ApiSchema<never, unknown>,
        version,
        correlationId,
        deadlineMs: performance.now() + (options.timeoutMs ?? this.#requestTimeoutMs),
        resolve: resolve as (response: unknown) => void,
        reject,
      })
      this.#sweeper ??= setInterval(() => this.#sweep(), sweepMs)
    })
  }

  /** Sends a request that gets no answer at all: Produce with acks=0. */
  send<Req, Res>(schema: ApiSchema<Req, Res>, message: Req): void {
    this.#write(schema, this.versionOf(schema), message)
  }

  /** Closes at once; every request still waiting is rejected with `error`. */
  close(error: Error = networkError(this.address, 'the connection was closed')): void {
    if (this.#closed !== null) return
    this.#closed = error
    this.#socket.destroy()
    if (this.#sweeper !== null) clearInterval(this.#sweeper)
    const waiting = this.#waiting
    this.#waiting = []
    for (const one of waiting) one.reject(error)
  }

  /** Writes what is still buffered, then closes: for acks=0, where no answer tells that it arrived. */
  async end(): Promise<void> {
    await this.drained()
    this.close()
  }

  #write<Req, Res>(schema: ApiSchema<Req, Res>, version: number, message: Req): number {
    if (this.#closed !== null) throw this.#closed
    this.#correlationId = (this.#correlationId + 1) | 0
    this.#writer.begin()
    writeRequestHeader(this.#writer, schema, version, this.#correlationId, this.#clientId)
    codec(schema, version).request.write(this.#writer, message)
    const pieces = this.#writer.end()
    // One system call for all requests of this turn of the event loop.
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      process.nextTick(this.#uncork)
    }
    for (const piece of pieces) this.#socket.write(piece)
    return this.#correlationId
  }

  readonly #uncork = (): void => {
    this.#corked = false
    this.#socket.uncork()
  }

  #onBytes(count: number): boolean {
    if (this.#closed !== null) return false
    try {
      this.#receiver.received(count, this.#onFrame)
    } catch (error) {
      this.close(error instanceof KafkaError ? error : networkError(this.address, String(error)))
    }
    return this.#closed === null
  }

  readonly #onFrame = (frame: Buffer): void => {
    const oldest = this.#waiting.shift()
    if (oldest === undefined) throw new RangeError('an answer came that nobody asked for')
    try {
      oldest.resolve(this.#decode(oldest, frame))
    } catch (error) {
      const broken = networkError(
        this.address,
        `malformed ${oldest.schema.name} answer: ${(error as Error).message}`,
      )
      oldest.reject(broken)
      throw broken
    }
  }

  #decode(waiting: Waiting, frame: Buffer): unknown {
    const reader = this.#reader.reset(frame)
    const correlationId = readResponseHeader(reader, waiting.schema, waiting.version)
    if (correlationId !== waiting.correlationId) {
      throw new RangeError(`correlation id ${correlationId} instead of ${waiting.correlationId}`)
    }
    // KIP-511: a broker that does not know our ApiVersions version answers in the form of version 0.
    const refused =
      waiting.schema.key === ApiVersions.key &&
      frame.readInt16BE(reader.pos) === Errors.UNSUPPORTED_VERSION
    return codec(waiting.schema, refused ? 0 : waiting.version).response.read(reader)
  }

  /** Answers come in order, so the oldest request decides, unless a later one was less patient. */
  #sweep(): void {
    const nowMs = performance.now()
    const late = this.#waiting.find(one => one.deadlineMs < nowMs)
    if (late !== undefined) {
      const message = `${formatAddress(this.address)}: no answer to ${late.schema.name} in time`
      this.close(new KafkaError(Errors.REQUEST_TIMED_OUT, message))
    } else if (this.#waiting.length === 0 && this.#sweeper !== null) {
      clearInterval(this.#sweeper)
      this.#sweeper = null
    }
  }

  async #handshake(timeoutMs: number): Promise<void> {
    const message = { clientSoftwareName: 'odradek', clientSoftwareVersion: '0' }
    let version = ApiVersions.versions[1]
    for (;;) {
      const answer = await this.request(ApiVersions, message, { version, timeoutMs })
      if (answer.errorCode === Errors.UNSUPPORTED_VERSION && version > 0) {
        const served = answer.apiKeys.find(row => row.apiKey === ApiVersions.key)
        version = Math.max(0, Math.min(version - 1, served?.maxVersion ?? 0))
        continue
      }
      if (answer.errorCode !== Errors.NONE) {
        throw new KafkaError(
          answer.errorCode,
          `${formatAddress(this.address)} refuses to name its versions`,
        )
      }
      for (const row of answer.apiKeys) {
        this.#served.set(row.apiKey, [row.minVersion, row.maxVersion])
      }
      return
    }
  }
}

function networkError(address: Address, why: string): KafkaError {
  return new KafkaError(Errors.NETWORK_EXCEPTION, `${formatAddress(address)}: ${why}`)
}

function unreachable(address: Address, error: NodeJS.ErrnoException | null): KafkaError {
  if (error === null) return networkError(address, 'the broker closed the connection')
  if (error.code === 'ECONNREFUSED') return networkError(address, 'nobody listens there')
  return networkError(address, error.code ?? error.message)
}
