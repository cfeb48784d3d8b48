/**
 * Task: the first record of a batch with a timestamp and an offset at or after those asked for. Pool thread; reads
 * only. Batches come from producers and are not trusted: decompressed size is capped, whatever does not add up throws.
 */
import type { FindRecordInput, FoundRecord } from '../../src/contracts/find-record.ts'
import { records } from '../../src/protocol/records.ts'

export default function findRecord(input: FindRecordInput): FoundRecord | null {
  const batch = Buffer.from(input.memory, input.start, input.length)
  for (const { offset, timestampMs } of records(batch, input)) {
    if (timestampMs >= input.timestampMs && offset >= input.fromOffset) {
      return { offset, timestampMs }
    }
  }
  return null
}
