/**
 * The broker that keeps a group, seen from one of its members: found by the group id, asked over a connection of its
 * own, because a join waits for others and holds up everything behind it. When it moves or the connection is lost the
 * next call looks for it again.
 */
import { Errors, errorName, isRetriable, KafkaError } from '../protocol/errors.ts'
import { FindCoordinator } from '../protocol/messages/find-coordinator.ts'
import { OffsetCommit } from '../protocol/messages/offset-commit.ts'
import { OffsetFetch } from '../protocol/messages/offset-fetch.ts'
import type { ApiSchema, ResponseOf } from '../protocol/schema.ts'
import type { Cluster } from './cluster.ts'
import { Connection } from './connection.ts'
import type { PartitionOffset } from './group-options.ts'

/** Who sends a request: members are fenced by all three. */
export interface MemberRef {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly generation: number
}

const groupKeyType = 0
/** The coordinator is elsewhere, or about to be. */
const movedCodes: ReadonlySet<number> = new Set<number>([
  Errors.NOT_COORDINATOR,
  Errors.COORDINATOR_NOT_AVAILABLE,
])

export class GroupCoordinator {
  readonly groupId: string
  readonly #cluster: Cluster
  #connection: Promise<Connection> | null = null

  constructor(cluster: Cluster, groupId: string) {
    this.#cluster = cluster
    this.groupId = groupId
  }

  /**
   * One request, one answer, one try.
   * @param codeOf where the answer says that the coordinator is elsewhere
   * @throws KafkaError retriable when nobody answers
   */
  async call<Req, Res>(
    schema: ApiSchema<Req, Res>,
    message: Req,
    codeOf: (answer: Res) => number,
    timeoutMs?: number,
  ): Promise<Res> {
    const connection = await this.connection()
    const answer = await connection.request(schema, message, { timeoutMs })
    if (movedCodes.has(codeOf(answer))) this.forget()
    return answer
  }

  /** Closes the connection; a call that waits on it fails at once. */
  forget(): void {
    const connection = this.#connection
    this.#connection = null
    connection?.then(
      opened => opened.close(),
      () => undefined,
    )
  }

  async connection(): Promise<Connection> {
    const present = this.#connection
    if (present !== null) {
      const connection = await present
      if (!connection.isClosed) return connection
      if (this.#connection === present) this.#connection = null
      return this.connection()
    }
    const opening = this.#open()
    this.#connection = opening
    try {
      return await opening
    } catch (error) {
      if (this.#connection === opening) this.#connection = null
      throw error
    }
  }

  /** @throws KafkaError the first row that was refused; nothing is known of the others then */
  async commit(ref: MemberRef, offsets: readonly PartitionOffset[]): Promise<void> {
    const topics = Array.from(
      Map.groupBy(offsets, ({ topic }) => topic),
      ([name, rows]) => ({
        name,
        partitions: rows.map(row => ({
          partitionIndex: row.partition,
          committedOffset: row.offset,
          committedLeaderEpoch: -1,
          commitTimestamp: -1,
          committedMetadata: row.metadata ?? '',
        })),
      }),
    )
    const { memberId, groupInstanceId, generation } = ref
    const { groupId } = this
    const answer = await this.call(
      OffsetCommit,
      {
        groupId,
        generationIdOrMemberEpoch: generation,
        memberId,
        groupInstanceId,
        retentionTimeMs: -1,
        topics,
      },
      codeOfCommit,
    )
    for (const { name, partitions } of answer.topics) {
      const failed = partitions.find(row => row.errorCode !== Errors.NONE)
      if (failed === undefined) continue
      throw groupError(
        failed.errorCode,
        groupId,
        `commit of ${name}-${failed.partitionIndex} refused`,
      )
    }
  }

  /** The committed offsets of a topic's partitions; those without one are not in it. */
  async committed(topic: string, partitions: readonly number[]): Promise<Map<number, number>> {
    const { groupId } = this
    const topics = [{ name: topic, partitionIndexes: [...partitions] }]
    const answer = await this.call(
      OffsetFetch,
      {
        groupId,
        topics,
        groups: [{ groupId, memberId: null, memberEpoch: -1, topics }],
        requireStable: false,
      },
      codeOfFetch,
    )
    const code = codeOfFetch(answer)
    if (code !== Errors.NONE) throw groupError(code, groupId, 'no committed offsets')
    const offsets = new Map<number, number>()
    // One group up to version 7, several from 8 on.
    for (const { partitions: rows } of answer.groups[0]?.topics ?? answer.topics) {
      for (const { partitionIndex, committedOffset, errorCode } of rows) {
        if (errorCode !== Errors.NONE) {
          throw groupError(errorCode, groupId, `no committed offset of ${topic}-${partitionIndex}`)
        }
        if (committedOffset >= 0) offsets.set(partitionIndex, committedOffset)
      }
    }
    return offsets
  }

  async #open(): Promise<Connection> {
    const connection = await this.#cluster.connection()
    const answer = await connection.request(FindCoordinator, {
      key: this.groupId,
      keyType: groupKeyType,
      coordinatorKeys: [this.groupId],
    })
    const found = answer.coordinators[0] ?? answer
    if (found.errorCode !== Errors.NONE) {
      throw groupError(found.errorCode, this.groupId, found.errorMessage ?? 'no coordinator')
    }
    return Connection.open({ host: found.host, port: found.port }, this.#cluster.options)
  }
}

function codeOfCommit(answer: ResponseOf<typeof OffsetCommit>): number {
  for (const { partitions } of answer.topics) {
    const failed = partitions.find(({ errorCode }) => movedCodes.has(errorCode))
    if (failed !== undefined) return failed.errorCode
  }
  return Errors.NONE
}

function codeOfFetch(answer: ResponseOf<typeof OffsetFetch>): number {
  return answer.groups[0]?.errorCode ?? answer.errorCode
}

/** What a refusal means to whoever runs the consumer. */
const meanings: ReadonlyMap<number, string> = new Map([
  [
    Errors.ILLEGAL_GENERATION,
    'the partitions were shared out anew meanwhile, what was not committed is read again by their owner',
  ],
  [
    Errors.UNKNOWN_MEMBER_ID,
    'the group has dropped this consumer (not heard of in time, or removed), what it has not committed is read again',
  ],
  [
    Errors.FENCED_INSTANCE_ID,
    'another consumer was started with the same groupInstanceId and has taken over',
  ],
  [Errors.REBALANCE_IN_PROGRESS, 'the group is sharing out its partitions anew'],
  [
    Errors.INCONSISTENT_GROUP_PROTOCOL,
    'its members assign partitions in none of the ways that this consumer knows (stream-range, range)',
  ],
  [Errors.GROUP_MAX_SIZE_REACHED, 'it is full (setting group.max.size of the broker)'],
  [
    Errors.INVALID_SESSION_TIMEOUT,
    'sessionTimeoutMs is outside of what the broker allows (group.min.session.timeout.ms and group.max...)',
  ],
  [Errors.INVALID_GROUP_ID, 'not a group id'],
])

export function groupError(code: number, groupId: string, what: string): KafkaError {
  const meaning = meanings.get(code) ?? errorName(code)
  return new KafkaError(code, `group ${groupId}: ${what}: ${meaning}`)
}

/** Whether it may pass by itself; a rebalance counts, for the group does. */
export function mayPass(error: unknown): error is KafkaError {
  return error instanceof KafkaError && isRetriable(error.code)
}
