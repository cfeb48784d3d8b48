/**
 * The group coordinator, classic protocol: all groups by name. Dispatcher thread; no sockets, no codec, no disk.
 * Members' calls come in as plain values and are answered at once or later, groups are kept through a GroupStore.
 *
 *   join/sync/heartbeat/leave ──▶ Group ──▶ rebalance.ts ──save──▶ GroupStore
 *   describe, list, remove            └──▶ timeline (in memory)
 */
import { Errors } from '../protocol/errors.ts'
import type {
  Abandon,
  Answer,
  Caller,
  GroupDescription,
  GroupListing,
  JoinAnswer,
  JoinRequest,
  LeaveAnswer,
  LeaveRow,
  MemberRef,
  SyncAnswer,
  SyncRequest,
} from './calls.ts'
import { Group, type GroupContext, joinError, syncError } from './group.ts'
import { isIdTooLong } from './ids.ts'
import { join } from './join.ts'
import { Member, noBytes } from './member.ts'
import { commitError, heartbeat, leave, memberExpired, sync } from './membership.ts'
import { joinTimeout, syncTimeout } from './rebalance.ts'
import { topicsOf } from './subscription.ts'
import type { TimelineEvent } from './timeline.ts'
import type { GroupGate, GroupSnapshot } from './types.ts'

const consumerProtocol = 'consumer'

export type GroupCoordinatorOptions = Omit<GroupContext, 'bytes' | 'onTrace'>

/** Where the committed offsets of a group are taken away. */
export interface GroupOffsets {
  removeGroup(groupId: string): Promise<number>
}

const noOffsets: GroupOffsets = { removeGroup: () => Promise.resolve(Errors.NONE) }

export class GroupCoordinator implements GroupGate {
  readonly #groups = new Map<string, Group>()
  readonly #context: GroupContext
  #closed = false
  #warnedOfGroups = false

  constructor(options: GroupCoordinatorOptions) {
    this.#context = {
      ...options,
      bytes: 0,
      onTrace: group => {
        if (this.#groups.get(group.groupId) === group) this.#groups.delete(group.groupId)
      },
    }
  }

