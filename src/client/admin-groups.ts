/**
 * Consumer groups from outside: list, describe, where they stand, reset, delete. What the command line's `groups` is
 * made of; reached as `admin.groups`.
 */
import { Errors, errorName, KafkaError } from '../protocol/errors.ts'
import { DeleteGroups } from '../protocol/messages/delete-groups.ts'
import { DescribeGroups } from '../protocol/messages/describe-groups.ts'
import { FindCoordinator } from '../protocol/messages/find-coordinator.ts'
import { ListGroups } from '../protocol/messages/list-groups.ts'
import { OffsetCommit } from '../protocol/messages/offset-commit.ts'
import { OffsetFetch } from '../protocol/messages/offset-fetch.ts'
import type { ApiSchema, ResponseOf } from '../protocol/schema.ts'
import type { Cluster } from './cluster.ts'
import { decodeAssignment } from './group-protocol.ts'
import { earliestTimestamp, latestTimestamp, type Partitions, peekOffsets } from './list-offsets.ts'

export interface GroupListing {
  readonly groupId: string
  /** Empty, PreparingRebalance, CompletingRebalance, Stable, Dead; empty text from brokers that do not say. */
  readonly state: string
  /** `consumer` for consumers; empty for groups that nobody ever joined. */
  readonly protocolType: string
}

export interface GroupDescription extends GroupListing {
  /** The protocol its members agreed on; empty unless the group is stable. */
  readonly assignor: string
  readonly coordinator: GroupBroker
  readonly members: readonly GroupMember[]
}

export interface GroupBroker {
  readonly nodeId: number
  readonly host: string
  readonly port: number
}

export interface GroupMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly host: string
  /** Topic -> partitions; null when nobody can say: the group is not stable, or is none of consumers. */
  readonly assignment: ReadonlyMap<string, readonly number[]> | null
}

/** Where a group stands in a partition that it has committed, or that one of its members reads. */
export interface GroupOffset {
  readonly topic: string
  readonly partition: number
  /** The next one it reads; null when it has committed none. */
  readonly committed: number | null
  /** Null while the partition has no leader. */
  readonly logStart: number | null
  /** End of what consumers may read. */
  readonly logEnd: number | null
  readonly lag: number | null
  /** Who reads it now. */
  readonly memberId: string | null
}

