/**
 * Members of a consumer group as real clients are: a connection each, JoinGroup twice (KIP-394), SyncGroup, heartbeats
 * that tell of a rebalance. The leader assigns ranges of one topic's partitions.
 *
 * A round is everything from a trigger to the moment when all expected members hold an assignment of one generation.
 */
import { Reader, Writer } from '../src/protocol/bytes.ts'
import { Errors, errorName } from '../src/protocol/errors.ts'
import { Heartbeat } from '../src/protocol/messages/heartbeat.ts'
import { JoinGroup } from '../src/protocol/messages/join-group.ts'
import { LeaveGroup } from '../src/protocol/messages/leave-group.ts'
import { SyncGroup } from '../src/protocol/messages/sync-group.ts'
import { type Address, Line } from './group-line.ts'

const protocolType = 'consumer'
const sessionTimeoutMs = 45_000
const rebalanceTimeoutMs = 300_000

export interface GroupShape {
  readonly groupId: string
  readonly topic: string
  readonly partitionCount: number
  /** What a member waits between heartbeats in a round; the first one leaves at once. */
  readonly heartbeatMs: number
}

/** One rebalance under way, and who is where in it. */
export class Round {
  readonly done: Promise<void>
  /** When the first JoinGroup of the round left, and the last assignment came. */
  firstJoinMs = Number.NaN
  lastSyncMs = Number.NaN
  /** Newest generation and how many hold an assignment of it. */
  generation: number
  isOver = false
  readonly #expected: number
  readonly #finish: () => void
  #synced = 0
  #members = 0

  /** @param after the generation before it; -1 for a new group */
  constructor(expected: number, after: number) {
    this.#expected = expected
    this.generation = after
    const { promise, resolve } = Promise.withResolvers<void>()
    this.done = promise
    this.#finish = resolve
  }

  get elapsedMs(): number {
    return this.lastSyncMs - this.firstJoinMs
  }

  joining(): void {
    if (Number.isNaN(this.firstJoinMs)) this.firstJoinMs = performance.now()
  }

  /** The leader has been told who is in a generation. */
  led(generation: number, memberCount: number): void {
    this.#see(generation)
    if (generation === this.generation) this.#members = memberCount
  }

  synced(generation: number): void {
    this.#see(generation)
    if (generation !== this.generation) return
    this.#synced++
    if (this.#synced < this.#expected || this.#members !== this.#expected) return
    this.lastSyncMs = performance.now()
    this.isOver = true
    this.#finish()
  }

  #see(generation: number): void {
    if (generation <= this.generation) return
    this.generation = generation
    this.#synced = 0
    this.#members = 0
  }
}

export class GroupMember {
  readonly #line: Line
  readonly #shape: GroupShape
  readonly #protocols: { name: string; metadata: Buffer }[]
  memberId = ''
  generation = -1
  partitions: readonly number[] = []
  isLeader = false

  private constructor(line: Line, shape: GroupShape) {
    this.#line = line
    this.#shape = shape
    const metadata = subscription(shape.topic)
    this.#protocols = ['range', 'cooperative-sticky'].map(name => ({ name, metadata }))
  }

  static async connect(address: Address, shape: GroupShape): Promise<GroupMember> {
    return new GroupMember(await Line.open(address), shape)
  }

  get line(): Line {
    return this.#line
  }

  /** Takes part in a round: joins now, or when a heartbeat says so. */
  async take(round: Round, joinsFirst: boolean): Promise<void> {
    let isToJoin = joinsFirst
    while (!round.isOver) {
      if (isToJoin) isToJoin = !(await this.#rejoin(round))
      else isToJoin = await this.#isToldToJoin(round)
    }
  }

  async leave(): Promise<void> {
    const { groupId } = this.#shape
    const row = { memberId: this.memberId, groupInstanceId: null, reason: 'the bench is done' }
    const answer = await this.#line.ask(LeaveGroup, 5, { groupId, memberId: '', members: [row] })
    expectNone('LeaveGroup', answer.errorCode)
    this.memberId = ''
    this.generation = -1
  }

  close(): void {
    this.#line.close()
  }

  async #isToldToJoin(round: Round): Promise<boolean> {
    const { memberId, generation: generationId } = this
    const { groupId, heartbeatMs } = this.#shape
    const ref = { groupId, memberId, generationId, groupInstanceId: null }
    const { errorCode } = await this.#line.ask(Heartbeat, 4, ref)
    if (errorCode === Errors.REBALANCE_IN_PROGRESS) return true
    if (errorCode === Errors.ILLEGAL_GENERATION) return true
    expectNone('Heartbeat', errorCode)
    const pause = new Promise(resolve => setTimeout(resolve, heartbeatMs))
    await Promise.race([pause, round.done])
    return false
  }

