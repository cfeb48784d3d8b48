/**
 * A group: who is in it, in which state it is, and the counts by which barriers are known to be complete without a look
 * at every member. Dispatcher thread. It decides nothing (rebalance.ts, join.ts, membership.ts do); here related state
 * moves together.
 *
 *   members   joined some time        pending   were given a member id and have not come back with it (KIP-394)
 *   instances instance id -> member id of static members (KIP-345)
 */
import type { Clock } from '../contracts/clock.ts'
import { Errors } from '../protocol/errors.ts'
import { ensure } from '../ring/ensure.ts'
import type { Answer, JoinAnswer, MemberProtocol, SyncAnswer } from './calls.ts'
import { Deadline } from './deadline.ts'
import { type GroupState, mayMove } from './group-states.ts'
import { keptBytes, type Member, memberOverheadBytes, noBytes } from './member.ts'
import { ProtocolVote } from './protocol-vote.ts'
import {
  GoneMembers,
  membersText,
  Timeline,
  type TimelineEvent,
  type TimelineFacts,
  type TimelineKind,
  type TimelineMember,
} from './timeline.ts'
import type { GroupSnapshot, GroupStore } from './types.ts'

export interface GroupLimits {
  readonly sessionTimeoutMsMin: number
  readonly sessionTimeoutMsMax: number
  readonly initialRebalanceDelayMs: number
  /** Members, and likewise those who were only given an id. */
  readonly membersMax: number
  readonly groupsMax: number
  /** Metadata and assignment of one member, and of all members of all groups. */
  readonly memberBytesMax: number
  readonly groupsBytesMax: number
  /** Longest group id and instance id. */
  readonly idBytesMax: number
}

/** What all groups of a coordinator share. */
export interface GroupContext {
  readonly clock: Clock
  readonly store: GroupStore
  readonly limits: GroupLimits
  /** Makes the unique part of a member id. */
  readonly newId: () => string
  readonly warn: (message: string) => void
  /** Called when a group that never had a generation lost the last who was expected in it. */
  readonly onTrace: (group: Group) => void
  /** Told every event of every group as it happens. */
  readonly onEvent?: (event: TimelineEvent) => void
  /** Kept by members of all groups. */
  bytes: number
}

/** For the first join of a member that has none of its own (Kafka's newMemberJoinTimeoutMs). */
export const newMemberTimeoutMs = 300_000

export class Group {
  readonly groupId: string
  readonly context: GroupContext
  readonly timeline = new Timeline()
  readonly #gone = new GoneMembers()
  /** When the rebalance under way began, on the monotonic clock, and who joined it last. */
  rebalancingSinceMs = 0
  lastJoined: Member | null = null
  readonly members = new Map<string, Member>()
  readonly instances = new Map<string, string>()
  readonly pending = new Map<string, Deadline>()
  readonly vote = new ProtocolVote()
  generation = 0
  protocolType: string | null = null
  protocol: string | null = null
  leader: string | null = null
  stateTimestampMs: number
  /** The end of the join barrier, and of the wait for members to fetch their assignment. */
  readonly joinDeadline: Deadline
  readonly syncDeadline: Deadline
  /** While the first rebalance of an empty group waits for more members (group.initial.rebalance.delay.ms). */
  initialWait: InitialWait | null = null
  /** Under way to the store: the leader's assignment of this generation. */
  savingGeneration = -1
  /** The last assignment could not be kept, and that was said: members try again ten times a second. */
  isSaveFailing = false
  /** Topics of all members, read when somebody asks; null: not read since the generation began. */
  subscribedTopics: ReadonlySet<string> | 'unknown' | null = null
  #state: GroupState = 'Empty'
  #parkedJoins = 0

