/**
 * The hot path of the HTTP port: takes every new socket first, and holds what its connections share. Dispatcher thread.
 *
 *   accepted socket ──▶ FastConnection ──(first request that is not in the subset)──▶ node:http, fastify
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { labelled, Metric, type ThreadMetrics } from '../../metrics.ts'
import type { ReadPath } from '../../net/arena-socket.ts'
import { Backlog } from '../../net/backlog.ts'
import type { OutputOwner, OutputQueue } from '../../net/output-queue.ts'
import { Errors } from '../../protocol/errors.ts'
import { isRefusal, type LogBackend } from '../backend/log-backend.ts'
import { statusOf } from '../error-status.ts'
import { isHostAccepted } from '../guards.ts'
import type { HttpDeadlines } from '../http-services.ts'
import { partlyStored } from '../raw/produced-body.ts'
import { FastAnswers } from './fast-answers.ts'
import { FastConnection } from './fast-connection.ts'
import { Head, parseHead } from './fast-parser.ts'
import { type FastTopic, FastTopics } from './fast-topics.ts'
import type { PendingAnswer } from './pending-answers.ts'

const stagingBytes = 256 * 1024
const memoBytesMax = 1024
const hostsMax = 64
const busyMs = 50
/** Who is turned away may take so long to read why. */
const refusedLingerMs = 1000
const MIB = 1024 * 1024
const backlogLimits = { connectionBacklogBytesMax: MIB, backlogBytesMax: 64 * MIB }
const succeeded = labelled('httpRequests', '2xx')
const clientErred = labelled('httpRequests', '4xx')
const failed = labelled('httpRequests', '5xx')

export interface FastOptions {
  readonly backend: LogBackend
  readonly metrics: ThreadMetrics
  readonly readPath: ReadPath
  readonly deadlines: HttpDeadlines
  /** Without a request under way. */
  readonly keepAliveMs: number
  /** Answers that the peer does not take. */
  readonly stalledMs: number
  readonly hostNames: ReadonlySet<string>
}

export class FastListener implements OutputOwner {
  readonly backlog = new Backlog(backlogLimits)
  readonly staging = Buffer.allocUnsafeSlow(stagingBytes)
  readonly backend: LogBackend
  readonly readPath: ReadPath
  readonly deadlines: HttpDeadlines
  readonly keepAliveMs: number
  readonly stalledMs: number
  /** What `parse` read last. */
  readonly head = new Head()
  /** What `findTopic` found last. */
  topic: FastTopic | null = null
  /** As of the last sweep. */
  nowMs = performance.now()
  /** Counts rounds of answers: what was looked up since the last one need not be looked up again. */
  turn = 0
  readonly #metrics: ThreadMetrics
  readonly #hostNames: ReadonlySet<string>
  /** Hosts that passed. */
  readonly #hosts = new Set<string>()
  readonly #topics: FastTopics
  readonly #answers = new FastAnswers()
  readonly #connections = new Set<FastConnection>()
  #dirty: FastConnection[] = []
  /** The last good head: the next one is most likely the same, byte by byte. */
  readonly #memo = Buffer.alloc(memoBytesMax)
  #memoBytes = 0
  /** Of the head in the memo; null when it has not been found yet. */
  #memoTopic: FastTopic | null = null
  readonly #server: Server
  readonly #nodeListeners: readonly ((socket: Socket) => void)[]
  readonly #sweeping: NodeJS.Timeout
  #isDraining = false