export interface OffsetToCommit {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

type OffsetsByTopic = ReadonlyMap<string, ReadonlyMap<number, number>>

const groupKeyType = 0
const consumerProtocol = 'consumer'

export class GroupAdmin {
  readonly #cluster: Cluster

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Groups of all brokers by id; of these states if any are given, whatever their case. */
  async list(states: readonly string[] = []): Promise<GroupListing[]> {
    const { brokers } = await this.#cluster.metadata([])
    const groups = new Map<string, GroupListing>()
    for (const { nodeId } of brokers) {
      const listed = await this.#cluster.retrying(async () => {
        const connection = await this.#cluster.connection(nodeId)
        const message = { statesFilter: [...states], typesFilter: [] }
        const answer = await connection.request(ListGroups, message)
        if (answer.errorCode === Errors.NONE) return answer.groups
        throw new KafkaError(answer.errorCode)
      })
      for (const { groupId, protocolType, groupState } of listed) {
        groups.set(groupId, { groupId, state: groupState, protocolType })
      }
    }
    return [...groups.values()].sort((a, b) => (a.groupId < b.groupId ? -1 : 1))
  }

  /** @throws KafkaError GROUP_ID_NOT_FOUND */
  async describe(groupId: string): Promise<GroupDescription> {
    const group = await this.find(groupId)
    if (group !== null) return group
    throw new KafkaError(Errors.GROUP_ID_NOT_FOUND, `group ${groupId} does not exist`)
  }

  /** Null when there is no such group. */
  async find(groupId: string): Promise<GroupDescription | null> {
    const message = { groups: [groupId], includeAuthorizedOperations: false }
    const { answer, coordinator } = await this.#ask(
      groupId,
      DescribeGroups,
      message,
      ({ groups }) => groups[0].errorCode,
    )
    const { groupState: state, protocolType, protocolData: assignor, members } = answer.groups[0]
    if (state === 'Dead') return null
    const isKnown = state === 'Stable' && protocolType === consumerProtocol
    return {
      groupId,
      state,
      protocolType,
      assignor,
      coordinator,
      members: members.map(member => ({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        host: member.clientHost,
        assignment: isKnown ? assignmentOf(member.memberAssignment) : null,
      })),
    }
  }

  /** By topic and partition: what is committed and what its members read, with the ends of the logs. */
  async offsets({ groupId, members }: GroupDescription): Promise<GroupOffset[]> {
    const committed = await this.committed(groupId)
    const readers = new Map<string, string>()
    const partitions = new Map<string, Set<number>>()
    const note = (topic: string, numbers: Iterable<number>): void => {
      partitions.set(topic, new Set([...(partitions.get(topic) ?? []), ...numbers]))
    }
    for (const [topic, offsets] of committed) note(topic, offsets.keys())
    for (const { memberId, assignment } of members) {
      for (const [topic, numbers] of assignment ?? []) {
        note(topic, numbers)
        for (const partition of numbers) readers.set(`${topic}-${partition}`, memberId)
      }
    }
    const ranges = await this.ranges(partitions)
    return sorted(partitions).map(({ topic, partition }) => {
      const offset = committed.get(topic)?.get(partition) ?? null
      const { logStart, logEnd } = ranges(topic, partition)
      const lag = offset === null || logEnd === null ? null : logEnd - offset
      const memberId = readers.get(`${topic}-${partition}`) ?? null
      return { topic, partition, committed: offset, logStart, logEnd, lag, memberId }
    })
  }

  /** Topic -> partition -> committed offset, without those that have none. */
  async committed(groupId: string): Promise<OffsetsByTopic> {
    const groups = [{ groupId, memberId: null, memberEpoch: -1, topics: null }]
    const message = { groupId, topics: null, groups, requireStable: false }
    const { answer } = await this.#ask(groupId, OffsetFetch, message, codeOfFetch)
    const offsets = new Map<string, Map<number, number>>()
    // One group up to version 7, several from 8 on.
    for (const { name, partitions } of answer.groups[0]?.topics ?? answer.topics) {
      const known = partitions.filter(({ committedOffset }) => committedOffset >= 0)
      if (known.length === 0) continue
      offsets.set(name, new Map(known.map(row => [row.partitionIndex, row.committedOffset])))
    }
    return offsets
  }

  /**
   * Sets offsets of a group that has no members; one that does not exist is made by it.
   * @throws KafkaError the first row that is refused: NON_EMPTY_GROUP when somebody has joined
   */
  async commit(groupId: string, offsets: readonly OffsetToCommit[]): Promise<void> {
    const topics = Array.from(
      Map.groupBy(offsets, ({ topic }) => topic),
      ([name, rows]) => ({ name, partitions: rows.map(toCommitRow) }),
    )
    const nobody = { generationIdOrMemberEpoch: -1, memberId: '', groupInstanceId: null }
    const message = { groupId, ...nobody, retentionTimeMs: -1, topics }
    const { answer } = await this.#ask(groupId, OffsetCommit, message, codeOfCommit)
    const rows = answer.topics.flatMap(({ name, partitions }) =>
      partitions.map(row => ({ name, ...row })),
    )
    const failed = rows.filter(({ errorCode }) => errorCode !== Errors.NONE)
    if (failed.length === 0) return
    const [{ name, partitionIndex, errorCode }] = failed
    if (errorCode === Errors.UNKNOWN_MEMBER_ID) {
      const why = `group ${groupId} has members again, nothing was changed: stop them first`
      throw new KafkaError(Errors.NON_EMPTY_GROUP, why)
    }
    const which = `offset of ${name}-${partitionIndex} refused: ${errorName(errorCode)}`
    const others = `${failed.length} of ${rows.length} were, the others are committed`
    throw new KafkaError(errorCode, `group ${groupId}: ${which} (${others})`)
  }

  /** Deletes groups with what they have committed. @returns what became of each, a code of `Errors` */
  async delete(groupIds: readonly string[]): Promise<Map<string, number>> {
    const outcomes = new Map<string, number>()
    for (const groupId of new Set(groupIds)) {
      const message = { groupsNames: [groupId] }
      try {
        await this.#ask(groupId, DeleteGroups, message, ({ results }) => results[0].errorCode)
        outcomes.set(groupId, Errors.NONE)
      } catch (error) {
        if (!(error instanceof KafkaError)) throw error
        outcomes.set(groupId, error.code)
      }
    }
    return outcomes
  }

  /** Where logs begin and end: a look-up, nulls for what has no leader or does not exist. */
  async ranges(partitions: Partitions) {
    const starts = await peekOffsets(this.#cluster, partitions, earliestTimestamp)
    const ends = await peekOffsets(this.#cluster, partitions, latestTimestamp)
    return (topic: string, partition: number) => ({
      logStart: starts.get(topic)?.get(partition) ?? null,
      logEnd: ends.get(topic)?.get(partition) ?? null,
    })
  }

  /** The first offset from a time on, -1 when there is none, by topic and partition. */
  offsetsAt(partitions: Partitions, timestampMs: number) {
    return peekOffsets(this.#cluster, partitions, timestampMs)
  }

  /** Id of the cluster that is asked, null when it has none. */
  async clusterId(): Promise<string | null> {
    return (await this.#cluster.metadata([])).clusterId
  }

  /** Numbers of a topic's partitions. @throws KafkaError UNKNOWN_TOPIC_OR_PARTITION */
  async partitionsOf(topic: string): Promise<number[]> {
    const { partitions } = await this.#cluster.topic(topic, { refresh: true })
    return partitions.map(({ index }) => index)
  }

  /** Asks the group's coordinator; what can be tried again is, for some seconds. */
  async #ask<Req, Res>(
    groupId: string,
    schema: ApiSchema<Req, Res>,
    message: Req,
    codeOf: (answer: Res) => number,
  ): Promise<{ answer: Res; coordinator: GroupBroker }> {
    return await this.#cluster.retrying(async () => {
      const coordinator = await this.#coordinator(groupId)
      const connection = await this.#cluster.connection(coordinator.nodeId)
      const answer = await connection.request(schema, message)
      const code = codeOf(answer)
      if (code !== Errors.NONE) {
        throw new KafkaError(code, `group ${groupId}: ${meanings.get(code) ?? errorName(code)}`)
      }
      return { answer, coordinator }
    })
  }

  async #coordinator(groupId: string): Promise<GroupBroker> {
    // So that the node it names has an address.
    await this.#cluster.metadata([])
    const connection = await this.#cluster.connection()
    const answer = await connection.request(FindCoordinator, {
      key: groupId,
      keyType: groupKeyType,
      coordinatorKeys: [groupId],
    })
    // One key up to version 3, several from 4 on.
    const { errorCode, errorMessage, nodeId, host, port } = answer.coordinators[0] ?? answer
    if (errorCode === Errors.NONE) return { nodeId, host, port }
    const why = errorMessage || errorName(errorCode)
    throw new KafkaError(errorCode, `group ${groupId} has no coordinator: ${why}`)
  }
}

