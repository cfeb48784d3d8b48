/**
 * JoinGroup: who may come in, and whether that means a rebalance. Dispatcher thread.
 *
 *   member id ""     static   new, or takes over from the member with its instance id (which is fenced)
 *                    dynamic  v4+: gets an id to come back with (pending); before: in at once
 *   known member id  pending: in · unchanged follower in a stable group: answered at once · else: rebalance
 */
import { Errors } from '../protocol/errors.ts'
import { ensure } from '../ring/ensure.ts'
import type { Abandon, Answer, Caller, JoinAnswer, JoinRequest, MemberProtocol } from './calls.ts'
import { Deadline } from './deadline.ts'
import { type Group, joinError } from './group.ts'
import { keptBytes, Member, memberOverheadBytes, noBytes, ownProtocols } from './member.ts'
import { memberExpired, memberGone, pendingExpired, validate } from './membership.ts'
import { joined, maybeCompleteJoin, membersFor, rebalance } from './rebalance.ts'

/** A client id is the head of its member ids; the protocol allows 32 KiB of it. */
const clientIdLengthMax = 255

/** What is joined with: the request, its bytes copied, and who sent it. */
interface Joining {
  readonly request: JoinRequest
  readonly protocols: readonly MemberProtocol[]
  readonly caller: Caller
  readonly answer: Answer<JoinAnswer>
}

/** Answers at once or parks the call. @returns what ends the wait when the client is gone; null when it is answered */
export function join(
  group: Group,
  request: JoinRequest,
  caller: Caller,
  answer: Answer<JoinAnswer>,
): Abandon | null {
  const { memberId } = request
  const refused = refusal(group, request)
  if (refused !== null) {
    const { code, detail, decidedBy } = refused
    group.note('refused', { ...request, ...caller }, detail, { decidedBy })
    if (code === Errors.GROUP_MAX_SIZE_REACHED) dropRefused(group, memberId)
    answer(joinError(code, memberId))
    return null
  }
  const joining = { request, protocols: ownProtocols(request.protocols), caller, answer }
  const member = memberId === '' ? joinWithoutId(group, joining) : joinWithId(group, joining)
  return member?.join === answer ? () => abandon(group, member, answer) : null
}

/** Why somebody may not come in, for its answer and for the timeline. */
interface Refusal {
  readonly code: number
  readonly detail: string
  readonly decidedBy: string | null
}

function refusal(group: Group, request: JoinRequest): Refusal | null {
  const { limits, bytes } = group.context
  const { memberId, protocols, protocolType } = request
  const refused = (code: number, detail: string, decidedBy: string | null) => ({
    code,
    detail,
    decidedBy,
  })
  if (group.state === 'Dead') {
    return refused(Errors.COORDINATOR_NOT_AVAILABLE, 'the group is being deleted', null)
  }
  if (!hasRoom(group, memberId)) {
    const setting = `group.max.size=${limits.membersMax}`
    return refused(Errors.GROUP_MAX_SIZE_REACHED, 'found the group full', setting)
  }
  const asked = keptBytes(protocols, noBytes)
  if (asked > limits.memberBytesMax) {
    const setting = `group.member.max.bytes=${limits.memberBytesMax}`
    return refused(Errors.INVALID_REQUEST, `brings ${asked} bytes of metadata`, setting)
  }
  const moreBytes = asked + memberOverheadBytes - bytesOf(group, memberId)
  if (moreBytes > 0 && bytes + moreBytes > limits.groupsBytesMax) {
    const setting = `groups.max.bytes=${limits.groupsBytesMax}`
    return refused(Errors.GROUP_MAX_SIZE_REACHED, 'found no memory left for groups', setting)
  }
  const named = protocolType !== '' && protocols.length > 0
  if (named && group.members.size === 0) return null
  const fits = named && protocolType === group.protocolType && group.vote.hasCommon(protocols)
  if (fits) return null
  const offered = `${protocolType}: ${protocols.map(({ name }) => name).join(', ')}`
  const detail = `offers what not all members can do (${offered})`
  return refused(Errors.INCONSISTENT_GROUP_PROTOCOL, detail, 'partition.assignment.strategy')
}

