/**
 * The turn of a dispatcher thread: commands out to owners, replies in from them, answers out to sockets.
 *
 *   socket callbacks ──▶ handlers ──▶ send() ──┐  setImmediate: publish, one doorbell per owner
 *                                              ▼
 *   flush sockets ◀── handlers ◀── replies ◀── owners          (rung by their doorbell, or at the end of a turn)
 *
 * Every command is answered once: by the owner, or by this file after the owner's exit. A reply that names an older
 * generation of its request is dropped and counted.
 */
import type { Clock } from './contracts/clock.ts'
import { repliesPerRelease } from './contracts/owner-boot.ts'
import { Purgatory } from './fetching/purgatory.ts'
import { Metric, type ThreadMetrics } from './metrics.ts'
import { type Block, BlockPool } from './net/block-pool.ts'
import { RegionPool } from './net/region-pool.ts'
import type { OffsetTable } from './partitions/offset-table.ts'
import type { Owner } from './partitions/owner.ts'
import type { Partition } from './partitions/partition.ts'
import { Traffic } from './partitions/traffic.ts'
import { Errors } from './protocol/errors.ts'
import { Arena } from './ring/arena.ts'
import {
  type Command,
  emptyCommand,
  emptyReply,
  Op,
  type Reply,
  ReplyKind,
  readReply,
} from './ring/commands.ts'
import { Doorbell } from './ring/doorbell.ts'
import { ensure } from './ring/ensure.ts'

/** Who waits for replies: one object per request, `row` tells its partitions apart. */
export interface ReplySink {
  onReply(row: number, reply: Reply): void
}

export interface Flushable {
  flush(): void
}

/** An outstanding command. Objects are reused; `generation` tells one use from the next. */
class Outstanding {
  readonly ref: number
  generation = 1
  sink: ReplySink | null = null
  row = 0
  ownerIndex = -1
  kind = 0
  /** Of the batch to append. */
  bytes = 0
  block: Block | null = null
  constructor(ref: number) {
    this.ref = ref
  }
}

export interface DispatcherOptions {
  readonly index: number
  readonly requestArenaBytes: number
  readonly responseArenaBytes: number
  readonly offsets: OffsetTable
  readonly metrics: ThreadMetrics
  readonly clock: Clock
}

/** Bytes of append commands that are published in mid-turn, so that owners work while a long turn goes on. */
const publishEarlyBytes = 256 * 1024

/** While answers are due the dispatcher looks for them for this long before it sleeps; see workers/owner-loop.ts. */
const spinMs = 0.02

export class Dispatcher {
  readonly index: number
  readonly requests: Arena
  readonly responses: RegionPool
  readonly blocks: BlockPool
  readonly offsets: OffsetTable
  readonly purgatory: Purgatory
  readonly traffic: Traffic
  readonly doorbells: SharedArrayBuffer
  readonly clock: Clock
  readonly #metrics: ThreadMetrics
  readonly #doorbell: Doorbell
  readonly #owners: Owner[] = []
  readonly #table: Outstanding[] = []
  readonly #freeRefs: number[] = []
  readonly #command: Command = emptyCommand()
  readonly #reply: Reply = emptyReply()
  readonly #dirty: Flushable[] = []
  readonly #gathering: Flushable[] = []
  /** True once nobody may be kept waiting for more records: the broker stops. */
  draining = false
  #turnScheduled = false
  #asleep = false
  #closed = false
  #unpublishedBytes = 0

  constructor(options: DispatcherOptions) {
    this.index = options.index
    this.offsets = options.offsets
    this.traffic = new Traffic(options.offsets.slots)
    this.clock = options.clock
    this.#metrics = options.metrics
    this.requests = new Arena(options.requestArenaBytes)
    this.responses = new RegionPool(new Arena(options.responseArenaBytes))
    this.blocks = new BlockPool(this.requests)
    this.doorbells = new SharedArrayBuffer(Doorbell.bytesFor(1))
    this.#doorbell = new Doorbell(this.doorbells)
    this.purgatory = new Purgatory(options.index, options.offsets, options.clock)
  }

