/** Brokers inside the test process, and the requests that most tests of this folder send over raw sockets. */

import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { type Broker, startBrokerWith } from '../../src/broker.ts'
import { loadConfig } from '../../src/config/config.ts'
import type { ReadPath } from '../../src/net/arena-socket.ts'
import type { OwnerThreadOptions } from '../../src/partitions/owner.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { fetchRequestFor, fetchTopic } from '../../src/protocol/fetch-request.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { ListOffsets } from '../../src/protocol/messages/list-offsets.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { type BatchToEncode, encodeBatch } from '../../src/protocol/record-batch.ts'
import { batches, type LogRecord, records } from '../../src/protocol/records.ts'
import type { RequestOf, ResponseOf } from '../../src/protocol/schema.ts'
import { WireClient } from '../support/wire-client.ts'

export type ProduceRow = ResponseOf<
  typeof Produce
>['responses'][number]['partitionResponses'][number]
export type FetchResponse = ResponseOf<typeof Fetch>
export type FetchRow = FetchResponse['responses'][number]['partitions'][number]
export type OffsetRow = ResponseOf<typeof ListOffsets>['topics'][number]['partitions'][number]

/** Settings under which a few megabytes are more than the arenas hold. */
export const smallArenas = {
  'request.arena.bytes': 4 * 1024 * 1024,
  'response.arena.bytes': 4 * 1024 * 1024,
  'socket.request.max.bytes': 2 * 1024 * 1024,
  'fetch.max.bytes': 2 * 1024 * 1024,
} as const

export interface TestBrokerOptions {
  readonly workers?: number
  readonly readPath?: ReadPath
  readonly http?: boolean
  /** Without it: a temporary directory that close() removes. */
  readonly dataDirectory?: string
  readonly set?: Readonly<Record<string, string | number | boolean>>
  readonly ownerThreads?: OwnerThreadOptions
  /** From a failure to the automatic try; default an hour, so that none comes. */
  readonly retryMs?: number
  readonly watchdogMs?: number
}

/** Starts a broker on free ports; the caller closes it. */
export async function launchBroker(options: TestBrokerOptions = {}): Promise<Broker> {
  const temporary =
    options.dataDirectory === undefined
      ? await mkdtemp(join(tmpdir(), 'odradek-test-broker-'))
      : undefined
  const config = loadConfig({
    flags: {
      kafka: '127.0.0.1:0',
      http: '127.0.0.1:0',
      dataDir: options.dataDirectory ?? temporary,
      workers: options.workers ?? 2,
      logLevel: 'silent',
    },
    set: options.set,
  })
  return await startBrokerWith(config, {
    http: options.http ?? false,
    readPath: options.readPath,
    temporaryDirectory: temporary,
    ownerThreads: options.ownerThreads,
    retryMs: options.retryMs ?? 3_600_000,
    watchdogMs: options.watchdogMs,
  })
}

/** A broker that is closed when the running test ends. */
export async function testBroker(options?: TestBrokerOptions): Promise<Broker> {
  const broker = await launchBroker(options)
  onTestFinished(() => broker.close())
  return broker
}

/** One broker for all tests of a `describe` or file: `const broker = sharedBroker()`, then `broker().bootstrap`. */
export function sharedBroker(options?: TestBrokerOptions): () => Broker {
  let broker: Broker | null = null
  beforeAll(async () => {
    broker = await launchBroker(options)
  })
  afterAll(() => broker?.close())
  return () => {
    if (broker === null) throw new Error('the broker is there only while tests run')
    return broker
  }
}

/** A connection that is closed when the running test ends. */
export async function connect(broker: { readonly bootstrap: string }): Promise<WireClient> {
  const client = await WireClient.connect(broker.bootstrap)
  onTestFinished(() => client.close())
  return client
}

let topics = 0
/** A name no other test has. */
export function newTopicName(prefix = 'topic'): string {
  return `${prefix}-${process.pid}-${++topics}`
}

export interface TopicOptions {
  readonly partitions?: number
  readonly configs?: Readonly<Record<string, string>>
}

/** Creates a topic with a name of its own. @returns the name */
export async function createTopic(
  client: WireClient,
  { partitions = 1, configs = {} }: TopicOptions = {},
): Promise<string> {
  const name = newTopicName()
  const topic = {
    name,
    numPartitions: partitions,
    replicationFactor: 1,
    assignments: [],
    configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
  }
  const answer = await client.request(CreateTopics, 7, {
    topics: [topic],
    timeoutMs: 30_000,
    validateOnly: false,
  })
  const { errorCode, errorMessage } = answer.topics[0]
  if (errorCode !== Errors.NONE) throw new Error(`${name}: ${errorMessage}`)
  return name
}

/** A batch of text records without keys. */
export function batchOf(values: readonly string[], rest: Partial<BatchToEncode> = {}): Buffer {
  return encodeBatch({
    ...rest,
    records: values.map(value => ({ key: null, value: Buffer.from(value) })),
  })
}

/** A batch whose records have these timestamps; record i has the value `t<timestamp>`. */
export function timedBatch(
  timestamps: readonly number[],
  rest: Partial<BatchToEncode> = {},
): Buffer {
  return encodeBatch({
    ...rest,
    records: timestamps.map(timestampMs => ({
      key: null,
      value: Buffer.from(`t${timestampMs}`),
      timestampMs,
    })),
  })
}

