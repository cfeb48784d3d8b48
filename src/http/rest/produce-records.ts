/**
 * Appends the records of one REST Proxy v2 request, each where it belongs, and answers a row for each of them in the
 * order of the request. Dispatcher thread.
 *
 *   records ──▶ by partition ──▶ appends that fit a batch (their records lie together) ──▶ offset = base + place
 *
 * What one partition refuses does not touch the others: its rows carry the error, the rest their offsets.
 */
import { Errors, isRetriable } from '../../protocol/errors.ts'
import type { Acks, LogBackend, ProduceSink, TopicView } from '../backend/log-backend.ts'
import { listedRecords, recordBytesAlone } from '../backend/record-sources.ts'
import type { BodyRecord } from './produce-body.ts'

export interface OffsetRow {
  readonly partition: number
  readonly offset: number | null
  /** Null: stored. 1: it will not be taken as it is. 2: trying again may help. */
  readonly error_code: number | null
  readonly error: string | null
}

interface Append {
  readonly partition: number
  /** Places of its records in the request. */
  readonly places: number[]
  readonly records: BodyRecord[]
  bytes: number
}

const notRetriable = 1
const retriable = 2
/** Appends are cut here at the latest: what is larger gains nothing. */
const appendBytesMax = 512 * 1024
/** Of a batch beside its records, and of a record beside what it is alone. */
const batchOverheadBytes = 61
const recordOverheadBytes = 12
/** No batch limit is as small as this. */
const alwaysFitsBytes = 400
/** How long an append waits for room. */
const roomMsMax = 30_000

export async function produceRecords(
  backend: LogBackend,
  topic: TopicView,
  records: readonly BodyRecord[],
  acks: Acks,
): Promise<OffsetRow[]> {
  const rows = Array.from<OffsetRow>({ length: records.length })
  const batchBytesMax = batchBytesOf(topic, records)
  const open = new Map<number, Append>()
  const appends: Append[] = []
  for (const [place, record] of records.entries()) {
    const partition = record.partition ?? backend.partitionFor(topic.name, record.key)
    if (partition >= topic.partitionCount) {
      const error = backend.explain(topic.name, partition, Errors.UNKNOWN_TOPIC_OR_PARTITION)
      rows[place] = { partition, offset: null, error_code: notRetriable, error }
      continue
    }
    const bytes = recordBytesAlone(record) + recordOverheadBytes
    let append = open.get(partition)
    if (append === undefined || append.bytes + bytes > batchBytesMax) {
      append = { partition, places: [], records: [], bytes: batchOverheadBytes }
      open.set(partition, append)
      appends.push(append)
    }
    append.places.push(place)
    append.records.push(record)
    append.bytes += bytes
  }
  const running = new Map<number, Promise<void>>()
  for (const append of appends) {
    // One partition's appends go one after the other, or what waits for room would be overtaken.
    const before = running.get(append.partition) ?? Promise.resolve()
    running.set(
      append.partition,
      before.then(() => run(backend, topic.name, append, acks, rows)),
    )
  }
  await Promise.all(running.values())
  return rows
}

function batchBytesOf(topic: TopicView, records: readonly BodyRecord[]): number {
  let bytes = batchOverheadBytes
  for (const { key, value } of records) bytes += (key?.length ?? 0) + (value?.length ?? 0) + 30
  if (bytes <= alwaysFitsBytes) return appendBytesMax
  const configs = topic.configs()
  const most = Math.min(Number(configs['max.message.bytes']), Number(configs['segment.bytes']))
  return Math.min(appendBytesMax, most)
}

async function run(
  backend: LogBackend,
  topic: string,
  { partition, places, records }: Append,
  acks: Acks,
  rows: OffsetRow[],
): Promise<void> {
  const outcome = await append(backend, topic, partition, records, acks)
  const { errorCode, baseOffset, storedCount } = outcome
  for (const [index, place] of places.entries()) {
    if (index < storedCount || errorCode === Errors.NONE) {
      const offset = baseOffset < 0 ? -1 : baseOffset + index
      rows[place] = { partition, offset, error_code: null, error: null }
    } else {
      const error = backend.explain(topic, partition, errorCode)
      const code = isRetriable(errorCode) ? retriable : notRetriable
      rows[place] = { partition, offset: null, error_code: code, error }
    }
  }
}

interface Outcome {
  readonly errorCode: number
  readonly baseOffset: number
  readonly storedCount: number
}

async function append(
  backend: LogBackend,
  topic: string,
  partition: number,
  records: readonly BodyRecord[],
  acks: Acks,
): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const sink: ProduceSink = {
    onProduced: (_tag, errorCode, baseOffset, _lastOffset, storedCount) =>
      resolve({ errorCode, baseOffset, storedCount }),
  }
  const dueMs = performance.now() + roomMsMax
  while (!backend.produce(topic, partition, acks, listedRecords(records), sink, 0)) {
    if (performance.now() >= dueMs || !(await room(backend, dueMs - performance.now()))) {
      return { errorCode: Errors.REQUEST_TIMED_OUT, baseOffset: -1, storedCount: 0 }
    }
  }
  return await promise
}

/** @returns false when there was none in time */
function room(backend: LogBackend, waitMs: number): Promise<boolean> {
  return new Promise(resolve => {
    const timer = setTimeout(() => {
      takeBack()
      resolve(false)
    }, waitMs)
    const takeBack = backend.whenRoom(() => {
      clearTimeout(timer)
      resolve(true)
    })
  })
}