function assignmentOf(bytes: Uint8Array): ReadonlyMap<string, readonly number[]> | null {
  try {
    return decodeAssignment(bytes)
  } catch (error) {
    if (error instanceof KafkaError) return null
    throw error
  }
}

/** What is the same for all rows, so that it can be tried again; a single row's is for the caller. */
function codeOfCommit({ topics }: ResponseOf<typeof OffsetCommit>): number {
  const rows = topics.flatMap(({ partitions }) => partitions)
  const code = rows[0]?.errorCode ?? Errors.NONE
  const isTemporary = temporary.has(code) && rows.every(({ errorCode }) => errorCode === code)
  return isTemporary ? code : Errors.NONE
}

/** What a refusal means to whoever asked. */
const meanings: ReadonlyMap<number, string> = new Map([
  [Errors.COORDINATOR_LOAD_IN_PROGRESS, 'the broker is still reading its groups, try again'],
  [Errors.COORDINATOR_NOT_AVAILABLE, 'the broker could not write in time, or stops: try again'],
  [
    Errors.NOT_COORDINATOR,
    'the broker cannot read what it keeps of this group: GET /readyz of it says why',
  ],
  [Errors.INVALID_GROUP_ID, 'a group id has 1 to 255 bytes'],
])

const temporary: ReadonlySet<number> = new Set<number>([
  Errors.COORDINATOR_LOAD_IN_PROGRESS,
  Errors.COORDINATOR_NOT_AVAILABLE,
  Errors.NOT_COORDINATOR,
])

function codeOfFetch(answer: ResponseOf<typeof OffsetFetch>): number {
  return answer.groups[0]?.errorCode ?? answer.errorCode
}

function toCommitRow({ partition, offset }: OffsetToCommit) {
  return {
    partitionIndex: partition,
    committedOffset: offset,
    committedLeaderEpoch: -1,
    commitTimestamp: -1,
    committedMetadata: '',
  }
}

function sorted(partitions: Partitions): { topic: string; partition: number }[] {
  return [...partitions]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([topic, numbers]) =>
      [...numbers].sort((a, b) => a - b).map(partition => ({ topic, partition })),
    )
}