  /** Groups as they were kept. Those that are known already are left alone. */
  restore(snapshots: Iterable<GroupSnapshot>): void {
    for (const snapshot of snapshots) {
      if (this.#closed || this.#groups.has(snapshot.groupId)) continue
      this.#restoreOne(snapshot)
    }
  }

  /**
   * Answers at once or parks the call.
   * @returns what ends the wait when the client is gone; null when it is answered
   */
  join(request: JoinRequest, caller: Caller, answer: Answer<JoinAnswer>): Abandon | null {
    const { groupId, memberId, groupInstanceId, sessionTimeoutMs } = request
    const { sessionTimeoutMsMin, sessionTimeoutMsMax, idBytesMax } = this.#context.limits
    let code = this.#unusable(groupId)
    if (code === Errors.NONE && isIdTooLong(groupInstanceId ?? '', idBytesMax)) {
      code = Errors.INVALID_REQUEST
    }
    const fits = sessionTimeoutMs >= sessionTimeoutMsMin && sessionTimeoutMs <= sessionTimeoutMsMax
    if (code === Errors.NONE && !fits) code = Errors.INVALID_SESSION_TIMEOUT
    const known = this.#groups.get(groupId)
    if (code === Errors.INVALID_SESSION_TIMEOUT && known !== undefined) {
      noteTimeout(known, request, caller)
    }
    if (code === Errors.NONE && known === undefined) {
      if (memberId !== '') code = Errors.UNKNOWN_MEMBER_ID
      else if (this.#isFull()) code = Errors.GROUP_MAX_SIZE_REACHED
    }
    if (code !== Errors.NONE) {
      answer(joinError(code, memberId))
      return null
    }
    const group = known ?? this.#create(groupId)
    const abandon = join(group, request, caller, answer)
    if (group.isTrace) this.#groups.delete(groupId)
    return abandon
  }

  /** As `join`. */
  sync(request: SyncRequest, answer: Answer<SyncAnswer>): Abandon | null {
    const group = this.#find(request.groupId)
    if (group instanceof Group) return sync(group, request, answer)
    answer(syncError(group))
    return null
  }

  /** @returns a code of `Errors` */
  heartbeat(ref: MemberRef): number {
    const group = this.#find(ref.groupId)
    return group instanceof Group ? heartbeat(group, ref) : group
  }

  leave(groupId: string, rows: readonly LeaveRow[]): LeaveAnswer {
    const group = this.#find(groupId)
    if (group instanceof Group) {
      const answer = leave(group, rows)
      if (group.isTrace) this.#groups.delete(groupId)
      return answer
    }
    // That there is no such group is said of each member, as Kafka does.
    if (group === Errors.UNKNOWN_MEMBER_ID) {
      return { errorCode: Errors.NONE, rows: rows.map(() => group) }
    }
    return { errorCode: group, rows: [] }
  }

  has(groupId: string): boolean {
    return this.#alive(groupId) !== undefined
  }

  commitError(
    groupId: string,
    memberId: string,
    groupInstanceId: string | null,
    generation: number,
  ): number {
    if (this.#closed) return Errors.COORDINATOR_NOT_AVAILABLE
    const group = this.#groups.get(groupId)
    if (group === undefined) return Errors.UNKNOWN_MEMBER_ID
    return commitError(group, { groupId, memberId, groupInstanceId, generation })
  }

  /** A member reads this topic; true as well when what members read cannot be told. */
  isSubscribed(groupId: string, topic: string): boolean {
    const group = this.#alive(groupId)
    if (group === undefined || group.members.size === 0) return false
    if (group.protocolType !== consumerProtocol) return false
    group.subscribedTopics ??= subscribedTopics(group)
    return group.subscribedTopics === 'unknown' || group.subscribedTopics.has(topic)
  }

  ids(): Iterable<string> {
    return this.#groups.keys()
  }

  removeOffsetsError(groupId: string): number {
    const group = this.#alive(groupId)
    if (group === undefined || group.state === 'Empty') return Errors.NONE
    return group.protocolType === consumerProtocol ? Errors.NONE : Errors.NON_EMPTY_GROUP
  }

  isEmpty(groupId: string): boolean {
    const group = this.#alive(groupId)
    return group === undefined || (group.state === 'Empty' && group.pending.size === 0)
  }

  retentionFrom(groupId: string): number | 'commit' | 'never' {
    const group = this.#alive(groupId)
    if (group === undefined || group.protocolType === null) return 'commit'
    if (group.state === 'Empty') {
      return group.stateTimestampMs < 0 ? 'commit' : group.stateTimestampMs
    }
    const mayGo = group.state === 'Stable' && group.protocolType === consumerProtocol
    return mayGo ? 'commit' : 'never'
  }

  /**
   * Takes an empty group away for good, after its offsets if it has any.
   * @returns NONE, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, or what the store says
   */
  async remove(groupId: string, offsets: GroupOffsets = noOffsets): Promise<number> {
    if (this.#closed) return Errors.COORDINATOR_NOT_AVAILABLE
    const group = this.#groups.get(groupId)
    if (group === undefined) return Errors.GROUP_ID_NOT_FOUND
    if (group.state === 'Dead') return Errors.COORDINATOR_NOT_AVAILABLE
    if (group.state !== 'Empty') return Errors.NON_EMPTY_GROUP
    const snapshot = group.snapshot()
    group.end(Errors.COORDINATOR_NOT_AVAILABLE)
    // Whoever comes before it is gone for good is told to try again.
    group.moveTo('Dead')
    let code = await offsets.removeGroup(groupId)
    if (code === Errors.NONE) code = await this.#context.store.removeGroup(groupId)
    this.#groups.delete(groupId)
    if (code !== Errors.NONE && !this.#closed) this.#restoreOne(snapshot)
    return code
  }

  /** A group that does not exist is described as Dead. */
  describe(groupId: string): GroupDescription {
    const group = this.#alive(groupId)
    if (group === undefined) {
      const none = { protocolType: '', protocol: '', generation: 0, leader: null, members: [] }
      return { groupId, state: 'Dead', ...none }
    }
    const isStable = group.state === 'Stable'
    const protocol = isStable ? group.protocol : null
    return {
      groupId,
      state: group.state,
      protocolType: group.protocolType ?? '',
      protocol: protocol ?? '',
      generation: group.generation,
      leader: group.leader,
      members: Array.from(group.members.values(), member => ({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        sessionTimeoutMs: member.sessionTimeoutMs,
        rebalanceTimeoutMs: member.rebalanceTimeoutMs,
        metadata: isStable ? member.metadataOf(protocol) : noBytes,
        assignment: isStable ? member.assignment : noBytes,
      })),
    }
  }

  list(): GroupListing[] {
    return [...this.#groups.values()]
      .filter(({ state }) => state !== 'Dead')
      .map(({ groupId, protocolType, state, members }) => ({
        groupId,
        protocolType: protocolType ?? '',
        state,
        members: members.size,
      }))
  }

  /** What happened in the group since the start of the broker, as far as it is remembered; oldest first. */
  timeline(groupId: string): TimelineEvent[] {
    return this.#groups.get(groupId)?.timeline.list() ?? []
  }

  /** What members of all groups keep in memory, about. */
  get keptBytes(): number {
    return this.#context.bytes
  }

  /** Parked calls are answered, and from here on members are sent away until there is a broker again. */
  close(): void {
    this.#closed = true
    for (const group of this.#groups.values()) group.end(Errors.COORDINATOR_NOT_AVAILABLE)
  }

  #alive(groupId: string): Group | undefined {
    const group = this.#groups.get(groupId)
    return group?.state === 'Dead' ? undefined : group
  }

  /** The group, or why a member cannot be in it. */
  #find(groupId: string): Group | number {
    const code = this.#unusable(groupId)
    if (code !== Errors.NONE) return code
    return this.#groups.get(groupId) ?? Errors.UNKNOWN_MEMBER_ID
  }

  #unusable(groupId: string): number {
    const { idBytesMax } = this.#context.limits
    if (groupId === '' || isIdTooLong(groupId, idBytesMax)) return Errors.INVALID_GROUP_ID
    if (this.#closed) return Errors.COORDINATOR_NOT_AVAILABLE
    return this.#context.store.availability(groupId)
  }

  #isFull(): boolean {
    const { limits, warn } = this.#context
    if (this.#groups.size < limits.groupsMax) return false
    if (!this.#warnedOfGroups) {
      warn(`there are ${limits.groupsMax} groups: new ones are refused (max.groups)`)
    }
    this.#warnedOfGroups = true
    return true
  }

  #create(groupId: string): Group {
    const group = new Group(groupId, this.#context, { joinTimeout, syncTimeout })
    this.#groups.set(groupId, group)
    return group
  }

  #restoreOne(snapshot: GroupSnapshot): void {
    const group = this.#create(snapshot.groupId)
    const { clock } = this.#context
    const members = snapshot.members.map(kept => {
      const { memberId, groupInstanceId, clientId, clientHost } = kept
      const { sessionTimeoutMs, rebalanceTimeoutMs, subscription } = kept
      const protocols = [{ name: snapshot.protocol ?? '', metadata: subscription }]
      const member = new Member(
        { memberId, groupInstanceId, isKnownToClient: true },
        { sessionTimeoutMs, rebalanceTimeoutMs, protocols },
        { clientId, clientHost },
        clock,
        gone => memberExpired(group, gone),
      )
      member.assignment = kept.assignment
      return member
    })
    group.restore(snapshot, members)
  }
}

/** Its session timeout is not between those that the broker allows. */
function noteTimeout(group: Group, request: JoinRequest, caller: Caller): void {
  const { sessionTimeoutMsMin: min, sessionTimeoutMsMax: max } = group.context.limits
  const asked = request.sessionTimeoutMs
  const decidedBy =
    asked < min ? `group.min.session.timeout.ms=${min}` : `group.max.session.timeout.ms=${max}`
  const detail = `asks for session.timeout.ms=${asked}`
  group.note('refused', { ...request, ...caller }, detail, { decidedBy })
}

/** `unknown` when some metadata is no subscription. */
function subscribedTopics(group: Group): ReadonlySet<string> | 'unknown' {
  const topics = new Set<string>()
  for (const member of group.members.values()) {
    const theirs = topicsOf(member.metadataOf(group.protocol))
    if (theirs === null) return 'unknown'
    for (const topic of theirs) topics.add(topic)
  }
  return topics
}
