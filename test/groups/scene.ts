/** A coordinator with a clock that the test moves and a store in memory that the test may hold up or break. */
import type { GroupConfig } from '../../src/config/group-settings.ts'
import type {
  Abandon,
  JoinAnswer,
  JoinRequest,
  LeaveRow,
  SyncAnswer,
} from '../../src/groups/calls.ts'
import { GroupCoordinator } from '../../src/groups/coordinator.ts'
import type { GroupSnapshot, GroupStore, OffsetRow } from '../../src/groups/types.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { FakeClock } from '../support/fake-clock.ts'

export const sessionTimeoutMs = 10_000
export const rebalanceTimeoutMs = 60_000
/** More than a second look takes. */
export const momentMs = 200

export const testLimits = {
  sessionTimeoutMsMin: 6000,
  sessionTimeoutMsMax: 1_800_000,
  initialRebalanceDelayMs: 0,
  membersMax: 100,
  groupsMax: 10,
  memberBytesMax: 10_000,
  groupsBytesMax: 1_000_000,
  idBytesMax: 255,
} satisfies Partial<GroupConfig>

export class MemoryStore implements GroupStore {
  readonly groups = new Map<string, GroupSnapshot>()
  saves = 0
  /** While true nothing is written. */
  isHeld = false
  /** What the next change that is written comes to. */
  code: number = Errors.NONE
  unavailable: number = Errors.NONE
  readonly #waiting: (() => void)[] = []

  availability(): number {
    return this.unavailable
  }

  saveGroup(snapshot: GroupSnapshot): Promise<number> {
    this.saves++
    return this.#write(() => this.groups.set(snapshot.groupId, snapshot))
  }

  removeGroup(groupId: string): Promise<number> {
    return this.#write(() => this.groups.delete(groupId))
  }

  saveOffsets(
    _groupId: string,
    _rows: readonly OffsetRow[],
    onDecided: () => void,
  ): Promise<number> {
    onDecided()
    return Promise.resolve(Errors.NONE)
  }

  release(): void {
    this.isHeld = false
    for (const write of this.#waiting.splice(0)) write()
  }

  #write(change: () => void): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>()
    const write = (): void => {
      const { code } = this
      if (code === Errors.NONE) change()
      resolve(code)
    }
    if (this.isHeld) this.#waiting.push(write)
    else write()
    return promise
  }
}

/** A call that may be parked. */
export interface Parked<T> {
  answer: T | null
  /** More than one is a defect. */
  answers: number
  /** When it was answered, on the monotonic clock. */
  answeredMs: number
  abandon: Abandon | null
}

export interface JoinOptions extends Partial<Omit<JoinRequest, 'protocols'>> {
  readonly protocols?: readonly string[]
  readonly metadata?: string
  readonly clientId?: string
  /** As a client of this version; default 9. */
  readonly version?: number
}

export class Scene {
  readonly clock = new FakeClock()
  readonly store: MemoryStore
  readonly warnings: string[] = []
  readonly coordinator: GroupCoordinator
  #ids = 0

  constructor(
    limits: Partial<typeof testLimits> = {},
    snapshots: readonly GroupSnapshot[] = [],
    store: MemoryStore = new MemoryStore(),
  ) {
    this.store = store
    this.coordinator = new GroupCoordinator({
      clock: this.clock,
      store: this.store,
      limits: { ...testLimits, ...limits },
      newId: () => `${++this.#ids}`,
      warn: message => this.warnings.push(message),
    })
    // Ids never come twice, over restarts neither.
    for (const { generation } of snapshots) this.#ids += 100 * generation
    this.coordinator.restore(snapshots)
  }

