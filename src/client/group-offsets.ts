/**
 * Commits of one member, one after the other, so that an older one never arrives last. While the group is joined anew
 * they wait, and are made of what is held then; one that the group refuses is refused for good, and the member learns
 * that it has to join again.
 */
import { Errors, KafkaError } from '../protocol/errors.ts'
import { type ClientOptions, sleep } from './cluster.ts'
import { type GroupCoordinator, type MemberRef, mayPass } from './group-coordinator.ts'
import type { GroupMember } from './group-member.ts'
import type { PartitionOffset } from './group-options.ts'
import { withTimeout } from './with-timeout.ts'

export interface CommitRow extends PartitionOffset {
  readonly onCommitted: () => void
}

/** The group goes on without this member as it is. */
const refusals: ReadonlySet<number> = new Set<number>([
  Errors.ILLEGAL_GENERATION,
  Errors.UNKNOWN_MEMBER_ID,
  Errors.FENCED_INSTANCE_ID,
])
const backoffMsMin = 50
const backoffMsMax = 1000

export class OffsetCommitter {
  readonly #coordinator: GroupCoordinator
  readonly #member: GroupMember
  readonly #retryMsMax: number
  #last: Promise<void> = Promise.resolve()
  #waiting = 0

  constructor(coordinator: GroupCoordinator, member: GroupMember, options: ClientOptions) {
    this.#coordinator = coordinator
    this.#member = member
    this.#retryMsMax = options.retryMsMax ?? 60_000
  }

  get isBusy(): boolean {
    return this.#waiting > 0
  }

  /** Resolves when all commits that were asked for so far are over. */
  get idle(): Promise<void> {
    return this.#last
  }

  /**
   * @param rowsOf called when it is this commit's turn, and again for every attempt; what it throws ends the commit
   * @throws KafkaError the group's refusal, or the last failure when the time for retries is over
   */
  commit(rowsOf: () => readonly CommitRow[], retryMsMax: number = this.#retryMsMax): Promise<void> {
    this.#waiting++
    const result = this.#last.then(() => this.#attempts(rowsOf, retryMsMax))
    this.#last = result
      .catch(() => undefined)
      .finally(() => {
        this.#waiting--
      })
    return result
  }

  async #attempts(rowsOf: () => readonly CommitRow[], retryMsMax: number): Promise<void> {
    const deadlineMs = performance.now() + retryMsMax
    for (let backoffMs = backoffMsMin; ; backoffMs = Math.min(backoffMs * 2, backoffMsMax)) {
      if (rowsOf().length === 0) return
      const ref = await this.#ready(deadlineMs)
      const rows = rowsOf()
      if (rows.length === 0) return
      try {
        await this.#coordinator.commit(ref, rows)
        for (const { onCommitted } of rows) onCommitted()
        return
      } catch (error) {
        this.#judge(ref, error)
        if (performance.now() + backoffMs > deadlineMs) throw error
        await sleep(backoffMs)
      }
    }
  }

  async #ready(deadlineMs: number): Promise<MemberRef> {
    let ref: MemberRef | null = null
    const member = this.#member.ready().then(ready => {
      ref = ready
    })
    await withTimeout(member, Math.max(0, deadlineMs - performance.now()))
    if (ref !== null) return ref
    const message = `group ${this.#coordinator.groupId}: no commit, the group was not joined in time`
    throw new KafkaError(Errors.REBALANCE_IN_PROGRESS, message)
  }

  /** Returns when the same commit may succeed later. */
  #judge(ref: MemberRef, error: unknown): void {
    if (!(error instanceof KafkaError)) throw error
    const isRebalance = error.code === Errors.REBALANCE_IN_PROGRESS
    if (isRebalance || refusals.has(error.code)) this.#member.refused(ref, error)
    if (!isRebalance && !mayPass(error)) throw error
  }
}
