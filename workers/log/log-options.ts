/** What a log is opened with, and the states it can be in. Owner thread only. */
import type { Clock } from '../../src/contracts/clock.ts'
import type { PartitionSpec } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import type { OwnerJournal } from '../journal/owner-journal.ts'
import type { PartitionLog } from './log.ts'
import type { LostRange } from './quarantine.ts'

/** `read-only`: the disk took no more, the next batch tries again. `offline`: until a restart. Both go on reading. */
export type LogState = 'online' | 'offline' | 'read-only'

export interface OpenLogOptions {
  readonly spec: PartitionSpec
  readonly env: {
    readonly disk: Disk
    readonly clock: Clock
    /** decompressed.max.bytes; without it its default. */
    readonly decompressedBytesMax?: number
  }
  /** Of the owner; absent where there is none. */
  readonly journal?: OwnerJournal
  /** Some of `offsets` or `state` have moved: after a commit that took records, and after a flush. */
  onAdvance(log: PartitionLog): void
  /** Records that were synced once are found to be gone: a fetch there gets an error from now on. */
  onLost?(log: PartitionLog, range: LostRange): void
  /** The log went offline: a sync or a write failed in a way that only a restart can repair. */
  onFailure(log: PartitionLog, error: Error): void
  /** The active segment was sealed between two rounds. */
  onSegmentRolled?(log: PartitionLog): void
  /** A segment below the log start was removed. */
  onSegmentRemoved?(log: PartitionLog, bytes: number): void
  /** Files below the log start could not be unlinked: the next pass of retention tries again. */
  onUnlinkFailed?(log: PartitionLog, error: Error): void
}
