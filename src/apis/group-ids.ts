/** What the group APIs have in common. Pure. */
import type { Caller } from '../groups/calls.ts'
import type { Call } from './api-row.ts'

/** Who calls, as group members are described; Kafka writes addresses with a slash before them. */
export function callerOf({ clientId, remoteHost }: Call<never>): Caller {
  return { clientId: clientId ?? '', clientHost: `/${remoteHost}` }
}
