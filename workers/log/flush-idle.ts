/**
 * A note beside a log under flush.policy `os`: no flush of its files is under way, and none has failed since it was
 * made. Owner threads and the replay of journals.
 *
 *   note -> removed -> flush -> succeeded -> note again        failed, or the process or its thread died: no note
 *
 * Such a log is not copied when it opens after a crash of the process, for most of it was never flushed. Without the
 * note its page cache is not believed: a flush that nobody has heard of may have failed and left pages that count as
 * clean, which no later flush writes (RELIABILITY V3). It says nothing about the platter, so it is not synced: when the
 * machine dies the page cache goes as well.
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { createEmpty, unlinkIfThere } from './files.ts'

const NAME = 'flush-idle'

export function isFlushIdle(disk: Disk, directory: string): boolean {
  return disk.exists(`${directory}/${NAME}`)
}

/** Before a flush. Throws as the disk does: then nothing may be flushed. */
export function removeFlushIdle(disk: Disk, directory: string): void {
  unlinkIfThere(disk, `${directory}/${NAME}`)
}

/** A disk that takes no note costs a copy after the next crash. */
export function noteFlushIdle(disk: Disk, directory: string): void {
  try {
    createEmpty(disk, `${directory}/${NAME}`).close()
  } catch {
    // As if a flush were under way.
  }
}
