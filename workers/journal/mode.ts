/**
 * Whether an owner's rounds go to the journal: while many logs take records, with hysteresis. Owner thread only.
 *
 *   more than 16 dirty logs when a turn ends -> on
 *   16 syncs of the journal in a row that proved half as many logs, or fewer -> off
 */
import type { LogConfig } from '../../src/contracts/log-config.ts'

export const LOGS_MIN = 16
const FEW_SYNCS_MAX = 16

interface Waiting {
  readonly state: string
  readonly config: Pick<LogConfig, 'flushPolicy'>
  readonly offsets: { readonly flushedEnd: number; readonly logEnd: number }
}

export class JournalMode {
  isOn = false
  readonly #logsMin: number
  #fewInARow = 0
  /** Logs that were dirty when last looked at; only kept while it is off. */
  readonly #dirty = new Set<Waiting>()

  constructor(logsMin: number) {
    this.#logsMin = logsMin
  }

  /** A turn has appended to these logs. */
  turn(logs: readonly Waiting[]): void {
    if (this.isOn) return
    const dirty = this.#dirty
    for (const log of logs) if (isDirty(log)) dirty.add(log)
    if (dirty.size <= this.#logsMin) return
    for (const log of dirty) if (!isDirty(log)) dirty.delete(log)
    if (dirty.size <= this.#logsMin) return
    this.isOn = true
    this.#fewInARow = 0
    dirty.clear()
  }

  /** A sync of the journal starts, which will prove batches of so many logs. */
  synced(logs: number): void {
    this.#fewInARow = logs > this.#logsMin / 2 ? 0 : this.#fewInARow + 1
    if (this.#fewInARow >= FEW_SYNCS_MAX) this.leave()
  }

  leave(): void {
    this.isOn = false
  }
}

/** Appended to and not flushed up to its end, which a journal could have done. */
function isDirty({ state, config, offsets }: Waiting): boolean {
  const isFlushed = offsets.flushedEnd >= offsets.logEnd
  return !isFlushed && state !== 'offline' && config.flushPolicy === 'group-commit'
}
