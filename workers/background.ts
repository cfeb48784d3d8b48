/** Makes a thread less urgent than those that answer clients. Pool threads of background tasks. */
import { setPriority } from 'node:os'
import { isMainThread } from 'node:worker_threads'

/** Of two threads that want the same core, one with this niceness gets a tenth of it. */
const NICENESS = 10

/**
 * For the rest of the thread's life: an unprivileged thread cannot go back. Only on Linux, where a priority is one
 * thread's; elsewhere it is the whole process's.
 */
export function beBackground(): void {
  if (isMainThread || process.platform !== 'linux') return
  try {
    setPriority(0, NICENESS)
  } catch {
    // Then it is as urgent as the others.
  }
}
