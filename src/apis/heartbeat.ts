/** Heartbeat 0-4. Dispatcher thread. REBALANCE_IN_PROGRESS is how a member learns that it must join again. */
import { Heartbeat } from '../protocol/messages/heartbeat.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'

export const heartbeat: ApiRow<RequestOf<typeof Heartbeat>, ResponseOf<typeof Heartbeat>> = {
  schema: Heartbeat,
  resource: 'group',
  operation: 'read',
  handle({ groupId, memberId, groupInstanceId, generationId: generation }, _call, { groups }) {
    const errorCode = groups.heartbeat({ groupId, memberId, groupInstanceId, generation })
    return { throttleTimeMs: 0, errorCode }
  },
}
