/**
 * One connection to the broker as a client of groups has it: requests out, answers back in the same order. What is
 * written while answers are handled leaves in one piece.
 */
import net from 'node:net'
import { decodeResponse, encodeRequest } from '../src/load/wire-messages.ts'
import type { ApiSchema } from '../src/protocol/schema.ts'

export interface Address {
  readonly host: string
  readonly port: number
}

/** Gets a whole answer, size field included. The bytes are its own. */
export type OnAnswer = (frame: Buffer) => void

const sizeBytes = 4

export class Line {
  readonly #socket: net.Socket
  readonly #waiting: OnAnswer[] = []
  #head = 0
  #received: Buffer = Buffer.alloc(0)
  #failure: Error | null = null
  #onFailure: ((error: Error) => void) | null = null

  private constructor(socket: net.Socket) {
    this.#socket = socket
    socket.on('data', chunk => this.#take(chunk))
    socket.on('error', error => this.#fail(error))
    socket.on('close', () => this.#fail(new Error('the broker closed a connection')))
  }

  static async open({ host, port }: Address): Promise<Line> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const socket = net.connect({ host, port, noDelay: true })
    socket.once('connect', resolve).once('error', reject)
    await promise
    return new Line(socket)
  }

  /** Sends one request and resolves to its answer. */
  async ask<Req, Res>(schema: ApiSchema<Req, Res>, version: number, request: Req): Promise<Res> {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
    if (this.#failure !== null) throw this.#failure
    this.#onFailure = reject
    this.send(encodeRequest(schema, version, 1, request), resolve)
    const frame = await promise
    this.#onFailure = null
    return decodeResponse(schema, version, frame).response
  }

  /** Sends a whole frame; `onAnswer` gets what comes for it. */
  send(frame: Uint8Array, onAnswer: OnAnswer): void {
    this.#waiting.push(onAnswer)
    this.#socket.write(frame)
  }

  /** It ended, and not by `close`. */
  get isLost(): boolean {
    return this.#failure !== null
  }

  /** Told once when the connection ends before `close`. */
  set onFailure(told: (error: Error) => void) {
    this.#onFailure = told
  }

  close(): void {
    this.#onFailure = null
    this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    const bytes = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
    let at = 0
    this.#socket.cork()
    while (bytes.length - at >= sizeBytes) {
      const end = at + sizeBytes + bytes.readInt32BE(at)
      if (end > bytes.length) break
      this.#next()(bytes.subarray(at, end))
      at = end
    }
    this.#socket.uncork()
    this.#received = bytes.subarray(at)
  }

  #next(): OnAnswer {
    const onAnswer = this.#waiting[this.#head++]
    if (onAnswer === undefined) throw new Error('an answer that nobody asked for')
    if (this.#head === this.#waiting.length) {
      this.#waiting.length = 0
      this.#head = 0
    }
    return onAnswer
  }

  #fail(error: Error): void {
    this.#failure ??= error
    const told = this.#onFailure
    this.#onFailure = null
    told?.(this.#failure)
  }
}

/** Runs `open` for 0..count-1, no more than a backlog's worth at a time. */
export async function openMany<T>(
  count: number,
  open: (index: number) => Promise<T>,
): Promise<T[]> {
  const opened: T[] = []
  const atOnce = 250
  while (opened.length < count) {
    const size = Math.min(atOnce, count - opened.length)
    const first = opened.length
    opened.push(
      ...(await Promise.all(Array.from({ length: size }, (_, index) => open(first + index)))),
    )
  }
  return opened
}
