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
import { type Group, syncError } from './group.ts'
import type { Member } from './member.ts'
import { assign, assigned, maybeCompleteJoin, rebalance } from './rebalance.ts'

/** Is this a member, and the one that holds its instance id? NONE or why not. */
export function validate(group: Group, memberId: string, groupInstanceId: string | null): number {
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
  let total = 0
  for (const { assignment } of assignments) {
    if (assignment.length > limits.memberBytesMax) return Errors.INVALID_REQUEST
    total += assignment.length
  }
  return bytes + total > limits.groupsBytesMax ? Errors.INVALID_REQUEST : Errors.NONE
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
  group.note('left', member, reason === null ? detail : `${detail}: ${reason}`)
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
  const setting = `session.timeout.ms=${member.sessionTimeoutMs}`
  group.note('expired', member, 'was not heard of', setting)
  group.remove(member, Errors.UNKNOWN_MEMBER_ID)
  memberGone(group, 'a member was not heard of')
}

export function pendingExpired(group: Group, memberId: string): void {
  if (!group.removePending(memberId)) return
  group.note('expired', null, `${memberId} was given its id and never joined`, 'session.timeout.ms')
  maybeCompleteJoin(group)
  if (group.isTrace) group.context.onTrace(group)
}
