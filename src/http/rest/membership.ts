/**
 * One consumer instance as a member of its group, in the background for as long as the instance lives: it joins, says
 * that it lives, joins again when the group shares out its partitions anew or other topics are wanted, and leaves.
 * Dispatcher thread. What is read and committed is the business of the hooks.
 *
 *   join ── sync ──▶ take ── heartbeats ── rebalance, other topics, lost ──▶ release ──▶ join ...
 *    ▲   (the leader assigns)                                               (or lose)
 *    └── refused: `failure` says why, tried again after a moment
 */
import { type Assignment, decodeAssignment, topicsOf } from '../../client/group-protocol.ts'
import { Pause } from '../../client/pause.ts'
import type { Caller, JoinAnswer, MemberProtocol, MemberRef } from '../../groups/calls.ts'
import { Errors, isRetriable, KafkaError } from '../../protocol/errors.ts'
import type { GroupBackend } from '../backend/group-backend.ts'
import { assignmentsFor, protocolsFor } from './assignors.ts'

export interface MembershipTerms {
  readonly groupId: string
  readonly caller: Caller
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly heartbeatMs: number
}

export interface MembershipHooks {
  /** What to ask for now; the same array as long as it is the same. */
  topics(): readonly string[]
  /** Number of partitions of a topic; 0 when it does not exist. */
  partitionCount(topic: string): number
  /** Everything held may go to others: what is done with is committed here. */
  release(ref: MemberRef): Promise<void>
  /** What was held may be somebody else's already. */
  lose(): void
  /** @param isNext no generation lies between the one taken last and this: what is in both was ours all the time */
  take(assignment: Assignment, isNext: boolean): void
  /** Called after every change of state. */
  onState(): void
}

export type MembershipState = 'joining' | 'member' | 'failing' | 'closed'

const protocolType = 'consumer'
const closeMsMax = 3000
const retryMsMin = 50
const retryMsMax = 1000
/** Heartbeats from one look at all topics to the next. */
const topicsLookBeats = 4

export class Membership {
  readonly #backend: GroupBackend
  readonly #terms: MembershipTerms
  readonly #hooks: MembershipHooks
  readonly #pause = new Pause()
  readonly #joining = new AbortController()
  readonly #syncing = new AbortController()
  #memberId = ''
  #generation = -1
  #takenGeneration = -1
  #state: MembershipState = 'joining'
  #failure: number = Errors.NONE
  #failures = 0
  /** Counts changes of what is wanted. */
  #version = 0
  #joinedVersion = -1
  #reason = 'a new member'
  /** Asked for in the present generation. */
  #joinedTopics: readonly string[] = []
  /** Of the leader: topic -> partitions it assigned. */
  #assigned: ReadonlyMap<string, number> | null = null
  #isClosing = false
  #running: Promise<void> | null = null

  constructor(backend: GroupBackend, terms: MembershipTerms, hooks: MembershipHooks) {
    this.#backend = backend
    this.#terms = terms
    this.#hooks = hooks
  }

  get state(): MembershipState {
    return this.#state
  }

  /** Why it is failing: a code of `Errors`. */
  get failure(): number {
    return this.#failure
  }

  get ref(): MemberRef {
    const { groupId } = this.#terms
    return {
      groupId,
      memberId: this.#memberId,
      groupInstanceId: null,
      generation: this.#generation,
    }
  }

  /** An assignment that knows of the topics wanted now is held. */
  get isSettled(): boolean {
    return this.#state === 'member' && this.#joinedVersion === this.#version
  }

