/**
 * One member of a group: joins, stays, joins again when the group shares out its partitions anew, and leaves.
 *
 *   join ── SyncGroup ──▶ take ── heartbeats ── rebalance, new streams, lost ──▶ release ──▶ join ...
 *    ▲   (the leader assigns)                                                   (or lose)
 *    └── coordinator away: back off, look for it again
 *
 * What is read and committed is the business of the hooks; this only knows what the member was given and whether it
 * may keep it. Requests of the protocol are in group-membership.ts.
 */
import { Errors, KafkaError } from '../protocol/errors.ts'
import type { Cluster } from './cluster.ts'
import { type GroupCoordinator, type MemberRef, mayPass } from './group-coordinator.ts'
import { GroupMembership } from './group-membership.ts'
import type { GroupTerms } from './group-options.ts'
import type { Assignment, Subscription } from './group-protocol.ts'
import { Heartbeats } from './heartbeats.ts'
import { PartitionWatch } from './partition-watch.ts'
import { Pause } from './pause.ts'

export interface MemberHooks {
  /** What to ask for now. */
  subscription(): Subscription
  /** Nothing more may be handed out; what was processed is to be committed. Called before anything is given up. */
  release(why: string): Promise<void>
  /** What was held may be somebody else's already. */
  lose(why: string): void
  /**
   * What the generation gives. `isNext`: no other lies between the one that was taken last and this, so what is in both
   * was ours all the time. Resolves true when everything is set up, false when another release came first.
   */
  take(assigned: Assignment, isNext: boolean): Promise<boolean>
  /** The group is of no use any more. */
  fail(error: Error): void
  warn(message: string): void
}

interface Waiter {
  readonly version: number
  readonly outcome: PromiseWithResolvers<void>
}

const backoffMsMin = 50
const backoffMsMax = 1000

export class GroupMember {
  readonly #terms: GroupTerms
  readonly #hooks: MemberHooks
  readonly #coordinator: GroupCoordinator
  readonly #membership: GroupMembership
  readonly #watch: PartitionWatch
  readonly #backoff = new Pause()
  readonly #startMsMax: number
  /** Counts changes of what is subscribed to. */
  #version = 0
  #joinedVersion = 0
  #waiters: Waiter[] = []
  /** Generation that was last taken; -1 when it was lost. */
  #takenGeneration = -1
  /** Between SyncGroup and JoinGroup, when commits are welcome; told when it opens. */
  #isMember = false
  #opening = Promise.withResolvers<void>()
  /** Ends the stay: with a reason to rejoin, or the error that ended the membership. */
  #due: PromiseWithResolvers<string> | null = null
  /** That error, which may come when the stay is over already. */
  #lost: Error | null = null
  #rejoinWhy = 'a new member'
  #isAway = false
  #failures = 0
  /** When the first attempt to join failed; nothing is given up once one succeeded. */
  #failingSinceMs = -1
  #hasJoined = false
  #failure: Error | null = null
  #isClosing = false
  #running: Promise<void> | null = null

  constructor(
    cluster: Cluster,
    coordinator: GroupCoordinator,
    terms: GroupTerms,
    hooks: MemberHooks,
  ) {
    this.#terms = terms
    this.#hooks = hooks
    this.#coordinator = coordinator
    this.#membership = new GroupMembership(cluster, coordinator, terms)
    this.#watch = new PartitionWatch(cluster, terms.metadataRefreshMs, why => this.#rejoin(why))
    this.#startMsMax = cluster.options.retryMsMax ?? 60_000
    this.#opening.promise.catch(() => undefined)
  }

  get generation(): number {
    return this.#membership.generation
  }

  /**
   * What is subscribed to has changed: joins, or joins again. Resolves when an assignment that knows of it was taken.
   * @throws KafkaError when the group cannot be joined
   */
  resubscribe(why: string): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    const outcome = Promise.withResolvers<void>()
    this.#waiters.push({ version: ++this.#version, outcome })
    if (this.#running === null) this.#running = this.#run()
    else this.#rejoin(why)
    return outcome.promise
  }

