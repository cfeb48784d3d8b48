/**
 * A consumer's part in a group: which of its streams reads which of the partitions it was given, from where, and what
 * of it is committed. The member (group-member.ts) calls the hooks here in this order:
 *
 *   take ──▶ streams run ──▶ release: pause, wait for records in hand, tell, commit ──▶ take ...
 *                       └──▶ lose: pause, forget everything
 *
 * What stays with the same stream over a rebalance goes on where it stands; all else starts at the committed offset, or
 * at `from` where there is none. A record is handed out again only if its partition changed hands before it was
 * committed.
 */
import { Errors, KafkaError } from '../protocol/errors.ts'
import { type Cluster, isUnknownTopic, sleep } from './cluster.ts'
import type { ConsumerOptions, StreamOptions } from './consumer.ts'
import { GroupCoordinator, mayPass } from './group-coordinator.ts'
import { GroupMember, type MemberHooks } from './group-member.ts'
import { OffsetCommitter } from './group-offsets.ts'
import type { GroupTerms, PartitionOffset, RebalanceEvent } from './group-options.ts'
import type { Assignment } from './group-protocol.ts'
import { HeldPartitions, type Start, share, type Wanted } from './held-partitions.ts'
import type { MessageStream } from './message-stream.ts'
import { endOffsets, type StartPosition, startOffsets } from './start-offsets.ts'
import { StreamFeeds } from './stream-feeds.ts'
import { withTimeout } from './with-timeout.ts'

/** How long commits that nobody asked for are tried. */
const commitMsMax = 5000
const retryMs = 200

export class GroupConsumer implements MemberHooks {
  readonly #cluster: Cluster
  readonly #options: ConsumerOptions
  readonly #terms: GroupTerms
  readonly #coordinator: GroupCoordinator
  readonly #member: GroupMember
  readonly #committer: OffsetCommitter
  readonly #feeds: StreamFeeds
  readonly #held: HeldPartitions
  /** Topic -> open streams, in the order in which they were made. */
  readonly #streams = new Map<string, MessageStream[]>()
  /** Partition -> end, of streams that do end. */
  readonly #ends = new Map<MessageStream, ReadonlyMap<number, number>>()
  /** Counts releases and losses: what was begun before one is of no use after it. */
  #epoch = 0
  /** Told when the partitions of a new generation are set up. */
  #taken = Promise.withResolvers<void>()
  #isRebalancing = false
  #autoCommit: NodeJS.Timeout | null = null
  #isClosing = false

  constructor(cluster: Cluster, terms: GroupTerms, options: ConsumerOptions) {
    this.#cluster = cluster
    this.#options = options
    this.#terms = terms
    this.#coordinator = new GroupCoordinator(cluster, terms.groupId)
    this.#member = new GroupMember(cluster, this.#coordinator, terms, this)
    this.#committer = new OffsetCommitter(this.#coordinator, this.#member, cluster.options)
    // What retention took was never read by the group: all that is left is still to come.
    this.#feeds = new StreamFeeds(cluster, options, options.onOutOfRange ?? 'smallest')
    this.#held = new HeldPartitions(terms.groupId)
    this.#taken.promise.catch(() => undefined)
  }

