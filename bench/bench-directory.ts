/** The directory a bench writes to: made fresh, removed at the end, also of an interrupted run, with all processes. */
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { formatNumber } from './report.ts'
import { killChildren } from './server-process.ts'

const projectData = join(import.meta.dirname, '..', 'data')

/**
 * Runs `use` with a new directory in `parent` (null: data/ in the project). Throws when less than `freeBytesMin` are
 * free there.
 */
export async function inBenchDirectory<T>(
  parent: string | null,
  freeBytesMin: number,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const place = parent ?? projectData
  mkdirSync(place, { recursive: true })
  const { bavail, bsize } = statfsSync(place)
  if (bavail * bsize < freeBytesMin) {
    const free = formatNumber((bavail * bsize) / 1e9)
    throw new Error(`${place}: ${free} GB free, ${freeBytesMin / 1e9} GB wanted (--dir)`)
  }
  const directory = mkdtempSync(join(place, 'bench-'))
  const clean = () => {
    killChildren()
    // Killed a moment ago, they may still be making or removing files.
    rmSync(directory, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      clean()
      process.exit(1)
    })
  }
  try {
    return await use(directory)
  } finally {
    clean()
  }
}
