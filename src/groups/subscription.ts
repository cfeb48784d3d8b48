/**
 * The topics in a member's metadata under the protocol type `consumer` (Kafka's ConsumerProtocolSubscription). Pure. To
 * the coordinator metadata is opaque; this is only for the question whether somebody reads a topic.
 *
 *   version i16 | topics: count i32, each i16 length + text | user data | ... more in later versions
 */
import { ProtocolError, Reader } from '../protocol/reader.ts'

/** Null when the bytes are not a subscription. */
export function topicsOf(metadata: Uint8Array): string[] | null {
  try {
    const reader = new Reader(metadata)
    if (reader.int16() < 0) return null
    const topics: string[] = []
    for (let left = reader.int32(); left > 0; left--) topics.push(reader.string())
    return topics
  } catch (error) {
    if (error instanceof ProtocolError) return null
    throw error
  }
}
