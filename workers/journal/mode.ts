/**
 * Whether an owner's rounds go to the journal: while many logs take records, with hysteresis. Owner thread only.
 *
 *   more than 16 dirty logs in a turn -> on
 *   16 syncs of the journal in a row that proved 8 logs or fewer -> off
 */
const LOGS_MIN = 16
const FEW_LOGS = 8
const FEW_SYNCS_MAX = 16

export class JournalMode {
  isOn = false
  #fewInARow = 0

  /** A turn commits; so many logs have bytes that no sync has proven, or are about to. */
  turn(dirtyLogs: number): void {
    if (this.isOn || dirtyLogs <= LOGS_MIN) return
    this.isOn = true
    this.#fewInARow = 0
  }

  /** A sync of the journal starts, which will prove batches of so many logs. */
  synced(logs: number): void {
    this.#fewInARow = logs > FEW_LOGS ? 0 : this.#fewInARow + 1
    if (this.#fewInARow >= FEW_SYNCS_MAX) this.leave()
  }

  leave(): void {
    this.isOn = false
  }
}
