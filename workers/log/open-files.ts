/**
 * Bounds how many descriptors of sealed segments one thread keeps open: least recently used ones close first. Active
 * segments and sealed ones that still await a sync are pinned by their logs and not counted here. Owner thread only.
 */

export interface Closable {
  /** Closes the descriptor; the next use opens it again. */
  closeFile(): void
}

export class OpenFiles {
  /** Lowered where descriptors are few. */
  countMax: number
  readonly #open = new Set<Closable>()

  constructor(countMax: number) {
    this.countMax = countMax
  }

  /** Marks `file` as used just now; may close another one. */
  used(file: Closable): void {
    this.#open.delete(file)
    this.#open.add(file)
    if (this.#open.size <= this.countMax) return
    const [oldest] = this.#open
    this.#open.delete(oldest)
    oldest.closeFile()
  }

  forget(file: Closable): void {
    this.#open.delete(file)
  }
}

/** Shared by all logs of the thread. */
export const sealedFiles = new OpenFiles(256)
