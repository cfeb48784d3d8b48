/**
 * How far compaction has come in a log, as the name of an empty file: `<offset20>.compacted`. Owner thread only.
 *
 * Below that offset every key has one record. It is less than what `log-marks` says about gaps: that is written before
 * a pass changes anything, this after its last step. It needs no sync: lost, a pass does work that was done before.
 */
import type { Disk } from '../../../src/contracts/disk.ts'
import { replaceFile, unlinkIfThere } from '../files.ts'
import { parseSwapName } from '../swap.ts'

const progressPattern = /^(\d{20})\.compacted$/
const indexPattern = /^\d{20}-\d{20}\.(index|timeindex)\.tmp$/

/** 0 when nothing is known. Throws as the disk does. */
export function readDirtyStart(disk: Disk, directory: string): number {
  return Math.max(0, ...progressFiles(disk, directory))
}

/** Replaces what was noted before; a failure is no loss. */
export function writeDirtyStart(disk: Disk, directory: string, offset: number): void {
  try {
    const old = progressFiles(disk, directory)
    replaceFile(disk, progressPath(directory, offset), Buffer.alloc(0))
    for (const other of old) if (other !== offset) disk.unlink(progressPath(directory, other))
  } catch {
    // A cache.
  }
}

function progressFiles(disk: Disk, directory: string): number[] {
  const matches = disk.list(directory).map(name => progressPattern.exec(name))
  const offsets = matches.filter(match => match !== null).map(match => Number(match[1]))
  return offsets.filter(offset => Number.isSafeInteger(offset))
}

function progressPath(directory: string, offset: number): string {
  return `${directory}/${String(offset).padStart(20, '0')}.compacted`
}

/** Removes what a task left that did not come to its end, or whose work is not wanted any more. */
export function dropUndecided(disk: Disk, directory: string): void {
  for (const name of disk.list(directory)) {
    const isOurs = parseSwapName(name)?.stage === 'cleaned' || indexPattern.test(name)
    if (isOurs) unlinkIfThere(disk, `${directory}/${name}`)
  }
}
