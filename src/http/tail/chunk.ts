/**
 * A piece of a tail: records of one partition, or one notice, as the bytes that go to the client. Made once, sent to
 * any number of clients. Dispatcher thread.
 */
import type { RecordCursor } from '../../client/record-cursor.ts'
import { KafkaError } from '../../protocol/errors.ts'
import { ByteWriter } from './byte-writer.ts'
import {
  type Envelope,
  type EventName,
  eventStreamEnvelope,
  webSocketEnvelope,
} from './envelopes.ts'
import { positionsText } from './positions.ts'
import { type Encoding, recordJson, recordStart } from './record-json.ts'

export interface Chunk {
  /** Index of the partition among those of the stream. */
  readonly slot: number
  /** Where the partition stands before and after. Equal for a notice that tells of no gap. */
  readonly from: number
  readonly next: number
  /** Empty when a stretch of the log holds no records. */
  readonly bytes: Buffer
  /** Of each record: its end in `bytes`, and where the partition stands behind it. Empty for a notice. */
  readonly ends: readonly number[]
  readonly nexts: readonly number[]
}

export interface MadeChunk {
  readonly chunk: Chunk
  /** What the cursor has behind it. */
  readonly rest: 'more' | 'none' | 'damaged'
}

export type TailKind = 'sse' | 'websocket'

/** What all clients of one kind of stream have in common. */
export interface StreamShape {
  readonly topic: string
  /** Grows when partitions are added to a topic that is followed as a whole. */
  readonly partitions: readonly number[]
  readonly encoding: Encoding
  readonly kind: TailKind
}

/** Every event names the position of every partition: with more of them that would be most of the bytes. */
export const partitionsMax = 256
/** A chunk is full with so many bytes; a record larger than that is a chunk by itself. */
const chunkBytesMax = 64 * 1024
const writer = new ByteWriter()
const none: readonly number[] = []

export class ChunkMaker {
  readonly #shape: StreamShape
  readonly #envelope: Envelope

  constructor(shape: StreamShape) {
    this.#shape = shape
    this.#envelope = shape.kind === 'sse' ? eventStreamEnvelope : webSocketEnvelope
  }

  /**
   * Takes records below `until` off the cursor until the chunk is full.
   * @param pageEnd where the partition stands once the cursor is at its end
   * @returns the chunk, which ends before records that are not what their batch claims
   */
  records(
    cursor: RecordCursor,
    slot: number,
    positions: readonly number[],
    until: number,
    pageEnd: number,
  ): MadeChunk {
    const { topic, partitions, encoding } = this.#shape
    const start = recordStart(topic, partitions[slot])
    const [before, behind] = this.#around(slot, positions)
    const ends: number[] = []
    const nexts: number[] = []
    const from = positions[slot]
    let next = from
    let rest: MadeChunk['rest'] = 'more'
    writer.pos = 0
    try {
      while (rest === 'more' && writer.pos < chunkBytesMax) {
        if (!cursor.advance() || cursor.offset >= until) {
          next = Math.max(from, Math.min(pageEnd, until))
          rest = 'none'
          break
        }
        const json = recordJson(start, cursor, encoding)
        next = cursor.offset + 1
        this.#envelope(writer, 'record', `${before}${next}${behind}`, json)
        ends.push(writer.pos)
        nexts.push(next)
      }
    } catch (error) {
      if (!(error instanceof KafkaError)) throw error
      rest = 'damaged'
    }
    writer.pos = ends.at(-1) ?? 0
    return { chunk: { slot, from, next, bytes: writer.take(), ends, nexts }, rest }
  }

  /** Tells something of one partition; the stream goes on at `next` there. */
  notice(
    event: EventName,
    slot: number,
    positions: readonly number[],
    next: number,
    about: object,
  ): Chunk {
    const [before, behind] = this.#around(slot, positions)
    const { topic, partitions } = this.#shape
    const json = JSON.stringify({ topic, partition: partitions[slot], ...about })
    writer.pos = 0
    this.#envelope(writer, event, `${before}${next}${behind}`, json)
    const bytes = writer.take()
    return { slot, from: positions[slot], next, bytes, ends: none, nexts: none }
  }

  /** An event about the stream as a whole. */
  event(event: EventName, positions: readonly number[], about: object): Buffer {
    const { topic, partitions } = this.#shape
    writer.pos = 0
    const json = JSON.stringify({ topic, ...about })
    this.#envelope(writer, event, positionsText(partitions, positions), json)
    return writer.take()
  }

  /** The text of a position, cut where the offset of `slot` stands. */
  #around(slot: number, positions: readonly number[]): [before: string, behind: string] {
    const { partitions } = this.#shape
    const pair = (partition: number, index: number) => `${partition}:${positions[index] ?? 0}`
    const before = partitions.slice(0, slot).map(pair)
    const behind = partitions.slice(slot + 1).map((p, i) => pair(p, slot + 1 + i))
    return [
      [...before, `${partitions[slot]}:`].join(','),
      behind.length === 0 ? '' : `,${behind.join(',')}`,
    ]
  }
}
