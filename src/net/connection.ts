/**
 * One client connection: frames in, calls to handlers, answers out in request order. Dispatcher thread.
 *
 *   socket → FrameDecoder → header, version check → handler → PendingCall ... respond → in order → OutputQueue → socket
 *
 * Reading stops ("muted") while any reason holds: arena full, too much in flight, answers not taken by the peer.
 */
import type { Socket } from 'node:net'
import type { Principal } from '../apis/api-row.ts'
import { unknownVersion } from '../apis/api-versions.ts'
import { labelled, Metric } from '../metrics.ts'
import type { Writer } from '../protocol/bytes.ts'
import { type RequestHeader, readRequestHeader, writeResponseHeader } from '../protocol/headers.ts'
import { ApiVersions } from '../protocol/messages/api-versions.ts'
import { Fetch } from '../protocol/messages/fetch.ts'
import { Produce } from '../protocol/messages/produce.ts'
import type { ServedApi } from './api-table.ts'
import {
  attachSink,
  endAndLinger,
  type ReadPath,
  type ReadSink,
  resumeReading,
  retarget,
  takenBytes,
} from './arena-socket.ts'
import type { Block } from './block-pool.ts'
import { CallLine } from './call-line.ts'
import { type Frame, FrameDecoder, FrameSizeError } from './frame-decoder.ts'
import type { Listener } from './kafka-listener.ts'
import { Mute, mutedBy } from './muting.ts'
import { OutputQueue } from './output-queue.ts'
import { PendingCall } from './pending-call.ts'
import { StallWatch } from './stall-watch.ts'
import { looksLikeHttp } from './wrong-protocol.ts'

/** A bulk connection that was silent for this long gives its arena block back. */
const demoteAfterMs = 1_000

type FrameReason = 'size' | 'malformed' | 'unsupported' | 'http'
type CloseReason = 'client' | 'protocol' | 'idle' | 'slow' | 'error' | 'shutdown'

const anonymous: Principal = { type: 'User', name: 'ANONYMOUS' }
/** Marks an answer whose bytes are in the output queue already. */
const inPlace: Uint8Array[] = []
const rejectedHttp = labelled('framesRejected', 'http')
const header = {} as RequestHeader

export class Connection implements ReadSink {
  readonly remoteHost: string
  readonly principal: Principal = anonymous
  closed = false
  readonly line = new CallLine()
  readonly #listener: Listener
  readonly #socket: Socket
  readonly #path: ReadPath
  readonly #decoder: FrameDecoder
  readonly #output: OutputQueue
  /** One at a time: what they read would otherwise pile up behind the first one's long poll. */
  #fetchCalls = 0
  #muted = 0
  #parsing = false
  /** Copying path: chunks that arrived while muted. */
  #chunks: Buffer[] = []
  #dirty = false
  readonly #watch: StallWatch
  /** Set once no more requests are taken: why the connection ends when its last answers have left. */
  #ending: CloseReason | null = null