  addOwner(owner: Owner): void {
    ensure(owner.index === this.#owners.length, 'owners are added in order')
    this.#owners.push(owner)
  }

  /** Starts listening to the doorbell. */
  start(): void {
    this.#sleepOrTurn()
  }

  /** Parked fetches are answered with what there is, and from here on none is parked. */
  drain(): void {
    this.draining = true
    this.purgatory.wakeFetches()
    this.responses.wake()
  }

  close(): void {
    this.#closed = true
    this.#doorbell.ring()
  }

  /** Sends [offset, offset + length) of the request arena to be appended; `block` is pinned until the reply. */
  append(
    partition: Partition,
    block: Block,
    arenaOffset: number,
    length: number,
    apiVersion: number,
    sink: ReplySink,
    row: number,
  ): void {
    const command = this.#command
    command.op = Op.append
    command.arenaOffset = arenaOffset
    command.length = length
    command.regionGeneration = block.region.generation
    command.apiVersion = apiVersion
    command.offset = 0
    command.maxBytes = 0
    block.pin()
    this.#send(partition, ReplyKind.appended, sink, row, block)
    this.#unpublishedBytes += length
    if (this.#unpublishedBytes >= publishEarlyBytes) this.#publish()
  }

  /** Asks for batches from `offset` on in [arenaOffset, arenaOffset + maxBytes) of the response arena. */
  read(
    op: Op,
    partition: Partition,
    offset: number,
    region: { readonly offset: number; readonly generation: number },
    maxBytes: number,
    sink: ReplySink,
    row: number,
  ): void {
    const command = this.#command
    command.op = op
    command.arenaOffset = region.offset
    command.length = maxBytes
    command.regionGeneration = region.generation
    command.apiVersion = 0
    command.offset = offset
    command.maxBytes = maxBytes
    const kind = op === Op.read ? ReplyKind.read : ReplyKind.found
    this.#send(partition, kind, sink, row, null)
  }

  /** Calls `flush` once at the end of the turn. The caller keeps its own mark and asks once. */
  flushLater(target: Flushable): void {
    this.#dirty.push(target)
    this.#scheduleTurn()
  }

  /**
   * Calls `flush` once when the callbacks of this turn are through and before its commands are published: what was
   * gathered meanwhile leaves with them. The caller keeps its own mark and asks once.
   */
  sealLater(target: Flushable): void {
    this.#gathering.push(target)
    this.#scheduleTurn()
  }

  /** Answers everything that was outstanding at a thread that has exited. */
  ownerExited(owner: Owner): void {
    this.#drainReplies()
    owner.reset()
    const lost = this.#table.filter(
      entry => entry.sink !== null && entry.ownerIndex === owner.index,
    )
    for (const entry of lost) this.#failLost(entry)
    this.#scheduleTurn()
  }

  #send(
    partition: Partition,
    kind: number,
    sink: ReplySink,
    row: number,
    block: Block | null,
  ): void {
    const ref = this.#freeRefs.pop() ?? this.#table.push(new Outstanding(this.#table.length)) - 1
    const entry = this.#table[ref] as Outstanding
    entry.sink = sink
    entry.row = row
    entry.ownerIndex = partition.ownerIndex
    entry.kind = kind
    entry.block = block
    const command = this.#command
    entry.bytes = command.length
    command.partitionSlot = partition.slot
    command.partitionGeneration = partition.generation
    command.requestRef = ref
    command.requestGeneration = entry.generation
    command.flags = 0
    const owner = this.#owners[partition.ownerIndex] as Owner
    if (!owner.alive) {
      const generation = entry.generation
      queueMicrotask(() => {
        if (entry.generation === generation) this.#failLost(entry)
        this.#scheduleTurn()
      })
      return
    }
    owner.send(command)
    this.#scheduleTurn()
  }

