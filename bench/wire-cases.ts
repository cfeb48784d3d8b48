/**
 * One measurement: a fresh server process on a fresh directory, one load, figures, everything removed. Fresh, because
 * compiled code, heap and page cache of one case would otherwise be the next case's luck.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type LoadResult, runLoadProcess } from '../src/load/load-process.ts'
import { dropBallast, fillBallast } from '../src/load/page-ballast.ts'
import type { WireLoadSettings } from '../src/load/wire-generator.ts'
import { requestOnce } from '../src/load/wire-messages.ts'
import { errorName } from '../src/protocol/errors.ts'
import { CreateTopics } from '../src/protocol/messages/create-topics.ts'
import { type HeapUsage, readHeapUsage } from './heap-usage.ts'
import { type MeasuredServer, type ServerKind, startServer } from './server-process.ts'

export interface WireCase {
  readonly server: ServerKind
  readonly mode: 'produce' | 'consume'
  readonly recordsPerBatch: number
  readonly acks: -1 | 0 | 1
}

export interface WireSettings {
  readonly seconds: number
  readonly warmupSeconds: number
  readonly payloadBytesMax: number
  readonly recordBytes: number
  readonly partitionCount: number
  readonly connectionCount: number
  /** Requests in flight on a connection; 0 for the default of each batch size. */
  readonly inFlight: number
  readonly checkCrc: boolean
  readonly odradekArguments: readonly string[]
  readonly profileDirectory: string | null
}

/** Figures of one run. GB and MB are powers of ten; of record values, without keys, headers and framing. */
export interface Figures {
  readonly messagesPerSecond: number
  readonly megabytesPerSecond: number
  readonly requestsPerSecond: number
  readonly serverCpuPerGigabyte: number
  readonly serverCpuPerRequestMicros: number
  /** Cores the server, and the load generator, kept busy. */
  readonly serverCores: number
  readonly generatorCores: number
  readonly rssMegabytes: number
  /** Time in which JS threads stood still for collections, against the server's CPU time. */
  readonly gcShare: number
  readonly heapBytesPerRequest: number
  readonly seconds: number
  readonly heap: readonly HeapUsage[]
}

const topic = 'load'
/** What is fetched over and over: enough for a few dozen fetches, little enough to fill in a second. */
const consumeFillBytes = 200e6
const consumeFillBatch = 50
/** A guess that is only used to size the ballast: no server here is faster. */
const logBytesPerSecondMax = 1e9

/** Runs one case in `directory` (emptied afterwards). Rejects when anything went wrong: no figure of a failed run. */
export async function runCase(
  wireCase: WireCase,
  settings: WireSettings,
  directory: string,
): Promise<Figures> {
  const { server: kind, mode } = wireCase
  mkdirSync(directory, { recursive: true })
  const ballastDirectory = join(directory, 'ballast')
  const isProduce = mode === 'produce'
  if (isProduce) {
    const seconds = settings.seconds + settings.warmupSeconds
    fillBallast(
      ballastDirectory,
      Math.min(settings.payloadBytesMax, seconds * logBytesPerSecondMax),
    )
  }
  const server = await startServer({
    kind,
    directory: join(directory, 'server'),
    gcProbe: true,
    odradekArguments: settings.odradekArguments,
    profileDirectory: settings.profileDirectory,
  })
  try {
    if (kind === 'odradek') await createTopic(server, settings.partitionCount)
    const load = loadOf(wireCase, settings, server, isProduce ? ballastDirectory : null)
    if (!isProduce) await runLoadProcess('wire', fillOf(load))
    const result = await runLoadProcess('wire', load)
    await server.stop()
    return figuresOf(result, readHeapUsage(server.statsDirectory))
  } catch (error) {
    throw await stopAfter(server, error as Error)
  } finally {
    server.remove()
    dropBallast(ballastDirectory)
  }
}

/** Stops a server whose load failed; the error to throw names both failures when the server had died. */
export async function stopAfter(server: MeasuredServer, error: Error): Promise<Error> {
  try {
    await server.stop()
    return error
  } catch (died) {
    return new Error(`${error.message}; ${(died as Error).message}`)
  }
}

function loadOf(
  wireCase: WireCase,
  settings: WireSettings,
  server: MeasuredServer,
  ballastDirectory: string | null,
): Partial<WireLoadSettings> {
  return {
    mode: wireCase.mode,
    host: server.host,
    port: server.port,
    topic,
    partitionCount: settings.partitionCount,
    recordsPerBatch: wireCase.recordsPerBatch,
    recordBytes: settings.recordBytes,
    acks: wireCase.acks,
    inFlight: settings.inFlight,
    connectionCount: settings.connectionCount,
    checkCrc: settings.checkCrc,
    seconds: settings.seconds,
    warmupSeconds: settings.warmupSeconds,
    payloadBytesMax: wireCase.mode === 'produce' ? settings.payloadBytesMax : Number.MAX_VALUE,
    serverPid: server.pid,
    gcProbe: true,
    ballastDirectory,
  }
}

/** The load that fills a log to be consumed: flushed, so that all of it may be fetched. */
function fillOf(load: Partial<WireLoadSettings>): Partial<WireLoadSettings> {
  return {
    ...load,
    mode: 'produce',
    recordsPerBatch: consumeFillBatch,
    acks: -1,
    seconds: 60,
    warmupSeconds: 0,
    payloadBytesMax: consumeFillBytes,
    connectionCount: 1,
    gcProbe: false,
  }
}

/** The floor takes any topic; a broker is told the number of partitions first. */
export async function createTopic(
  server: { readonly host: string; readonly port: number },
  partitionCount: number,
  name: string = topic,
): Promise<void> {
  const response = await requestOnce(server, CreateTopics, 4, {
    topics: [
      { name, numPartitions: partitionCount, replicationFactor: 1, assignments: [], configs: [] },
    ],
    timeoutMs: 10_000,
    validateOnly: false,
  })
  const errorCode = response.topics[0]?.errorCode ?? -1
  if (errorCode !== 0) throw new Error(`creating topic ${name}: ${errorName(errorCode)}`)
}

function figuresOf(result: LoadResult, heap: readonly HeapUsage[]): Figures {
  const { messages, requests, payloadBytes, seconds, serverCpuSeconds } = result
  const gcMs = heap.reduce((sum, thread) => sum + thread.gcMs, 0)
  const allocatedBytes = heap.reduce((sum, thread) => sum + thread.allocatedBytes, 0)
  return {
    messagesPerSecond: messages / seconds,
    megabytesPerSecond: payloadBytes / 1e6 / seconds,
    requestsPerSecond: requests / seconds,
    serverCpuPerGigabyte: serverCpuSeconds / (payloadBytes / 1e9),
    serverCpuPerRequestMicros: (serverCpuSeconds * 1e6) / requests,
    serverCores: serverCpuSeconds / seconds,
    generatorCores: result.generatorCpuSeconds / seconds,
    rssMegabytes: result.serverRssBytes / 1e6,
    gcShare: heap.length === 0 ? Number.NaN : gcMs / 1000 / serverCpuSeconds,
    heapBytesPerRequest: heap.length === 0 ? Number.NaN : allocatedBytes / requests,
    seconds,
    heap,
  }
}