  /** Who commits; waits while the group is being joined. @throws KafkaError when there is no group any more */
  async ready(): Promise<MemberRef> {
    while (!this.#isMember) await this.#opening.promise
    return this.#membership.ref
  }

  /** A commit was refused: if this is still the member that sent it, it has to join again. */
  refused(ref: MemberRef, error: KafkaError): void {
    const { memberId, generation } = this.#membership.ref
    if (ref.memberId === memberId && ref.generation === generation) this.#onRefused(error)
  }

  /** Releases, leaves (static members do not), and ends. */
  async close(): Promise<void> {
    if (this.#isClosing) return this.#running ?? undefined
    this.#isClosing = true
    const closed = new KafkaError(Errors.BROKER_NOT_AVAILABLE, 'the consumer is closed')
    this.#due?.resolve('close')
    this.#backoff.end()
    if (!this.#isMember) {
      // A join may be parked at the broker for minutes.
      this.#coordinator.forget()
      this.#opening.reject(closed)
    }
    await this.#running
    this.#opening.reject(closed)
    for (const { outcome } of this.#waiters) outcome.reject(closed)
    this.#waiters = []
    this.#watch.stop()
    this.#coordinator.forget()
  }

  async #run(): Promise<void> {
    while (!this.#isClosing && this.#failure === null) {
      try {
        if (this.#hooks.subscription().size === 0) await this.#sitOut()
        else await this.#joinAndStay()
      } catch (error) {
        await this.#recover(error)
      }
    }
    if (this.#failure === null) await this.#membership.leave('the consumer was closed')
  }

  /** Without streams it does not take part, until there are some again. */
  async #sitOut(): Promise<void> {
    this.#joinedVersion = this.#version
    this.#takenGeneration = -1
    await this.#membership.leave('all its streams were closed')
    this.#settle(this.#joinedVersion)
    const message = `${this.#name}: commit refused: all streams were closed, the group was left`
    this.#opening.reject(new KafkaError(Errors.UNKNOWN_MEMBER_ID, message))
    await this.#stay().promise
    this.#due = null
    this.#shut()
  }

  async #joinAndStay(): Promise<void> {
    this.#joinedVersion = this.#version
    this.#lost = null
    const joined = await this.#membership.join(this.#hooks.subscription(), this.#rejoinWhy)
    const assigned = await this.#membership.sync(joined)
    this.#isAway = false
    this.#failures = 0
    this.#hasJoined = true
    const { generation } = joined
    const isNext = generation === this.#takenGeneration + 1 || generation === this.#takenGeneration
    this.#takenGeneration = generation
    const heartbeats = this.#startHeartbeats()
    this.#open()
    try {
      const due = this.#stay()
      void this.#take(assigned, isNext, this.#joinedVersion)
      this.#watch.start(joined.partitions)
      const why = await due.promise
      await this.#hooks.release(why)
      if (this.#lost !== null) throw this.#lost
    } finally {
      this.#due = null
      this.#watch.stop()
      heartbeats.stop()
      this.#shut()
    }
  }

  /** From here on `#rejoin` and refusals are heard; what came while joining is heard at once. */
  #stay(): PromiseWithResolvers<string> {
    const due = Promise.withResolvers<string>()
    due.promise.catch(() => undefined)
    this.#due = due
    if (this.#isClosing) due.resolve('close')
    else if (this.#version > this.#joinedVersion) due.resolve('the streams have changed')
    return due
  }

  async #take(assigned: Assignment, isNext: boolean, version: number): Promise<void> {
    try {
      if (await this.#hooks.take(assigned, isNext)) this.#settle(version)
    } catch (error) {
      this.#onRefused(error as Error)
    }
  }

  #settle(version: number): void {
    for (const waiter of this.#waiters) if (waiter.version <= version) waiter.outcome.resolve()
    this.#waiters = this.#waiters.filter(waiter => waiter.version > version)
  }

  #rejoin(why: string): void {
    this.#rejoinWhy = why
    this.#due?.resolve(why)
  }

  /** A rebalance, or an end of the membership that may come in the middle of a release. */
  #onRefused(error: Error): void {
    if (error instanceof KafkaError && error.code === Errors.REBALANCE_IN_PROGRESS) {
      this.#rejoin('members came or went')
      return
    }
    this.#lost = error
    this.#due?.reject(error)
  }

  #startHeartbeats(): Heartbeats {
    return new Heartbeats({
      intervalMs: this.#terms.heartbeatMs,
      beat: async () => {
        await this.#membership.heartbeat()
        this.#isAway = false
      },
      onRefused: error => this.#onRefused(error),
      onAway: error => this.#warnAway(error),
    })
  }

  #warnAway(error: Error): void {
    if (!this.#isAway) this.#hooks.warn(`${this.#name}: ${error.message}: trying again`)
    this.#isAway = true
  }

  async #recover(error: unknown): Promise<void> {
    if (this.#isClosing) return
    const code = error instanceof KafkaError ? error.code : Errors.UNKNOWN_SERVER_ERROR
    if (code === Errors.REBALANCE_IN_PROGRESS) return
    const isDropped = code === Errors.UNKNOWN_MEMBER_ID
    if (isDropped || code === Errors.ILLEGAL_GENERATION) {
      if (isDropped) this.#membership.forget()
      const wasMember = this.#takenGeneration >= 0
      this.#takenGeneration = -1
      if (wasMember) this.#hooks.lose((error as Error).message)
      return this.#backoff.wait(backoffMsMin)
    }
    if (!mayPass(error) || this.#isHopeless()) return this.#fail(error as Error)
    this.#warnAway(error)
    await this.#backoff.wait(Math.min(backoffMsMin * 2 ** this.#failures++, backoffMsMax))
  }

  #isHopeless(): boolean {
    if (this.#failingSinceMs < 0) this.#failingSinceMs = performance.now()
    const failingMs = performance.now() - this.#failingSinceMs
    return !this.#hasJoined && failingMs > this.#startMsMax
  }

  #fail(error: Error): void {
    this.#failure = error
    this.#coordinator.forget()
    this.#opening.reject(error)
    this.#hooks.fail(error)
    for (const { outcome } of this.#waiters) outcome.reject(error)
    this.#waiters = []
  }

  #open(): void {
    this.#isMember = true
    this.#opening.resolve()
  }

  #shut(): void {
    this.#isMember = false
    this.#opening = Promise.withResolvers<void>()
    this.#opening.promise.catch(() => undefined)
  }

  get #name(): string {
    return `group ${this.#terms.groupId}`
  }
}
