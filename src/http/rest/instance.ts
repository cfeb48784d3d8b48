/**
 * A consumer instance: what the client wants to read, which partitions it holds for that, and how far it is. The
 * records are read by poll.ts, the group is kept up by membership.ts. Dispatcher thread.
 *
 *   nothing ── subscribe ──▶ subscribed (a member of the group, partitions by its assignment)
 *      ▲ └──── assign ─────▶ assigned   (partitions as given, no member)
 *      └────── unsubscribe ◀──┘
 *
 * Every change of what is held starts a new epoch: a call for records that began in the old one gives out none of them.
 */
import type { Assignment } from '../../client/group-protocol.ts'
import type { Clock } from '../../contracts/clock.ts'
import type { Caller, MemberRef } from '../../groups/calls.ts'
import { Errors } from '../../protocol/errors.ts'
import type { CommitRow, CommittedRow, GroupBackend } from '../backend/group-backend.ts'
import type { LogBackend } from '../backend/log-backend.ts'
import { echoed, type HttpProblem } from '../problem.ts'
import { type Held, HeldPartitions } from './held-partitions.ts'
import { Membership } from './membership.ts'
import type { EmbeddedFormat } from './record-text.ts'
import { groupProblem, RestCode, restProblem } from './rest-problem.ts'
import { Signal } from './signal.ts'
import type { TopicPattern } from './topic-pattern.ts'

export interface InstanceOptions {
  readonly format: EmbeddedFormat
  readonly autoOffsetReset: 'earliest' | 'latest' | 'none'
  readonly autoCommit: boolean
  readonly requestTimeoutMs: number
  readonly fetchMinBytes: number
}

export interface InstanceContext {
  readonly backend: LogBackend
  readonly groups: GroupBackend
  readonly clock: Clock
  readonly sessionTimeoutMs: number
  readonly heartbeatMs: number
  readonly warn: (message: string) => void
}

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

type Wanted =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'topics'; readonly topics: readonly string[] }
  | { readonly kind: 'pattern'; readonly pattern: TopicPattern }
  | { readonly kind: 'partitions' }

const nothing: Wanted = { kind: 'nothing' }
const rebalanceTimeoutMs = 60_000
/** From a commit of its own to the next, as Kafka's auto.commit.interval.ms. */
const autoCommitMs = 5000
/** How long calls other than that for records wait for a rebalance. */
const settleMsMax = 10_000

export class ConsumerInstance {
  readonly group: string
  readonly id: string
  readonly options: InstanceOptions
  readonly context: InstanceContext
  readonly held = new HeldPartitions()
  /** Fires at every new epoch, and at the end. */
  readonly changed = new Signal()
  readonly #caller: Caller
  #wanted: Wanted = nothing
  #membership: Membership | null = null
  #epoch = 0
  #turn = 0
  #isEnded = false
  #autoCommittedMs: number
  #autoCommit: Promise<void> | null = null

  constructor(
    name: { readonly group: string; readonly id: string },
    options: InstanceOptions,
    caller: Caller,
    context: InstanceContext,
  ) {
    this.group = name.group
    this.id = name.id
    this.options = options
    this.context = context
    this.#caller = caller
    this.#autoCommittedMs = context.clock.monotonicMs()
  }