  /** @returns whether it has its assignment; otherwise another rebalance has begun */
  async #rejoin(round: Round): Promise<boolean> {
    round.joining()
    let joined = await this.#join()
    if (joined.errorCode === Errors.MEMBER_ID_REQUIRED) {
      this.memberId = joined.memberId
      joined = await this.#join()
    }
    if (joined.errorCode === Errors.REBALANCE_IN_PROGRESS) return false
    expectNone('JoinGroup', joined.errorCode)
    this.memberId = joined.memberId
    this.generation = joined.generationId
    this.isLeader = joined.leader === joined.memberId
    const ids = joined.members.map(({ memberId }) => memberId)
    if (this.isLeader) round.led(this.generation, ids.length)
    const { groupId, topic, partitionCount } = this.#shape
    const answer = await this.#line.ask(SyncGroup, 5, {
      groupId,
      generationId: this.generation,
      memberId: this.memberId,
      groupInstanceId: null,
      protocolType,
      protocolName: joined.protocolName,
      assignments: this.isLeader ? assignRanges(ids, topic, partitionCount) : [],
    })
    if (answer.errorCode === Errors.REBALANCE_IN_PROGRESS) return false
    expectNone('SyncGroup', answer.errorCode)
    this.partitions = partitionsOf(answer.assignment)
    round.synced(this.generation)
    return true
  }

  #join() {
    return this.#line.ask(JoinGroup, 9, {
      groupId: this.#shape.groupId,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      memberId: this.memberId,
      groupInstanceId: null,
      protocolType,
      protocols: this.#protocols,
      reason: null,
    })
  }
}

/** Throws unless every partition belongs to exactly one of the members, all of one generation. */
export function checkAssignment(members: readonly GroupMember[], shape: GroupShape): void {
  const owned = members.flatMap(({ partitions }) => partitions)
  const generations = new Set(members.map(({ generation }) => generation))
  const isWhole = owned.length === shape.partitionCount && new Set(owned).size === owned.length
  if (isWhole && generations.size === 1) return
  throw new Error(
    `${owned.length} partitions assigned of ${shape.partitionCount}, ${generations.size} generations`,
  )
}

function expectNone(what: string, errorCode: number): void {
  if (errorCode !== Errors.NONE) throw new Error(`${what}: ${errorName(errorCode)}`)
}

const writer = new Writer()

/** A small message of the consumer protocol, which travels as bytes. */
function encoded(write: (into: Writer) => void): Buffer {
  writer.begin()
  write(writer)
  return Buffer.concat(writer.end()).subarray(4)
}

/** ConsumerProtocolSubscription 1: version, topics, user data, owned partitions. */
function subscription(topic: string): Buffer {
  return encoded(into => {
    into.int16(1)
    into.int32(1)
    into.string(topic)
    into.nullableBytes(null)
    into.int32(0)
  })
}

/** ConsumerProtocolAssignment 1 for every member: consecutive partitions, sizes that differ by one at most. */
function assignRanges(ids: readonly string[], topic: string, partitionCount: number) {
  const sorted = [...ids].sort()
  return sorted.map((memberId, index) => {
    const first = Math.floor((index * partitionCount) / sorted.length)
    const end = Math.floor(((index + 1) * partitionCount) / sorted.length)
    const assignment = encoded(into => {
      into.int16(1)
      into.int32(1)
      into.string(topic)
      into.int32(end - first)
      for (let partition = first; partition < end; partition++) into.int32(partition)
      into.nullableBytes(null)
    })
    return { memberId, assignment }
  })
}

/** Of the one topic in an assignment. */
function partitionsOf(assignment: Uint8Array): number[] {
  const reader = new Reader(assignment)
  reader.int16()
  if (reader.int32() !== 1) throw new Error('an assignment of one topic was expected')
  reader.string()
  return Array.from({ length: reader.int32() }, () => reader.int32())
}
