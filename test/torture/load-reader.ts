/**
 * Readers: one that follows a partition while producers write, and one that reads what a restart has left. Both check
 * every CRC, that offsets are dense and that nothing lies beyond the high watermark.
 */

import { setTimeout as delay } from 'node:timers/promises'
import { RecordCursor } from '../../src/client/record-cursor.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { fetchRequestFor, fetchTopic } from '../../src/protocol/fetch-request.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { ListOffsets } from '../../src/protocol/messages/list-offsets.ts'
import { BATCH_HEADER_BYTES, baseOffsetAt, batchBytesAt } from '../../src/protocol/record-batch.ts'
import type { ResponseOf } from '../../src/protocol/schema.ts'
import { WireClient } from '../support/wire-client.ts'
import { type Death, type PartitionChecker, Violation } from './checker.ts'
import type { ReadRecord } from './records.ts'

export interface ReadPlace {
  readonly topic: string
  readonly partition: number
  readonly checker: PartitionChecker
}

export type FetchedRow = ResponseOf<typeof Fetch>['responses'][number]['partitions'][number]

const retryMs = 10
/** Position of the field in a batch. */
const LAST_OFFSET_DELTA = 23

function asBuffer(bytes: Uint8Array | null): Buffer {
  if (bytes === null) return Buffer.alloc(0)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** One fetch of one partition. */
export async function fetchPartition(
  client: WireClient,
  { topic, partition }: Pick<ReadPlace, 'topic' | 'partition'>,
  offset: number,
  maxWaitMs: number,
): Promise<FetchedRow> {
  const wish = { partition, fetchOffset: offset, maxBytes: 1024 * 1024 }
  const terms = { maxWaitMs, minBytes: 1, maxBytes: 4 * 1024 * 1024 }
  const request = fetchRequestFor(terms, [fetchTopic(topic, [wish])])
  const answer = await client.request(Fetch, 12, request)
  return answer.responses[0].partitions[0]
}

/** Where the log begins, which the answer to a fetch in front of it does not say. */
async function logStartOf(client: WireClient, place: ReadPlace): Promise<number> {
  const wanted = {
    partitionIndex: place.partition,
    currentLeaderEpoch: -1,
    timestamp: -2,
    maxNumOffsets: 1,
  }
  const answer = await client.request(ListOffsets, 5, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name: place.topic, partitions: [wanted] }],
  })
  return answer.topics[0].partitions[0].offset
}

/**
 * The offset to go on with when `offset` is out of range: only retention may be the reason.
 * @throws Violation when it is not
 */
async function behindRetention(
  client: WireClient,
  place: ReadPlace,
  offset: number,
): Promise<number> {
  const { checker } = place
  const logStart = await logStartOf(client, place)
  if (logStart > offset) return logStart
  throw new Violation(
    'lost',
    `${checker.name}: ${offset} is out of range, the log starts at ${logStart}`,
  )
}

/** Tells `take` of each record from `offset` on. @returns the next offset. Throws a Violation. */
export function eachRecord(
  row: FetchedRow,
  offset: number,
  { checker }: Pick<ReadPlace, 'checker'>,
  take: (record: ReadRecord) => void,
): number {
  const cursor = new RecordCursor().reset(asBuffer(row.records), offset)
  let next = offset
  try {
    while (cursor.advance()) {
      if (cursor.offset !== next && !(checker.isCompacted && cursor.offset > next)) {
        throw new Violation('gap', `${checker.name}: asked for ${next}, got ${cursor.offset}`)
      }
      if (cursor.offset >= row.highWatermark) {
        const limit = `the high watermark ${row.highWatermark}`
        throw new Violation('phantom', `${checker.name}: offset ${next} is not below ${limit}`)
      }
      const { timestampMs, offset: found } = cursor
      take({ offset: found, key: cursor.key(), value: cursor.value(), timestampMs })
      next = found + 1
    }
  } catch (error) {
    if (error instanceof Violation) throw error
    throw new Violation('altered', `${checker.name}: at ${next}: ${(error as Error).message}`)
  }
  return checker.isCompacted ? Math.max(next, endOf(asBuffer(row.records))) : next
}

/** Behind the last whole batch; compaction may have left it without records. */
function endOf(batches: Buffer): number {
  let end = 0
  for (let at = 0; at + BATCH_HEADER_BYTES <= batches.length; at += batchBytesAt(batches, at)) {
    if (at + batchBytesAt(batches, at) > batches.length) break
    end = baseOffsetAt(batches, at) + batches.readInt32BE(at + LAST_OFFSET_DELTA) + 1
  }
  return end
}

/** As `readBack` for a compacted topic: all of it, each time. */
async function readCompacted(
  client: WireClient,
  place: ReadPlace,
  death: Death | null,
): Promise<void> {
  const { checker } = place
  const view = checker.view()
  const records: ReadRecord[] = []
  for (let offset = 0; ; ) {
    const row = await fetchPartition(client, place, offset, 0)
    if (row.errorCode !== Errors.NONE) throw refused(checker, offset, row.errorCode)
    const next = eachRecord(row, offset, place, record => records.push(record))
    if (next === offset && next < row.highWatermark) {
      throw new Violation('lost', `${checker.name}: nothing at ${next} of ${row.highWatermark}`)
    }
    offset = next
    if (next < row.highWatermark) continue
    checker.compactedLog(records, next, death)
    checker.sawOffsets(row.highWatermark, row.logStartOffset, view)
    return
  }
}