  join(options: JoinOptions = {}): Parked<JoinAnswer> {
    const { protocols = ['range'], metadata = 'm', clientId = 'c', version = 9, ...rest } = options
    const request: JoinRequest = {
      groupId: 'g',
      memberId: '',
      groupInstanceId: null,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      protocolType: 'consumer',
      protocols: protocols.map(name => ({ name, metadata: Buffer.from(metadata) })),
      reason: null,
      knowsMemberIdRequired: version >= 4,
      knowsSkipAssignment: version >= 9,
      ...rest,
    }
    return this.#park(answer =>
      this.coordinator.join(request, { clientId, clientHost: '/127.0.0.1' }, answer),
    )
  }

  /** A new dynamic member: asks for an id, then joins with it. */
  enter(options: JoinOptions = {}): { readonly id: string; readonly call: Parked<JoinAnswer> } {
    const first = this.join(options).answer
    if (first?.errorCode !== Errors.MEMBER_ID_REQUIRED) throw new Error('no id')
    return { id: first.memberId, call: this.join({ ...options, memberId: first.memberId }) }
  }

  sync(
    memberId: string,
    generation: number,
    assignments: Readonly<Record<string, string>> = {},
    groupInstanceId: string | null = null,
  ): Parked<SyncAnswer> {
    const rows = Object.entries(assignments).map(([id, text]) => ({
      memberId: id,
      assignment: Buffer.from(text),
    }))
    const names = { protocolType: null, protocol: null, assignments: rows }
    return this.#park(answer =>
      this.coordinator.sync(
        { groupId: 'g', memberId, groupInstanceId, generation, ...names },
        answer,
      ),
    )
  }

  /** Name of the error. */
  heartbeat(memberId: string, generation: number, groupInstanceId: string | null = null): string {
    return errorName(
      this.coordinator.heartbeat({ groupId: 'g', memberId, groupInstanceId, generation }),
    )
  }

  commit(memberId: string, generation: number, groupInstanceId: string | null = null): string {
    return errorName(this.coordinator.commitError('g', memberId, groupInstanceId, generation))
  }

  leave(...rows: readonly (Partial<LeaveRow> | string)[]): string[] {
    const asked = rows.map(row => ({
      memberId: '',
      groupInstanceId: null,
      reason: null,
      ...(typeof row === 'string' ? { memberId: row } : row),
    }))
    return this.coordinator.leave('g', asked).rows.map(errorName)
  }

  get state(): string {
    return this.coordinator.describe('g').state
  }

  get memberIds(): string[] {
    return this.coordinator.describe('g').members.map(({ memberId }) => memberId)
  }

  /** Kinds of the events of the group. */
  get history(): string[] {
    return this.coordinator.timeline('g').map(({ kind }) => kind)
  }

  /** Time in which everybody else is heard of. */
  async pass(ms: number, alive: readonly (readonly [id: string, generation: number])[] = []) {
    for (let left = ms; left > 0; left -= 1000) {
      this.clock.advance(Math.min(left, 1000))
      for (const [id, generation] of alive) this.heartbeat(id, generation)
      await settle()
    }
  }

  /** The process does not run for so long: nothing fires, nobody is heard; then it goes on. */
  stall(ms: number): void {
    this.clock.monotonic += ms
    this.clock.wall += ms
    this.clock.advance(0)
  }

  /** `count` members in a stable group, the first of them the leader. @returns their ids */
  async stable(count: number, options: JoinOptions = {}): Promise<string[]> {
    const entered = Array.from({ length: count }, () => this.enter(options))
    // The first was alone in a generation when the others came.
    const [first] = entered
    const again = this.join({ ...options, memberId: first.id })
    const answer = again.answer ?? first.call.answer
    if (answer === null) throw new Error('not joined')
    const assignments = Object.fromEntries(entered.map(({ id }) => [id, `part of ${id}`]))
    const leader = this.sync(answer.leader, answer.generation, assignments)
    await settle()
    for (const { id } of entered) if (id !== answer.leader) this.sync(id, answer.generation)
    if (leader.answer?.errorCode !== Errors.NONE || this.state !== 'Stable') {
      throw new Error(`not stable: ${this.state}`)
    }
    return entered.map(({ id }) => id)
  }

  #park<T>(call: (answer: (value: T) => void) => Abandon | null): Parked<T> {
    const parked: Parked<T> = { answer: null, answers: 0, answeredMs: 0, abandon: null }
    parked.abandon = call(value => {
      parked.answer = value
      parked.answers++
      parked.answeredMs = this.clock.monotonic
    })
    return parked
  }

  get generation(): number {
    const { generation } = this.coordinator.timeline('g').at(-1) ?? { generation: 0 }
    return generation
  }
}

/** Lets promises of the store get where they go. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
}

export const textOf = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString()
