/**
 * The two barriers of a rebalance. Dispatcher thread.
 *
 *   prepare ── JoinGroups gather ──▶ completeJoin ── leader's assignment ──▶ saved ──▶ everybody has its part
 *                                     generation+1      (SyncGroup)         (GroupStore)
 *
 * Who has not joined when the longest rebalance timeout is over is dropped if it is dynamic and kept if it is static;
 * who has joined and does not fetch its assignment in the same time is dropped.
 */
import { Errors, errorName } from '../protocol/errors.ts'
import { ensure } from '../ring/ensure.ts'
import type { JoinAnswer, SyncAnswer } from './calls.ts'
import type { Group } from './group.ts'
import { type Member, noBytes } from './member.ts'
import { membersText } from './timeline.ts'

/** Starts a rebalance where none is under way; one that is gathering joins goes on. Completes it if all have joined. */
export function rebalance(group: Group, reason: string): void {
  const { state } = group
  if (state === 'Empty') startFirst(group, reason)
  else if (state === 'PreparingRebalance') maybeCompleteJoin(group)
  else if (state !== 'Dead') {
    failSyncs(group, Errors.REBALANCE_IN_PROGRESS)
    group.syncDeadline.clear()
    begin(group, reason)
    group.joinDeadline.set(group.rebalanceTimeoutMs)
    maybeCompleteJoin(group)
  }
}

/** Who waits for its assignment is told why there is none, and from now on must be heard of again. */
function failSyncs(group: Group, errorCode: number): void {
  for (const member of group.members.values()) {
    if (member.sync === null) continue
    group.failSync(member, errorCode)
    member.heard()
  }
}

function begin(group: Group, reason: string, decidedBy: string | null = null): void {
  group.moveTo('PreparingRebalance')
  group.rebalancingSinceMs = group.context.clock.monotonicMs()
  group.note('rebalancing', null, reason, { decidedBy })
}

/** An empty group may wait for more members, again and again while some come, but no longer than they would. */
function startFirst(group: Group, reason: string): void {
  const { initialRebalanceDelayMs: delayMs } = group.context.limits
  const decidedBy = delayMs === 0 ? null : `group.initial.rebalance.delay.ms=${delayMs}`
  begin(group, reason, decidedBy)
  if (delayMs === 0) {
    group.joinDeadline.set(group.rebalanceTimeoutMs)
    maybeCompleteJoin(group)
  } else {
    const leftMs = Math.max(0, group.rebalanceTimeoutMs - delayMs)
    group.initialWait = { cancel: () => {}, leftMs, newcomers: false }
    waitForMore(group, delayMs)
  }
}

function waitForMore(group: Group, delayMs: number): void {
  const wait = group.initialWait
  ensure(wait !== null, 'only the first rebalance waits')
  wait.cancel = group.context.clock.after(delayMs, () => {
    const nextMs = Math.min(group.context.limits.initialRebalanceDelayMs, wait.leftMs)
    if (wait.newcomers && nextMs > 0) {
      wait.newcomers = false
      wait.leftMs -= nextMs
      waitForMore(group, nextMs)
    } else {
      endInitialWait(group)
      // Who was only given an id meanwhile comes at once or not at all; a member whose connection broke may come back.
      if (group.parkedJoins === group.members.size) completeJoin(group)
      else group.joinDeadline.set(Math.max(0, group.rebalanceTimeoutMs - group.rebalancingMs))
    }
  })
}

function endInitialWait(group: Group): void {
  group.initialWait?.cancel()
  group.initialWait = null
}

export function maybeCompleteJoin(group: Group): void {
  if (group.state !== 'PreparingRebalance') return
  if (group.members.size === 0 || (group.initialWait === null && group.allJoined)) {
    completeJoin(group)
  }
}

/** The rebalance timeout is over. */
export function joinTimeout(group: Group): void {
  if (group.state === 'PreparingRebalance') completeJoin(group)
}

/** Ends the join barrier: everybody who waits in it is in the next generation. */
function completeJoin(group: Group): void {
  endInitialWait(group)
  const rebalanceTimeoutMs = group.rebalanceTimeoutMs
  dropLaggards(group, rebalanceTimeoutMs)
  if (group.members.size > 0 && !electLeader(group)) {
    // Only static members that are away: they have another rebalance timeout to come back.
    group.joinDeadline.set(rebalanceTimeoutMs)
    return
  }
  group.joinDeadline.clear()
  group.generation++
  group.subscribedTopics = null
  if (group.members.size === 0) becomeEmpty(group)
  else beginSync(group)
}

function dropLaggards(group: Group, rebalanceTimeoutMs: number): void {
  if (group.parkedJoins === group.members.size) return
  for (const member of [...group.members.values()]) {
    if (member.join !== null) continue
    const late = 'did not rejoin in time'
    if (member.groupInstanceId === null) dropLate(group, member, late, rebalanceTimeoutMs)
    else noteLate(group, member, `${late}; kept, because static`, rebalanceTimeoutMs)
  }
}

