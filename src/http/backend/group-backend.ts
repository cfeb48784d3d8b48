/**
 * Consumer groups as the consumer instances of HTTP see them: one member's calls, and committed offsets. Plain values
 * in, plain values out, all of it asynchronous, so that the groups may live elsewhere. Today it is this broker's own
 * coordinator, called as any member's requests call it. Dispatcher thread.
 *
 *   consumer instance ──▶ GroupBackend ──▶ LocalGroupBackend ──▶ GroupCoordinator, CommittedOffsets
 *                                     └─▶ (a cluster, over src/client)
 */
import type {
  Abandon,
  Caller,
  JoinAnswer,
  JoinRequest,
  MemberRef,
  SyncAnswer,
  SyncRequest,
} from '../../groups/calls.ts'
import type { CommittedOffsets } from '../../groups/committed-offsets.ts'
import type { GroupCoordinator } from '../../groups/coordinator.ts'
import { joinError, syncError } from '../../groups/group.ts'
import { isIdTooLong } from '../../groups/ids.ts'
import { Errors } from '../../protocol/errors.ts'

export type JoinCall = Omit<JoinRequest, 'knowsMemberIdRequired' | 'knowsSkipAssignment'>

/** Where a group stands in a partition: `offset` is the next one it will read. */
export interface CommitRow {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly metadata: string
}

export interface CommittedRow {
  readonly offset: number
  readonly metadata: string
}

export interface GroupBackend {
  /** Longest group id and instance name, in bytes. */
  readonly idBytesMax: number
  /** Longest text beside a committed offset, in UTF-16 units. */
  readonly metadataLengthMax: number
  /** Joins, once; waits for the others. Aborted: the place in the group is kept until `leave` or the session's end. */
  join(call: JoinCall, caller: Caller, signal: AbortSignal): Promise<JoinAnswer>
  /** Waits for the leader's assignment. */
  sync(call: SyncRequest, signal: AbortSignal): Promise<SyncAnswer>
  /** @returns a code of `Errors` */
  heartbeat(ref: MemberRef): Promise<number>
  leave(ref: MemberRef, reason: string): Promise<number>
  /** All rows or none. @returns NONE when they are durable */
  commit(ref: MemberRef, rows: readonly CommitRow[]): Promise<number>
  /** What is committed and durable; null: nothing. A code of `Errors` when that cannot be told now. */
  committed(
    groupId: string,
    topic: string,
    partition: number,
  ): Promise<{ readonly errorCode: number; readonly row: CommittedRow | null }>
}

export interface LocalGroupBackendOptions {
  readonly groups: GroupCoordinator
  readonly committed: CommittedOffsets
  readonly limits: { readonly idBytesMax: number; readonly offsetMetadataLengthMax: number }
  /** Milliseconds since 1970. */
  readonly wallMs: () => number
}

export class LocalGroupBackend implements GroupBackend {
  readonly idBytesMax: number
  readonly metadataLengthMax: number
  readonly #options: LocalGroupBackendOptions

  constructor(options: LocalGroupBackendOptions) {
    this.#options = options
    this.idBytesMax = options.limits.idBytesMax
    this.metadataLengthMax = options.limits.offsetMetadataLengthMax
  }

  join(call: JoinCall, caller: Caller, signal: AbortSignal): Promise<JoinAnswer> {
    const request = { ...call, knowsMemberIdRequired: true, knowsSkipAssignment: false }
    return parked(
      answer => this.#options.groups.join(request, caller, answer),
      signal,
      joinError(Errors.REQUEST_TIMED_OUT, call.memberId),
    )
  }

  sync(call: SyncRequest, signal: AbortSignal): Promise<SyncAnswer> {
    return parked(
      answer => this.#options.groups.sync(call, answer),
      signal,
      syncError(Errors.REQUEST_TIMED_OUT),
    )
  }

  async heartbeat(ref: MemberRef): Promise<number> {
    return this.#options.groups.heartbeat(ref)
  }

  async leave(ref: MemberRef, reason: string): Promise<number> {
    const { groupId, memberId, groupInstanceId } = ref
    const row = { memberId, groupInstanceId, reason }
    const { errorCode, rows } = this.#options.groups.leave(groupId, [row])
    return errorCode === Errors.NONE ? (rows[0] ?? Errors.NONE) : errorCode
  }

  async commit(ref: MemberRef, rows: readonly CommitRow[]): Promise<number> {
    const { committed, wallMs } = this.#options
    if (isIdTooLong(ref.groupId, this.idBytesMax)) return Errors.INVALID_GROUP_ID
    const commitTimestampMs = wallMs()
    return await committed.commit(
      { ...ref, knowsGroupIdNotFound: false },
      rows.map(({ topic, partition, offset, metadata }) => ({
        topic,
        partition,
        offset: { offset, metadata, leaderEpoch: -1, commitTimestampMs, expireTimestampMs: -1 },
      })),
    )
  }

  async committed(groupId: string, topic: string, partition: number) {
    const { committed } = this.#options
    const errorCode = committed.availability(groupId)
    const row = committed.get(groupId, topic, partition)
    return { errorCode, row: row === undefined || errorCode !== Errors.NONE ? null : row }
  }
}

/** A call that may wait in its group, as a promise. @param gone what it resolves to when nobody wants the answer */
function parked<T>(
  call: (answer: (answer: T) => void) => Abandon | null,
  signal: AbortSignal,
  gone: T,
): Promise<T> {
  const { promise, resolve } = Promise.withResolvers<T>()
  if (signal.aborted) {
    resolve(gone)
    return promise
  }
  let abandon: Abandon | null = null
  const onAbort = (): void => {
    abandon?.()
    resolve(gone)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  abandon = call(resolve)
  return promise.finally(() => signal.removeEventListener('abort', onAbort))
}
