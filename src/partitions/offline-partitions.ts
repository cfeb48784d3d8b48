/**
 * Partitions that take no records because their log failed or did not open, why, and when they are tried again.
 * Dispatcher thread; partition-host.ts does the trying.
 *
 *   log failed, or did not open ── 5 s ──▶ one automatic try ──▶ online
 *                                                           └──▶ stays so: until `odradek log recover` or a restart
 *   three partitions failed by the disk ──▶ the whole data directory is offline, nothing is tried automatically
 */
import type { Clock } from '../contracts/clock.ts'
import type { LogFailure } from '../contracts/control.ts'
import type { Logger } from '../log.ts'
import { Metric, type ThreadMetrics } from '../metrics.ts'
import { type Hosted, nameOf } from './hosted.ts'

/** More of them are not the misfortune of a file: the disk is broken. */
const diskFailuresMax = 3
const retryMsDefault = 5000
/** A partition that fails again this soon after a try is left to people. */
const retryAgainMs = 600_000

export interface OfflineOptions {
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: ThreadMetrics
  /** From a failure to the automatic try; default 5 s. */
  readonly retryMs?: number
  /** The try. Reports to `recovered` or `stillOffline`. */
  recover(hosted: Hosted): Promise<unknown>
  /** No log of any owner shall take records any more. */
  stopAll(reason: string): void
}

export class OfflinePartitions {
  readonly #options: OfflineOptions
  readonly #reasons = new Map<Hosted, string>()
  /** Cancels the try that is to come. */
  readonly #tries = new Map<Hosted, () => void>()
  readonly #triedMs = new Map<Hosted, number>()
  readonly #diskFailed = new Set<Hosted>()
  #directoryReason: string | null = null

  constructor(options: OfflineOptions) {
    this.#options = options
  }

  /** Why the data directory as a whole takes no records; null while it does. */
  get directoryReason(): string | null {
    return this.#directoryReason
  }

  get count(): number {
    return this.#reasons.size
  }

  /** Why it is offline; null when it is not. */
  reasonOf(hosted: Hosted): string | null {
    return this.#reasons.get(hosted) ?? null
  }

  /** The log was open and failed: nothing is written to its files any more. */
  failed(hosted: Hosted, { reason, isDiskFailure }: LogFailure): void {
    this.#reasons.set(hosted, reason)
    if (isDiskFailure) this.#diskFailed.add(hosted)
    if (this.#directoryReason === null && this.#diskFailed.size >= diskFailuresMax) {
      this.#takeDirectoryOffline()
    }
    this.#tryLater(hosted)
  }

  /** The log did not open: it is tried once more. */
  notOpened(hosted: Hosted, reason: string): void {
    this.#options.log.error({ partition: nameOf(hosted) }, `partition stays offline: ${reason}`)
    this.#reasons.set(hosted, reason)
    this.#tryLater(hosted)
  }

  /** A try has failed, or is pointless: only a person ends this. */
  stillOffline(hosted: Hosted, reason: string): void {
    this.#cancelTry(hosted)
    this.#reasons.set(hosted, reason)
  }

  /** It is open and takes records. */
  recovered(hosted: Hosted): void {
    const { log, metrics } = this.#options
    this.#cancelTry(hosted)
    const reason = this.#reasons.get(hosted)
    if (reason === undefined) return
    this.#reasons.delete(hosted)
    metrics.add(Metric.partitionsRecovered, 1)
    log.warn({ partition: nameOf(hosted), reason }, 'partition is online again')
    // Somebody has looked at the disk and asked for this.
    if (this.#directoryReason !== null) this.#diskFailed.delete(hosted)
    this.#maybeTrustDirectory()
  }

  /** Deleted. */
  forget(hosted: Hosted): void {
    this.#cancelTry(hosted)
    this.#reasons.delete(hosted)
    this.#triedMs.delete(hosted)
    this.#diskFailed.delete(hosted)
    this.#maybeTrustDirectory()
  }

  stop(): void {
    for (const hosted of [...this.#tries.keys()]) this.#cancelTry(hosted)
  }

  #tryLater(hosted: Hosted): void {
    if (this.#directoryReason !== null) return
    const { clock, retryMs = retryMsDefault } = this.#options
    const nowMs = clock.monotonicMs()
    const triedMs = this.#triedMs.get(hosted)
    if (triedMs !== undefined && nowMs - triedMs < retryAgainMs) return
    this.#cancelTry(hosted)
    const tryNow = (): void => {
      this.#tries.delete(hosted)
      this.#triedMs.set(hosted, clock.monotonicMs())
      void this.#options.recover(hosted)
    }
    this.#tries.set(hosted, clock.after(retryMs, tryNow))
  }

  #cancelTry(hosted: Hosted): void {
    this.#tries.get(hosted)?.()
    this.#tries.delete(hosted)
  }

  #takeDirectoryOffline(): void {
    const { log, metrics } = this.#options
    const names = [...this.#diskFailed].map(nameOf)
    const reason = `the data directory is offline: the disk failed under ${names.join(', ')}`
    this.#directoryReason = reason
    this.stop()
    metrics.set(Metric.dataDirectoryOffline, 1)
    log.fatal(
      { partitions: names },
      `${reason}; no partition takes records until a restart, or odradek log recover for each of them`,
    )
    this.#options.stopAll(reason)
  }

  #maybeTrustDirectory(): void {
    if (this.#directoryReason === null || this.#reasons.size > 0) return
    this.#directoryReason = null
    this.#diskFailed.clear()
    this.#options.metrics.set(Metric.dataDirectoryOffline, 0)
    this.#options.log.warn('the data directory is online again')
  }
}