export interface ProduceOptions {
  readonly partition?: number
  readonly acks?: number
  readonly version?: number
  readonly timeoutMs?: number
  readonly transactionalId?: string | null
}

export function produceRequest(
  topic: string,
  records: Uint8Array | null,
  options: ProduceOptions = {},
): RequestOf<typeof Produce> {
  return {
    transactionalId: options.transactionalId ?? null,
    acks: options.acks ?? -1,
    timeoutMs: options.timeoutMs ?? 30_000,
    topicData: [{ name: topic, partitionData: [{ index: options.partition ?? 0, records }] }],
  }
}

/** Sends one batch. @returns the row of its partition */
export async function produce(
  client: WireClient,
  topic: string,
  records: Uint8Array | null,
  options: ProduceOptions = {},
): Promise<ProduceRow> {
  const request = produceRequest(topic, records, options)
  const answer = await client.request(Produce, options.version ?? 11, request)
  return answer.responses[0].partitionResponses[0]
}

/** As `produce`; throws when the broker refuses. @returns the base offset */
export async function store(
  client: WireClient,
  topic: string,
  records: Uint8Array,
  options: ProduceOptions = {},
): Promise<number> {
  const row = await produce(client, topic, records, options)
  if (row.errorCode !== Errors.NONE) throw new Error(`refused: ${errorName(row.errorCode)}`)
  return row.baseOffset
}

export interface FetchOptions {
  readonly version?: number
  readonly offset?: number
  readonly partition?: number
  readonly maxWaitMs?: number
  readonly minBytes?: number
  readonly maxBytes?: number
  readonly partitionMaxBytes?: number
  readonly isolationLevel?: number
  readonly sessionId?: number
  readonly sessionEpoch?: number
  readonly currentLeaderEpoch?: number
  /** From version 13 on, in place of the name. */
  readonly topicId?: string
}

/** What fetches from version 13 on name a topic by. */
export function topicIdOf(broker: Broker, name: string): string {
  const topic = broker.parts.services.topics.get(name)
  if (topic === undefined) throw new Error(`no topic ${name}`)
  return topic.id
}

/** A fetch of one partition, which by default does not wait. */
export function fetchRequest(topic: string, options: FetchOptions = {}): RequestOf<typeof Fetch> {
  const { partition = 0, offset = 0 } = options
  return fetchRequestOf([{ topic, partition, offset }], options)
}

export interface FetchFrom {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export function fetchRequestOf(
  from: readonly FetchFrom[],
  options: FetchOptions = {},
): RequestOf<typeof Fetch> {
  const byTopic = Map.groupBy(from, ({ topic }) => topic)
  const topics = [...byTopic].map(([topic, places]) => {
    const wishes = places.map(({ partition, offset }) => ({
      partition,
      fetchOffset: offset,
      maxBytes: options.partitionMaxBytes ?? 1024 * 1024,
      currentLeaderEpoch: options.currentLeaderEpoch,
    }))
    return fetchTopic(topic, wishes, options.topicId)
  })
  const defaults = { maxWaitMs: 0, minBytes: 1, maxBytes: 8 * 1024 * 1024 }
  return fetchRequestFor({ ...defaults, ...options }, topics)
}

/** Fetches one partition. @returns its row */
export async function fetchRow(
  client: WireClient,
  topic: string,
  options: FetchOptions = {},
): Promise<FetchRow> {
  const answer = await client.request(Fetch, options.version ?? 12, fetchRequest(topic, options))
  return answer.responses[0].partitions[0]
}

/** The records of a fetched row, those in front of `offset` left out as a consumer does. */
export function recordsOf(row: FetchRow, offset = 0): LogRecord[] {
  return [...batches(row.records ?? Buffer.alloc(0))]
    .flatMap(batch => [...records(batch)])
    .filter(record => record.offset >= offset)
}

export function valuesOf(row: FetchRow, offset = 0): string[] {
  return recordsOf(row, offset).map(({ value }) => (value === null ? '' : String(value)))
}

/**
 * Reads a partition to its high watermark, or waits until it has read up to `end`: a record acknowledged under acks=1
 * may be shown a little later.
 */
export async function readAll(
  client: WireClient,
  topic: string,
  { partition = 0, offset = 0, end = 0 } = {},
): Promise<LogRecord[]> {
  const all: LogRecord[] = []
  for (let next = offset; ; ) {
    const maxWaitMs = next < end ? 3_600_000 : 0
    const row = await fetchRow(client, topic, { partition, offset: next, maxWaitMs })
    if (row.errorCode !== Errors.NONE) throw new Error(`fetch: ${errorName(row.errorCode)}`)
    const found = recordsOf(row, next)
    all.push(...found)
    if (found.length === 0) return all
    next = (found.at(-1)?.offset ?? next) + 1
  }
}

/** One look-up of ListOffsets. @returns the row */
export async function lookUp(
  client: WireClient,
  topic: string,
  timestamp: number,
  { version = 9, partition = 0, isolationLevel = 0, currentLeaderEpoch = -1 } = {},
): Promise<OffsetRow> {
  const answer = await client.request(ListOffsets, version, {
    replicaId: -1,
    isolationLevel,
    topics: [
      {
        name: topic,
        partitions: [
          { partitionIndex: partition, currentLeaderEpoch, timestamp, maxNumOffsets: 1 },
        ],
      },
    ],
  })
  return answer.topics[0].partitions[0]
}
