/** Where a bench says what it does (stderr) and leaves what it found (a file of JSON). */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

export function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Writes `results` there; nothing when `path` is null. */
export function writeResults(path: string | null, results: object): void {
  if (path === null) return
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `${JSON.stringify(results, null, 2)}\n`)
}

/** Runs one measurement. A failure is told, noted in `failures`, and null: there is no figure of a failed run. */
export async function attempt<T>(
  failures: string[],
  what: string,
  run: () => Promise<T>,
): Promise<T | null> {
  try {
    return await run()
  } catch (error) {
    failures.push(`${what}: ${(error as Error).message}`)
    progress(`${what}: FAILED: ${(error as Error).message}`)
    return null
  }
}
