/**
 * A broker in one file for what a real one does not do on demand: lose answers, refuse with any code, hang up, serve
 * old versions. Logs are arrays of batches in memory; producers' sequences are checked as KIP-98 says. Built on our own
 * codecs, so it proves the client's behaviour, not the wire format (test/protocol does that).
 */
import net from 'node:net'
import { Reader, Writer } from '../../src/protocol/bytes.ts'
import { codec } from '../../src/protocol/compile.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { readRequestHeader, writeResponseHeader } from '../../src/protocol/headers.ts'
import { ApiVersions } from '../../src/protocol/messages/api-versions.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { InitProducerId } from '../../src/protocol/messages/init-producer-id.ts'
import { ListOffsets } from '../../src/protocol/messages/list-offsets.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import {
  baseSequenceAt,
  lastOffsetAt,
  patchAppend,
  producerIdAt,
  recordCountAt,
} from '../../src/protocol/record-batch.ts'
import { type LogRecord, records } from '../../src/protocol/records.ts'
import type { ApiSchema, RequestOf, ResponseOf } from '../../src/protocol/schema.ts'

const schemas = [ApiVersions, Metadata, Produce, Fetch, ListOffsets, InitProducerId]
type AnySchema = ApiSchema<never, never>

/** What to do instead of answering properly. `lose-answer` does the work and hangs up before it says so. */
export type Fault = 'hang-up' | 'lose-answer' | 'silence' | { readonly errorCode: number }

export interface Seen {
  readonly api: string
  readonly version: number
  readonly request: unknown
}

class MemoryLog {
  readonly batches: Buffer[] = []
  logStart = 0
  logEnd = 0
  /** By producer id, the newest last: five batches, as Kafka remembers them. */
  readonly #sequences = new Map<number, { base: number; next: number; offset: number }[]>()

  append(bytes: Uint8Array): { errorCode: number; baseOffset: number } {
    const batch = Buffer.from(bytes)
    const producerId = producerIdAt(batch, 0)
    const base = baseSequenceAt(batch, 0)
    if (producerId >= 0) {
      const window = this.#sequences.get(producerId) ?? []
      const repeated = window.find(one => one.base === base)
      if (repeated !== undefined) return { errorCode: 0, baseOffset: repeated.offset }
      if (base !== (window.at(-1)?.next ?? 0)) {
        return { errorCode: Errors.OUT_OF_ORDER_SEQUENCE_NUMBER, baseOffset: -1 }
      }
      const next = base + recordCountAt(batch, 0)
      this.#sequences.set(producerId, [...window, { base, next, offset: this.logEnd }].slice(-5))
    }
    const baseOffset = this.logEnd
    patchAppend(batch, baseOffset, 0)
    this.logEnd += recordCountAt(batch, 0)
    this.batches.push(batch)
    return { errorCode: Errors.NONE, baseOffset }
  }

  read(fetchOffset: number, maxBytes: number): Buffer {
    const found: Buffer[] = []
    let sizeBytes = 0
    for (const batch of this.batches) {
      if (lastOffsetAt(batch, 0) < fetchOffset) continue
      if (found.length > 0 && sizeBytes + batch.length > maxBytes) break
      found.push(batch)
      sizeBytes += batch.length
    }
    return Buffer.concat(found)
  }
}

export class MemoryBroker {
  readonly logs = new Map<string, MemoryLog[]>()
  readonly seen: Seen[] = []
  /** Asked before every request; what it returns happens to this request. */
  fault: (seen: Seen) => Fault | null = () => null
  /** Highest version served, by API name. */
  readonly versionMax = new Map<string, number>()
  batchBytesMax = 1024 * 1024
  readonly #sockets = new Set<net.Socket>()
  readonly #server = net.createServer(socket => this.#serve(socket))
  #lastProducerId = 0

  static async start(topics: Record<string, number>): Promise<MemoryBroker> {
    const broker = new MemoryBroker()
    for (const [name, partitions] of Object.entries(topics)) {
      broker.logs.set(
        name,
        Array.from({ length: partitions }, () => new MemoryLog()),
      )
    }
    await broker.listen(0)
    return broker
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port
  }