/** What the group keeps of somebody that a JoinGroup takes the place of. */
function bytesOf(group: Group, memberId: string): number {
  const member = group.members.get(memberId)
  if (member !== undefined) return memberOverheadBytes + keptBytes(member.protocols, noBytes)
  return group.pending.has(memberId) ? memberOverheadBytes : 0
}

/** In a rebalance those count who have joined: a laggard may lose its place to a newcomer. */
function hasRoom(group: Group, memberId: string): boolean {
  const { membersMax } = group.context.limits
  const { state, members, pending } = group
  if (memberId === '' && pending.size >= membersMax) return false
  if (state === 'Empty') return true
  if (state === 'PreparingRebalance') {
    const waits = members.get(memberId)?.join
    return Boolean(waits) || group.parkedJoins < membersMax
  }
  return members.has(memberId) || members.size < membersMax
}

function dropRefused(group: Group, memberId: string): void {
  const member = group.members.get(memberId) ?? null
  if (group.removePending(memberId)) maybeCompleteJoin(group)
  if (member === null) return
  group.remove(member, Errors.GROUP_MAX_SIZE_REACHED)
  memberGone(group, 'a member found the group full')
}

function joinWithoutId(group: Group, joining: Joining): Member | null {
  const { request, caller, answer } = joining
  const { groupInstanceId, sessionTimeoutMs } = request
  const { context } = group
  const head = groupInstanceId ?? caller.clientId.slice(0, clientIdLengthMax)
  const memberId = `${head}-${context.newId()}`
  if (groupInstanceId !== null) {
    const before = group.instances.get(groupInstanceId)
    if (before === undefined) return addMember(group, memberId, joining)
    return replaceStatic(group, before, memberId, joining)
  }
  if (!request.knowsMemberIdRequired) return addMember(group, memberId, joining)
  // Without the client id, which may be long and heads the member id anyway.
  const pending = { memberId, groupInstanceId, clientId: '', clientHost: caller.clientHost }
  const expired = (): void => pendingExpired(group, pending, sessionTimeoutMs)
  const deadline = new Deadline(context.clock, expired)
  deadline.set(sessionTimeoutMs)
  group.addPending(memberId, deadline)
  answer(joinError(Errors.MEMBER_ID_REQUIRED, memberId))
  return null
}

function joinWithId(group: Group, joining: Joining): Member | null {
  const { request, protocols, answer } = joining
  const { memberId, groupInstanceId } = request
  if (group.pending.has(memberId) && groupInstanceId === null) {
    group.removePending(memberId)
    return addMember(group, memberId, joining)
  }
  const code = validate(group, memberId, groupInstanceId)
  const member = group.members.get(memberId)
  if (code !== Errors.NONE || member === undefined) {
    answer(joinError(code, memberId))
    return null
  }
  const unchanged = member.offers(protocols)
  if (unchanged && isSettled(group, member)) {
    member.heard()
    answer(joined(group, member))
    return member
  }
  updateMember(group, member, joining)
  const change = unchanged ? 'the leader joins again' : 'a member changed what it offers'
  const reason = reasonOf(request, change)
  // In a rebalance all do.
  if (group.state !== 'PreparingRebalance') group.note('rejoined', member, reason)
  rebalance(group, reason)
  return member
}

/** Joining again changes nothing: it only asks for the generation, as after a lost answer. */
function isSettled(group: Group, member: Member): boolean {
  if (group.state === 'CompletingRebalance') return true
  return group.state === 'Stable' && group.leader !== member.memberId
}

const reasonOf = ({ reason }: JoinRequest, otherwise: string) =>
  reason === null || reason === '' ? otherwise : `${otherwise}: ${reason}`

function addMember(group: Group, memberId: string, joining: Joining): Member {
  const { request, protocols, caller, answer } = joining
  const { groupInstanceId, sessionTimeoutMs, rebalanceTimeoutMs, protocolType } = request
  const isKnownToClient = request.memberId !== ''
  const member = new Member(
    { memberId, groupInstanceId, isKnownToClient },
    { sessionTimeoutMs, rebalanceTimeoutMs, protocols },
    caller,
    group.context.clock,
    gone => memberExpired(group, gone),
  )
  if (group.members.size === 0) group.protocolType = protocolType
  group.add(member)
  if (group.initialWait !== null) group.initialWait.newcomers = true
  group.parkJoin(member, answer)
  group.note('joined', member, reasonOf(request, 'a new member'))
  rebalance(group, reasonOf(request, 'a new member'))
  return member
}

