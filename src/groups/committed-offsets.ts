/**
 * Committed offsets of all groups, in memory as they are durable: changes go to the store and come back when they are
 * written (`apply`). Dispatcher thread.
 *
 *   group id -> topic -> partition -> offset        a group without offsets is not in it
 *
 * Knows of members only what `GroupGate` tells: who may commit, who reads a topic, since when nobody is there.
 */
import type { GroupConfig } from '../config/group-settings.ts'
import type { Clock } from '../contracts/clock.ts'
import { Errors } from '../protocol/errors.ts'
import { ChangesUnderWay } from './changes-under-way.ts'
import { isExpired, retentionOf } from './offset-expiry.ts'
import { OffsetMap, type OffsetsByTopic } from './offset-map.ts'
import type { CommittedOffset, GroupGate, GroupStore, LoadedGroups, OffsetRow } from './types.ts'

/** What a committed offset takes in memory beside its text, about. */
const offsetBytes = 200
/** Offsets looked at in one go when offsets expire, before others get their turn. */
const sliceOffsets = 20_000
/** Rows of a deletion that make one change: few enough for the smallest batch that can be set, whatever their names. */
const deletionRowsMax = 100
/** From a failure to take the offsets of a deleted topic away to the next try. */
const forgetAgainMs = 1000
/** Clocks that part by more than this between two looks say nothing about ages. */
const clockDriftMsMax = 60_000

/** Who commits, as the request says. */
export interface Committer {
  readonly groupId: string
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly generation: number
  /** The client knows GROUP_ID_NOT_FOUND as an answer to a commit (v9+). */
  readonly knowsGroupIdNotFound: boolean
}

export interface CommittedOffsetsOptions {
  readonly store: GroupStore
  readonly groups: GroupGate
  readonly config: GroupConfig
  readonly clock: Clock
  /** Whether there is such a topic. */
  readonly hasTopic: (name: string) => boolean
  readonly onWarning: (message: string) => void
}

export class CommittedOffsets {
  readonly #options: CommittedOffsetsOptions
  readonly #offsets = new OffsetMap()
  readonly #underWay = new ChangesUnderWay()
  #bytes = 0
  #count = 0
  #cancelTimer: () => void = () => {}
  /** Both clocks at the last look for expired offsets. */
  #lastLook = { wallMs: 0, monotonicMs: 0 }
  #isClosed = false

  constructor(options: CommittedOffsetsOptions) {
    this.#options = options
  }

