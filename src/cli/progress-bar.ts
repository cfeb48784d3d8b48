/** A bar on a terminal for work that turns out to take longer than a second; on anything else nothing. */
import { createRequire } from 'node:module'
import type { SingleBar } from 'cli-progress'

const quietMs = 1000
const mebibyte = 1024 * 1024

export class ProgressBar {
  readonly #stream: NodeJS.WriteStream
  readonly #nowMs: () => number
  #bar: SingleBar | null = null
  #firstMs = -1

  /** `nowMs`: monotonic time. */
  constructor(stream: NodeJS.WriteStream, nowMs = () => performance.now()) {
    this.#stream = stream
    this.#nowMs = nowMs
  }

  update(what: string, doneBytes: number, totalBytes: number): void {
    if (!this.#stream.isTTY || totalBytes === 0) return
    const nowMs = this.#nowMs()
    if (this.#firstMs < 0) this.#firstMs = nowMs
    if (this.#bar === null && nowMs - this.#firstMs < quietMs) return
    const total = Math.ceil(totalBytes / mebibyte)
    const done = Math.floor(doneBytes / mebibyte)
    this.#bar ??= this.#draw(total)
    this.#bar.setTotal(total)
    this.#bar.update(done, { what })
  }

  stop(): void {
    this.#bar?.stop()
    this.#bar = null
  }

  #draw(total: number): SingleBar {
    // Loaded late: most starts never draw one.
    const cliProgress = createRequire(import.meta.url)(
      'cli-progress',
    ) as typeof import('cli-progress')
    const bar = new cliProgress.SingleBar(
      {
        stream: this.#stream,
        format: '{what} [{bar}] {percentage}% {value}/{total} MiB, {eta_formatted} left',
        hideCursor: true,
        clearOnComplete: true,
      },
      cliProgress.Presets.shades_classic,
    )
    bar.start(total, 0, { what: '' })
    return bar
  }
}
