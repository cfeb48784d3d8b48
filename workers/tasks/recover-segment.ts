/**
 * Task pool: scans the tail of one log after an unclean stop, so that its owner need not (large tails). Stateless;
 * changes nothing but temporary files, which the owner puts in place or throws away: the rebuilt indexes, and the
 * producers' state as of the log's end.
 */
import { systemClock } from '../../src/clock.ts'
import type { RecoveryVerdict } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import { realDisk } from '../disk.ts'
import { replaceFile, temporaryPath } from '../log/files.ts'
import { encodeWindow } from '../log/producer-files.ts'
import { type RecoveryInput, recoverLog } from '../log/recovery.ts'

export type RecoverInput = Omit<RecoveryInput, 'nowMs'>

export default function recover(input: RecoverInput): RecoveryVerdict {
  return recoverOn(realDisk, { ...input, nowMs: systemClock.wallMs() })
}

/** The same on any disk. */
export function recoverOn(disk: Disk, input: RecoveryInput): RecoveryVerdict {
  const { verdict, producers } = recoverLog(disk, input)
  const path = temporaryPath(input.directory, verdict.nextOffset, 'window')
  replaceFile(disk, path, encodeWindow(producers, verdict.nextOffset))
  return verdict
}
