/** Where reading starts: words, times and numbers become one offset for each partition. */
import type { Cluster } from './cluster.ts'
import { earliestTimestamp, latestTimestamp, listOffsets } from './list-offsets.ts'

/**
 * Where reading starts: the oldest record there is, the end of the log, the first record at or after a time, one offset
 * for all partitions, or an offset for each (partitions not named start at the smallest).
 */
export type StartPosition =
  | 'smallest'
  | 'largest'
  | Date
  | { readonly offset: number }
  | Readonly<Record<number, number>>
  | ReadonlyMap<number, number>

/** @throws KafkaError when a partition does not exist, or is still without a leader after the time for retries */
export async function startOffsets(
  cluster: Cluster,
  topic: string,
  indexes: readonly number[],
  from: StartPosition,
): Promise<ReadonlyMap<number, number>> {
  if (indexes.length === 0) return new Map()
  if (from === 'largest') return endOffsets(cluster, topic, indexes)
  if (from === 'smallest') return listOffsets(cluster, topic, indexes, earliestTimestamp)
  if (from instanceof Date) {
    const offsets = await listOffsets(cluster, topic, indexes, from.getTime())
    const after = indexes.filter(index => (offsets.get(index) ?? -1) < 0)
    const ends = after.length > 0 ? await endOffsets(cluster, topic, after) : new Map()
    return new Map([...offsets, ...ends])
  }
  const given = givenOffsets(from, indexes)
  const others = indexes.filter(index => !given.has(index))
  if (others.length === 0) return given
  const smallest = await listOffsets(cluster, topic, others, earliestTimestamp)
  return new Map([...smallest, ...given])
}

/** The offsets that are named as numbers. */
function givenOffsets(
  from: Exclude<StartPosition, string | Date>,
  indexes: readonly number[],
): ReadonlyMap<number, number> {
  if (from instanceof Map) return from
  if (isOneForAll(from)) return new Map(indexes.map(index => [index, from.offset]))
  return new Map(Object.entries(from).map(([index, offset]) => [Number(index), offset]))
}

export function isOneForAll(from: StartPosition): from is { readonly offset: number } {
  return typeof from === 'object' && 'offset' in from
}

export function endOffsets(
  cluster: Cluster,
  topic: string,
  indexes: readonly number[],
): Promise<Map<number, number>> {
  return listOffsets(cluster, topic, indexes, latestTimestamp)
}
