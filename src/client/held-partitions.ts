/**
 * The partitions that a member of a group has now: which of its streams reads each, and how far it is committed. Plain
 * bookkeeping; group-consumer.ts moves it.
 */
import { Errors, KafkaError } from '../protocol/errors.ts'
import { spread } from './group-assign.ts'
import { groupError } from './group-coordinator.ts'
import type { CommitRow } from './group-offsets.ts'
import type { AssignedPartition, PartitionOffset } from './group-options.ts'
import type { Assignment } from './group-protocol.ts'
import type { MessageStream } from './message-stream.ts'
import type { PartitionReader } from './partition-reader.ts'

/** A partition and the stream that is to read it. */
export interface Wanted extends AssignedPartition {
  readonly stream: MessageStream
}

/** Where reading begins; `committed` -1: the group has no offset there. */
export interface Start {
  readonly offset: number
  readonly committed: number
}

interface Held extends Wanted {
  readonly reader: PartitionReader
  committed: number
  /** What was processed when something was last committed here, whatever that was. */
  processedThen: number
}

export class HeldPartitions {
  readonly #groupId: string
  readonly #held = new Map<string, Held>()

  constructor(groupId: string) {
    this.#groupId = groupId
  }

  get list(): AssignedPartition[] {
    return Array.from(this.#held.values(), ({ topic, partition }) => ({ topic, partition }))
  }

  /** As `clicks-0 clicks-1`. */
  get names(): string {
    const sorted = this.list.sort(
      (a, b) => a.topic.localeCompare(b.topic) || a.partition - b.partition,
    )
    return sorted.map(nameOf).join(' ') || 'no partitions'
  }

  has(name: string): boolean {
    return this.#held.has(name)
  }

  readersOf(stream: MessageStream): PartitionReader[] {
    return [...this.#held.values()].filter(held => held.stream === stream).map(held => held.reader)
  }

  hold(wanted: Wanted, reader: PartitionReader, { offset, committed }: Start): void {
    wanted.stream.place(wanted.partition, offset)
    this.#held.set(nameOf(wanted), { ...wanted, reader, committed, processedThen: -1 })
  }

  /**
   * Lets go of everything that is not wanted by the same stream.
   * @param isKept false: nothing is known to have been ours all the time
   * @returns by name where those go on that only change streams
   */
  giveUp(wanted: ReadonlyMap<string, Wanted>, isKept: boolean): Map<string, Start> {
    const moved = new Map<string, Start>()
    for (const [name, { stream, partition, reader, committed }] of this.#held) {
      const next = wanted.get(name)
      if (isKept && next?.stream === stream) continue
      // From what was processed: the record in the hands of the stream it had counts for nobody now.
      const offset = stream.position(partition) ?? reader.fetchOffset
      if (isKept && next !== undefined) moved.set(name, { offset, committed })
      stream.forget(partition)
      this.#held.delete(name)
    }
    return moved
  }

  clear(): void {
    this.giveUp(new Map(), false)
  }

  /** Everything that was processed since the last commit. */
  progress(): CommitRow[] {
    return [...this.#held.values()].flatMap(held => {
      const offset = held.stream.position(held.partition)
      const isNews =
        offset !== undefined && offset !== held.processedThen && offset !== held.committed
      return isNews ? [rowOf(held, offset)] : []
    })
  }

  /**
   * Everything that a stream has handed out.
   * @throws KafkaError ILLEGAL_GENERATION when the record in hand belongs to somebody else by now
   */
  handedOut(stream: MessageStream): PartitionOffset[] {
    const lost = stream.lostInHand
    if (lost !== null) {
      throw groupError(Errors.ILLEGAL_GENERATION, this.#groupId, `commit of ${lost} refused`)
    }
    return [...this.#held.values()].flatMap(held => {
      const { topic, partition, committed } = held
      const offset = held.stream === stream ? stream.position(partition, true) : undefined
      return offset === undefined || offset === committed ? [] : [{ topic, partition, offset }]
    })
  }

  /** @throws KafkaError ILLEGAL_GENERATION for a partition of somebody else, INVALID_REQUEST for what is no offset */
  given(row: PartitionOffset): CommitRow {
    const { offset, metadata } = row
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw new KafkaError(Errors.INVALID_REQUEST, `commit: ${offset} is not an offset`)
    }
    const held = this.#held.get(nameOf(row))
    if (held !== undefined) return { ...rowOf(held, offset), metadata }
    const message = `group ${this.#groupId}: ${nameOf(row)} is not among this consumer's partitions, or no longer`
    throw new KafkaError(Errors.ILLEGAL_GENERATION, message)
  }
}

/** The paper's split goes on inside: a member's part of a topic is one range, and so is that of each of its streams. */
export function share(
  assigned: Assignment,
  streamsOf: (topic: string) => readonly MessageStream[],
): Map<string, Wanted> {
  const wanted = new Map<string, Wanted>()
  for (const [topic, partitions] of assigned) {
    const streams = streamsOf(topic)
    const sorted = [...new Set(partitions)].sort((a, b) => a - b)
    for (const [index, part] of spread(sorted, streams.length).entries()) {
      const stream = streams[index]
      for (const partition of part) {
        wanted.set(nameOf({ topic, partition }), { topic, partition, stream })
      }
    }
  }
  return wanted
}

function rowOf(held: Held, offset: number): CommitRow {
  const { topic, partition, stream } = held
  const processed = stream.position(partition) ?? -1
  const onCommitted = () => {
    held.committed = offset
    held.processedThen = processed
  }
  return { topic, partition, offset, onCommitted }
}

function nameOf({ topic, partition }: AssignedPartition): string {
  return `${topic}-${partition}`
}