function updateMember(group: Group, member: Member, joining: Joining): void {
  const { request, protocols, caller, answer } = joining
  group.setProtocols(member, protocols)
  member.sessionTimeoutMs = request.sessionTimeoutMs
  member.rebalanceTimeoutMs = request.rebalanceTimeoutMs
  member.clientId = caller.clientId
  member.clientHost = caller.clientHost
  group.parkJoin(member, answer)
}

/**
 * A static member came back, or a second one was started with its instance id: it takes the place over, assignment
 * included, and the old member id is fenced. In a stable group that keeps its protocol nothing else happens.
 */
function replaceStatic(
  group: Group,
  oldId: string,
  memberId: string,
  joining: Joining,
): Member | null {
  const { request, protocols, caller, answer } = joining
  const old = group.members.get(oldId)
  ensure(old !== undefined, 'an instance id leads to a member')
  const oldLeader = group.leader
  const member = new Member(
    { memberId, groupInstanceId: old.groupInstanceId, isKnownToClient: false },
    { ...request, protocols },
    caller,
    group.context.clock,
    gone => memberExpired(group, gone),
  )
  member.isNew = old.isNew
  member.hasSynced = old.hasSynced
  const decidedBy = `group.instance.id=${old.groupInstanceId}`
  group.note('fenced', old, `${memberId} has its instance id now`, { decidedBy })
  group.noteGone(old, decidedBy, 'still runs: two members are configured with this instance id')
  group.add(member)
  group.setAssignment(member, old.assignment)
  group.remove(old, Errors.FENCED_INSTANCE_ID)
  // Removing the old one must not take the new one's instance id away, nor give the lead to somebody else.
  if (oldLeader === oldId) group.leader = memberId
  group.parkJoin(member, answer)
  group.note('replaced', member, `takes over from ${oldId}`, { decidedBy })
  if (group.state !== 'Stable') rebalance(group, 'a static member came back in a rebalance')
  else if (group.vote.choose(ballots(group)) !== group.protocol) {
    rebalance(group, 'with the static member that came back another protocol is chosen')
  } else void keepReplacement(group, member, { oldLeader, knowsSkip: request.knowsSkipAssignment })
  return member
}

function* ballots(group: Group) {
  for (const { protocols } of group.members.values()) yield protocols
}

/** The new member id must survive a restart before its owner learns it. */
async function keepReplacement(
  group: Group,
  member: Member,
  { oldLeader, knowsSkip }: { oldLeader: string | null; knowsSkip: boolean },
): Promise<void> {
  const { generation } = group
  const { join: waiting } = member
  group.subscribedTopics = null
  const code = await group.context.store.saveGroup(group.snapshot())
  // If a rebalance has begun meanwhile it answers the call.
  const isStill = group.state === 'Stable' && group.generation === generation
  if (!isStill || member.join !== waiting) return
  const answer = group.takeJoin(member)
  member.isNew = false
  member.heard()
  if (answer === null) return
  if (code !== Errors.NONE) {
    answer(joinError(code, ''))
    return
  }
  const isLeader = group.leader === member.memberId
  const ready = joined(group, member)
  // Who cannot be told to skip the assignment must not take itself for the leader: it is told of its former self.
  if (!isLeader || knowsSkip) {
    answer({ ...ready, skipAssignment: isLeader, members: isLeader ? membersFor(group) : [] })
  } else answer({ ...ready, leader: oldLeader ?? '', members: [] })
}

/** Nobody waits for the answer any more: the connection has gone. */
function abandon(group: Group, member: Member, answer: Answer<JoinAnswer>): void {
  if (member.join !== answer || group.members.get(member.memberId) !== member) return
  group.takeJoin(member)
  group.note('disconnected', member, 'lost its connection while it waited to join')
  if (member.isNew && !member.isKnownToClient && member.groupInstanceId === null) {
    // Its id was never sent to anybody, so nobody can come back as this member.
    group.remove(member, Errors.UNKNOWN_MEMBER_ID)
    memberGone(group, 'a new member lost its connection')
  } else member.heard()
}