  /** As `Consumer.createMessageStreams`, which see. */
  async createMessageStreams(
    topic: string,
    count: number,
    options: StreamOptions,
  ): Promise<MessageStream[]> {
    if (options.partitions !== undefined) {
      const message = `${this.#name}: its members are given partitions, do not name any`
      throw new KafkaError(Errors.INVALID_REQUEST, message)
    }
    const info = await this.#cluster.retrying(() => this.#cluster.topic(topic, { refresh: true }), {
      isFinal: isUnknownTopic,
    })
    const indexes = info.partitions.map(({ index }) => index)
    const ends = options.untilEnd ? await endOffsets(this.#cluster, topic, indexes) : null
    const streams = Array.from({ length: count }, () => this.#openStream(topic))
    for (const stream of streams) if (ends !== null) this.#ends.set(stream, ends)
    this.#streams.set(topic, [...(this.#streams.get(topic) ?? []), ...streams])
    this.#startAutoCommit()
    try {
      await this.#member.resubscribe(`${count} more streams of ${topic}`)
    } catch (error) {
      for (const stream of streams) stream.close()
      throw error
    }
    return streams
  }

  /** As `Consumer.commit`, which see. */
  commit(offsets?: Iterable<PartitionOffset>): Promise<void> {
    const given = offsets === undefined ? null : [...offsets]
    return this.#committer.commit(() =>
      given === null ? this.#held.progress() : given.map(row => this.#held.given(row)),
    )
  }

  /** As `Consumer.rewind`, which see. */
  async rewind(topic: string, to: StartPosition): Promise<Map<number, number>> {
    await this.#taken.promise
    return this.#feeds.rewind(topic, to)
  }

  /** Commits what was processed, leaves, ends all streams. */
  async close(): Promise<void> {
    this.#isClosing = true
    this.#stopAutoCommit()
    await this.#member.close()
    this.#epoch++
    this.#taken.reject(new KafkaError(Errors.BROKER_NOT_AVAILABLE, 'the consumer is closed'))
    this.#feeds.close()
  }

  subscription(): Map<string, number> {
    return new Map(Array.from(this.#streams, ([topic, { length }]) => [topic, length]))
  }

  warn(message: string): void {
    this.#options.onWarning?.(message)
  }

  async release(why: string): Promise<void> {
    this.#pauseAll()
    if (!this.#isClosing) this.warn(`${this.#name} rebalances: ${why}`)
    const settled = Promise.all(this.#feeds.streams.map(stream => stream.settled()))
    await withTimeout(settled, this.#terms.revokeGraceMs)
    await withTimeout(this.#tell('revoked'), Math.ceil(this.#terms.rebalanceTimeoutMs / 2))
    if (this.#terms.autoCommitMs > 0) void this.#commitQuietly()
    await withTimeout(this.#committer.idle, 2 * commitMsMax)
  }

  lose(why: string): void {
    this.#pauseAll()
    this.warn(why)
    void this.#tell('lost')
    this.#held.clear()
  }

  fail(error: Error): void {
    this.#pauseAll()
    this.#stopAutoCommit()
    this.#taken.reject(error)
    for (const stream of this.#feeds.streams) stream.fail(error)
  }

  async take(assigned: Assignment, isNext: boolean): Promise<boolean> {
    const epoch = this.#epoch
    const wanted = share(assigned, topic => this.#streams.get(topic) ?? [])
    const moved = this.#held.giveUp(wanted, isNext)
    const starts = await this.#starts(wanted, moved, epoch)
    if (epoch !== this.#epoch || starts === null) return false
    for (const [name, start] of starts) this.#hold(wanted.get(name)!, start)
    this.#runStreams()
    if (this.#isRebalancing) {
      const { generation } = this.#member
      this.warn(`${this.#name}, generation ${generation}: reads ${this.#held.names}`)
    }
    this.#isRebalancing = false
    this.#taken.resolve()
    void this.#tell('assigned')
    // Who starts elsewhere than at the beginning must find the same start when it comes back.
    const isFirst = [...starts.values()].some(({ committed }) => committed < 0)
    const { from = 'smallest' } = this.#options
    if (isFirst && from !== 'smallest' && this.#terms.autoCommitMs > 0) void this.#commitQuietly()
    return true
  }

  get #name(): string {
    return `group ${this.#terms.groupId}`
  }

  #openStream(topic: string): MessageStream {
    const stream = this.#feeds.open(topic, {
      onCommit: asked => this.commit(this.#held.handedOut(asked)),
      onClose: closed => this.#closed(closed),
    })
    stream.pause()
    return stream
  }

  /** Its partitions go to the other streams, here or elsewhere. */
  #closed(stream: MessageStream): void {
    const { topic } = stream
    const others = (this.#streams.get(topic) ?? []).filter(one => one !== stream)
    if (others.length > 0) this.#streams.set(topic, others)
    else this.#streams.delete(topic)
    this.#ends.delete(stream)
    // In a turn of its own: who closes one stream may close the others too, commit, or close the consumer.
    setImmediate(() => {
      if (this.#isClosing) return
      this.#member.resubscribe(`a stream of ${topic} was closed`).catch(() => undefined)
    })
  }

  /** By name where those start that are not held; null when a release came before that was known. */
  async #starts(
    wanted: ReadonlyMap<string, Wanted>,
    moved: ReadonlyMap<string, Start>,
    epoch: number,
  ): Promise<Map<string, Start> | null> {
    const starts = new Map(moved)
    const fresh = [...wanted].filter(([name]) => !this.#held.has(name) && !moved.has(name))
    for (const [topic, rows] of Map.groupBy(fresh, ([, { topic: name }]) => name)) {
      const indexes = rows.map(([, { partition }]) => partition)
      const offsets = await this.#topicStarts(topic, indexes, epoch)
      if (offsets === null) return null
      for (const [name, { partition }] of rows) starts.set(name, offsets.get(partition)!)
    }
    return starts
  }

  /** Goes on asking as long as the partitions are ours. */
  async #topicStarts(
    topic: string,
    indexes: readonly number[],
    epoch: number,
  ): Promise<Map<number, Start> | null> {
    for (let isFirst = true; epoch === this.#epoch; isFirst = false) {
      try {
        const committed = await this.#coordinator.committed(topic, indexes)
        const without = indexes.filter(index => !committed.has(index))
        const { from = 'smallest' } = this.#options
        const starts = await startOffsets(this.#cluster, topic, without, from)
        const startOf = (index: number): Start => {
          const offset = committed.get(index)
          if (offset !== undefined) return { offset, committed: offset }
          return { offset: starts.get(index) ?? 0, committed: -1 }
        }
        return new Map(indexes.map(index => [index, startOf(index)]))
      } catch (error) {
        if (!mayPass(error)) throw error
        if (isFirst && epoch === this.#epoch) this.warn(`${error.message}: trying again`)
        await sleep(retryMs)
      }
    }
    return null
  }

  #hold(wanted: Wanted, start: Start): void {
    const end = this.#ends.get(wanted.stream)
    const untilOffset =
      end === undefined ? Number.MAX_SAFE_INTEGER : (end.get(wanted.partition) ?? 0)
    // The fetcher looks for the leader when it does not know it.
    const leader = this.#cluster.leaderOf(wanted.topic, wanted.partition)
    const reader = this.#feeds.reader(wanted.partition, leader, start.offset, untilOffset)
    this.#held.hold(wanted, reader, start)
  }

  #runStreams(): void {
    for (const stream of this.#feeds.streams) {
      const readers = this.#held.readersOf(stream)
      this.#feeds.feed(stream, readers)
      if (readers.length === 0 && this.#ends.has(stream)) stream.end()
      stream.resume()
    }
  }

  #pauseAll(): void {
    this.#epoch++
    this.#isRebalancing = true
    this.#taken.resolve()
    this.#taken = Promise.withResolvers<void>()
    this.#taken.promise.catch(() => undefined)
    for (const stream of this.#feeds.streams) {
      stream.pause()
      this.#feeds.stop(stream)
    }
  }

  async #tell(kind: RebalanceEvent['kind']): Promise<void> {
    try {
      await this.#options.onRebalance?.({ kind, partitions: this.#held.list })
    } catch (error) {
      this.warn(`onRebalance (${kind}): ${(error as Error).message}`)
    }
  }

  #startAutoCommit(): void {
    const { autoCommitMs } = this.#terms
    if (autoCommitMs === 0 || this.#autoCommit !== null) return
    this.#autoCommit = setInterval(() => {
      if (!this.#committer.isBusy) void this.#commitQuietly()
    }, autoCommitMs)
  }

  #stopAutoCommit(): void {
    if (this.#autoCommit !== null) clearInterval(this.#autoCommit)
    this.#autoCommit = null
  }

  async #commitQuietly(): Promise<void> {
    try {
      await this.#committer.commit(() => this.#held.progress(), commitMsMax)
    } catch (error) {
      this.warn((error as Error).message)
    }
  }
}
