/** Committed offsets over a store in memory, beside a real coordinator, with a clock that the test moves. */
import type { GroupConfig } from '../../src/config/group-settings.ts'
import { CommittedOffsets } from '../../src/groups/committed-offsets.ts'
import type { CommittedOffset, GroupSnapshot, OffsetRow } from '../../src/groups/types.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { MemoryStore, Scene, settle, testLimits } from './scene.ts'

export const minuteMs = 60_000
export const retentionMs = 100 * minuteMs
export const checkMs = 10 * minuteMs

const config = {
  ...testLimits,
  offsetsPartitions: 1,
  offsetsSegmentBytes: 1,
  offsetsRetentionMs: retentionMs,
  offsetsRetentionCheckMs: checkMs,
  commitTimeoutMs: 5000,
  offsetMetadataLengthMax: 100,
  offsetsBytesMax: 1_000_000,
} satisfies GroupConfig

type Kept = Map<string, Map<string, Map<number, CommittedOffset>>>

/** Keeps offsets as a log does: changes become durable in their order, and then the reader is told. */
class OffsetStore extends MemoryStore {
  readonly offsets: Kept = new Map()
  onOffsets: (groupId: string, rows: readonly OffsetRow[]) => void = () => {}
  /** Groups whose end was written. */
  readonly removed: string[] = []
  offsetWrites = 0
  /** Who asks is told at once that it took too long. */
  isImpatient = false
  /** Rows of one change, at most. */
  rowsMax = Infinity
  readonly #queue: (() => void)[] = []

  override saveOffsets(
    groupId: string,
    rows: readonly OffsetRow[],
    onDecided: () => void,
  ): Promise<number> {
    if (rows.length > this.rowsMax) {
      onDecided()
      return Promise.resolve(Errors.INVALID_COMMIT_OFFSET_SIZE)
    }
    const { promise, resolve } = Promise.withResolvers<number>()
    if (this.isImpatient) resolve(Errors.COORDINATOR_NOT_AVAILABLE)
    this.#queue.push(() => {
      if (this.code === Errors.NONE) this.#keep(groupId, rows)
      onDecided()
      resolve(this.code)
    })
    if (!this.isHeld) this.writeAll()
    return promise
  }

  override removeGroup(groupId: string): Promise<number> {
    this.removed.push(groupId)
    return super.removeGroup(groupId)
  }

  override release(): void {
    super.release()
    this.writeAll()
  }

  writeAll(): void {
    for (const write of this.#queue.splice(0)) write()
  }

  #keep(groupId: string, rows: readonly OffsetRow[]): void {
    this.offsetWrites++
    const topics = this.offsets.get(groupId) ?? new Map()
    this.offsets.set(groupId, topics)
    for (const { topic, partition, offset } of rows) {
      const partitions = topics.get(topic) ?? new Map()
      topics.set(topic, partitions)
      if (offset === null) partitions.delete(partition)
      else partitions.set(partition, offset)
    }
    this.onOffsets(groupId, rows)
  }
}

export class OffsetsScene {
  readonly scene: Scene
  readonly store = new OffsetStore()
  readonly warnings: string[] = []
  readonly topics = new Set(['a', 'b'])
  committed: CommittedOffsets

  constructor(limits: Partial<GroupConfig> = {}, snapshots: readonly GroupSnapshot[] = []) {
    this.scene = new Scene(limits, snapshots, this.store)
    this.committed = this.#newCommitted(limits)
  }

  /** As after a restart: what is in memory comes from the store. */
  restart(): void {
    this.committed.close()
    this.committed = this.#newCommitted({})
    this.committed.restore({ offsets: this.store.offsets })
  }

  /** A commit of nobody in particular. @returns the error */
  commit(
    groupId: string,
    topic: string,
    partition: number,
    offset: number,
    more: Partial<CommittedOffset> & { memberId?: string; generation?: number } = {},
  ): Promise<number> {
    const { memberId = '', generation = -1, ...rest } = more
    const row = {
      offset,
      leaderEpoch: -1,
      metadata: '',
      commitTimestampMs: this.scene.clock.wallMs(),
      expireTimestampMs: -1,
      ...rest,
    }
    const who = { groupId, memberId, generation, groupInstanceId: null }
    return this.committed.commit({ ...who, knowsGroupIdNotFound: true }, [
      { topic, partition, offset: row },
    ])
  }

  /** `group topic-partition` -> offset */
  all(): Record<string, number> {
    const all: Record<string, number> = {}
    for (const groupId of this.committed.groupIds()) {
      for (const [topic, partitions] of this.committed.all(groupId)) {
        for (const [partition, { offset }] of partitions)
          all[`${groupId} ${topic}-${partition}`] = offset
      }
    }
    return all
  }

  /** Time in which the members given are heard of, then a look for expired offsets. */
  async pass(ms: number, alive: readonly (readonly [id: string, generation: number])[] = []) {
    const { clock } = this.scene
    for (let leftMs = ms; leftMs > 0; leftMs -= 5000) {
      clock.advance(Math.min(leftMs, 5000))
      for (const [id, generation] of alive) this.scene.heartbeat(id, generation)
    }
    await this.committed.expire()
    await settle()
  }

  #newCommitted(limits: Partial<GroupConfig>): CommittedOffsets {
    const committed = new CommittedOffsets({
      store: this.store,
      groups: this.scene.coordinator,
      config: { ...config, ...limits },
      clock: this.scene.clock,
      hasTopic: name => this.topics.has(name),
      onWarning: message => this.warnings.push(message),
    })
    this.store.onOffsets = committed.apply
    return committed
  }
}

/** Metadata of a consumer that reads these topics (ConsumerProtocolSubscription version 0), as text. */
export function subscriptionTo(...topics: readonly string[]): string {
  const names = topics.map(name => `\0${String.fromCharCode(name.length)}${name}`).join('')
  return `\0\0\0\0\0${String.fromCharCode(topics.length)}${names}\0\0\0\0`
}