  /** What a store has read, before any change of the groups in it. Offsets of topics that are gone are taken away. */
  restore({ offsets }: Pick<LoadedGroups, 'offsets'>): void {
    for (const [groupId, topics] of offsets) {
      for (const [topic, partitions] of topics) {
        for (const [partition, offset] of partitions) this.#put(groupId, topic, partition, offset)
      }
    }
    const topics = [...offsets.values()].flatMap(byTopic => [...byTopic.keys()])
    const gone = new Set(topics.filter(topic => !this.#options.hasTopic(topic)))
    for (const topic of gone) this.topicDeleted(topic)
  }

  /** Begins to look for expired offsets from time to time. */
  start(): void {
    const { clock, config } = this.#options
    this.#lastLook = { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() }
    const look = async (): Promise<void> => {
      await this.expire()
      if (!this.#isClosed) this.#cancelTimer = clock.after(config.offsetsRetentionCheckMs, again)
    }
    const again = (): void => void look()
    this.#cancelTimer = clock.after(config.offsetsRetentionCheckMs, again)
  }

  close(): void {
    this.#isClosed = true
    this.#cancelTimer()
  }

  /** Offsets of all groups. */
  get count(): number {
    return this.#count
  }

  /** Whether any offset is committed. */
  has(groupId: string): boolean {
    return this.#offsets.has(groupId)
  }

  /** Groups with committed offsets, those that nobody ever joined included. */
  groupIds(): IterableIterator<string> {
    return this.#offsets.groups.keys()
  }

  get(groupId: string, topic: string, partition: number): CommittedOffset | undefined {
    return this.#offsets.get(groupId, topic, partition)
  }

  all(groupId: string): OffsetsByTopic {
    return this.#offsets.all(groupId)
  }

  /** Whether the group's offsets can be told now: NONE or the code of the answer. */
  availability(groupId: string): number {
    return this.#options.store.availability(groupId)
  }

  /**
   * Commits, all rows or none: resolves to NONE when they are durable, else to the code of the answer (PROTOCOL.md 3.8
   * point 10; retriable ones when the store cannot write now).
   */
  async commit(who: Committer, rows: readonly OffsetRow[]): Promise<number> {
    const refusal = this.#refusal(who, rows)
    return refusal === Errors.NONE ? await this.#save(who.groupId, rows) : refusal
  }

  /**
   * Takes offsets away by request. Resolves to NONE, INVALID_GROUP_ID, GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP, or what the
   * store says; whether members read the topics is the caller's question.
   */
  async remove(
    groupId: string,
    partitions: readonly { readonly topic: string; readonly partition: number }[],
  ): Promise<number> {
    const refusal = this.removeError(groupId)
    if (refusal !== Errors.NONE) return refusal
    const lastWords = this.#underWay.lastWords(groupId)
    const known = partitions.filter(
      ({ topic, partition }) =>
        this.get(groupId, topic, partition) !== undefined || lastWords.get(topic)?.has(partition),
    )
    return await this.#takeAway(groupId, known.map(toTombstone))
  }

  /** See `remove`. */
  removeError(groupId: string): number {
    if (groupId === '') return Errors.INVALID_GROUP_ID
    const { groups, store } = this.#options
    const availability = store.availability(groupId)
    if (availability !== Errors.NONE) return availability
    if (groups.has(groupId)) return groups.removeOffsetsError(groupId)
    return this.has(groupId) ? Errors.NONE : Errors.GROUP_ID_NOT_FOUND
  }

  isSubscribed(groupId: string, topic: string): boolean {
    return this.#options.groups.isSubscribed(groupId, topic)
  }

  /**
   * Takes all offsets of a group away, because the group goes: what is durable, and what was on its way there before.
   * What is committed from here on comes behind it and stays.
   */
  async removeGroup(groupId: string): Promise<number> {
    const rows: OffsetRow[] = []
    const lastWords = this.#underWay.lastWords(groupId)
    const all = this.all(groupId)
    for (const topic of new Set([...all.keys(), ...lastWords.keys()])) {
      const partitions = [
        ...(all.get(topic)?.keys() ?? []),
        ...(lastWords.get(topic)?.keys() ?? []),
      ]
      for (const partition of new Set(partitions)) rows.push({ topic, partition, offset: null })
    }
    return await this.#takeAway(groupId, rows)
  }

  /** The topic is gone, with all that was committed of it until now. */
  topicDeleted(topic: string): void {
    for (const groupId of new Set([...this.#offsets.groups.keys(), ...this.#underWay.groupIds])) {
      const doomed = new Set(this.#offsetsOf(groupId, topic))
      if (doomed.size > 0) void this.#forget(groupId, topic, doomed)
    }
  }

  /**
   * Tries until they are gone, because a new topic may get the name of the old one. What was committed of that one
   * since is not touched.
   */
  async #forget(
    groupId: string,
    topic: string,
    doomed: ReadonlySet<CommittedOffset>,
  ): Promise<void> {
    if (this.#isClosed) return
    const lastWords = new Map<number, CommittedOffset | null>([
      ...(this.all(groupId).get(topic) ?? []),
      ...(this.#underWay.lastWords(groupId).get(topic) ?? []),
    ])
    const rows = [...lastWords]
      .filter(([, offset]) => offset !== null && doomed.has(offset))
      .map(([partition]) => ({ topic, partition, offset: null }))
    await this.#takeAway(groupId, rows)
    const isLeft = this.#offsetsOf(groupId, topic).some(offset => doomed.has(offset))
    if (!isLeft) return
    this.#options.clock.after(forgetAgainMs, () => void this.#forget(groupId, topic, doomed))
  }

  /** Of one topic: durable ones, and those that may come to be. */
  #offsetsOf(groupId: string, topic: string): CommittedOffset[] {
    const durable = this.all(groupId).get(topic)?.values() ?? []
    return [...durable, ...this.#underWay.offsetsOf(groupId, topic)]
  }

  /** The store has written these rows: from now on they are what groups are answered. */
  readonly apply = (groupId: string, rows: readonly OffsetRow[]): void => {
    for (const { topic, partition, offset } of rows) this.#put(groupId, topic, partition, offset)
  }

  /** Takes away what was kept long enough (PROTOCOL.md 3.8 point 12), and empty groups whose last offset has gone. */
  async expire(): Promise<void> {
    if (!this.#areClocksTrusted()) return
    const { groups } = this.#options
    let looked = 0
    for (const groupId of new Set([...this.#offsets.groups.keys(), ...groups.ids()])) {
      if (this.#isClosed) return
      looked += this.#expireGroup(groupId)
      if (looked < sliceOffsets) continue
      looked = 0
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** @returns how many offsets were looked at */
  #expireGroup(groupId: string): number {
    const { groups, store, config, clock } = this.#options
    // Something newer is on its way: whether it is old will be seen next time.
    if (this.#underWay.has(groupId) || store.availability(groupId) !== Errors.NONE) return 1
    const { from, retentionMs } = retentionOf(groups, groupId, config.offsetsRetentionMs)
    const nowMs = clock.wallMs()
    const expired: OffsetRow[] = []
    let count = 0
    for (const [topic, partitions] of this.all(groupId)) {
      count += partitions.size
      if (from === 'never' || groups.isSubscribed(groupId, topic)) continue
      for (const [partition, offset] of partitions) {
        if (isExpired(offset, from, nowMs, retentionMs))
          expired.push({ topic, partition, offset: null })
      }
    }
    if (expired.length === count) void this.#expireWhole(groupId, expired)
    else void this.#takeAway(groupId, expired)
    return count + 1
  }

  /** Nothing of the group's offsets is left, or will be: an empty group goes with the last of them. */
  async #expireWhole(groupId: string, rows: readonly OffsetRow[]): Promise<void> {
    const error = await this.#takeAway(groupId, rows)
    const { groups } = this.#options
    const isGone = error === Errors.NONE && !this.has(groupId) && !this.#underWay.has(groupId)
    if (isGone && groups.has(groupId) && groups.isEmpty(groupId)) await groups.remove(groupId)
  }

  /** A clock that was set forward must not make everything old at once. */
  #areClocksTrusted(): boolean {
    const { clock, onWarning } = this.#options
    const [wallMs, monotonicMs] = [clock.wallMs(), clock.monotonicMs()]
    const { wallMs: lastWallMs, monotonicMs: lastMs } = this.#lastLook
    this.#lastLook = { wallMs, monotonicMs }
    const driftMs = wallMs - lastWallMs - (monotonicMs - lastMs)
    if (lastWallMs === 0 || Math.abs(driftMs) <= clockDriftMsMax) return true
    onWarning('the clock was set: committed offsets are looked through for old ones later')
    return false
  }

  #refusal(who: Committer, rows: readonly OffsetRow[]): number {
    const { groupId } = who
    const { groups, store, config } = this.#options
    const availability = store.availability(groupId)
    if (availability !== Errors.NONE) return availability
    const refusal = groups.has(groupId)
      ? groups.commitError(groupId, who.memberId, who.groupInstanceId, who.generation)
      : this.#simpleError(who)
    if (refusal !== Errors.NONE) return refusal
    if (this.#isOneGroupTooMany(groupId)) return Errors.GROUP_MAX_SIZE_REACHED
    if (this.#bytes < config.offsetsBytesMax) return Errors.NONE
    const isKnown = rows.every(
      ({ topic, partition }) => this.get(groupId, topic, partition) !== undefined,
    )
    return isKnown ? Errors.NONE : Errors.INVALID_COMMIT_OFFSET_SIZE
  }

  /** A group that nobody joined takes commits of whoever does not claim to be a member. */
  #simpleError({ groupId, generation, knowsGroupIdNotFound }: Committer): number {
    if (generation < 0) return Errors.NONE
    if (this.has(groupId)) return Errors.UNKNOWN_MEMBER_ID
    return knowsGroupIdNotFound ? Errors.GROUP_ID_NOT_FOUND : Errors.ILLEGAL_GENERATION
  }

  /** Groups whose first commit is on its way count, too. */
  #isOneGroupTooMany(groupId: string): boolean {
    const { groups, config } = this.#options
    if (this.has(groupId) || this.#underWay.has(groupId) || groups.has(groupId)) return false
    const left = config.groupsMax - this.#offsets.size
    if (this.#underWay.groupCount < left) return false
    let coming = 0
    for (const other of this.#underWay.groupIds) if (!this.has(other)) coming++
    return coming >= left
  }

  /** Deletes these rows, in changes of a size that the store takes. Resolves to NONE or the first failure. */
  async #takeAway(groupId: string, rows: readonly OffsetRow[]): Promise<number> {
    const saves: Promise<number>[] = []
    for (let at = 0; at < rows.length; at += deletionRowsMax)
      saves.push(this.#save(groupId, rows.slice(at, at + deletionRowsMax)))
    const codes = await Promise.all(saves)
    return codes.find(code => code !== Errors.NONE) ?? Errors.NONE
  }

  #save(groupId: string, rows: readonly OffsetRow[]): Promise<number> {
    return this.#options.store.saveOffsets(groupId, rows, this.#underWay.begin(groupId, rows))
  }

  #put(groupId: string, topic: string, partition: number, offset: CommittedOffset | null): void {
    const before = this.#offsets.get(groupId, topic, partition)
    if (before !== undefined) {
      this.#bytes -= bytesOf(before)
      this.#count--
    }
    if (offset !== null) {
      this.#bytes += bytesOf(offset)
      this.#count++
    }
    this.#offsets.put(groupId, topic, partition, offset)
  }
}

const bytesOf = ({ metadata }: CommittedOffset): number => offsetBytes + metadata.length * 2

const toTombstone = ({ topic, partition }: { topic: string; partition: number }): OffsetRow => ({
  topic,
  partition,
  offset: null,
})
