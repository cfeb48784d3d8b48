/** Runs work in steps (log/steps.ts) beside whatever else the thread does. Owner threads and pool tasks. */
import type { Disk } from '../src/contracts/disk.ts'
import type { Outcome, Steps, ToSync } from './log/steps.ts'

/** Others run while it syncs or takes a breath. Between two yields nobody else does, nor behind the last one. */
export async function runAside<T>(disk: Disk, steps: Steps<T>): Promise<T> {
  let step = steps.next([])
  while (step.done !== true) step = steps.next(await outcomes(disk, step.value))
  return step.value
}

function outcomes(disk: Disk, parts: readonly ToSync[]): Promise<Outcome[]> {
  if (parts.length === 0) return new Promise(resolve => setImmediate(() => resolve([])))
  return Promise.all(parts.map(part => startSync(disk, part)))
}

function startSync(disk: Disk, part: ToSync): Promise<Outcome> {
  return new Promise(resolve => {
    try {
      if (typeof part === 'string') disk.startSyncDirectory(part, resolve)
      else part.startSync(resolve)
    } catch (error) {
      resolve(error as Error)
    }
  })
}
