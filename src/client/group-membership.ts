/**
 * The requests of one member, one by one: JoinGroup (twice where the broker first gives a member id), SyncGroup with
 * the assignments when it is the leader, Heartbeat, LeaveGroup. Holds the identity that fences them.
 */
import { Errors, type KafkaError } from '../protocol/errors.ts'
import { Heartbeat } from '../protocol/messages/heartbeat.ts'
import { JoinGroup } from '../protocol/messages/join-group.ts'
import { LeaveGroup } from '../protocol/messages/leave-group.ts'
import { SyncGroup } from '../protocol/messages/sync-group.ts'
import type { ResponseOf } from '../protocol/schema.ts'
import type { Cluster } from './cluster.ts'
import { type GroupCoordinator, groupError, type MemberRef } from './group-coordinator.ts'
import type { GroupTerms } from './group-options.ts'
import {
  type Assignment,
  assignGroup,
  decodeAssignment,
  encodeAssignment,
  encodeSubscription,
  protocolNames,
  protocolType,
  type Subscription,
  topicsOf,
} from './group-protocol.ts'
import { partitionCounts } from './partition-watch.ts'

/** A generation that was joined; its assignment comes with `sync`. */
export interface Joined {
  readonly generation: number
  readonly protocol: string
  readonly assignments: { memberId: string; assignment: Uint8Array }[]
  /** Of the leader only: topic -> number of partitions, of all topics that the group reads. */
  readonly partitions: ReadonlyMap<string, number> | null
}

type JoinAnswer = ResponseOf<typeof JoinGroup>

const codeOf = ({ errorCode }: { errorCode: number }): number => errorCode
/** On top of what a join or a sync may take by itself. */
const slackMs = 30_000
const leaveMsMax = 5000
/** JoinGroup's reason may be 255 characters long. */
const reasonLengthMax = 255

export class GroupMembership {
  readonly #cluster: Cluster
  readonly #coordinator: GroupCoordinator
  readonly #terms: GroupTerms
  #memberId = ''
  #generation = -1

  constructor(cluster: Cluster, coordinator: GroupCoordinator, terms: GroupTerms) {
    this.#cluster = cluster
    this.#coordinator = coordinator
    this.#terms = terms
  }

  get generation(): number {
    return this.#generation
  }

  get ref(): MemberRef {
    const { groupInstanceId } = this.#terms
    return { memberId: this.#memberId, groupInstanceId, generation: this.#generation }
  }

  /** The broker does not know this member any more: the next join is that of a new one. */
  forget(): void {
    this.#memberId = ''
    this.#generation = -1
  }

  /** Waits for the whole group. @throws KafkaError */
  async join(subscription: Subscription, reason: string): Promise<Joined> {
    let answer = await this.#join(subscription, reason)
    if (answer.errorCode === Errors.MEMBER_ID_REQUIRED) {
      this.#memberId = answer.memberId
      answer = await this.#join(subscription, reason)
    }
    if (answer.errorCode !== Errors.NONE) throw this.#error(answer.errorCode, 'cannot be joined')
    this.#memberId = answer.memberId
    this.#generation = answer.generationId
    const protocol = answer.protocolName ?? ''
    const isLeader = answer.leader === answer.memberId
    const partitions = isLeader
      ? await partitionCounts(this.#cluster, topicsOf(answer.members))
      : null
    const isAssigning = partitions !== null && !answer.skipAssignment
    const assignments = isAssigning ? assignmentsFor(protocol, answer, partitions) : []
    return { generation: answer.generationId, protocol, assignments, partitions }
  }

  /** Waits for the leader. @throws KafkaError */
  async sync({ protocol, assignments }: Joined): Promise<Assignment> {
    const { memberId, groupInstanceId, generation } = this.ref
    const answer = await this.#coordinator.call(
      SyncGroup,
      {
        groupId: this.#terms.groupId,
        generationId: generation,
        memberId,
        groupInstanceId,
        protocolType,
        protocolName: protocol,
        assignments,
      },
      codeOf,
      this.#terms.rebalanceTimeoutMs + slackMs,
    )
    if (answer.errorCode !== Errors.NONE) throw this.#error(answer.errorCode, 'gave no assignment')
    return decodeAssignment(answer.assignment)
  }

  /** @throws KafkaError */
  async heartbeat(): Promise<void> {
    const { memberId, groupInstanceId, generation } = this.ref
    const { groupId } = this.#terms
    const message = { groupId, generationId: generation, memberId, groupInstanceId }
    const timeoutMs = Math.max(this.#terms.sessionTimeoutMs, leaveMsMax)
    const answer = await this.#coordinator.call(Heartbeat, message, codeOf, timeoutMs)
    if (answer.errorCode !== Errors.NONE) throw this.#error(answer.errorCode, 'membership is over')
  }

  /** As well as it goes: who cannot say that it leaves is dropped in time. Static members stay, to come back. */
  async leave(reason: string): Promise<void> {
    const { memberId, groupInstanceId } = this.ref
    this.forget()
    if (memberId === '' || groupInstanceId !== null) return
    const members = [{ memberId, groupInstanceId, reason }]
    const message = { groupId: this.#terms.groupId, memberId, members }
    await this.#coordinator.call(LeaveGroup, message, codeOf, leaveMsMax).catch(() => undefined)
  }

  #join(subscription: Subscription, reason: string): Promise<JoinAnswer> {
    const { groupId, groupInstanceId, sessionTimeoutMs, rebalanceTimeoutMs } = this.#terms
    const metadata = encodeSubscription(subscription)
    return this.#coordinator.call(
      JoinGroup,
      {
        groupId,
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        memberId: this.#memberId,
        groupInstanceId,
        protocolType,
        protocols: protocolNames.map(name => ({ name, metadata })),
        reason: reason.slice(0, reasonLengthMax),
      },
      codeOf,
      rebalanceTimeoutMs + slackMs,
    )
  }

  #error(code: number, what: string): KafkaError {
    return groupError(code, this.#terms.groupId, what)
  }
}

function assignmentsFor(
  protocol: string,
  { members }: JoinAnswer,
  counts: ReadonlyMap<string, number>,
): Joined['assignments'] {
  const partitionsOf = (topic: string) => [...Array(counts.get(topic) ?? 0).keys()]
  return Array.from(assignGroup(protocol, members, partitionsOf), ([memberId, assignment]) => ({
    memberId,
    assignment: encodeAssignment(assignment),
  }))
}
