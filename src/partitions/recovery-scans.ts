/**
 * Recovery scans of large tails, run in the task pool before the owner opens a log; small tails the owner scans itself,
 * which costs less than starting a pool thread. Dispatcher thread; looks at file sizes only, never into a segment.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { RecoveryVerdict } from '../contracts/control.ts'
import type { TaskPool } from '../task-pool.ts'

/** Up to here an owner scans the tail itself, in a few milliseconds. */
const ownScanBytesMax = 4 * 1024 * 1024

export interface Progress {
  readonly what: string
  readonly doneBytes: number
  readonly totalBytes: number
}

export class RecoveryScans {
  readonly #tasks: TaskPool
  readonly #onProgress: (progress: Progress) => void
  #totalBytes = 0
  #doneBytes = 0
  #isProgressTold = true

  constructor(tasks: TaskPool, onProgress: (progress: Progress) => void) {
    this.#tasks = tasks
    this.#onProgress = onProgress
  }

  /** The verdict on one partition's tail, or null when the owner shall look itself. */
  async scan(directory: string, recoveryPoint: number): Promise<RecoveryVerdict | null> {
    const bytes = await tailBytes(directory, recoveryPoint)
    if (bytes <= ownScanBytesMax) return null
    this.#totalBytes += bytes
    this.#report()
    const input = { directory, recoveryPoint }
    try {
      return await this.#tasks.run<RecoveryVerdict>('tasks/recover-segment', input)
    } finally {
      this.#doneBytes += bytes
      this.#report()
    }
  }

  /** The start is over: scans that an owner's crash asks for later are nobody's progress. */
  endProgress(): void {
    this.#isProgressTold = false
  }

  #report(): void {
    if (!this.#isProgressTold) return
    this.#onProgress({
      what: 'recovery',
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
    })
  }
}

/** Bytes of the segments that reach above the recovery point. */
async function tailBytes(directory: string, recoveryPoint: number): Promise<number> {
  const names = await readdir(directory).catch(() => [])
  const bases = names
    .filter(name => /^\d{20}\.log$/.test(name))
    .map(name => Number(name.slice(0, 20)))
    .sort((a, b) => a - b)
  let bytes = 0
  for (let i = 0; i < bases.length; i++) {
    const next = bases[i + 1]
    if (next !== undefined && next <= recoveryPoint) continue
    const path = join(directory, `${String(bases[i]).padStart(20, '0')}.log`)
    bytes += (await stat(path).catch(() => ({ size: 0 }))).size
  }
  return bytes
}
