/**
 * Task: one compaction pass over the sealed segments of one log. Pool thread; writes `.cleaned` files and nothing else,
 * at no more than the given rate. The owner puts the files in place or throws them away.
 */
import { realDisk } from '../disk.ts'
import {
  type CompactionInput,
  type CompactionOutput,
  compactSegments,
} from '../log/compaction/compact-segments.ts'
import { sleepingPace } from '../log/compaction/pace.ts'

export interface CompactTaskInput extends CompactionInput {
  /** Read and written together. */
  readonly bytesPerSecondMax: number
}

export default function compact(input: CompactTaskInput): CompactionOutput {
  return compactSegments(realDisk, input, sleepingPace(input.bytesPerSecondMax))
}
