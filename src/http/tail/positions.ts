/**
 * Where a tail stands: the next offset of each of its partitions, as text. It is the `id` of every event, so a client
 * that sends the last one back (`Last-Event-ID`, `from=`) goes on exactly behind it. Pure functions.
 *
 *   0:17,1:4      partition 0 goes on at offset 17, partition 1 at offset 4
 */

/** Longest text that is looked at: more than the ids of `partitionsMax` partitions, less than a header may have. */
const textCharsMax = 12 * 1024
const pattern = /^\d{1,6}:\d{1,16}(?:,\d{1,6}:\d{1,16})*$/

export function positionsText(partitions: readonly number[], positions: readonly number[]): string {
  return partitions.map((partition, slot) => `${partition}:${positions[slot]}`).join(',')
}

/** @returns offset by partition; null for text that is not of this form. */
export function parsePositions(text: string): Map<number, number> | null {
  if (text.length > textCharsMax || !pattern.test(text)) return null
  const positions = new Map<number, number>()
  for (const pair of text.split(',')) {
    const [partition, offset] = pair.split(':').map(Number)
    if (positions.has(partition) || !Number.isSafeInteger(offset)) return null
    positions.set(partition, offset)
  }
  return positions
}
