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

/** What the task is told: see PartitionSpec and LogConfig. */
export interface Tail {
  readonly directory: string
  readonly recoveryPoint: number
  readonly flushedOffset: number
  readonly isJournaled?: boolean
  readonly copyForward: boolean
  readonly indexIntervalBytes: number
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
  async scan(tail: Tail): Promise<RecoveryVerdict | null> {
    const bytes = await tailBytes(tail)
    if (bytes <= ownScanBytesMax) return null
    this.#totalBytes += bytes
    this.#report()
    try {
      return await this.#tasks.run<RecoveryVerdict>('tasks/recover-segment', tail)
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

/**
 * Bytes that the scan will read, about: segments that reach above what the log's own window files prove. Of the first
 * of those, where it has an index, little more than is unproven.
 */
async function tailBytes({ directory, flushedOffset, isJournaled }: Tail): Promise<number> {
  const names = await readdir(directory).catch((): string[] => [])
  const offsetsOf = (suffix: string): number[] => {
    const pattern = new RegExp(`^\\d{20}\\.${suffix}$`)
    const matching = names.filter(name => pattern.test(name))
    return matching.map(name => Number(name.slice(0, 20))).sort((a, b) => a - b)
  }
  const proven = Math.max(isJournaled === true ? 0 : flushedOffset, offsetsOf('window').at(-1) ?? 0)
  const bases = offsetsOf('log')
  const indexes = new Set(offsetsOf('index'))
  const first = Math.max(
    0,
    bases.findLastIndex(base => base <= proven),
  )
  let bytes = 0
  for (const base of bases.slice(first)) {
    const path = join(directory, `${String(base).padStart(20, '0')}.log`)
    const { size } = await stat(path).catch(() => ({ size: 0 }))
    const isSeeded = base < proven && indexes.has(base)
    bytes += isSeeded ? Math.min(size, ownScanBytesMax / 2) : size
  }
  return bytes
}
