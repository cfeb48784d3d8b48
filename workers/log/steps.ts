/**
 * Work that has to wait for syncs, written once, as a generator: it yields what must be on disk before it goes on. Run
 * in one go it blocks; run-aside.ts runs it in slices between which the thread serves others, and then the syncs of a
 * step are under way together. Owner threads and pool tasks.
 *
 *   yield [file, file, directory]  ->  one error or null for each  ->  next step
 *   yield []                       ->  a breath: others may go first
 */
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'

/** An open file, or a directory by its path. */
export type ToSync = DiskFile | string
export type Outcome = Error | null

export type Steps<T> = Generator<readonly ToSync[], T, readonly Outcome[]>

/** A step that is over when all of it is on disk. Throws what the first sync that failed did. */
export function* synced(parts: readonly ToSync[]): Steps<void> {
  const error = (yield parts).find(outcome => outcome !== null)
  if (error) throw error
}

/** All steps at once; blocks. */
export function runNow<T>(disk: Disk, steps: Steps<T>): T {
  let step = steps.next([])
  while (step.done !== true) step = steps.next(step.value.map(part => syncNow(disk, part)))
  return step.value
}

function syncNow(disk: Disk, part: ToSync): Outcome {
  try {
    if (typeof part === 'string') disk.syncDirectory(part)
    else part.sync()
    return null
  } catch (error) {
    return error as Error
  }
}

/** Many at a time: a step of all of them waits for the slowest. What one throws is its own result. */
export function* together<T>(all: readonly Steps<T>[]): Steps<PromiseSettledResult<T>[]> {
  const results: (PromiseSettledResult<T> | null)[] = all.map(() => null)
  let told: (readonly Outcome[])[] = all.map(() => [])
  for (;;) {
    const asked = all.map((steps, i): readonly ToSync[] => {
      if (results[i] !== null) return []
      try {
        const step = steps.next(told[i])
        if (step.done !== true) return step.value
        results[i] = { status: 'fulfilled', value: step.value }
      } catch (reason) {
        results[i] = { status: 'rejected', reason }
      }
      return []
    })
    if (!results.includes(null)) return results as PromiseSettledResult<T>[]
    const outcomes = [...(yield asked.flat())]
    told = asked.map(parts => outcomes.splice(0, parts.length))
  }
}
