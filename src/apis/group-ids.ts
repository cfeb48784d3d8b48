/** What the group APIs have in common. Pure. */
import type { Caller } from '../groups/calls.ts'
import type { Call } from './api-row.ts'

/** The rule for group ids (RELIABILITY.md section 4); Kafka has none beyond what a string of the protocol can hold. */
const groupIdBytesMax = 255

export function isGroupIdTooLong(groupId: string): boolean {
  return groupId.length > groupIdBytesMax || Buffer.byteLength(groupId) > groupIdBytesMax
}

/** Who calls, as group members are described; Kafka writes addresses with a slash before them. */
export function callerOf({ clientId, remoteHost }: Call<never>): Caller {
  return { clientId: clientId ?? '', clientHost: `/${remoteHost}` }
}