  /** Other topics are wanted: joins, or joins again. */
  rejoin(reason: string): void {
    this.#version++
    this.#reason = reason
    if (this.#running === null) this.#running = this.#run()
    this.#pause.end()
  }

  /** Asks at once whether the group shares out anew, as a heartbeat would in a moment. */
  look(): void {
    this.#pause.end()
  }

  /**
   * Leaves the group. What is held is released first. That a join waits for others does not matter, for who joins is
   * still of the old generation; who waits for its assignment is of none that could commit, and gets it in a moment.
   */
  async close(reason: string): Promise<void> {
    this.#isClosing = true
    this.#reason = reason
    this.#pause.end()
    this.#joining.abort()
    const timer = setTimeout(() => this.#syncing.abort(), closeMsMax)
    await this.#running
    clearTimeout(timer)
    this.#become('closed')
  }

  async #run(): Promise<void> {
    while (!this.#isClosing) {
      const code = await this.#join()
      if (this.#isClosing) break
      if (code === Errors.NONE) await this.#stay()
      else await this.#recover(code)
    }
    if (this.#takenGeneration >= 0) await this.#hooks.release(this.ref)
    if (this.#memberId !== '') await this.#backend.leave(this.ref, this.#reason)
  }

  /** @returns NONE when an assignment was taken */
  async #join(): Promise<number> {
    const version = this.#version
    const topics = this.#hooks.topics()
    this.#joinedTopics = topics
    const protocols = protocolsFor(topics)
    let answer = await this.#ask(protocols)
    if (answer.errorCode === Errors.MEMBER_ID_REQUIRED) {
      this.#memberId = answer.memberId
      answer = await this.#ask(protocols)
    }
    if (answer.errorCode !== Errors.NONE) return answer.errorCode
    this.#memberId = answer.memberId
    this.#generation = answer.generation
    const code = await this.#sync(answer)
    if (code === Errors.NONE) this.#joinedVersion = version
    if (code === Errors.NONE && !this.#isClosing) this.#become('member')
    return code
  }

  #ask(protocols: readonly MemberProtocol[]): Promise<JoinAnswer> {
    const { groupId, caller, sessionTimeoutMs, rebalanceTimeoutMs } = this.#terms
    const call = {
      groupId,
      memberId: this.#memberId,
      groupInstanceId: null,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      protocolType,
      protocols,
      reason: this.#reason,
    }
    return this.#backend.join(call, caller, this.#joining.signal)
  }

  async #sync(answer: JoinAnswer): Promise<number> {
    const { protocol, leader, memberId, members } = answer
    this.#assigned = null
    const counts = new Map<string, number>()
    if (leader === memberId) {
      for (const topic of topicsOf(members)) counts.set(topic, this.#hooks.partitionCount(topic))
      this.#assigned = counts
    }
    const assignments = assignmentsFor(protocol ?? '', members, counts)
    const call = { ...this.ref, protocolType, protocol, assignments }
    const synced = await this.#backend.sync(call, this.#syncing.signal)
    if (synced.errorCode !== Errors.NONE) return synced.errorCode
    try {
      this.#take(decodeAssignment(synced.assignment))
    } catch (error) {
      if (error instanceof KafkaError) return error.code
      throw error
    }
    return Errors.NONE
  }

  #take(assignment: Assignment): void {
    const isNext = this.#takenGeneration >= 0 && this.#generation === this.#takenGeneration + 1
    this.#takenGeneration = this.#generation
    this.#failures = 0
    this.#failure = Errors.NONE
    this.#hooks.take(assignment, isNext)
  }

  /** Until it has to join again, or to close. */
  async #stay(): Promise<void> {
    let code: number = Errors.NONE
    for (let beats = 1; ; beats++) {
      const why = this.#whyRejoin(code, beats % topicsLookBeats === 0)
      if (why !== null) {
        this.#reason = why
        this.#become('joining')
        return await this.#hooks.release(this.ref)
      }
      await this.#pause.wait(this.#terms.heartbeatMs)
      if (this.#isClosing) return
      code = await this.#backend.heartbeat(this.ref)
      if (this.#isClosing) return
      if (code === Errors.UNKNOWN_MEMBER_ID || code === Errors.ILLEGAL_GENERATION) {
        return await this.#recover(code)
      }
    }
  }

  #whyRejoin(code: number, isTopicsLook: boolean): string | null {
    if (code === Errors.REBALANCE_IN_PROGRESS) return 'the group shares out its partitions anew'
    if (code !== Errors.NONE) return null
    if (this.#joinedVersion !== this.#version) return this.#reason
    for (const [topic, count] of this.#assigned ?? []) {
      const now = this.#hooks.partitionCount(topic)
      if (now !== count) return `topic ${topic} has ${now} partitions, no longer ${count}`
    }
    const isOther = isTopicsLook && this.#hooks.topics() !== this.#joinedTopics
    if (isOther) return 'other topics match the pattern'
    return null
  }

  async #recover(code: number): Promise<void> {
    const isUnknown = code === Errors.UNKNOWN_MEMBER_ID
    if (isUnknown || code === Errors.ILLEGAL_GENERATION) {
      if (isUnknown) this.#memberId = ''
      this.#generation = -1
      if (this.#takenGeneration >= 0) this.#hooks.lose()
      this.#takenGeneration = -1
      this.#become('joining')
    } else if (code !== Errors.REBALANCE_IN_PROGRESS) {
      this.#failure = code
      this.#become('failing')
    }
    // One rebalance after the other is no failure; what cannot be mended by itself is tried again all the same.
    const step = Math.min(this.#failures++, 10)
    const slow = isRetriable(code) ? 1 : 4
    await this.#pause.wait(Math.min(retryMsMin * slow * 2 ** step, retryMsMax))
  }

  #become(state: MembershipState): void {
    this.#state = state
    this.#hooks.onState()
  }
}
