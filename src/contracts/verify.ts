/** Input and result of the task that checks one log directory offline (`odradek log verify`). Types only. */

export interface VerifyInput {
  /** `<topic>-<partition>` */
  readonly directory: string
  /** The last stop was clean: then the end of the log has to be whole, too. */
  readonly isClean: boolean
  /** What the data directory's checkpoint says is on disk: below, bad bytes are no torn end. */
  readonly recoveryPoint: number
  /** Written by Apache Kafka, which notes elsewhere where compaction left gaps: they are taken for that. */
  readonly isForeign: boolean
  /** Look into the records of every batch as well. */
  readonly areRecordsRead: boolean
}

/** What is wrong, or only worth knowing, in one file. */
export interface VerifyFinding {
  readonly file: string
  /** `damage`: records are lost or unreadable. `note`: recovery or a rebuild mends it, or it has been mended. */
  readonly kind: 'damage' | 'note'
  readonly message: string
}

export interface VerifyReport {
  readonly directory: string
  /** First offset that is kept and the one behind the last. */
  readonly startOffset: number
  readonly endOffset: number
  readonly segments: number
  readonly batches: number
  readonly records: number
  readonly bytes: number
  readonly findings: readonly VerifyFinding[]
}
