/**
 * One connection of the HTTP port, as long as all its requests are in the hot path's subset. Dispatcher thread.
 *
 *   bytes → parseHead → topic → backend.produce ... onProduced → answers in request order → one write
 *                 └─ anything else: when all earlier answers are written, node:http gets the socket, for good
 *
 * Bytes are read into memory that all connections share; what is left of a read (a request in the making, or requests
 * that must wait) is carried over in a buffer of the connection's own.
 */
import type { Socket } from 'node:net'
import {
  attachSink,
  detachSink,
  endAndLinger,
  type ReadSink,
  resumeReading,
  takenBytes,
} from '../../net/arena-socket.ts'
import { OutputQueue } from '../../net/output-queue.ts'
import { StallWatch } from '../../net/stall-watch.ts'
import type { ProduceSink, RecordSource } from '../backend/log-backend.ts'
import { lineRecords, OneRecord } from '../backend/record-sources.ts'
import type { FastListener } from './fast-listener.ts'
import { BodyKind, handOver, headBytesMax, incomplete } from './fast-parser.ts'
import type { FastTopic } from './fast-topics.ts'
import { PendingAnswers } from './pending-answers.ts'

/** Why a connection is not read: bits, several may hold at once. */
const Mute = {
  /** The backend has no room. */
  room: 1,
  /** A topic is being made. */
  topic: 2,
  /** Enough requests are unanswered. */
  pending: 4,
  /** The peer does not take the answers. */
  backlog: 8,
}

/** What happens once everything owed is answered and written. */
type Ending = 'hand over' | 'too slow' | 'cut short' | 'close'

const pendingMax = 1024
/** A request that finds no room for so long is handed over: the slow path waits once more, then it answers 503. */
const roomWaitMs = 5000
const carryBytesMin = 1024

/** Used for one request after the other, unless the backend keeps it. */
class SharedRecord extends OneRecord {
  override keep(): void {
    super.keep()
    shared = new SharedRecord()
  }
}
let shared = new SharedRecord()

const empty = Buffer.alloc(0)

export class FastConnection implements ReadSink, ProduceSink {
  isClosed = false
  isDirty = false
  readonly #listener: FastListener
  readonly #socket: Socket
  readonly #output: OutputQueue
  readonly #watch: StallWatch
  readonly #pending = new PendingAnswers()
  #muted = 0
  #ending: Ending | null = null
  #isParsing = false
  /** What was read and not taken: [from, to) of it. */
  #carry: Buffer | null = null
  #from = 0
  #to = 0
  /** Where the next read goes. */
  #target: Buffer
  /** When the first byte of the request in the making came; -1 when there is none. */
  #startedMs: number
  /** Its head is whole, the body is not. */
  #isInBody = false
  #takeBackRetry: (() => void) | null = null
  /** When the backend said last that it has no room. */
  #fullSinceMs = 0

  constructor(listener: FastListener, accepted: Socket) {
    this.#listener = listener
    this.#target = listener.staging
    this.#startedMs = performance.now()
    this.#watch = new StallWatch(listener.nowMs)
    accepted.setNoDelay(true)
    this.#socket = attachSink(accepted, this, listener.readPath, true)
    this.#output = new OutputQueue(this.#socket, listener)
    this.#socket.on('end', this.#onEnd).on('error', this.#onGone).on('close', this.#onGone)
    this.#socket.on('drain', this.#onDrain)
  }

  target(): Buffer {
    const carry = this.#carry
    const hasRoom = carry !== null && this.#to < carry.length && !this.isClosed
    this.#target = hasRoom ? carry.subarray(this.#to) : this.#listener.staging
    return this.#target
  }

  received(n: number): boolean {
    if (this.isClosed) return true
    const carry = this.#carry
    if (carry !== null && this.#target.buffer === carry.buffer) {
      // Read behind what was there.
      this.#to += n
      this.#read(carry, this.#from, this.#to)
    } else this.#append(this.#target, n)
    return this.#isReading
  }

  chunk(bytes: Buffer): boolean {
    if (this.isClosed) return true
    this.#append(bytes, bytes.length)
    return this.#isReading
  }

  onProduced(
    tag: number,
    errorCode: number,
    baseOffset: number,
    _lastOffset: number,
    storedCount: number,
  ): void {
    if (this.isClosed) return
    this.#pending.done(tag, errorCode, baseOffset, storedCount)
    if (!this.isDirty) this.#listener.flushLater(this)
  }

