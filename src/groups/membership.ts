/**
 * SyncGroup, Heartbeat, LeaveGroup and the checks of OffsetCommit, and how a member is lost. Dispatcher thread.
 */
import { Errors } from '../protocol/errors.ts'
import type {
  Abandon,
  Answer,
  LeaveAnswer,
  LeaveRow,
  MemberRef,
  SyncAnswer,
  SyncRequest,
} from './calls.ts'
import { type Group, newMemberTimeoutMs, syncError } from './group.ts'
import type { Member } from './member.ts'
import { assign, assigned, maybeCompleteJoin, rebalance } from './rebalance.ts'
import type { TimelineMember } from './timeline.ts'

/** Is this a member, and the one that holds its instance id? NONE or why not. */
export function validate(group: Group, memberId: string, groupInstanceId: string | null): number {
  const code = membershipError(group, memberId, groupInstanceId)
  if (code !== Errors.NONE) group.noteStranger(memberId)
  return code
}

function membershipError(group: Group, memberId: string, groupInstanceId: string | null): number {
  if (groupInstanceId !== null) {
    const holder = group.instances.get(groupInstanceId)
    if (holder === undefined) return Errors.UNKNOWN_MEMBER_ID
    if (holder !== memberId) return Errors.FENCED_INSTANCE_ID
  }
  return group.members.has(memberId) ? Errors.NONE : Errors.UNKNOWN_MEMBER_ID
}

function validateRef(group: Group, { memberId, groupInstanceId, generation }: MemberRef): number {
  if (group.state === 'Dead') return Errors.COORDINATOR_NOT_AVAILABLE
  const code = validate(group, memberId, groupInstanceId)
  if (code !== Errors.NONE) return code
  return generation === group.generation ? Errors.NONE : Errors.ILLEGAL_GENERATION
}

/** Answers at once or parks the call. @returns what ends the wait when the client is gone; null when it is answered */
export function sync(
  group: Group,
  request: SyncRequest,
  answer: Answer<SyncAnswer>,
): Abandon | null {
  const code = syncRefusal(group, request)
  const member = group.members.get(request.memberId)
  if (code !== Errors.NONE || member === undefined) {
    answer(syncError(code))
    return null
  }
  member.hasSynced = true
  if (group.state === 'Stable') {
    member.heard()
    answer(assigned(group, member))
    return null
  }
  group.parkSync(member, answer)
  if (group.leader === member.memberId) {
    const { assignments } = request
    void assign(
      group,
      new Map(assignments.map(row => [row.memberId, new Uint8Array(row.assignment)])),
    )
  }
  return () => {
    if (member.sync !== answer) return
    group.takeSync(member)
    group.note('disconnected', member, 'lost its connection while it waited for its assignment')
    member.heard()
  }
}

function syncRefusal(group: Group, request: SyncRequest): number {
  const code = validateRef(group, request)
  if (code !== Errors.NONE) return code
  const { protocolType, protocol, assignments } = request
  const otherType = protocolType !== null && protocolType !== group.protocolType
  if (otherType || (protocol !== null && protocol !== group.protocol)) {
    return Errors.INCONSISTENT_GROUP_PROTOCOL
  }
  if (group.state === 'PreparingRebalance') return Errors.REBALANCE_IN_PROGRESS
  const { bytes, limits } = group.context
  let moreBytes = 0
  for (const { assignment } of assignments) {
    if (assignment.length > limits.memberBytesMax) return Errors.INVALID_REQUEST
    moreBytes += assignment.length
  }
  for (const { assignment } of group.members.values()) moreBytes -= assignment.length
  // Where memory is used up, those that are in may go on with what they have.
  const isTooMuch = moreBytes > 0 && bytes + moreBytes > limits.groupsBytesMax
  return isTooMuch ? Errors.INVALID_REQUEST : Errors.NONE
}

