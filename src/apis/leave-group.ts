/** LeaveGroup 0-5. Dispatcher thread. Up to v2 the one member's error is that of the whole answer. */
import { Errors } from '../protocol/errors.ts'
import { LeaveGroup } from '../protocol/messages/leave-group.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'

export const leaveGroup: ApiRow<RequestOf<typeof LeaveGroup>, ResponseOf<typeof LeaveGroup>> = {
  schema: LeaveGroup,
  resource: 'group',
  operation: 'read',
  handle({ groupId, memberId, members }, { apiVersion }, { groups }) {
    if (apiVersion < 3) {
      const only = { memberId, groupInstanceId: null, reason: null }
      const { errorCode, rows } = groups.leave(groupId, [only])
      return { throttleTimeMs: 0, errorCode: errorCode || (rows[0] ?? Errors.NONE), members: [] }
    }
    const { errorCode, rows } = groups.leave(groupId, members)
    return {
      throttleTimeMs: 0,
      errorCode,
      members: rows.map((code, index) => {
        const asked = members[index] as (typeof members)[number]
        return {
          memberId: asked.memberId,
          groupInstanceId: asked.groupInstanceId,
          errorCode: code,
        }
      }),
    }
  },
}