  constructor(
    groupId: string,
    context: GroupContext,
    on: { joinTimeout(group: Group): void; syncTimeout(group: Group): void },
  ) {
    this.groupId = groupId
    this.context = context
    this.stateTimestampMs = context.clock.wallMs()
    this.joinDeadline = new Deadline(context.clock, () => on.joinTimeout(this))
    this.syncDeadline = new Deadline(context.clock, () => on.syncTimeout(this))
  }

  get state(): GroupState {
    return this.#state
  }

  moveTo(state: GroupState): void {
    ensure(mayMove(this.#state, state), `a group does not move from ${this.#state} to ${state}`)
    this.#state = state
    this.stateTimestampMs = this.context.clock.wallMs()
  }

  note(
    kind: TimelineKind,
    member: TimelineMember | null,
    detail: string,
    facts?: TimelineFacts,
  ): void {
    const at = { wallMs: this.context.clock.wallMs(), generation: this.generation }
    const event = this.timeline.add(at, kind, member, detail, facts)
    this.context.onEvent?.(event)
  }

  /** A member is taken out against its will: `ifHeard` is what it means when it shows itself again. */
  noteGone(member: TimelineMember, decidedBy: string, ifHeard: string): void {
    const sinceMs = this.context.clock.monotonicMs()
    this.#gone.add({ member, sinceMs, decidedBy, detail: ifHeard })
  }

  /** Somebody who is no member asked for something. */
  noteStranger(memberId: string): void {
    const gone = this.#gone.take(memberId)
    if (gone === null) return
    const { member, detail, decidedBy, sinceMs } = gone
    const elapsedMs = this.context.clock.monotonicMs() - sinceMs
    this.note('returned', member, detail, { decidedBy, elapsedMs })
  }

  /** Of the rebalance under way. */
  get rebalancingMs(): number {
    return this.context.clock.monotonicMs() - this.rebalancingSinceMs
  }

  /** Nobody is in it, nobody is expected, and nothing of it was ever kept. */
  get isTrace(): boolean {
    return this.#state === 'Empty' && this.generation === 0 && this.pending.size === 0
  }

  /** As it was kept. Its members have their session timeout anew: nobody could be heard meanwhile. */
  restore(snapshot: GroupSnapshot, members: readonly Member[]): void {
    this.protocolType = snapshot.protocolType
    this.generation = snapshot.generation
    this.protocol = snapshot.protocol
    this.stateTimestampMs = snapshot.stateTimestampMs
    for (const member of members) {
      member.isNew = false
      member.hasSynced = true
      this.add(member)
      member.heard()
    }
    if (snapshot.leader !== null && this.members.has(snapshot.leader)) this.leader = snapshot.leader
    this.#state = members.length === 0 ? 'Empty' : 'Stable'
    this.note('restored', null, `${membersText(members.length)} in it when the broker stopped`)
  }

  /** Ends every wait: parked calls are answered, timers are off. */
  end(errorCode: number): void {
    this.joinDeadline.clear()
    this.syncDeadline.clear()
    this.initialWait?.cancel()
    this.initialWait = null
    for (const memberId of [...this.pending.keys()]) this.removePending(memberId)
    for (const member of this.members.values()) {
      member.session.clear()
      this.failJoin(member, errorCode)
      this.failSync(member, errorCode)
    }
  }

  add(member: Member): void {
    ensure(!this.members.has(member.memberId), 'a member is added once')
    this.members.set(member.memberId, member)
    if (member.groupInstanceId !== null) this.instances.set(member.groupInstanceId, member.memberId)
    this.vote.add(member.protocols)
    this.context.bytes += memberOverheadBytes + keptBytes(member.protocols, member.assignment)
    this.leader ??= member.memberId
  }

  /** Takes a member out; its parked calls are answered with `errorCode`. */
  remove(member: Member, errorCode: number): void {
    ensure(this.members.get(member.memberId) === member, 'a member is removed once')
    member.session.clear()
    this.members.delete(member.memberId)
    const { groupInstanceId } = member
    if (groupInstanceId !== null && this.instances.get(groupInstanceId) === member.memberId)
      this.instances.delete(groupInstanceId)
    if (this.lastJoined === member) this.lastJoined = null
    this.vote.remove(member.protocols)
    this.context.bytes -= memberOverheadBytes + keptBytes(member.protocols, member.assignment)
    if (this.leader === member.memberId) {
      this.leader = this.members.keys().next().value ?? null
    }
    this.failJoin(member, errorCode)
    this.failSync(member, errorCode)
  }

  setProtocols(member: Member, protocols: readonly MemberProtocol[]): void {
    this.vote.remove(member.protocols)
    this.context.bytes -= keptBytes(member.protocols, noBytes)
    member.protocols = protocols
    this.context.bytes += keptBytes(protocols, noBytes)
    this.vote.add(protocols)
  }

  setAssignment(member: Member, assignment: Uint8Array): void {
    this.context.bytes += assignment.length - member.assignment.length
    member.assignment = assignment
  }

  addPending(memberId: string, deadline: Deadline): void {
    this.pending.set(memberId, deadline)
    this.context.bytes += memberOverheadBytes
  }

  removePending(memberId: string): boolean {
    const deadline = this.pending.get(memberId)
    if (deadline === undefined) return false
    deadline.clear()
    this.context.bytes -= memberOverheadBytes
    return this.pending.delete(memberId)
  }

  /** A call of the same member that is parked already came over a connection that is gone, or by mistake. */
  parkJoin(member: Member, answer: Answer<JoinAnswer>): void {
    this.failJoin(member, Errors.REBALANCE_IN_PROGRESS)
    member.join = answer
    this.#parkedJoins++
    this.lastJoined = member
    if (member.isNew) member.session.set(newMemberTimeoutMs)
    else member.session.clear()
  }

  takeJoin(member: Member): Answer<JoinAnswer> | null {
    const { join } = member
    if (join === null) return null
    member.join = null
    this.#parkedJoins--
    return join
  }

  failJoin(member: Member, errorCode: number): void {
    this.takeJoin(member)?.(joinError(errorCode, member.memberId))
  }

  parkSync(member: Member, answer: Answer<SyncAnswer>): void {
    this.failSync(member, Errors.REBALANCE_IN_PROGRESS)
    member.sync = answer
    member.session.clear()
  }

  takeSync(member: Member): Answer<SyncAnswer> | null {
    const { sync } = member
    member.sync = null
    return sync
  }

  failSync(member: Member, errorCode: number): void {
    this.takeSync(member)?.(syncError(errorCode))
  }

  get allJoined(): boolean {
    return this.#parkedJoins === this.members.size && this.pending.size === 0
  }

  get parkedJoins(): number {
    return this.#parkedJoins
  }

  get rebalanceTimeoutMs(): number {
    let longestMs = 0
    for (const { rebalanceTimeoutMs } of this.members.values()) {
      if (rebalanceTimeoutMs > longestMs) longestMs = rebalanceTimeoutMs
    }
    return longestMs
  }

  snapshot(): GroupSnapshot {
    const { groupId, protocolType, generation, protocol, leader, stateTimestampMs } = this
    const members = [...this.members.values()].map(member => member.snapshot(protocol))
    return { groupId, protocolType, generation, protocol, leader, stateTimestampMs, members }
  }
}

export interface InitialWait {
  cancel: () => void
  /** Of the rebalance timeout, after this wait. */
  leftMs: number
  /** Somebody came since it began. */
  newcomers: boolean
}

export function joinError(errorCode: number, memberId: string): JoinAnswer {
  return {
    errorCode,
    generation: -1,
    protocolType: null,
    protocol: null,
    leader: '',
    skipAssignment: false,
    memberId,
    members: [],
  }
}

export function syncError(errorCode: number): SyncAnswer {
  return { errorCode, protocolType: null, protocol: null, assignment: noBytes }
}
