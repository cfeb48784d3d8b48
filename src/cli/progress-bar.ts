/** A bar on a terminal for work that turns out to take longer than a second; on anything else nothing. */
import { createRequire } from 'node:module'
import type { SingleBar } from 'cli-progress'

const quietMs = 1000
const mebibyte = 1024 * 1024
const share = '{what} [{bar}] {percentage}%'
const formats = { bytes: `${share} {value}/{total} MiB, {eta_formatted} left`, share } as const
/** What is drawn as one: a share of 1 is a thousand steps. */
const units = { bytes: mebibyte, share: 0.001 } as const

export class ProgressBar {
  readonly #stream: NodeJS.WriteStream
  readonly #nowMs: () => number
  readonly #format: keyof typeof formats
  #bar: SingleBar | null = null
  #firstMs = -1

  /** `nowMs`: monotonic time. `format`: what is shown of the amounts, beside the share that is done. */
  constructor(
    stream: NodeJS.WriteStream,
    nowMs = () => performance.now(),
    format: keyof typeof formats = 'bytes',
  ) {
    this.#stream = stream
    this.#nowMs = nowMs
    this.#format = format
  }

  /** How much of `total` is done, in bytes; or in anything else where only the share is shown, 1 of 1 in the end. */
  update(what: string, doneAmount: number, totalAmount: number): void {
    if (!this.#stream.isTTY || totalAmount === 0) return
    const nowMs = this.#nowMs()
    if (this.#firstMs < 0) this.#firstMs = nowMs
    if (this.#bar === null && nowMs - this.#firstMs < quietMs) return
    const unit = units[this.#format]
    const total = Math.ceil(totalAmount / unit)
    const done = Math.min(total, Math.floor(doneAmount / unit))
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
        format: formats[this.#format],
        hideCursor: true,
        clearOnComplete: true,
      },
      cliProgress.Presets.shades_classic,
    )
    bar.start(total, 0, { what: '' })
    return bar
  }
}
