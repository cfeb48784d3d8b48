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
  /** Of this log alone and on its file system; the log's own directory will do. */
  readonly temporaryDirectory: string
  /** Kafka's index.interval.bytes; default 4096. */
  readonly indexIntervalBytes?: number
}

export default function recover(input: RecoverInput): RecoveryVerdict {
  return recoverLog(realDisk, {
    indexIntervalBytes: 4096,
    ...input,
    nowMs: systemClock.wallMs(),
  })
}
