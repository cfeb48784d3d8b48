/**
 * Accepts Kafka connections and holds what they share: API table, arena blocks, limits, one response writer.
 * Dispatcher thread. Counts connections itself: with too few file descriptors the system closes new ones silently.
 */
import net from 'node:net'
import type { Clock } from '../contracts/clock.ts'
import type { Dispatcher } from '../dispatcher.ts'
import { type Logger, PeerLogLimit } from '../log.ts'
import { Metric, type ThreadMetrics } from '../metrics.ts'
import { Writer } from '../protocol/bytes.ts'
import type { Region } from '../ring/arena.ts'
import type { Services } from '../services.ts'
import type { ApiTable } from './api-table.ts'
import type { ReadPath } from './arena-socket.ts'
import type { BlockPool } from './block-pool.ts'
import { Connection } from './connection.ts'
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

/** RELIABILITY.md section 4; per connection but for the first. */
export interface ConnectionLimits {
  readonly connectionsMax: number
  readonly frameBytesMax: number
  readonly idleMs: number
  /** No progress for this long in mid-frame, or in taking answers, closes the connection. */
  readonly stallMs: number
  readonly requestsMax: number
  readonly inFlightBytesMax: number
  readonly backlogBytesMax: number
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
  readonly #options: ListenerOptions
  readonly #dispatcher: Dispatcher
  readonly #server: net.Server
  readonly #connections = new Set<Connection>()
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
    const pauseOnConnect = options.readPath === 'direct'
    this.#server = net.createServer({ pauseOnConnect }, socket => this.#accept(socket))
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
    const { stallMs } = this.limits
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
    if (this.#connections.size >= this.limits.connectionsMax) {
      this.metrics.add(Metric.connectionsRejected, 1)
      this.logPeer(socket.remoteAddress ?? '', 'as many connections are open as are allowed')
      socket.destroy()
      return
    }
    this.metrics.add(Metric.connectionsOpened, 1)
    this.#connections.add(new Connection(this, socket, this.#options.readPath))
    this.metrics.set(Metric.connections, this.#connections.size)
  }

  #sweep(): void {
    const nowMs = this.clock.monotonicMs()
    for (const connection of this.#connections) connection.sweep(nowMs)
    this.blocks.releaseIdle()
    this.#dispatcher.purgatory.expire()
  }
}