/**
 * Reads what lies behind the last check, to the high watermark, and lets the checker judge it.
 * @param death how the broker's last life ended; null when it still lives
 */
export async function readBack(
  client: WireClient,
  place: ReadPlace,
  death: Death | null,
): Promise<void> {
  const { checker } = place
  if (checker.isCompacted) return await readCompacted(client, place, death)
  // While producers go on, the end would run away.
  let goal = Number.POSITIVE_INFINITY
  for (;;) {
    const offset = checker.settled.end
    const view = checker.view()
    const row = await fetchPartition(client, place, offset, 0)
    if (row.errorCode === Errors.OFFSET_OUT_OF_RANGE) {
      checker.startsAt(await behindRetention(client, place, offset))
      continue
    }
    if (row.errorCode !== Errors.NONE) throw refused(checker, offset, row.errorCode)
    checker.startsAt(Math.min(row.logStartOffset, offset))
    const next = eachRecord(row, offset, place, record => checker.recovered(record))
    if (next === offset && next < row.highWatermark) {
      const end = `high watermark ${row.highWatermark}`
      throw new Violation('lost', `${checker.name}: nothing at ${next}, ${end}`)
    }
    if (death === null) goal = Math.min(goal, row.highWatermark)
    if (next >= Math.min(goal, row.highWatermark)) {
      checker.endOfLog(row.highWatermark, row.logStartOffset, view, death)
      return
    }
  }
}

/** Reads everything that is settled once more. */
export async function readAgain(client: WireClient, place: ReadPlace): Promise<void> {
  const { checker } = place
  let offset = checker.settled.start
  while (offset < checker.settled.end) {
    const row = await fetchPartition(client, place, offset, 0)
    if (row.errorCode === Errors.OFFSET_OUT_OF_RANGE) {
      offset = await behindRetention(client, place, offset)
      checker.startsAt(offset)
      continue
    }
    if (row.errorCode !== Errors.NONE) throw refused(checker, offset, row.errorCode)
    const end = checker.settled.end
    const next = eachRecord(row, offset, place, record => {
      if (record.offset < end) checker.again(record)
    })
    if (next === offset) throw new Violation('lost', `${checker.name}: nothing at ${offset}`)
    offset = next
  }
}

function refused(checker: PartitionChecker, offset: number, code: number): Violation {
  return new Violation('unexpected', `${checker.name}: ${errorName(code)} at ${offset}`)
}

/** Follows one partition, waiting at its end, over as many connections as it takes. */
export class LoadReader {
  readonly #place: ReadPlace
  readonly #allowedErrors: ReadonlySet<number>
  readonly errors = new Map<string, number>()
  #isOver = true
  #client: WireClient | null = null
  recordCount = 0

  constructor(place: ReadPlace, allowedErrors: ReadonlySet<number> = new Set()) {
    this.#place = place
    this.#allowedErrors = allowedErrors
  }

  /** Reads from `offset` on until `stop`. Rejects with a Violation. */
  async run(bootstrap: string, offset: number): Promise<void> {
    this.#isOver = false
    let next = offset
    while (!this.#isOver) {
      const client = await WireClient.connect(bootstrap).catch(() => null)
      if (client === null) {
        await delay(retryMs)
        continue
      }
      this.#client = client
      next = await this.#follow(client, next)
      client.close()
    }
  }

  stop(): void {
    this.#isOver = true
    this.#client?.close()
  }

  async #follow(client: WireClient, offset: number): Promise<number> {
    const { checker } = this.#place
    let next = offset
    while (!this.#isOver) {
      const view = checker.view()
      const row = await fetchPartition(client, this.#place, next, 50).catch(() => null)
      if (row === null) return next
      if (row.errorCode === Errors.OFFSET_OUT_OF_RANGE) {
        const logStart = await this.#skipRemoved(client, next)
        if (logStart === null) return next
        next = logStart
      } else if (row.errorCode !== Errors.NONE) {
        this.#refused(next, row.errorCode)
        await delay(retryMs)
      } else {
        checker.sawOffsets(row.highWatermark, row.logStartOffset, view)
        const from = next
        next = eachRecord(row, from, this.#place, record => checker.seen(record))
        this.recordCount += next - from
      }
    }
    return next
  }

  /** Null when the connection is gone. */
  async #skipRemoved(client: WireClient, offset: number): Promise<number | null> {
    try {
      return await behindRetention(client, this.#place, offset)
    } catch (error) {
      if (error instanceof Violation) throw error
      return null
    }
  }

  #refused(offset: number, code: number): void {
    const name = errorName(code)
    this.errors.set(name, (this.errors.get(name) ?? 0) + 1)
    if (!this.#allowedErrors.has(code)) throw refused(this.#place.checker, offset, code)
  }
}
