/**
 * JoinGroup 0-9. Dispatcher thread. The answer may be minutes away: the call is parked in its group, and no other
 * connection waits for it. What decides is in src/groups/join.ts.
 */
import type { JoinAnswer } from '../groups/calls.ts'
import type { PendingCall } from '../net/pending-call.ts'
import { JoinGroup } from '../protocol/messages/join-group.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'
import { callerOf } from './group-ids.ts'

type Request = RequestOf<typeof JoinGroup>
type Response = ResponseOf<typeof JoinGroup>

export const joinGroup: ApiRow<Request, Response> = {
  schema: JoinGroup,
  resource: 'group',
  operation: 'read',
  handle(request, call, { groups }) {
    const { apiVersion } = call
    const { sessionTimeoutMs, rebalanceTimeoutMs } = request
    const asked = {
      ...request,
      rebalanceTimeoutMs: rebalanceTimeoutMs < 0 ? sessionTimeoutMs : rebalanceTimeoutMs,
      knowsMemberIdRequired: apiVersion >= 4,
      knowsSkipAssignment: apiVersion >= 9,
    }
    const abandon = groups.join(asked, callerOf(call), answer =>
      call.respond(toResponse(answer, apiVersion)),
    )
    const parked = call as unknown as PendingCall
    parked.onAbandoned = abandon
    return undefined
  },
}

function toResponse(answer: JoinAnswer, apiVersion: number): Response {
  const { errorCode, generation, protocolType, protocol, leader } = answer
  const { skipAssignment, memberId, members } = answer
  return {
    throttleTimeMs: 0,
    errorCode,
    generationId: generation,
    protocolType,
    protocolName: apiVersion >= 7 ? protocol : (protocol ?? ''),
    leader,
    skipAssignment,
    memberId,
    members: [...members],
  }
}