export function heartbeat(group: Group, ref: MemberRef): number {
  const code = validateRef(group, ref)
  if (code !== Errors.NONE) return code
  group.members.get(ref.memberId)?.heard()
  return group.state === 'PreparingRebalance' ? Errors.REBALANCE_IN_PROGRESS : Errors.NONE
}

/** May offsets be committed with this member and generation? */
export function commitError(group: Group, ref: MemberRef): number {
  const { memberId, groupInstanceId, generation } = ref
  const { state } = group
  if (state === 'Dead') return Errors.UNKNOWN_MEMBER_ID
  if (generation < 0 && state === 'Empty') return Errors.NONE
  // A commit without member belongs to a group that assigns by hand; this one does not.
  if (generation < 0 && memberId === '' && groupInstanceId === null) return Errors.UNKNOWN_MEMBER_ID
  const code = validateRef(group, ref)
  if (code !== Errors.NONE) return code
  group.members.get(memberId)?.heard()
  return state === 'CompletingRebalance' ? Errors.REBALANCE_IN_PROGRESS : Errors.NONE
}

export function leave(group: Group, rows: readonly LeaveRow[]): LeaveAnswer {
  if (group.state === 'Dead') return { errorCode: Errors.COORDINATOR_NOT_AVAILABLE, rows: [] }
  const pendingBefore = group.pending.size
  const membersBefore = group.members.size
  const codes = rows.map(row => leaveOne(group, row))
  if (group.members.size < membersBefore) memberGone(group, 'members left')
  else if (group.pending.size < pendingBefore) maybeCompleteJoin(group)
  return { errorCode: Errors.NONE, rows: codes }
}

function leaveOne(group: Group, { memberId, groupInstanceId, reason }: LeaveRow): number {
  if (memberId !== '' && group.removePending(memberId)) return Errors.NONE
  const byInstance = memberId === '' && groupInstanceId !== null
  const id = byInstance ? (group.instances.get(groupInstanceId) ?? '') : memberId
  const code = validate(group, id, groupInstanceId)
  const member = group.members.get(id)
  if (code !== Errors.NONE || member === undefined) return code
  const detail = byInstance ? 'was removed by its instance id' : 'left'
  // What the Java client says when its application does not poll.
  const isSlow = reason !== null && /poll timeout/i.test(reason)
  const decidedBy = isSlow ? `max.poll.interval.ms=${member.rebalanceTimeoutMs}` : null
  group.note('left', member, reason ? `${detail}: ${reason}` : detail, { decidedBy })
  group.remove(member, Errors.UNKNOWN_MEMBER_ID)
  return Errors.NONE
}

/** Members were taken out: the rest shares their part, or is complete now. */
export function memberGone(group: Group, reason: string): void {
  if (group.state === 'PreparingRebalance') maybeCompleteJoin(group)
  else if (group.state !== 'Empty') rebalance(group, reason)
}

export function memberExpired(group: Group, member: Member): void {
  if (group.members.get(member.memberId) !== member) return
  // A new one that waits for its first answer owes no heartbeat yet.
  const decidedBy =
    member.isNew && member.join !== null
      ? `${newMemberTimeoutMs} ms for a first join (fixed)`
      : `session.timeout.ms=${member.sessionTimeoutMs}`
  group.note('expired', member, 'was not heard of', { decidedBy })
  group.noteGone(member, decidedBy, 'is alive: it was silent for longer than this')
  group.remove(member, Errors.UNKNOWN_MEMBER_ID)
  memberGone(group, 'a member was not heard of')
}

/** @param pending whose id was given out, with the session timeout it asked for */
export function pendingExpired(group: Group, pending: TimelineMember, timeoutMs: number): void {
  if (!group.removePending(pending.memberId)) return
  const decidedBy = `session.timeout.ms=${timeoutMs}`
  group.note('expired', pending, 'was given its id and never came back with it', { decidedBy })
  group.noteGone(pending, decidedBy, 'came back with its id later than this')
  maybeCompleteJoin(group)
  if (group.isTrace) group.context.onTrace(group)
}