  constructor(listener: Listener, accepted: Socket, remoteHost: string, path: ReadPath) {
    this.#listener = listener
    this.#path = path
    this.#watch = new StallWatch(listener.clock.monotonicMs())
    this.#decoder = new FrameDecoder(listener.blocks, listener.limits.frameBytesMax)
    this.remoteHost = remoteHost
    accepted.setNoDelay(true)
    this.#socket = attachSink(accepted, this, path)
    this.#output = new OutputQueue(this.#socket, listener)
    this.#socket.on('drain', () => this.#unmute(Mute.backlog))
    const gone = (): void => this.close(this.#ending ?? 'client')
    this.#socket.on('end', gone).on('error', gone).on('close', gone)
  }

  target(): Buffer {
    return this.#ending === null ? this.#decoder.target() : this.#listener.blocks.staging
  }

  received(n: number): boolean {
    this.#listener.metrics.add(Metric.bytesIn, n)
    this.#watch.lastReadMs = this.#listener.clock.monotonicMs()
    if (this.#ending !== null) return !this.closed
    this.#decoder.received(n)
    this.#parse()
    return this.#muted === 0 && !this.closed
  }

  chunk(bytes: Buffer): boolean {
    this.#listener.metrics.add(Metric.bytesIn, bytes.length)
    this.#watch.lastReadMs = this.#listener.clock.monotonicMs()
    if (this.#ending !== null) return !this.closed
    this.#chunks.push(bytes)
    this.#feedChunks()
    return this.#muted === 0 && !this.closed
  }

  /** Encodes the answer of `call` and sends it as soon as all earlier ones have left. */
  answer(call: PendingCall, response: unknown): void {
    if (this.closed) {
      this.#release(call)
      return
    }
    this.#encode(call, response)
    this.#sendDone()
  }

  finishSilently(call: PendingCall, error: string | null): void {
    if (this.closed) return
    this.#settleCall(call)
    if (error !== null) this.#reject(`acks=0 produce failed: ${error}`, null, 'error')
  }

  /** Once a second: gives idle blocks back, closes peers that stall in mid-frame or never read. */
  sweep(nowMs: number): void {
    const { limits, blocks } = this.#listener
    const idleMs = nowMs - this.#watch.lastReadMs
    const backlogBytes = this.#output.count()
    const taken = takenBytes(this.#socket)
    const pendingBytes = this.#muted === 0 ? this.#decoder.pendingBytes : 0
    if (this.#watch.isTakingNothing(nowMs, backlogBytes, taken, limits.connectionStallMs)) {
      this.#reject('the peer takes no answers', null, 'slow')
    } else if (this.#watch.isFrameStalled(nowMs, pendingBytes, this.#listener.stallMsMax())) {
      this.#reject('stalled in mid-frame', null, 'slow')
    } else if (idleMs > limits.connectionIdleMs && this.line.inFlightCalls === 0) {
      this.close('idle')
    } else if (this.#muted === 0 && (idleMs > demoteAfterMs || blocks.waiterCount > 0)) {
      this.#decoder.demote(idleMs > demoteAfterMs && blocks.waiterCount > 0)
      retarget(this.#socket, this.#path, this.target())
    }
  }

  /** Writes the answers gathered in this turn. */
  flush(): void {
    this.#dirty = false
    this.#listener.metrics.add(Metric.bytesOut, this.#output.flush())
    if (this.#output.isTooMuch()) this.#mute(Mute.backlog)
  }

  /** Takes no more requests; answers already owed are still sent. Resolves when the socket is closed. */
  drain(): Promise<void> {
    if (this.closed) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#socket.once('close', () => resolve())
    this.#end('shutdown')
    return promise
  }

  close(reason: CloseReason): void {
    if (this.closed) return
    this.closed = true
    this.#listener.metrics.add(labelled('connectionsClosed', reason), 1)
    this.#listener.blocks.cancelWait(this.#retryArena)
    this.#socket.destroy()
    this.#decoder.close()
    this.#output.discard()
    for (const call of this.line.clear()) {
      if (call.pieces !== null) this.#release(call)
      else call.onAbandoned?.()
    }
    this.#chunks = []
    this.#listener.forget(this)
  }

  #feedChunks(): void {
    while (this.#chunks.length > 0 && this.#muted === 0 && !this.closed) {
      const chunk = this.#chunks[0] as Buffer
      const n = this.#decoder.push(chunk)
      if (n === chunk.length) this.#chunks.shift()
      else this.#chunks[0] = chunk.subarray(n)
      this.#parse()
    }
  }

  #parse(): void {
    if (this.#parsing) return
    this.#parsing = true
    try {
      while (this.#muted === 0 && !this.closed && this.#ending === null) {
        const frame = this.#decoder.next()
        if (frame === null || !this.#accept(frame)) break
        this.#decoder.consume()
      }
      if (!this.closed && this.#ending === null && !this.#decoder.settle()) this.#muteForArena()
    } catch (error) {
      if (error instanceof FrameSizeError) this.#rejectFrameSize(error)
      else if (error instanceof RangeError)
        this.#reject(`malformed request: ${error.message}`, 'malformed', 'protocol')
      else throw error
    } finally {
      this.#parsing = false
    }
  }

  /** Starts one request. False when it must wait, or was refused; nothing was done then. */
  #accept(frame: Frame): boolean {
    const { reader } = this.#listener
    reader.reset(frame.bytes, frame.start, frame.end)
    readRequestHeader(reader, this.#listener.apis.isFlexible, header)
    const api = this.#listener.apis.get(header.apiKey)
    if (api === undefined) return this.#refuse(`unknown API key ${header.apiKey}`)
    if (!api.serves(header.apiVersion)) {
      if (api.key !== ApiVersions.key) {
        return this.#refuse(`${api.schema.name} version ${header.apiVersion} is not served`)
      }
      this.answer(this.#begin(api, 0, null, frame.end - frame.start), unknownVersion())
      return true
    }
    if (api.key === Fetch.key && this.#fetchCalls > 0) {
      this.#mute(Mute.fetch)
      return false
    }
    if (api.key === Produce.key && frame.block === null) {
      if (!this.#moveToArena(frame)) return false
    }
    this.#start(api, frame.block, frame.end - frame.start)
    return true
  }

  /** Copies a small produce frame, and what came with it, into the arena; the reader goes on there. */
  #moveToArena(frame: Frame): boolean {
    const { reader } = this.#listener
    const headerBytes = reader.pos - frame.start
    if (!this.#decoder.moveToArena()) {
      this.#muteForArena()
      return false
    }
    this.#decoder.next()
    reader.reset(frame.bytes, frame.start + headerBytes, frame.end)
    return true
  }

  #start(api: ServedApi, block: Block | null, requestBytes: number): void {
    const request = api.codec(header.apiVersion).request.read(this.#listener.reader)
    const call = this.#begin(api, header.apiVersion, block, requestBytes)
    const { line } = this
    const { limits, metrics, services } = this.#listener
    if (api.key === Fetch.key) this.#fetchCalls++
    if (line.isFull(limits.connectionRequestsMax, limits.inFlightBytesMax))
      this.#mute(Mute.inFlight)
    metrics.add(api.requestsMetric, 1)
    const result = api.row.handle(request, call, services)
    // A refused acks=0 call has closed the connection by now, and with it emptied the line.
    if (!call.expectsResponse && !this.closed) line.leave(call)
    if (result === undefined) return
    if (result instanceof Promise) this.#await(call, result)
    else this.answer(call, result)
  }

  #await(call: PendingCall, result: Promise<unknown>): void {
    result.then(
      response => {
        if (response !== undefined) this.answer(call, response)
      },
      (error: unknown) => {
        this.#listener.log.error({ err: error, api: call.api.schema.name }, 'request failed')
        this.close('error')
      },
    )
  }

  #begin(api: ServedApi, version: number, block: Block | null, requestBytes: number): PendingCall {
    const { correlationId, clientId } = header
    const call = new PendingCall(this, api, version, correlationId, clientId, block, requestBytes)
    call.receivedMs = this.#watch.lastReadMs
    this.#watch.frames++
    this.line.add(call)
    return call
  }

  /** Answers that leave at once are encoded in place; one that must wait keeps its pieces. */
  #encode(call: PendingCall, response: unknown): void {
    const writer: Writer = this.#listener.writer
    writer.begin()
    writeResponseHeader(writer, call.api.schema, call.apiVersion, call.correlationId)
    call.api.codec(call.apiVersion).response.write(writer, response)
    if (this.line.front !== call || !writer.endInPlace()) {
      call.pieces = writer.end()
      return
    }
    this.#output.pushRange(writer.frameSlab, writer.frameStart, writer.frameEnd)
    call.pieces = inPlace
  }

  /** Moves every answer that is at the head of the line to the socket. */
  #sendDone(): void {
    const line = this.line
    const nowMs = this.#listener.clock.monotonicMs()
    for (let call = line.front; call !== undefined && call.pieces !== null; call = line.front) {
      this.#output.push(call.pieces, call.regions)
      line.removeFront()
      this.#listener.metrics.observe(call.api.secondsMetric, (nowMs - call.receivedMs) / 1000)
      this.#settleCall(call)
      if (!this.#dirty) {
        this.#dirty = true
        this.#listener.flushLater(this)
      }
    }
    if (this.#output.isMuchGathered && this.#output.isTooMuch()) this.#mute(Mute.backlog)
  }

  #settleCall(call: PendingCall): void {
    const line = this.line
    line.settle(call)
    if ((this.#muted & Mute.inFlight) !== 0) {
      const { connectionRequestsMax, inFlightBytesMax } = this.#listener.limits
      const isCalm = !line.isFull(connectionRequestsMax / 2, inFlightBytesMax / 2)
      if (isCalm) queueMicrotask(() => this.#unmute(Mute.inFlight))
    }
    if (call.api.key === Fetch.key) {
      this.#fetchCalls--
      if ((this.#muted & Mute.fetch) !== 0) queueMicrotask(() => this.#unmute(Mute.fetch))
    }
    if (this.#ending !== null && line.inFlightCalls === 0) queueMicrotask(() => this.#endSocket())
  }

  /**
   * Goes on reading, for a socket that is closed with unread bytes resets the connection, and a reset takes answers
   * away that the peer has not read yet.
   */
  #end(reason: CloseReason): void {
    this.#ending = reason
    this.#listener.blocks.cancelWait(this.#retryArena)
    this.#muted = 0
    this.#chunks = []
    retarget(this.#socket, this.#path, this.target())
    resumeReading(this.#socket)
    if (this.line.inFlightCalls === 0) this.#endSocket()
  }

  #endSocket(): void {
    if (this.closed) return
    this.flush()
    endAndLinger(this.#socket)
  }

  #release(call: PendingCall): void {
    if (call.regions !== null) this.#listener.freeRegions(call.regions)
    call.regions = null
  }

  readonly #retryArena = (): void => this.#unmute(Mute.arena)

  #mute(reason: number): void {
    if ((this.#muted & reason) !== 0) return
    this.#muted |= reason
    this.#listener.metrics.add(mutedBy(reason), 1)
  }

  #muteForArena(): void {
    this.#mute(Mute.arena)
    this.#listener.blocks.wait(this.#retryArena)
  }

  #unmute(reason: number): void {
    if ((this.#muted & reason) === 0 || this.closed) return
    this.#muted &= ~reason
    if (this.#muted !== 0) return
    this.#parse()
    this.#feedChunks()
    if (this.#muted !== 0 || this.closed) return
    retarget(this.#socket, this.#path, this.#decoder.target())
    this.#watch.lastReadMs = this.#listener.clock.monotonicMs()
    resumeReading(this.#socket)
  }

  #rejectFrameSize(error: FrameSizeError): void {
    if (this.#watch.frames === 0 && looksLikeHttp(error.sizeBytes)) {
      this.#socket.write(this.#listener.httpHint())
      this.#listener.metrics.add(rejectedHttp, 1)
      this.#end('protocol')
      return
    }
    const limit = this.#listener.limits.frameBytesMax
    const why = `frame size ${error.sizeBytes} is outside 0..${limit} (socket.request.max.bytes)`
    this.#reject(why, 'size', 'protocol')
  }

  #refuse(why: string): false {
    this.#reject(why, 'unsupported', 'protocol')
    return false
  }

  #reject(why: string, frame: FrameReason | null, reason: CloseReason): void {
    if (frame !== null) this.#listener.metrics.add(labelled('framesRejected', frame), 1)
    this.#listener.logPeer(this.remoteHost, why)
    this.close(reason)
  }
}