  #failLost(entry: Outstanding): void {
    const reply = emptyReply()
    reply.kind = entry.kind
    reply.errorCode = Errors.NOT_LEADER_OR_FOLLOWER
    reply.baseOffset = -1
    reply.endOffset = -1
    this.#complete(entry, reply)
  }

  #complete(entry: Outstanding, reply: Reply): void {
    const sink = entry.sink as ReplySink
    const row = entry.row
    entry.sink = null
    entry.generation = (entry.generation + 1) | 0
    const block = entry.block
    entry.block = null
    this.#freeRefs.push(entry.ref)
    block?.unpin()
    if (entry.kind === ReplyKind.appended && reply.errorCode === Errors.NONE) {
      this.traffic.appended(reply.partitionSlot, entry.bytes)
    }
    sink.onReply(row, reply)
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return
    this.#turnScheduled = true
    setImmediate(this.#turn)
  }

  readonly #turn = (): void => {
    this.#turnScheduled = false
    if (this.#closed) return
    this.#seal()
    this.#publish()
    this.#drainReplies()
    this.#publish()
    this.#flushDirty()
    this.#sleepOrTurn()
  }

  /** Replies may have come while this thread was awake: look once more before trusting the doorbell. */
  #sleepOrTurn(): void {
    if (this.#spin()) {
      this.#scheduleTurn()
      return
    }
    this.#doorbell.prepareSleep()
    for (const owner of this.#owners) {
      if (owner.replies !== null && owner.replies.peek() !== -1) {
        this.#doorbell.cancelSleep()
        this.#scheduleTurn()
        return
      }
    }
    if (this.#asleep) return
    this.#asleep = true
    void this.#doorbell.wait().then(this.#woken)
  }

  #spin(): boolean {
    let outstanding = 0
    for (const owner of this.#owners) outstanding += owner.outstanding
    if (outstanding === 0) return false
    const untilMs = performance.now() + spinMs
    do {
      for (const owner of this.#owners) {
        if (owner.replies !== null && owner.replies.peek() !== -1) return true
      }
    } while (performance.now() < untilMs)
    return false
  }

  readonly #woken = (): void => {
    this.#asleep = false
    if (this.#closed) return
    this.#turnNow()
  }

  /** A wake-up by the doorbell does the work at once: a scheduled turn would cost another pass of the event loop. */
  #turnNow(): void {
    this.#drainReplies()
    this.#publish()
    this.#flushDirty()
    this.#sleepOrTurn()
  }

  #publish(): void {
    this.#unpublishedBytes = 0
    for (const owner of this.#owners) {
      if (owner.publish()) this.#metrics.add(Metric.doorbells, 1)
    }
  }

  #drainReplies(): void {
    const reply = this.#reply
    for (const owner of this.#owners) {
      const ring = owner.replies
      if (ring === null) continue
      let taken = 0
      for (let at = ring.peek(); at !== -1; at = ring.peek()) {
        readReply(ring.words, at, reply)
        ring.next()
        if (reply.kind === ReplyKind.advanced) {
          this.purgatory.advanced(reply.partitionSlot)
        } else if (reply.kind === ReplyKind.failed) {
          this.purgatory.failed(reply.partitionSlot, reply.errorCode)
        } else {
          owner.answered()
          this.#onReply(reply)
        }
        if (++taken % repliesPerRelease === 0) ring.release()
      }
      ring.release()
    }
  }

  #onReply(reply: Reply): void {
    const entry = this.#table[reply.requestRef]
    const fresh =
      entry !== undefined && entry.sink !== null && entry.generation === reply.requestGeneration
    if (!fresh) {
      this.#metrics.add(Metric.staleReplies, 1)
      return
    }
    this.#complete(entry, reply)
  }

  #seal(): void {
    const gathering = this.#gathering
    for (let i = 0; i < gathering.length; i++) (gathering[i] as Flushable).flush()
    gathering.length = 0
  }

  #flushDirty(): void {
    const dirty = this.#dirty
    for (let i = 0; i < dirty.length; i++) (dirty[i] as Flushable).flush()
    dirty.length = 0
  }
}
