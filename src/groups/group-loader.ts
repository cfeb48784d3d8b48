/**
 * Reads one partition of `__consumer_offsets` from its start to its end and says what it holds: the last word about
 * every group and offset. Dispatcher thread, through the same read commands as a consumer's; one region of the response
 * arena at a time, so that what is on the way is bounded whatever the size of the log.
 *
 * Directories that Apache Kafka wrote may hold offsets that were committed in a transaction: they count from its commit
 * marker on, as in Kafka. What is rotten, or of a kind not known here, is passed over and counted.
 */
import type { Dispatcher, ReplySink } from '../dispatcher.ts'
import { emptyOffsetView, PartitionState } from '../partitions/offset-table.ts'
import type { Partition } from '../partitions/partition.ts'
import { Errors } from '../protocol/errors.ts'
import { ProtocolError, Reader } from '../protocol/reader.ts'
import {
  attributesAt,
  isControl,
  isTransactional,
  lastOffsetAt,
  producerIdAt,
} from '../protocol/record-batch.ts'
import { batches, type LogRecord, records } from '../protocol/records.ts'
import type { Region } from '../ring/arena.ts'
import { Op, type Reply } from '../ring/commands.ts'
import { decodeGroupRecord, type GroupChange } from './group-records.ts'
import { OffsetMap, type OffsetsByTopic } from './offset-map.ts'
import type { GroupSnapshot, LoadedGroups } from './types.ts'

const regionBytes = 1024 * 1024
/** Type of a control record that ends a transaction well. */
const commitMarker = 1

const view = emptyOffsetView()
const markerReader = new Reader()

/** The content of one partition, as it grows with its records. */
export class GroupContent implements LoadedGroups {
  readonly #groups = new Map<string, GroupSnapshot>()
  readonly #offsets = new OffsetMap()
  /** Offsets of transactions whose end has not been seen, by producer id. */
  readonly #pending = new Map<number, GroupChange[]>()
  /** Records that could not be read, of another kind, and of groups that another partition keeps. */
  unreadCount = 0
  otherCount = 0
  strayCount = 0
  readonly #isOwn: (groupId: string) => boolean

  constructor(isOwn: (groupId: string) => boolean) {
    this.#isOwn = isOwn
  }

  get groups(): readonly GroupSnapshot[] {
    return [...this.#groups.values()]
  }

  get offsets(): ReadonlyMap<string, OffsetsByTopic> {
    return this.#offsets.groups
  }

  /** Offsets of transactions that nobody will end here. */
  get pendingCount(): number {
    return [...this.#pending.values()].reduce((sum, changes) => sum + changes.length, 0)
  }

  /** Takes a whole batch, with its records in order. */
  add(batch: Uint8Array): void {
    const attributes = attributesAt(batch, 0)
    const producerId = isTransactional(attributes) ? producerIdAt(batch, 0) : null
    try {
      for (const record of records(batch)) {
        if (isControl(attributes)) this.#endTransaction(producerIdAt(batch, 0), record)
        else this.#addRecord(record, producerId)
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.unreadCount++
    }
  }

  #addRecord(record: LogRecord, producerId: number | null): void {
    let change: GroupChange
    try {
      change = decodeGroupRecord(record)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.unreadCount++
      return
    }
    if (producerId === null) this.#apply(change)
    else this.#pending.set(producerId, [...(this.#pending.get(producerId) ?? []), change])
  }

  #endTransaction(producerId: number, { key }: LogRecord): void {
    const changes = this.#pending.get(producerId) ?? []
    this.#pending.delete(producerId)
    if (key === null) return
    const r = markerReader.reset(key)
    r.int16()
    if (r.int16() !== commitMarker) return
    for (const change of changes) this.#apply(change)
  }

  #apply(change: GroupChange): void {
    if (change.kind === 'other') this.otherCount++
    else if (!this.#isOwn(change.groupId)) this.strayCount++
    else if (change.kind === 'group') {
      if (change.group === null) this.#groups.delete(change.groupId)
      else this.#groups.set(change.groupId, change.group)
    } else {
      const { topic, partition, offset } = change.row
      this.#offsets.put(change.groupId, topic, partition, offset)
    }
  }
}

export interface LoadOptions {
  readonly dispatcher: Dispatcher
  readonly partition: Partition
  /** Whether this partition is where the group is kept. */
  readonly isOwn: (groupId: string) => boolean
  /** Offsets whose records are rotten: [first, next). */
  readonly onLost: (firstOffset: number, nextOffset: number) => void
  /** Another `bytes` were read, which brings this partition to `part` of its end (0 to 1). */
  readonly onProgress: (bytes: number, part: number) => void
}

export interface LoadedPartition {
  readonly content: GroupContent
  readonly logEnd: number
}

/** What a reply says; the object itself is used again. */
interface Read {
  readonly errorCode: number
  readonly bytes: Uint8Array
  readonly neededBytes: number
  readonly nextOffset: number
}

/** Reads a partition. Null when that does not work now: it is not online, or went away meanwhile. */
export async function loadPartition(options: LoadOptions): Promise<LoadedPartition | null> {
  return await new PartitionReading(options).run()
}

class PartitionReading implements ReplySink {
  readonly #options: LoadOptions
  readonly #content: GroupContent
  #region: Region | null = null
  #answered: ((read: Read) => void) | null = null

