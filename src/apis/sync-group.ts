/**
 * SyncGroup 0-5. Dispatcher thread. Followers are parked until the leader's assignment has come and is kept; see
 * src/groups/membership.ts.
 */
import type { PendingCall } from '../net/pending-call.ts'
import { SyncGroup } from '../protocol/messages/sync-group.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'

type Request = RequestOf<typeof SyncGroup>
type Response = ResponseOf<typeof SyncGroup>

export const syncGroup: ApiRow<Request, Response> = {
  schema: SyncGroup,
  resource: 'group',
  operation: 'read',
  handle(request, call, { groups }) {
    const { generationId: generation, protocolName, ...rest } = request
    const abandon = groups.sync({ ...rest, generation, protocol: protocolName }, answer => {
      const { protocol, ...same } = answer
      call.respond({ throttleTimeMs: 0, ...same, protocolName: protocol })
    })
    const parked = call as unknown as PendingCall
    parked.onAbandoned = abandon
    return undefined
  },
}
