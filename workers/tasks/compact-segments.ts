/**
 * Task: one compaction pass over the sealed segments of one log. Pool thread; writes `.cleaned` files and nothing else,
 * at no more than the given rate. The owner puts the files in place or throws them away.
 */
import { beBackground } from '../background.ts'
import { realDisk } from '../disk.ts'
import {
  type CompactionOutput,
  type CompactTaskInput,
  compactSegments,
} from '../log/compaction/compact-segments.ts'
import { sleepingPace } from '../pace.ts'

export default function compact(input: CompactTaskInput): CompactionOutput {
  beBackground()
  return compactSegments(realDisk, input, sleepingPace(input.bytesPerSecondMax))
}