  get epoch(): number {
    return this.#epoch
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  get isWaitingForNothing(): boolean {
    return this.#wanted.kind === 'nothing'
  }

  /** What is wanted is held, as far as it can be. */
  get isSettled(): boolean {
    return this.#membership === null || this.#membership.isSettled
  }

  /** Why the group cannot be joined; NONE while it may just take a moment. */
  get groupFailure(): number {
    const membership = this.#membership
    return membership?.state === 'failing' ? membership.failure : Errors.NONE
  }

  get topics(): readonly string[] {
    const wanted = this.#wanted
    if (wanted.kind === 'topics') return wanted.topics
    if (wanted.kind === 'pattern') return wanted.pattern.matches
    return []
  }

  /** @throws HttpProblem 40903 after `assign` */
  subscribe(wanted: readonly string[] | TopicPattern): void {
    this.#refuseEnded()
    if (this.#wanted.kind === 'partitions') throw this.#exclusive('assigned partitions')
    this.#wanted = Array.isArray(wanted)
      ? { kind: 'topics', topics: wanted as readonly string[] }
      : { kind: 'pattern', pattern: wanted as TopicPattern }
    this.#membership ??= this.#newMembership()
    this.#membership.rejoin('a consumer instance subscribed')
  }

  /** @throws HttpProblem 40903 after `subscribe` */
  async assign(partitions: readonly TopicPartition[]): Promise<void> {
    this.#refuseEnded()
    if (this.#membership !== null) throw this.#exclusive('subscribed to topics')
    const byTopic = Map.groupBy(partitions, ({ topic }) => topic)
    const assignment = new Map(
      Array.from(byTopic, ([topic, rows]) => [topic, [...new Set(rows.map(row => row.partition))]]),
    )
    await this.#commitAcked(this.#simpleRef)
    this.#wanted = partitions.length === 0 ? nothing : { kind: 'partitions' }
    this.held.replace(assignment, true)
    this.#newEpoch()
    await this.place()
  }

  /** Ends a subscription or an assignment; without one it does nothing. */
  async unsubscribe(reason = 'a consumer instance unsubscribed'): Promise<void> {
    const membership = this.#membership
    this.#membership = null
    this.#wanted = nothing
    if (membership !== null) await membership.close(reason)
    else await this.#commitAcked(this.#simpleRef)
    this.held.clear()
    this.#newEpoch()
  }

  /**
   * Commits what is done with, leaves, and answers whoever waits.
   * @param isDone all that was given out counts as done
   */
  async end(isDone: boolean): Promise<void> {
    if (this.#isEnded) return
    this.#isEnded = true
    if (isDone) this.held.acknowledge()
    this.changed.fire()
    await this.unsubscribe('a consumer instance ended')
  }

  /** Waits for the group, as long as a call may. */
  async settle(waitMs: number): Promise<void> {
    const { clock } = this.context
    const dueMs = clock.monotonicMs() + waitMs
    while (!this.isSettled && !this.#isEnded) {
      const leftMs = dueMs - clock.monotonicMs()
      if (leftMs <= 0) return
      await this.changed.wait(leftMs, clock)
    }
  }

  /** @throws HttpProblem when the group cannot be joined now */
  async settled(): Promise<void> {
    await this.settle(settleMsMax)
    if (this.isSettled) return
    const failure = this.groupFailure
    throw groupProblem(failure === Errors.NONE ? Errors.REBALANCE_IN_PROGRESS : failure, this.group)
  }

  /** @throws HttpProblem 40903 for a partition that is not held */
  async seek(rows: readonly (TopicPartition & { readonly offset: number })[]): Promise<void> {
    await this.settled()
    const held = rows.map(row => this.#heldOf(row))
    for (const [index, one] of held.entries()) {
      one.position = rows[index].offset
      one.acked = rows[index].offset
    }
    this.#newEpoch()
  }

  /** Goes to the beginning or the end of partitions, those it has now. */
  async seekTo(where: 'beginning' | 'end', partitions: readonly TopicPartition[]): Promise<void> {
    const { backend } = this.context
    const rows = partitions.map(({ topic, partition }) => {
      const offsets = backend.offsets(topic, partition)
      if (offsets === null) throw this.#unavailable({ topic, partition })
      const { logStart, highWatermark } = offsets
      return { topic, partition, offset: where === 'end' ? highWatermark : logStart }
    })
    await this.seek(rows)
  }

  /**
   * Commits offsets: those given, or how far records were given out.
   * @throws HttpProblem what the group has against it
   */
  async commit(given: readonly CommitRow[] | null): Promise<void> {
    await this.settled()
    const membership = this.#membership
    if (given !== null && membership !== null) for (const row of given) this.#heldOf(row)
    const rows = given ?? this.held.positionRows()
    if (rows.length === 0) return
    const ref = membership?.ref ?? this.#simpleRef
    const code = await this.context.groups.commit(ref, rows)
    if (code !== Errors.NONE) throw groupProblem(code, this.group)
    this.held.committed(rows)
  }

  /** @throws HttpProblem when it cannot be told now */
  async committed({ topic, partition }: TopicPartition): Promise<CommittedRow | null> {
    const { errorCode, row } = await this.context.groups.committed(this.group, topic, partition)
    if (errorCode !== Errors.NONE) throw groupProblem(errorCode, this.group)
    return row
  }

  /** The client asks for more: what it was given is done with, and committed now and then. */
  acknowledge(): void {
    this.#membership?.look()
    this.held.acknowledge()
    const nowMs = this.context.clock.monotonicMs()
    if (nowMs - this.#autoCommittedMs < autoCommitMs || this.#autoCommit !== null) return
    if (!this.isSettled) return
    this.#autoCommittedMs = nowMs
    const commit = this.#commitAcked(this.#membership?.ref ?? this.#simpleRef)
    this.#autoCommit = commit.finally(() => {
      this.#autoCommit = null
    })
  }

  /** What is held, a different one first each time: a full partition must not starve the others. */
  inTurn(): Held[] {
    const held = [...this.held.values()]
    const first = this.#turn++ % Math.max(1, held.length)
    return [...held.slice(first), ...held.slice(0, first)]
  }

  /**
   * Finds out where partitions begin whose position is not known yet.
   * @returns NONE, or why what the group committed cannot be told now
   */
  async place(): Promise<number> {
    let code: number = Errors.NONE
    for (const held of this.held.values()) if (held.position < 0) code ||= await this.#place(held)
    return code
  }

  /** Where to go on in a partition without a position, or with one that is gone. */
  reset({ topic, partition }: TopicPartition): number {
    const offsets = this.context.backend.offsets(topic, partition)
    if (offsets === null) return -1
    const { autoOffsetReset } = this.options
    if (autoOffsetReset === 'none') {
      const where = `${topic}-${partition}`
      const why = `there is no position in ${where}, and auto.offset.reset is none`
      throw restProblem(RestCode.illegalState, `${why}: give one with POST …/positions`)
    }
    return autoOffsetReset === 'latest' ? offsets.highWatermark : offsets.logStart
  }

  async #place(held: Held): Promise<number> {
    const { topic, partition } = held
    const { errorCode, row } = await this.context.groups.committed(this.group, topic, partition)
    if (errorCode !== Errors.NONE || held.position >= 0) return errorCode
    if (row !== null) held.committed = row.offset
    else if (this.options.autoOffsetReset === 'none') return Errors.NONE
    held.position = row?.offset ?? this.reset(held)
    held.acked = held.position
    return Errors.NONE
  }

  #newMembership(): Membership {
    const { backend, groups, sessionTimeoutMs, heartbeatMs } = this.context
    const terms = { groupId: this.group, caller: this.#caller, sessionTimeoutMs, heartbeatMs }
    const membership: Membership = new Membership(
      groups,
      { ...terms, rebalanceTimeoutMs },
      {
        topics: () => this.topics,
        partitionCount: topic => backend.topic(topic)?.partitionCount ?? 0,
        release: async ref => {
          await this.#commitAcked(ref)
          this.#newEpoch()
        },
        lose: () => {
          this.held.clear()
          this.#newEpoch()
        },
        take: (assignment, isNext) => this.#take(assignment, isNext),
        onState: () => this.changed.fire(),
      },
    )
    return membership
  }

  #take(assignment: Assignment, isNext: boolean): void {
    this.held.replace(assignment, isNext)
    this.#newEpoch()
    this.place().catch((error: unknown) => this.context.warn((error as Error).message))
  }

  async #commitAcked(ref: MemberRef): Promise<void> {
    const rows = this.options.autoCommit ? this.held.ackedRows() : []
    if (rows.length === 0) return
    const code = await this.context.groups.commit(ref, rows)
    if (code === Errors.NONE) return this.held.committed(rows)
    // What is not committed is read again by whoever gets the partitions next: late, not lost.
    const { statusCode, message } = groupProblem(code, this.group)
    if (statusCode >= 500) this.context.warn(message)
  }

  /** Of who commits without being a member: the group takes that while it has no members. */
  get #simpleRef(): MemberRef {
    return { groupId: this.group, memberId: '', groupInstanceId: null, generation: -1 }
  }

  #newEpoch(): void {
    this.#epoch++
    this.changed.fire()
  }

  #heldOf({ topic, partition }: TopicPartition): Held {
    const held = this.held.get(topic, partition)
    if (held !== undefined) return held
    const what = `${echoed(topic)} partition ${partition} is not assigned to this instance`
    throw restProblem(RestCode.illegalState, `${what}; GET …/assignments tells what is`)
  }

  #refuseEnded(): void {
    if (this.#isEnded) throw endedProblem(this)
  }

  #exclusive(what: string): Error {
    const message = `this instance has ${what}: topics, a pattern and partitions exclude each other`
    return restProblem(RestCode.illegalState, `${message}; DELETE …/subscription ends it`)
  }

  #unavailable({ topic, partition }: TopicPartition): Error {
    const message = `${topic}-${partition} is not open now; /readyz says why`
    return restProblem(RestCode.unavailable, message)
  }
}

/** The instance went while the call was under way. */
export function endedProblem({ group, id }: ConsumerInstance): HttpProblem {
  const what = `instance ${echoed(id)} of group ${echoed(group)} was just ended`
  return restProblem(RestCode.instanceNotFound, what)
}