  constructor(options: LoadOptions) {
    this.#options = options
    this.#content = new GroupContent(options.isOwn)
  }

  async run(): Promise<LoadedPartition | null> {
    const { dispatcher, onLost, onProgress } = this.#options
    const { slot, generation } = this.#options.partition
    if (!this.#isOnline()) return null
    const { logStart, logEnd } = view
    if (!(await this.#flushed(logEnd))) return null
    let bytes = regionBytes
    for (let next = logStart; next < logEnd; ) {
      const read = await this.#read(next, bytes)
      const before = next
      if (read.errorCode === Errors.CORRUPT_MESSAGE && read.nextOffset > next) {
        next = read.nextOffset
        onLost(before, next)
      } else if (read.errorCode === Errors.OFFSET_OUT_OF_RANGE) {
        if (!dispatcher.offsets.read(slot, generation, view)) return null
        next = Math.max(next, view.logStart)
      } else if (read.errorCode !== Errors.NONE) return null
      else next = this.#take(read, next)
      this.#free()
      bytes = Math.max(regionBytes, read.neededBytes)
      if (next === before && read.neededBytes === 0) break
      onProgress(read.bytes.length, (next - logStart) / (logEnd - logStart))
    }
    return { content: this.#content, logEnd }
  }

  onReply(_row: number, reply: Reply): void {
    const { errorCode, neededBytes } = reply
    const { arena } = this.#options.dispatcher.responses
    const start = (this.#region?.offset ?? 0) + reply.start
    const bytes = arena.bytes.subarray(start, start + reply.length)
    this.#answered?.({ errorCode, bytes, neededBytes, nextOffset: reply.endOffset })
  }

  #isOnline(): boolean {
    const { dispatcher, partition } = this.#options
    const { slot, generation, state } = partition
    const isKnown = state === 'online' && dispatcher.offsets.read(slot, generation, view)
    return isKnown && view.state !== PartitionState.offline
  }

  /** Nobody reads above the high watermark. */
  async #flushed(logEnd: number): Promise<boolean> {
    const { dispatcher, partition } = this.#options
    if (view.highWatermark >= logEnd) return true
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const waiter = { onDurable: (_row: number, code: number) => resolve(code === Errors.NONE) }
    const { purgatory } = dispatcher
    purgatory.waitDurable(partition.slot, logEnd, Number.POSITIVE_INFINITY, waiter, 0)
    return await promise
  }

  #read(offset: number, bytes: number): Promise<Read> {
    const { dispatcher, partition } = this.#options
    if (bytes > dispatcher.responses.arena.sab.byteLength) {
      const nothing = { bytes: new Uint8Array(0), neededBytes: bytes, nextOffset: offset }
      return Promise.resolve({ errorCode: Errors.MESSAGE_TOO_LARGE, ...nothing })
    }
    const { promise, resolve } = Promise.withResolvers<Read>()
    const ask = (): void => {
      const region = dispatcher.responses.allocate(bytes)
      if (region === null) {
        dispatcher.responses.wait(ask)
        return
      }
      this.#region = region
      dispatcher.read(Op.read, partition, offset, region, bytes, this, 0)
    }
    this.#answered = resolve
    ask()
    return promise
  }

  /** @returns the offset behind the batches read */
  #take({ bytes }: Read, from: number): number {
    let next = from
    for (const batch of batches(bytes)) {
      this.#content.add(batch)
      next = Math.max(next, lastOffsetAt(batch, 0) + 1)
    }
    return next
  }

  #free(): void {
    if (this.#region !== null) this.#options.dispatcher.responses.free(this.#region)
    this.#region = null
  }
}
