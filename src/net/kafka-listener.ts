/**
 * Accepts Kafka connections and holds what they share: API table, arena blocks, limits, one response writer.
 * Dispatcher thread. Counts connections itself: with too few file descriptors the system closes new ones silently.
 */
import net from 'node:net'
import type { LimitConfig } from '../config/limit-settings.ts'
import type { Clock } from '../contracts/clock.ts'
import type { Dispatcher } from '../dispatcher.ts'
import { type Logger, PeerLogLimit } from '../log.ts'
import { Metric, type ThreadMetrics } from '../metrics.ts'
import { Reader, Writer } from '../protocol/bytes.ts'
import type { Region } from '../ring/arena.ts'
import type { Services } from '../services.ts'
import type { ApiTable } from './api-table.ts'
import type { ReadPath } from './arena-socket.ts'
import { Backlog } from './backlog.ts'
import type { BlockPool } from './block-pool.ts'
import { Connection } from './connection.ts'
import { ConnectionGate, type GateLimits } from './connection-gate.ts'
import { httpHint } from './wrong-protocol.ts'

const sweepMs = 1000
/** While others wait for arena space, a peer that stalls in mid-frame holds it for this long at most. */
const stallUnderPressureMs = 5000

export interface ListenerOptions {
  readonly apis: ApiTable
  readonly dispatcher: Dispatcher
  readonly services: Services
  readonly metrics: ThreadMetrics
  readonly clock: Clock
  readonly log: Logger
  readonly readPath: ReadPath
  readonly limits: ConnectionLimits
  readonly httpUrl: () => string | null
}

/** Those of the configuration, and what follows from the machine and the arena. */
export interface ConnectionLimits
  extends GateLimits,
    Pick<
      LimitConfig,
      | 'frameBytesMax'
      | 'reader'
      | 'connectionIdleMs'
      | 'connectionStallMs'
      | 'connectionRequestsMax'
      | 'connectionBacklogBytesMax'
      | 'backlogBytesMax'
    > {
  /** Request bytes of one connection. */
  readonly inFlightBytesMax: number
}

export class Listener {
  readonly apis: ApiTable
  readonly services: Services
  readonly metrics: ThreadMetrics
  readonly clock: Clock
  readonly log: Logger
  readonly blocks: BlockPool
  readonly limits: ConnectionLimits
  readonly writer = new Writer()
  /** Requests are decoded one at a time and synchronously: one reader serves all connections. */
  readonly reader: Reader
  readonly backlog: Backlog
  readonly #options: ListenerOptions
  readonly #dispatcher: Dispatcher
  readonly #server: net.Server
  readonly #connections = new Set<Connection>()
  readonly #gate: ConnectionGate
  /** Accepted sockets that wait for their turn. */
  readonly #waiting = new Map<net.Socket, NodeJS.Timeout>()
  readonly #peerLog = new PeerLogLimit()
  #sweeping: NodeJS.Timeout | null = null

  constructor(options: ListenerOptions) {
    this.#options = options
    this.apis = options.apis
    this.services = options.services
    this.metrics = options.metrics
    this.clock = options.clock
    this.log = options.log
    this.#dispatcher = options.dispatcher
    this.blocks = options.dispatcher.blocks
    this.limits = options.limits
    this.reader = new Reader(undefined, options.limits.reader)
    this.backlog = new Backlog(options.limits)
    this.#gate = new ConnectionGate(options.limits)
    const pauseOnConnect = options.readPath === 'direct'
    this.#server = net.createServer({ pauseOnConnect }, socket => this.#accept(socket))
  }

  /** Found out at start-up; HTTP reads its sockets so too. */
  get readPath(): ReadPath {
    return this.#options.readPath
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  get requestsInFlight(): number {
    let count = 0
    for (const connection of this.#connections) count += connection.line.inFlightCalls
    return count
  }

  /** Resolves to the real port. Rejects with the system's error (EADDRINUSE, EACCES, ...). */
  async listen(host: string, port: number): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#server.once('error', reject)
    this.#server.listen({ host, port, backlog: 1024 }, () => resolve())
    await promise
    this.#server.removeListener('error', reject)
    this.#server.on('error', error => this.log.error({ err: error }, 'kafka listener'))
    this.#sweeping = setInterval(() => this.#sweep(), sweepMs)
    this.#sweeping.unref()
    return (this.#server.address() as net.AddressInfo).port
  }

  /** Stops accepting, lets answers already owed leave, closes what is left after `graceMs`. */
  async close(graceMs: number): Promise<void> {
    if (this.#sweeping !== null) clearInterval(this.#sweeping)
    const stopped = new Promise<void>(resolve => this.#server.close(() => resolve()))
    for (const [socket, timer] of this.#waiting) {
      clearTimeout(timer)
      socket.destroy()
    }
    this.#dispatcher.drain()
    const timer = setTimeout(() => {
      for (const connection of this.#connections) connection.close('shutdown')
    }, graceMs)
    await Promise.all([...this.#connections].map(connection => connection.drain()))
    clearTimeout(timer)
    await stopped
  }

  forget(connection: Connection): void {
    this.#connections.delete(connection)
    this.#gate.left(connection.remoteHost)
    this.metrics.set(Metric.connections, this.#connections.size)
  }

  flushLater(connection: Connection): void {
    this.#dispatcher.flushLater(connection)
  }

  freeRegions(regions: readonly Region[]): void {
    for (const region of regions) this.#dispatcher.responses.free(region)
  }

  /** How long a peer may stall in mid-frame: less while others wait for arena space. */
  stallMsMax(): number {
    const { connectionStallMs: stallMs } = this.limits
    return this.blocks.waiterCount > 0 ? Math.min(stallMs, stallUnderPressureMs) : stallMs
  }

  httpHint(): Buffer {
    return httpHint(this.#options.httpUrl())
  }

  logPeer(host: string, why: string): void {
    if (!this.#peerLog.allows(host, this.clock.monotonicMs())) return
    this.log.warn({ peer: host }, `connection closed: ${why}`)
  }

  #accept(socket: net.Socket): void {
    const address = socket.remoteAddress ?? ''
    const admission = this.#gate.enter(address, this.clock.monotonicMs())
    if ('refusal' in admission) {
      this.metrics.add(Metric.connectionsRejected, 1)
      this.logPeer(address, admission.refusal)
      socket.destroy()
    } else if (admission.waitMs === 0) this.#open(socket, address)
    else this.#openLater(socket, address, admission.waitMs)
  }

  #open(socket: net.Socket, address: string): void {
    this.metrics.add(Metric.connectionsOpened, 1)
    this.#connections.add(new Connection(this, socket, address, this.#options.readPath))
    this.metrics.set(Metric.connections, this.#connections.size)
  }

  #openLater(socket: net.Socket, address: string, waitMs: number): void {
    this.metrics.add(Metric.connectionsDelayed, 1)
    const goneMeanwhile = (): void => {
      clearTimeout(timer)
      this.#waiting.delete(socket)
      this.#gate.left(address)
    }
    const ignored = (): void => {}
    const timer = setTimeout(() => {
      this.#waiting.delete(socket)
      socket.off('close', goneMeanwhile).off('error', ignored)
      this.#open(socket, address)
    }, waitMs)
    this.#waiting.set(socket, timer)
    socket.once('close', goneMeanwhile).on('error', ignored)
  }

  #sweep(): void {
    const nowMs = this.clock.monotonicMs()
    for (const connection of this.#connections) connection.sweep(nowMs)
    this.blocks.releaseIdle()
    this.#dispatcher.purgatory.expire()
  }
}
