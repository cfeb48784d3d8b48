/**
 * What the start of the process tells the replay of the journals, and hears from it (workers/journal), and as much of
 * their format as others need.
 */

/** Bytes of a round's header; those of a file that holds none to replay promise no records: see `hasRecords`. */
export const ROUND_HEADER_BYTES = 32
export const RECORD_COUNT_AT = 24

/** Whether a journal that begins with these bytes may hold something that is not in the segments. */
export function hasRecords(head: Buffer): boolean {
  return head.length >= ROUND_HEADER_BYTES && head.readUInt32BE(RECORD_COUNT_AT) > 0
}

export interface ReplayInput {
  readonly dataDirectory: string
  /** Journals of owners beyond are removed, once they are replayed. */
  readonly ownerCount: number
  /** The last stop was clean: everything is in the segments, and nothing is replayed. */
  readonly isClean: boolean
  /** All logs there are, by the topics' metadata. */
  readonly places: readonly LogPlace[]
}

export interface LogPlace {
  readonly directory: string
  readonly topicId: string
  readonly partition: number
}

export interface JournaledLog {
  readonly directory: string
  /** The log is whole up to here, and that is on disk. */
  readonly endOffset: number
}

export interface UnreplayedLog {
  readonly directory: string
  readonly reason: string
}

export interface JournalReplay {
  readonly logs: readonly JournaledLog[]
  /** They must not be opened. The journals keep what they hold, and none is used until all could be replayed. */
  readonly failed: readonly UnreplayedLog[]
  readonly rounds: number
  /** That the segments did not hold. */
  readonly writtenBytes: number
}