  /** Writes every answer whose turn it is. */
  flush(): void {
    this.isDirty = false
    if (this.isClosed) return
    const pending = this.#pending
    for (let answer = pending.firstDone(); answer !== null; answer = pending.firstDone()) {
      this.#listener.pushAnswer(this.#output, answer)
      pending.removeFirst()
    }
    this.#output.flush()
    this.#watch.lastReadMs = this.#listener.nowMs
    if (this.#output.isTooMuch()) this.#muted |= Mute.backlog
    if (pending.count <= pendingMax / 2) this.#unmute(Mute.pending)
    if (this.#ending !== null && pending.count === 0) this.#end()
  }

  /** Once in a while: deadlines, and memory that is not needed. */
  sweep(nowMs: number): void {
    const { deadlines, stalledMs, keepAliveMs } = this.#listener
    const backlogBytes = this.#output.count()
    if (this.#watch.isTakingNothing(nowMs, backlogBytes, takenBytes(this.#socket), stalledMs)) {
      this.close()
    } else if ((this.#muted & Mute.room) !== 0 && nowMs - this.#fullSinceMs > roomWaitMs) {
      this.#endWith('hand over')
    } else if (this.#ending !== null || this.#muted !== 0 || this.#pending.count > 0) {
      this.#startedMs = this.#carry === null ? -1 : nowMs
    } else if (this.#startedMs >= 0) {
      const limitMs = this.#isInBody ? deadlines.requestMs : deadlines.headersMs
      if (nowMs - this.#startedMs > limitMs) this.#endWith('too slow')
    } else if (nowMs - this.#watch.lastReadMs > keepAliveMs) this.close()
    else this.#pending.shrink()
  }

  /** Takes no more requests; one in the making is node's to finish, answers owed are sent. */
  drain(): void {
    if (this.isClosed || this.#ending !== null) return
    this.#endWith(this.#carry === null ? 'close' : 'hand over')
  }

  close(): void {
    if (this.isClosed) return
    this.#socket.destroy()
    this.#leave()
  }

  get #isReading(): boolean {
    return this.#muted === 0 && this.#ending === null && !this.isClosed
  }

  /** Bytes of somebody else's memory. */
  #append(bytes: Buffer, n: number): void {
    const carry = this.#carry
    if (carry === null) {
      this.#read(bytes, 0, n)
      return
    }
    if (this.#to + n > carry.length) this.#enlarge(carry, n)
    const roomy = this.#carry as Buffer
    bytes.copy(roomy, this.#to, 0, n)
    this.#to += n
    this.#read(roomy, this.#from, this.#to)
  }

  #enlarge(carry: Buffer, n: number): void {
    const held = this.#to - this.#from
    const larger = Buffer.allocUnsafeSlow(Math.max(held + n, carryBytesMin))
    carry.copy(larger, 0, this.#from, this.#to)
    this.#carry = larger
    this.#from = 0
    this.#to = held
  }

  /** Takes as many requests from [from, to) as are there, and keeps the rest. */
  #read(bytes: Buffer, from: number, to: number): void {
    const listener = this.#listener
    this.#watch.lastReadMs = listener.nowMs
    this.#isParsing = true
    let pos = from
    let neededBytes = 0
    this.#isInBody = false
    while (pos < to && this.#isReading) {
      const headBytes = listener.parse(bytes, pos, to)
      if (headBytes === incomplete) break
      if (headBytes === handOver || !this.#accepts(bytes, pos)) {
        if (this.#muted === 0) this.#ending = 'hand over'
        break
      }
      const bodyStart = pos + headBytes
      const end = bodyStart + listener.head.bodyBytes
      if (end > to) {
        this.#isInBody = true
        neededBytes = end - pos
        break
      }
      if (!this.#produce(bytes, bodyStart, end)) break
      pos = end
    }
    if (pos > from || this.#startedMs < 0) this.#startedMs = pos < to ? performance.now() : -1
    this.#keep(bytes, pos, to, neededBytes)
    this.#isParsing = false
    if (this.#ending !== null && this.#pending.count === 0) this.#endLater()
  }

  /** Host and topic are good. False: handed over, or, when muted by now, tried again. */
  #accepts(bytes: Buffer, start: number): boolean {
    const listener = this.#listener
    const topic = listener.findTopic(bytes, start)
    if (topic === 'refused') return false
    if (topic === null) {
      this.#makeTopic(listener.topicName(bytes, start))
      return false
    }
    return listener.head.partition < topic.partitionCount && !topic.isInternal
  }

  #makeTopic(name: string): void {
    this.#muted |= Mute.topic
    this.#listener.ensureTopic(name, isThere => {
      if (this.isClosed) return
      if (isThere) this.#unmute(Mute.topic)
      else this.#endWith('hand over')
    })
  }

  /** False when there is no room for it now, or nothing to produce: not taken. */
  #produce(bytes: Buffer, start: number, end: number): boolean {
    const { head, topic, backend } = this.#listener
    const source = recordsOf(head.kind, bytes.subarray(start, end))
    if (source === null) {
      this.#ending = 'hand over'
      return false
    }
    const { name, isFlushed } = topic as FastTopic
    const { acks } = head
    const partition = head.partition < 0 ? backend.partitionFor(name, null) : head.partition
    const isDurable = acks === -1 && isFlushed
    const tag = this.#pending.add(topic as FastTopic, partition, isDurable)
    if (!backend.produce(name, partition, acks, source, this, tag)) {
      this.#pending.removeLast()
      this.#muted |= Mute.room
      this.#fullSinceMs = this.#listener.nowMs
      this.#takeBackRetry = backend.whenRoom(() => {
        this.#takeBackRetry = null
        this.#unmute(Mute.room)
      })
      return false
    }
    if (this.#pending.count >= pendingMax) this.#muted |= Mute.pending
    return true
  }

  /** Holds on to [pos, to). @param neededBytes of the request that begins there, if known */
  #keep(bytes: Buffer, pos: number, to: number, neededBytes: number): void {
    const held = to - pos
    if (held === 0) {
      this.#carry = null
      return
    }
    const wanted = neededBytes > 0 ? neededBytes : Math.min(2 * held, headBytesMax)
    if (bytes === this.#carry && bytes.length - pos >= wanted) {
      this.#from = pos
      return
    }
    const carry = Buffer.allocUnsafeSlow(Math.max(held, wanted, carryBytesMin))
    bytes.copy(carry, 0, pos, to)
    this.#carry = carry
    this.#from = 0
    this.#to = held
  }

  #unmute(reason: number): void {
    if ((this.#muted & reason) === 0 || this.isClosed) return
    this.#muted &= ~reason
    if (this.#muted !== 0 || this.#ending !== null || this.#isParsing) return
    if (this.#carry !== null) this.#read(this.#carry, this.#from, this.#to)
    if (this.#isReading) resumeReading(this.#socket)
  }

  #endWith(ending: Ending): void {
    this.#ending = ending
    this.#takeBackRetry?.()
    this.#socket.pause()
    if (this.#pending.count === 0) this.#endLater()
  }

  /** Not from within a read: its callback still has the socket's handle in its hands. */
  #endLater(): void {
    if (!this.isDirty) this.#listener.flushLater(this)
  }

  #end(): void {
    if (this.#socket.writableLength > 0) {
      this.#socket.write(empty, () => this.#endLater())
      return
    }
    const ending = this.#ending
    if (ending === 'hand over') this.#handOver()
    else if (ending === 'close') this.#finish(() => endAndLinger(this.#socket))
    else this.#finish(() => this.#listener.refuse(this.#socket, ending === 'too slow'))
  }

  #finish(answer: () => void): void {
    this.#leave()
    answer()
    // Read on: a socket that is closed with bytes unread resets the connection, and the answer with it.
    this.#socket.resume()
  }

  #handOver(): void {
    const carry = this.#carry
    const unread = carry === null ? empty : carry.subarray(this.#from, this.#to)
    this.#leave()
    const socket = this.#socket
    socket.off('end', this.#onEnd).off('error', this.#onGone).off('close', this.#onGone)
    socket.off('drain', this.#onDrain)
    this.#listener.handOver(detachSink(socket, this.#listener.readPath, unread))
  }

  #leave(): void {
    this.isClosed = true
    this.#takeBackRetry?.()
    this.#output.discard()
    this.#listener.forget(this)
  }

  readonly #onEnd = (): void => {
    if (this.isClosed) this.#socket.end()
    else this.#endWith(this.#carry === null ? 'close' : 'cut short')
  }

  readonly #onGone = (): void => this.close()

  readonly #onDrain = (): void => this.#unmute(Mute.backlog)
}

function recordsOf(kind: number, body: Buffer): RecordSource | null {
  if (kind === BodyKind.ndjson) return lineRecords(body, 'ndjson')
  if (kind === BodyKind.lines) return lineRecords(body, 'lines')
  return shared.set(body)
}