  get bootstrap(): string {
    return `127.0.0.1:${this.port}`
  }

  listen(port: number): Promise<void> {
    return new Promise(resolve => {
      this.#server.listen(port, '127.0.0.1', resolve)
    })
  }

  /** Stops listening and hangs up on everybody; the logs stay. */
  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise(resolve => {
      this.#server.close(() => resolve())
    })
  }

  /** All records of a partition, decoded with the protocol's own iterator. */
  records(topic: string, partition: number): LogRecord[] {
    return this.logs.get(topic)![partition].batches.flatMap(batch => [...records(batch)])
  }

  #serve(socket: net.Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => undefined)
    let pending = Buffer.alloc(0)
    socket.on('data', chunk => {
      pending = Buffer.concat([pending, chunk])
      while (pending.length >= 4 && pending.length >= 4 + pending.readInt32BE(0)) {
        const end = 4 + pending.readInt32BE(0)
        this.#answer(socket, pending.subarray(4, end))
        pending = pending.subarray(end)
      }
    })
  }

  #answer(socket: net.Socket, frame: Buffer): void {
    const reader = new Reader(frame)
    const header = readRequestHeader(reader, (key, version) => {
      const found = schemas.find(one => one.key === key)
      return found === undefined ? null : version >= found.flexible
    })
    const schema = schemas.find(one => one.key === header.apiKey) as unknown as AnySchema
    const version = header.apiVersion
    const known = version <= Math.min(schema.versions[1], this.versionMax.get(schema.name) ?? 99)
    const request: unknown = known ? codec(schema, version).request.read(reader) : null
    const seen = { api: schema.name, version, request }
    this.seen.push(seen)
    const fault = this.fault(seen)
    if (fault === 'hang-up') return void socket.destroy()
    if (fault === 'silence') return
    const errorCode = typeof fault === 'object' && fault !== null ? fault.errorCode : 0
    const message = known ? this.#handle(schema, request, errorCode) : this.#versions(35)
    if (fault === 'lose-answer') return void socket.destroy()
    if (message === null) return
    const send = () =>
      this.#send(socket, schema, known ? version : 0, version, header.correlationId, message)
    // As a long poll would: a client that finds nothing must not spin.
    if (schema.key === Fetch.key && errorCode === 0 && isEmptyFetch(message)) setTimeout(send, 20)
    else send()
  }

  #send(
    socket: net.Socket,
    schema: AnySchema,
    bodyVersion: number,
    version: number,
    correlationId: number,
    message: unknown,
  ): void {
    const writer = new Writer()
    writer.begin()
    writeResponseHeader(writer, schema, version, correlationId)
    codec(schema, bodyVersion).response.write(writer, message as never)
    for (const piece of writer.end()) socket.write(piece)
  }

  #handle(schema: AnySchema, request: unknown, errorCode: number): unknown {
    if (schema.key === ApiVersions.key) return this.#versions(errorCode)
    if (schema.key === Metadata.key) return this.#metadata(request as RequestOf<typeof Metadata>)
    if (schema.key === Produce.key) {
      return this.#produce(request as RequestOf<typeof Produce>, errorCode)
    }
    if (schema.key === Fetch.key) return this.#fetch(request as RequestOf<typeof Fetch>, errorCode)
    if (schema.key === ListOffsets.key) return this.#offsets(request as never)
    const producerId = ++this.#lastProducerId
    return { throttleTimeMs: 0, errorCode, producerId, producerEpoch: 0 }
  }

  #versions(errorCode: number): unknown {
    const apiKeys = schemas.map(({ key, name, versions: [min, max] }) => ({
      apiKey: key,
      minVersion: min,
      maxVersion: Math.min(max, this.versionMax.get(name) ?? max),
    }))
    return {
      errorCode,
      apiKeys,
      throttleTimeMs: 0,
      supportedFeatures: [],
      finalizedFeaturesEpoch: -1,
      finalizedFeatures: [],
      zkMigrationReady: false,
    }
  }

  #metadata(request: RequestOf<typeof Metadata>): unknown {
    const names = request.topics?.map(({ name }) => name!) ?? [...this.logs.keys()]
    return {
      throttleTimeMs: 0,
      brokers: [{ nodeId: 7, host: '127.0.0.1', port: this.port, rack: null }],
      clusterId: 'memory',
      controllerId: 7,
      topics: names.map(name => {
        const logs = this.logs.get(name)
        return {
          errorCode: logs === undefined ? Errors.UNKNOWN_TOPIC_OR_PARTITION : Errors.NONE,
          name,
          topicId: 'AAAAAAAAAAAAAAAAAAAAAA',
          isInternal: false,
          partitions: (logs ?? []).map((_, partitionIndex) => ({
            errorCode: 0,
            partitionIndex,
            leaderId: 7,
            leaderEpoch: 0,
            replicaNodes: [7],
            isrNodes: [7],
            offlineReplicas: [],
          })),
          topicAuthorizedOperations: -0x8000_0000,
        }
      }),
      clusterAuthorizedOperations: -0x8000_0000,
    }
  }

  #produce(request: RequestOf<typeof Produce>, errorCode: number): unknown {
    const append = (name: string, index: number, bytes: Uint8Array) => {
      if (errorCode !== 0) return { errorCode, baseOffset: -1 }
      if (bytes.length > this.batchBytesMax) {
        return { errorCode: Errors.MESSAGE_TOO_LARGE, baseOffset: -1 }
      }
      return this.logs.get(name)![index].append(bytes)
    }
    const responses = request.topicData.map(({ name, partitionData }) => ({
      name,
      partitionResponses: partitionData.map(({ index, records: bytes }) => ({
        index,
        ...append(name, index, bytes!),
        logAppendTimeMs: -1,
        logStartOffset: 0,
        recordErrors: [],
        errorMessage: null,
        currentLeader: null,
      })),
    }))
    return request.acks === 0 ? null : { responses, throttleTimeMs: 0, nodeEndpoints: [] }
  }

  #fetch(request: RequestOf<typeof Fetch>, errorCode: number): unknown {
    const responses = request.topics.map(({ topic, partitions }) => ({
      topic,
      partitions: partitions.map(({ partition, fetchOffset, partitionMaxBytes }) => {
        const log = this.logs.get(topic)![partition]
        const isOutside = fetchOffset < log.logStart || fetchOffset > log.logEnd
        const code = isOutside ? Errors.OFFSET_OUT_OF_RANGE : errorCode
        return {
          partitionIndex: partition,
          errorCode: code,
          highWatermark: log.logEnd,
          lastStableOffset: log.logEnd,
          logStartOffset: log.logStart,
          divergingEpoch: null,
          currentLeader: null,
          snapshotId: null,
          abortedTransactions: null,
          preferredReadReplica: -1,
          records: code === 0 ? log.read(fetchOffset, partitionMaxBytes) : Buffer.alloc(0),
        }
      }),
    }))
    return { throttleTimeMs: 0, errorCode: 0, sessionId: 0, responses }
  }

  #offsets(request: RequestOf<typeof ListOffsets>): unknown {
    const topics = request.topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex, timestamp }) => {
        const log = this.logs.get(name)![partitionIndex]
        const offset = timestamp === -2 ? log.logStart : log.logEnd
        return {
          partitionIndex,
          errorCode: 0,
          oldStyleOffsets: [],
          timestamp: -1,
          offset,
          leaderEpoch: 0,
        }
      }),
    }))
    return { throttleTimeMs: 0, topics }
  }
}

function isEmptyFetch(message: unknown): boolean {
  const { responses } = message as ResponseOf<typeof Fetch>
  return responses.every(({ partitions }) =>
    partitions.every(({ records: bytes, errorCode }) => errorCode === 0 && bytes?.length === 0),
  )
}
