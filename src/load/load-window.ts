/**
 * The measured stretch of a load: warm-up, window, end. The generator reports its totals after every batch of answers,
 * and the window ends by time or by bytes, whichever comes first. At both edges of the window the server's usage is
 * read and, when it carries gc-probe.ts, SIGUSR2 sent.
 *
 *   start ── warm-up ──┬── window ──┬── drain
 *                      usage        usage: figures are differences between the edges
 */
import { Latencies } from './latencies.ts'
import { BallastRelease } from './page-ballast.ts'
import { cpuSecondsBetween, type ProcessUsage, readProcessUsage } from './process-usage.ts'

/** none (0), in the log file (1), flushed (-1, "all") */
export type Acks = -1 | 0 | 1

export interface WindowSettings {
  readonly seconds: number
  readonly warmupSeconds: number
  /** Ends the load early once this many payload bytes were acknowledged: bounds the disk a run takes. */
  readonly payloadBytesMax: number
  /** Process to watch; 0 for none. */
  readonly serverPid: number
  readonly gcProbe: boolean
  /** Directory filled by page-ballast.ts; null for none. */
  readonly ballastDirectory: string | null
}

/** What ends a load. */
export type LoadBounds = Pick<WindowSettings, 'seconds' | 'payloadBytesMax'>

/** Counted since the generator started. */
export interface Totals {
  messages: number
  requests: number
  /** Record values only: no keys, headers, framing. */
  payloadBytes: number
  /** Whole batches that the server stored; 0 when consuming. */
  logBytes: number
}

export interface WindowResult extends Totals {
  readonly seconds: number
  readonly serverCpuSeconds: number
  readonly generatorCpuSeconds: number
  readonly serverRssBytes: number
  readonly serverRssPeakBytes: number
  readonly serverDiskWriteBytes: number
  readonly serverDiskReadBytes: number
  /** From the write of a request to its answer, requests answered inside the window; NaN when none was timed. */
  readonly latencyP50Ms: number
  readonly latencyP99Ms: number
}

interface Edge extends Totals {
  readonly atMs: number
  readonly server: ProcessUsage
  readonly generatorCpuMicros: number
}

export function newTotals(): Totals {
  return { messages: 0, requests: 0, payloadBytes: 0, logBytes: 0 }
}

/** A warm-up ends early rather than use up more than this share of the bytes a run may write. */
const warmupShareMax = 0.3

export class LoadWindow {
  readonly #settings: WindowSettings
  readonly #ballast: BallastRelease
  #startMs = Number.NaN
  #first: Edge | null = null
  #last: Edge | null = null
  readonly #latencies = new Latencies()

  constructor(settings: WindowSettings) {
    this.#settings = settings
    this.#ballast = new BallastRelease(settings.ballastDirectory)
    this.#ballast.grownTo(0)
  }

  /** The load begins now: what was prepared until here is not measured. */
  start(): void {
    this.#startMs = performance.now()
    if (this.#settings.warmupSeconds === 0) this.#first = this.#edge(newTotals())
  }

  /** A request was answered so long after it was sent. */
  answered(latencyMs: number): void {
    if (this.#first !== null && this.#last === null) this.#latencies.observe(latencyMs)
  }

  /** Takes the totals so far; false once the window has ended and nothing more should be sent. */
  advance(totals: Totals): boolean {
    if (this.#last !== null) return false
    this.#ballast.grownTo(totals.logBytes)
    const { seconds, warmupSeconds, payloadBytesMax } = this.#settings
    const now = performance.now()
    if (this.#first === null) {
      const isWarm = now - this.#startMs >= warmupSeconds * 1000
      const isShort = totals.payloadBytes >= payloadBytesMax * warmupShareMax
      if (isWarm || isShort) this.#first = this.#edge(totals)
      return true
    }
    const isOver = now - this.#first.atMs >= seconds * 1000
    if (isOver || totals.payloadBytes >= payloadBytesMax) this.#last = this.#edge(totals)
    return this.#last === null
  }

  result(): WindowResult {
    const [first, last] = [this.#first, this.#last]
    if (first === null || last === null) throw new Error('the load ended before its window')
    return {
      messages: last.messages - first.messages,
      requests: last.requests - first.requests,
      payloadBytes: last.payloadBytes - first.payloadBytes,
      logBytes: last.logBytes - first.logBytes,
      seconds: (last.atMs - first.atMs) / 1000,
      serverCpuSeconds: cpuSecondsBetween(first.server, last.server),
      generatorCpuSeconds: (last.generatorCpuMicros - first.generatorCpuMicros) / 1e6,
      serverRssBytes: last.server.rssBytes,
      serverRssPeakBytes: last.server.rssPeakBytes,
      serverDiskWriteBytes: last.server.writeBytes - first.server.writeBytes,
      serverDiskReadBytes: last.server.readBytes - first.server.readBytes,
      latencyP50Ms: this.#latencies.percentileMs(0.5),
      latencyP99Ms: this.#latencies.percentileMs(0.99),
    }
  }

  #edge(totals: Totals): Edge {
    const { serverPid, gcProbe } = this.#settings
    if (serverPid !== 0 && gcProbe) process.kill(serverPid, 'SIGUSR2')
    const { user, system } = process.cpuUsage()
    return {
      ...totals,
      atMs: performance.now(),
      server: readProcessUsage(serverPid),
      generatorCpuMicros: user + system,
    }
  }
}
