/**
 * Task pool: scans the tail of one log after an unclean stop, so that its owner need not (large tails). Stateless;
 * changes nothing but temporary files, which the owner puts in place or throws away.
 */
import { systemClock } from '../../src/clock.ts'
import type { RecoveryVerdict } from '../../src/contracts/control.ts'
import { realDisk } from '../disk.ts'
import { recoverLog } from '../log/recovery.ts'

export interface RecoverInput {
  readonly directory: string
  /** Everything below is known to be synced; 0 when unknown. */
  readonly recoveryPoint: number
  /** For the rebuilt indexes, on the log's file system; default the log's directory. */
  readonly temporaryDirectory?: string
  /** Kafka's index.interval.bytes; default 4096. */
  readonly indexIntervalBytes?: number
}

export default function recover(input: RecoverInput): RecoveryVerdict {
  const { directory, recoveryPoint } = input
  const { temporaryDirectory = directory, indexIntervalBytes = 4096 } = input
  const nowMs = systemClock.wallMs()
  return recoverLog(realDisk, {
    directory,
    recoveryPoint,
    temporaryDirectory,
    indexIntervalBytes,
    nowMs,
  })
}
