/**
 * The measured stretch of a load: warm-up, window, end. The generator reports its totals after every batch of answers;
 * at both edges of the window the server's usage is read and, when it carries gc-probe.ts, SIGUSR2 sent.
 *
 *   start ── warm-up ──┬── window ──┬── drain
 *                      usage        usage: figures are differences between the edges
 */
import { cpuSecondsBetween, type ProcessUsage, readProcessUsage } from './process-usage.ts'

export interface WindowSettings {
  readonly seconds: number
  readonly warmupSeconds: number
  /** Ends the load early once this many payload bytes were acknowledged: bounds the disk a run takes. */
  readonly payloadBytesMax: number
  /** Process to watch; 0 for none. */
  readonly serverPid: number
  readonly gcProbe: boolean
}

/** Counted since the generator started. Payload is record values only: no keys, headers, framing. */
export interface Totals {
  messages: number
  requests: number
  payloadBytes: number
}

export interface WindowResult extends Totals {
  readonly seconds: number
  readonly serverCpuSeconds: number
  readonly generatorCpuSeconds: number
  readonly serverRssBytes: number
  readonly serverRssPeakBytes: number
  readonly serverDiskWriteBytes: number
  readonly serverDiskReadBytes: number
}

interface Edge extends Totals {
  readonly atMs: number
  readonly server: ProcessUsage
  readonly generatorCpuMicros: number
}

export class LoadWindow {
  readonly #settings: WindowSettings
  readonly #startMs = performance.now()
  #first: Edge | null = null
  #last: Edge | null = null

  constructor(settings: WindowSettings) {
    this.#settings = settings
    if (settings.warmupSeconds === 0)
      this.#first = this.#edge({ messages: 0, requests: 0, payloadBytes: 0 })
  }

  /** Takes the totals so far; false once the window has ended and nothing more should be sent. */
  advance(totals: Totals): boolean {
    if (this.#last !== null) return false
    const now = performance.now()
    if (this.#first === null) {
      if (now - this.#startMs >= this.#settings.warmupSeconds * 1000)
        this.#first = this.#edge(totals)
    } else if (now - this.#first.atMs >= this.#settings.seconds * 1000) {
      this.#last = this.#edge(totals)
    }
    if (this.#last === null && totals.payloadBytes >= this.#settings.payloadBytesMax) {
      if (this.#first === null) throw new Error('disk bound reached before the warm-up ended')
      this.#last = this.#edge(totals)
    }
    return this.#last === null
  }

  result(): WindowResult {
    const [first, last] = [this.#first, this.#last]
    if (first === null || last === null) throw new Error('the load ended before its window')
    return {
      messages: last.messages - first.messages,
      requests: last.requests - first.requests,
      payloadBytes: last.payloadBytes - first.payloadBytes,
      seconds: (last.atMs - first.atMs) / 1000,
      serverCpuSeconds: cpuSecondsBetween(first.server, last.server),
      generatorCpuSeconds: (last.generatorCpuMicros - first.generatorCpuMicros) / 1e6,
      serverRssBytes: last.server.rssBytes,
      serverRssPeakBytes: last.server.rssPeakBytes,
      serverDiskWriteBytes: last.server.writeBytes - first.server.writeBytes,
      serverDiskReadBytes: last.server.readBytes - first.server.readBytes,
    }
  }

  #edge({ messages, requests, payloadBytes }: Totals): Edge {
    const { serverPid, gcProbe } = this.#settings
    if (serverPid !== 0 && gcProbe) process.kill(serverPid, 'SIGUSR2')
    const { user, system } = process.cpuUsage()
    return {
      messages,
      requests,
      payloadBytes,
      atMs: performance.now(),
      server: readProcessUsage(serverPid),
      generatorCpuMicros: user + system,
    }
  }
}