/** @returns the setting that decided: the longest of all members' */
function noteLate(group: Group, member: Member, detail: string, timeoutMs: number): string {
  const decidedBy = `max.poll.interval.ms=${timeoutMs}`
  const elapsedMs = group.rebalancingMs
  const own = member.rebalanceTimeoutMs
  const whose = own === timeoutMs ? '' : ` (the longest in the group; its own is ${own})`
  group.note('late', member, `${detail}${whose}`, { decidedBy, elapsedMs })
  return decidedBy
}

function dropLate(group: Group, member: Member, what: string, timeoutMs: number): void {
  const decidedBy = noteLate(group, member, `${what} and was dropped`, timeoutMs)
  group.noteGone(member, decidedBy, 'is alive: it was busy for longer than this')
  group.remove(member, Errors.UNKNOWN_MEMBER_ID)
}

/** The leader stays if it has joined. False when nobody has. */
function electLeader(group: Group): boolean {
  if (group.leader !== null && group.members.get(group.leader)?.join) return true
  for (const member of group.members.values()) {
    if (member.join === null) continue
    group.leader = member.memberId
    return true
  }
  return false
}

function becomeEmpty(group: Group): void {
  group.protocol = null
  group.leader = null
  group.moveTo('Empty')
  group.note('empty', null, 'the last member has gone')
  const { groupId, context } = group
  void context.store.saveGroup(group.snapshot()).then(code => {
    // Nobody waits for it; after a restart its last members are there again and expire.
    if (code !== Errors.NONE) context.warn(`empty group ${groupId} not saved: ${errorName(code)}`)
  })
}

function beginSync(group: Group): void {
  group.protocol = group.vote.choose(protocolsOf(group))
  group.moveTo('CompletingRebalance')
  const what = `${membersText(group.members.size)}, protocol ${group.protocol}`
  const last = group.lastJoined
  const detail = last === null ? what : `${what}; this one joined last`
  group.note('generation', last, detail, { elapsedMs: group.rebalancingMs })
  for (const member of group.members.values()) {
    const answer = group.takeJoin(member)
    member.isNew = false
    member.hasSynced = false
    member.session.set(member.sessionTimeoutMs)
    answer?.(joined(group, member))
  }
  group.syncDeadline.set(group.rebalanceTimeoutMs)
}

function* protocolsOf(group: Group) {
  for (const { protocols } of group.members.values()) yield protocols
}

/** The answer to a JoinGroup in the group's current generation. */
export function joined(group: Group, member: Member): JoinAnswer {
  const { generation, protocolType, protocol, leader } = group
  const isLeader = leader === member.memberId
  return {
    errorCode: Errors.NONE,
    generation,
    protocolType,
    protocol,
    leader: leader ?? '',
    skipAssignment: false,
    memberId: member.memberId,
    members: isLeader ? membersFor(group) : [],
  }
}

export function membersFor(group: Group): JoinAnswer['members'] {
  return Array.from(group.members.values(), member => ({
    memberId: member.memberId,
    groupInstanceId: member.groupInstanceId,
    metadata: member.metadataOf(group.protocol),
  }))
}

/** Who joined and did not fetch its assignment in time is dropped, and the others rebalance. */
export function syncTimeout(group: Group): void {
  if (group.state !== 'CompletingRebalance' && group.state !== 'Stable') return
  const timeoutMs = group.rebalanceTimeoutMs
  let dropped = 0
  for (const member of [...group.members.values()]) {
    if (member.hasSynced) continue
    dropLate(group, member, 'did not fetch its assignment in time', timeoutMs)
    dropped++
  }
  if (dropped > 0) rebalance(group, `${membersText(dropped)} did not fetch an assignment in time`)
}

/** Keeps the leader's assignment; when it is durable everybody has its part. */
export async function assign(group: Group, assignments: ReadonlyMap<string, Uint8Array>) {
  const { generation, context } = group
  if (group.savingGeneration === generation) return
  group.savingGeneration = generation
  for (const member of group.members.values()) {
    group.setAssignment(member, assignments.get(member.memberId) ?? noBytes)
  }
  const snapshot = { ...group.snapshot(), stateTimestampMs: context.clock.wallMs() }
  const code = await context.store.saveGroup(snapshot)
  if (group.savingGeneration === generation) group.savingGeneration = -1
  // Meanwhile somebody may have come or gone: then the waiting ones were told.
  if (group.state !== 'CompletingRebalance' || group.generation !== generation) return
  if (code !== Errors.NONE) {
    const what = `generation ${generation} of group ${group.groupId}`
    if (!group.isSaveFailing) context.warn(`${what} not saved: ${errorName(code)}`)
    group.isSaveFailing = true
    group.note('failed', null, `assignment not saved: ${errorName(code)}`)
    failSyncs(group, code)
    rebalance(group, 'the assignment was not saved')
    return
  }
  group.isSaveFailing = false
  group.moveTo('Stable')
  const given = `${membersText(group.members.size)} assigned`
  group.note('stable', null, given, { elapsedMs: group.rebalancingMs })
  for (const member of group.members.values()) {
    const answer = group.takeSync(member)
    if (answer === null) continue
    member.session.set(member.sessionTimeoutMs)
    answer(assigned(group, member))
  }
}

export function assigned(group: Group, member: Member): SyncAnswer {
  const { protocolType, protocol } = group
  return { errorCode: Errors.NONE, protocolType, protocol, assignment: member.assignment }
}
