/** Has an owner remove logs with their files. Dispatcher thread. */
import { type Hosted, placeOf } from './hosted.ts'
import type { Owner } from './owner.ts'

/** A thread that dies over it leaves the rest to the next one. Rejects when not all directories could be removed. */
export async function deleteLogs(owner: Owner, doomed: readonly Hosted[]): Promise<void> {
  const places = doomed.map(placeOf)
  while (owner.alive) {
    const deleted = await owner.call(control => control.deletePartitions(places))
    if (deleted !== null) return
  }
  throw new Error(`owner thread ${owner.index} is down`)
}
