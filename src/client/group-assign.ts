/**
 * Which stream of a group reads which partition: Algorithm 1 of the 2011 paper, pure functions. Every member would
 * compute the same; over the group protocol the leader does it for all.
 *
 *   partitions  0 1 2 3 | 4 5 6 | 7 8 9      N = floor(|P| / |M|), R = |P| mod |M|
 *   streams        a    |   b   |   c        the first R streams get N + 1, the others N
 *
 * As printed the paper leaves the last R partitions to nobody; giving them to the first R streams is what its authors'
 * code does, and what Kafka's range assignor does with members.
 */

/**
 * Spreads the partitions of one topic over the consumer streams of a group.
 * @param partitions partition numbers, in any order
 * @param streams ids of the streams, all different, in any order: both sides are sorted first
 * @returns for each stream its partitions: contiguous, disjoint, together all; empty where there are more streams
 */
export function assign(
  partitions: readonly number[],
  streams: readonly string[],
): Map<string, number[]> {
  const sorted = streams.toSorted(byCodeUnits)
  const parts = spread(
    partitions.toSorted((a, b) => a - b),
    sorted.length,
  )
  return new Map(sorted.map((stream, index) => [stream, parts[index]]))
}

/** Contiguous ranges of `partitions` as they stand, the first ones longer by one where it does not divide evenly. */
export function spread(partitions: readonly number[], count: number): number[][] {
  const each = Math.floor(partitions.length / count)
  const longer = partitions.length % count
  return Array.from({ length: count }, (_, index) => {
    const first = index * each + Math.min(index, longer)
    return partitions.slice(first, first + each + (index < longer ? 1 : 0))
  })
}

/** A member that takes part in a topic with so many streams. */
export interface StreamOwner {
  readonly memberId: string
  /** Static members keep their place under this name, whatever their member id. */
  readonly groupInstanceId: string | null
  readonly streams: number
}

/**
 * One topic, members with several streams each. A member's streams stand side by side in the order, so its part is one
 * range, and `spread` over its own streams finds again what each of them was meant to get.
 * @returns member id -> partitions
 */
export function assignMembers(
  partitions: readonly number[],
  owners: readonly StreamOwner[],
): Map<string, number[]> {
  const ownerOf = new Map<string, string>()
  for (const owner of owners) {
    // More streams than partitions change nothing: only the first |P| in the order get one.
    const count = Math.min(owner.streams, partitions.length)
    for (let i = 0; i < count; i++) ownerOf.set(streamId(owner, i), owner.memberId)
  }
  const parts = new Map<string, number[]>(owners.map(({ memberId }) => [memberId, []]))
  for (const [stream, part] of assign(partitions, [...ownerOf.keys()])) {
    parts.get(ownerOf.get(stream)!)!.push(...part)
  }
  return parts
}

/** Sorts as Kafka's range assignor does: static members first, by instance id, then the others by member id. */
function streamId({ memberId, groupInstanceId }: StreamOwner, index: number): string {
  const name = groupInstanceId === null ? `1${memberId}` : `0${groupInstanceId}`
  // NUL sorts before everything a name may hold: no other member gets between two streams of one.
  return `${name}\0${String(index).padStart(10, '0')}`
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}
