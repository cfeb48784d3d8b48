/** Task: checks a slice of one segment's batches (RELIABILITY P12). Pool thread; reads only. */
import type { ScrubInput, ScrubResult } from '../../src/contracts/scrub.ts'
import { beBackground } from '../background.ts'
import { realDisk } from '../disk.ts'
import { scrubSlice } from '../log/scrub-slice.ts'
import { sleepingPace } from '../pace.ts'

export default function scrub(input: ScrubInput): ScrubResult {
  beBackground()
  // The owner sees to the rate.
  return scrubSlice(realDisk, input, sleepingPace(Number.POSITIVE_INFINITY))
}
