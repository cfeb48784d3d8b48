/**
 * The client's end of a tail: an answer that does not end, or the socket of a WebSocket. Takes bytes as they are, tells
 * how many the client has left unread. Dispatcher thread.
 */
import type { ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { TailKind } from './chunk.ts'

/** Why a tail ended: the label of `tails_ended_total`. */
export type EndReason = 'client' | 'slow' | 'dead' | 'protocol' | 'topic' | 'shutdown' | 'error'

export interface TailSink {
  readonly kind: TailKind
  /** Written, and not taken by the client yet. */
  readonly waitingBytes: number
  write(bytes: Buffer): void
  /** Writes between the two leave together. */
  cork(): void
  uncork(): void
  /** A sign of life. */
  ping(): void
  /** False when the client has left a sign of life unanswered for too long. */
  readonly isAlive: boolean
  /** Ends behind what has been written. `error` is the event that says why. */
  end(reason: EndReason, message: string, error: Buffer): void
  destroy(): void
  /** @param drained everything written has been taken */
  tell(drained: () => void, closed: () => void): void
}

const comment = Buffer.from(':\n\n')

/** An answer whose end is the end of its connection: no chunk sizes around bytes that are the same for all. */
export class EventStreamSink implements TailSink {
  readonly kind = 'sse'
  readonly isAlive = true
  readonly #response: ServerResponse

  constructor(response: ServerResponse) {
    this.#response = response
    response.useChunkedEncodingByDefault = false
    response.shouldKeepAlive = false
    response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
      connection: 'close',
    })
    response.flushHeaders()
    response.socket?.setTimeout(0)
    response.socket?.setKeepAlive(true, keepAliveMs)
  }

  get waitingBytes(): number {
    return this.#response.writableLength
  }

  write(bytes: Buffer): void {
    this.#response.write(bytes)
  }

  cork(): void {
    this.#response.cork()
  }

  uncork(): void {
    this.#response.uncork()
  }

  ping(): void {
    this.#response.write(comment)
  }

  end(_reason: EndReason, _message: string, error: Buffer): void {
    this.#response.end(error)
  }

  destroy(): void {
    this.#response.destroy()
  }

  tell(drained: () => void, closed: () => void): void {
    this.#response.on('drain', drained)
    this.#response.on('error', ignore)
    this.#response.on('close', closed)
  }
}

/** The system asks a silent peer so often whether it is there. */
const keepAliveMs = 30_000
const ignore = (): void => {}

/** Close codes: RFC 6455, and 4000 to 4999 of our own. */
const closeCodes: Readonly<Record<EndReason, number>> = {
  client: 1000,
  shutdown: 1001,
  protocol: 1008,
  error: 1011,
  slow: 1013,
  dead: 1011,
  topic: 4404,
}
/** RFC 6455: a control frame carries 125 bytes, two of them are the code. */
const reasonBytesMax = 123

/**
 * Data frames are made once for all clients, and written to the socket between those that `ws` writes (pings, pongs,
 * close): both write whole frames only.
 */
export class WebSocketSink implements TailSink {
  readonly kind = 'websocket'
  readonly #webSocket: WebSocket
  readonly #socket: Duplex
  #pingsUnanswered = 0

  constructor(webSocket: WebSocket, socket: Duplex) {
    this.#webSocket = webSocket
    this.#socket = socket
    webSocket.on('pong', () => {
      this.#pingsUnanswered = 0
    })
  }

  get waitingBytes(): number {
    return this.#socket.writableLength
  }

  get isAlive(): boolean {
    return this.#pingsUnanswered < 3
  }

  write(bytes: Buffer): void {
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#socket.write(bytes)
  }

  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }

  ping(): void {
    this.#pingsUnanswered++
    this.#webSocket.ping()
  }

  end(reason: EndReason, message: string, error: Buffer): void {
    this.write(error)
    this.#webSocket.close(closeCodes[reason], fitting(message))
  }

  destroy(): void {
    this.#webSocket.terminate()
  }

  tell(drained: () => void, closed: () => void): void {
    this.#socket.on('drain', drained)
    this.#webSocket.on('close', closed)
  }
}

/** @returns `text`, cut to what a close frame can carry */
function fitting(text: string): string {
  let end = text.length
  while (Buffer.byteLength(text.slice(0, end)) > reasonBytesMax) end--
  return text.slice(0, end)
}
