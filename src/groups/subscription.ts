/**
 * What members of the protocol type `consumer` say (Kafka's ConsumerProtocolSubscription) and are given (its
 * ConsumerProtocolAssignment). Pure. To the coordinator both are opaque; this is only for the question whether somebody
 * reads a topic, and for people.
 *
 *   version i16 | topics: count i32, each i16 length + text | user data | ... more in later versions
 *   version i16 | topics: count i32, each i16 length + text, partitions: count i32, each i32 | user data
 */
import { ProtocolError, Reader } from '../protocol/reader.ts'

/** More than any consumer names (RELIABILITY.md section 4). */
const topicsMax = 10_000

/** Null when the bytes are not a subscription. */
export function topicsOf(metadata: Uint8Array): string[] | null {
  return read(metadata, reader => {
    const topics: string[] = []
    for (let left = topicCount(reader); left > 0; left--) topics.push(reader.string())
    return topics
  })
}

/** Topic -> partitions; none for no bytes at all, null when the bytes are not an assignment. */
export function assignmentOf(assignment: Uint8Array): Map<string, number[]> | null {
  if (assignment.length === 0) return new Map()
  return read(assignment, reader => {
    const topics = new Map<string, number[]>()
    for (let left = topicCount(reader); left > 0; left--) {
      const topic = reader.string()
      const partitions: number[] = []
      for (let count = reader.int32(); count > 0; count--) partitions.push(reader.int32())
      topics.set(topic, partitions)
    }
    return topics
  })
}

function read<T>(bytes: Uint8Array, parse: (reader: Reader) => T): T | null {
  try {
    const reader = new Reader(bytes)
    if (reader.int16() < 0) return null
    return parse(reader)
  } catch (error) {
    if (error instanceof ProtocolError) return null
    throw error
  }
}

/** @throws ProtocolError */
function topicCount(reader: Reader): number {
  const count = reader.int32()
  if (count > topicsMax) throw new ProtocolError(`${count} topics`)
  return count
}
