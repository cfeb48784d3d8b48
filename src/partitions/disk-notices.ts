/** Says once, not once per owner, that the disk is full and that there is room again. Dispatcher thread. */
import type { Logger } from '../log.ts'

const MiB = 2 ** 20

export class DiskNotices {
  readonly #log: Logger
  /** Owners that refuse produces. */
  readonly #full = new Set<number>()

  constructor(log: Logger) {
    this.#log = log
  }

  /** An owner refuses produces from now on, or takes them again. */
  changed(ownerIndex: number, isFull: boolean, freeBytes: number): void {
    const wasFull = this.#full.size > 0
    if (isFull) this.#full.add(ownerIndex)
    else this.#full.delete(ownerIndex)
    const freeMiB = Math.round((freeBytes / MiB) * 10) / 10
    if (!wasFull && isFull) {
      this.#log.error({ freeMiB }, 'the disk is full: produces are refused until there is room')
    }
    if (wasFull && this.#full.size === 0) {
      this.#log.warn({ freeMiB }, 'there is room on the disk again: produces are taken')
    }
  }

  /** The thread died; the next one looks for itself. */
  forget(ownerIndex: number): void {
    this.#full.delete(ownerIndex)
  }
}
