/** Input and result of the task that checks stored batches (workers/tasks/scrub-segment.ts). Types only. */
import type { RottenRange } from './control.ts'

export interface ScrubInput {
  /** Of the segment's .log file. */
  readonly path: string
  readonly baseOffset: number
  /** Nothing behind is looked at: it is still being written. */
  readonly limitBytes: number
  /** Offsets below may be missing: compaction. */
  readonly gapsBelowOffset: number
  /** Where to go on, and the offset expected there; a batch begins at that position. */
  readonly position: number
  readonly nextOffset: number
  /** At most about so much is read; a task is short, whoever asks sets the pace. */
  readonly sliceBytes: number
}

export interface ScrubResult {
  /** Where the next slice begins; `limitBytes` or more when the segment is done. */
  readonly position: number
  readonly nextOffset: number
  /** Null when all of the slice is well; else what is bad in the whole segment. */
  readonly rotten: readonly RottenRange[] | null
}
