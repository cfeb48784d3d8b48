/**
 * The log as HTTP sees it: topics, appends, reads. Plain values in, plain values out: no request, no socket, no thread.
 * Everything under src/http talks to this interface and to nothing behind it; today it is this broker's own log
 * (local-backend.ts), later it may be another Kafka cluster. Types and small helpers only.
 *
 *   HTTP routes, hot path, tails ──▶ LogBackend ──▶ LocalBackend ──▶ dispatcher ──▶ owner threads
 *                                               └─▶ (a cluster, over src/client)
 */
import type { RecordCursor } from '../../client/record-cursor.ts'

/** acks of an append: none (0), written to the log file (1), flushed (-1, "all"). */
export type Acks = 0 | 1 | -1

export interface TopicView {
  readonly name: string
  readonly id: string
  /** The broker's own, as `__consumer_offsets`: it can be read, not produced to. */
  readonly isInternal: boolean
  readonly partitionCount: number
  /** The effective settings of the topic, as `describeTopicConfigs` tells them. */
  configs(): Readonly<Record<string, string>>
}

/** A refusal: a code of `Errors`, and what is wrong and how to mend it, for the person who asked. */
export interface Refusal {
  readonly errorCode: number
  readonly message: string
}

export interface PartitionOffsets {
  readonly logStart: number
  readonly highWatermark: number
  /** Takes records now. */
  readonly isWritable: boolean
}

/** One record on its way in. Bytes are copied before `next` is called again. */
export interface IncomingRecord {
  key: Uint8Array | null
  value: Uint8Array | null
  headers: readonly (readonly [name: string, value: Uint8Array | null])[]
  /** Milliseconds since 1970; -1: the time of the append. */
  timestampMs: number
}

/** Walks the records of one append. One reused record: no object for each. */
export interface RecordSource {
  /** Number of records that `next` will give; at least 1. */
  readonly count: number
  /** Bytes of keys, values, header names and values together: bounds the batch before anything is copied. */
  readonly bytes: number
  /** Size of the largest one, encoded as the only record of a batch (`recordBytesAlone`). */
  readonly largestBytes: number
  /** Some record has no key: compacted topics refuse it. */
  readonly hasKeyless: boolean
  /** Smallest and largest time of records that have one; -1 when none has. */
  readonly earliestMs: number
  readonly latestMs: number
  /** Fills `record` with the next one. Called exactly `count` times. */
  next(record: IncomingRecord): void
  /**
   * Called when the records will be read after `produce` has returned (more of them than fit one batch): copies what
   * the source refers to, unless that stays as it is anyway.
   */
  keep(): void
}

/** Who is told what became of an append; told exactly once, never from inside `produce`. */
export interface ProduceSink {
  /**
   * @param tag as given to `produce`
   * @param errorCode of `Errors`. After an error `storedCount` records may be stored all the same: a large append goes
   *   in several batches, in order.
   * @param baseOffset of the first record; -1 when it is not known (acks=0, or nothing was stored)
   * @param lastOffset of the last stored record. Records of one append lie together unless it was larger than a batch
   *   may be: then others' may lie between its batches.
   */
  onProduced(
    tag: number,
    errorCode: number,
    baseOffset: number,
    lastOffset: number,
    storedCount: number,
  ): void
}

export interface ReadCall {
  readonly topic: string
  readonly partition: number
  /** First offset wanted. */
  readonly offset: number
  /** Bytes of batches to read at most; at least one batch is read if there is one. */
  readonly bytesMax: number
  /** How long to wait for the first record, in milliseconds; 0: not at all. */
  readonly waitMs: number
  /** Aborted: the answer is not wanted any more; `read` then resolves with an empty page soon. */
  readonly signal?: AbortSignal
}

/** What a read found. `release()` must be called once, after the last look at the cursor's bytes. */
export interface ReadPage {
  /** NONE, also when there is nothing to read; OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR, ... */
  readonly errorCode: number
  /** What is wrong and how to go on, when `errorCode` is not NONE. */
  readonly message: string
  /** Stands before the first wanted record; never gives one at or beyond the high watermark. Batches are unpacked. */
  readonly cursor: RecordCursor
  /** Where to read on once the cursor is at its end. With CORRUPT_MESSAGE: the next good offset, if it is known. */
  readonly nextOffset: number
  readonly highWatermark: number
  readonly logStart: number
  release(): void
}

/** Ends a watch. */
export type Unwatch = () => void

export interface LogBackend {
  /** All topics, internal ones too, by name. */
  topics(): readonly TopicView[]
  topic(name: string): TopicView | null
  /**
   * The topic, made with the defaults if it does not exist and `auto.create.topics.enable` allows that: as a producer's
   * metadata request on the wire does.
   */
  ensureTopic(name: string): Promise<TopicView | Refusal>
  /**
   * Where a record goes that names no partition. With a key: murmur2 as Kafka's own clients. Without: all keyless
   * records of a topic go to one partition until the batch gathered there leaves, then to the next one that takes
   * records (KIP-480's sticky partitioner, with this broker as the producer).
   * @param topic one that exists @returns a partition index
   */
  partitionFor(topic: string, key: Uint8Array | null): number
  /**
   * Appends. All records of `source` are copied before it returns.
   * @returns false when there is no room for them now: nothing was taken, try again after `whenRoom`
   */
  produce(
    topic: string,
    partition: number,
    acks: Acks,
    source: RecordSource,
    sink: ProduceSink,
    tag: number,
  ): boolean
  /** Calls `retry` once when room was freed. @returns takes it back */
  whenRoom(retry: () => void): () => void
  /** Whether acks=-1 waits for the flush here: not under `flush.policy=os`. */
  isFlushed(topic: string): boolean
  /** Why an append with this code was refused, for people. */
  explain(topic: string, partition: number, errorCode: number): string
  read(call: ReadCall): Promise<ReadPage>
  /** Null when there is no such partition or it is not open now. */
  offsets(topic: string, partition: number): PartitionOffsets | null
  /** Offset of the first record at or after a time; the high watermark when there is none. */
  offsetForTime(topic: string, partition: number, timestampMs: number): Promise<number | Refusal>
  /** Calls `moved` at the end of a turn in which the high watermark moved or the partition failed. */
  watch(topic: string, partition: number, moved: () => void): Unwatch
}

export function isRefusal(value: object): value is Refusal {
  return 'errorCode' in value && 'message' in value
}