  constructor(server: Server, options: FastOptions) {
    this.backend = options.backend
    this.readPath = options.readPath
    this.deadlines = options.deadlines
    this.keepAliveMs = options.keepAliveMs
    this.stalledMs = options.stalledMs
    this.#metrics = options.metrics
    this.#hostNames = options.hostNames
    this.#topics = new FastTopics(options.backend)
    this.#server = server
    this.#nodeListeners = server.listeners('connection') as ((socket: Socket) => void)[]
    server.removeAllListeners('connection')
    server.on('connection', socket => this.#accept(socket))
    // A socket must not be read before it is ours. Not in node's types for a server that exists already.
    const pausing = server as unknown as { pauseOnConnect: boolean }
    pausing.pauseOnConnect = options.readPath === 'direct'
    this.#sweeping = setInterval(() => this.#sweep(), options.deadlines.checkMs)
    this.#sweeping.unref()
  }

  /** Takes no more requests, lets answers owed leave, closes what is left after `drainMs`. */
  drain(): void {
    this.#isDraining = true
    for (const connection of this.#connections) connection.drain()
    const deadline = setTimeout(() => {
      for (const connection of this.#connections) connection.close()
    }, this.deadlines.drainMs)
    deadline.unref()
    this.#stopIfDone()
  }

  forget(connection: FastConnection): void {
    this.#connections.delete(connection)
    this.#stopIfDone()
  }

  freeRegions(): void {}

  /** As `parseHead`, into `head`. */
  parse(bytes: Buffer, start: number, end: number): number {
    const memoBytes = this.#memoBytes
    if (memoBytes > 0 && end - start >= memoBytes) {
      // A head that is whole is no prefix of another one: the same bytes are the same head.
      if (this.#memo.compare(bytes, start, start + memoBytes, 0, memoBytes) === 0) return memoBytes
    }
    this.#memoBytes = 0
    this.#memoTopic = null
    const headBytes = parseHead(bytes, start, end, this.head)
    if (headBytes > 0 && headBytes <= memoBytesMax) {
      bytes.copy(this.#memo, 0, start, start + headBytes)
      this.#memoBytes = headBytes
    }
    return headBytes
  }

  /** The topic that `head` names; null when there is none, 'refused' when the host is not ours. */
  findTopic(bytes: Buffer, start: number): FastTopic | null | 'refused' {
    const known = this.#memoTopic
    if (known !== null && this.#topics.isThere(known, this.turn)) {
      this.topic = known
      return known
    }
    this.#memoTopic = null
    const { hostStart, hostEnd } = this.head
    const host = bytes.toString('latin1', start + hostStart, start + hostEnd)
    if (!this.#acceptsHost(host)) return 'refused'
    this.topic = this.#topics.find(this.topicName(bytes, start), this.turn)
    if (this.#memoBytes > 0) this.#memoTopic = this.topic
    return this.topic
  }

  topicName(bytes: Buffer, start: number): string {
    const { topicStart, topicEnd } = this.head
    return bytes.toString('latin1', start + topicStart, start + topicEnd)
  }

  ensureTopic(name: string, done: (isThere: boolean) => void): void {
    this.backend.ensureTopic(name).then(
      found => done(!isRefusal(found)),
      // The slow path meets the same error and reports it.
      () => done(false),
    )
  }

  /** Writes the answers of a turn when its work is done: one write for each connection. */
  flushLater(connection: FastConnection): void {
    connection.isDirty = true
    this.#dirty.push(connection)
    if (this.#dirty.length === 1) queueMicrotask(this.#flush)
  }

  pushAnswer(output: OutputQueue, answer: PendingAnswer): void {
    const { errorCode } = answer
    this.#metrics.add(Metric.httpFastRequests, 1)
    if (errorCode === Errors.NONE) {
      this.#metrics.add(succeeded, 1)
      this.#answers.pushProduced(output, answer)
      return
    }
    const { status, errorCode: code } = statusOf(errorCode)
    this.#metrics.add(status < 500 ? clientErred : failed, 1)
    const { topic, partition, baseOffset, count } = answer
    const message = this.backend.explain(topic.name, partition, errorCode)
    const problem =
      count === 0
        ? { error_code: code, message }
        : partlyStored(code, message, topic.name, partition, baseOffset, count)
    this.#answers.pushProblem(output, status, problem)
  }

  handOver(socket: Socket): void {
    const like = socket as unknown as { server: Server }
    like.server = this.#server
    for (const listener of this.#nodeListeners) listener.call(this.#server, socket)
  }

  /** Answers as for bytes that node's parser gave up on. */
  refuse(socket: Socket, isTooSlow: boolean): void {
    const error: NodeJS.ErrnoException = new Error('no whole request')
    error.code = isTooSlow ? 'ERR_HTTP_REQUEST_TIMEOUT' : 'HPE_INVALID_EOF_STATE'
    this.#server.emit('clientError', error, socket)
    setTimeout(() => socket.destroy(), refusedLingerMs)
  }

  #accept(socket: Socket): void {
    this.#connections.add(new FastConnection(this, socket))
  }

  #stopIfDone(): void {
    if (this.#isDraining && this.#connections.size === 0) clearInterval(this.#sweeping)
  }

  readonly #flush = (): void => {
    const dirty = this.#dirty
    this.#dirty = []
    this.turn++
    for (let i = 0; i < dirty.length; i++) dirty[i].flush()
  }

  #acceptsHost(host: string): boolean {
    if (this.#hosts.has(host)) return true
    if (!isHostAccepted(host, this.#hostNames)) return false
    if (this.#hosts.size >= hostsMax) this.#hosts.clear()
    this.#hosts.add(host)
    return true
  }

  #sweep(): void {
    const sinceMs = performance.now() - this.nowMs
    this.nowMs += sinceMs
    this.#answers.setDate(Date.now())
    // This thread was busy: what came meanwhile has not been read yet, and is not late.
    if (sinceMs > 2 * this.deadlines.checkMs + busyMs) return
    for (const connection of this.#connections) connection.sweep(this.nowMs)
  }
}
