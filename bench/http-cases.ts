/**
 * One measurement of `bench http`: a fresh server process, odradek or the one that discards, one run of autocannon,
 * and a look whether the log holds exactly what was answered with 2xx.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { Admin } from '../src/client/admin.ts'
import type { BodyKind } from '../src/load/http-bodies.ts'
import { type LoadResult, runLoadProcess } from '../src/load/load-process.ts'
import { LoadTopics } from '../src/load/load-topics.ts'
import type { Acks } from '../src/load/load-window.ts'
import { dropBallast, fillBallast } from '../src/load/page-ballast.ts'
import type { HttpOptions, HttpPart } from './http-options.ts'
import { type MeasuredServer, startServer } from './server-process.ts'
import { stopAfter } from './wire-cases.ts'

export interface HttpCase {
  readonly part: HttpPart
  readonly server: 'odradek' | 'discard'
  readonly mode: 'produce' | 'consume'
  readonly bodyKind: BodyKind
  readonly recordsPerBatch: number
  readonly connectionCount: number
  readonly pipelining: number
  readonly acks: Acks
  /** Owner threads, and partitions; 0: as the broker decides, one partition. */
  readonly workerCount: number
}

/** Figures of one run; MB are 10^6 bytes of record values. */
export interface HttpFigures {
  readonly messagesPerSecond: number
  readonly megabytesPerSecond: number
  readonly requestsPerSecond: number
  readonly latencyP50Ms: number
  readonly latencyP99Ms: number
  readonly serverCpuPerRequestMicros: number
  readonly serverCores: number
  readonly generatorCores: number
  readonly seconds: number
}

/** Bytes that a run may write, by records in a request: below the share at which Linux begins to write back. */
const singleBytesMax = 200e6
const batchBytesMax = 1e9
/** What a consuming case reads over and over. */
const filledRecords = 500_000
const fillBatch = 50

/** Runs one case in `directory` (emptied afterwards). Rejects when anything went wrong: no figure of a failed run. */
export async function runHttpCase(
  httpCase: HttpCase,
  options: HttpOptions,
  directory: string,
): Promise<HttpFigures> {
  mkdirSync(directory, { recursive: true })
  const ballastDirectory = join(directory, 'ballast')
  const writes = httpCase.server === 'odradek' && httpCase.mode === 'produce'
  if (writes) fillBallast(ballastDirectory, bytesMaxOf(httpCase) / 2)
  const { workerCount } = httpCase
  const server = await startServer({
    kind: httpCase.server,
    directory: join(directory, 'server'),
    gcProbe: false,
    odradekArguments: [
      ...(workerCount === 0 ? [] : ['--workers', String(workerCount)]),
      ...options.odradekArguments,
    ],
    profileDirectory: options.profileDirectory,
  })
  try {
    const load = {
      ...settingsOf(httpCase, options, server),
      ballastDirectory: writes ? ballastDirectory : null,
    }
    const result =
      httpCase.server === 'discard'
        ? await runLoadProcess('http', load)
        : await loadBroker(httpCase, server, load)
    await server.stop()
    return figuresOf(result)
  } catch (error) {
    throw await stopAfter(server, error as Error)
  } finally {
    server.remove()
    dropBallast(ballastDirectory)
  }
}

function settingsOf(httpCase: HttpCase, options: HttpOptions, server: MeasuredServer) {
  const { mode, bodyKind, recordsPerBatch, connectionCount, pipelining, acks } = httpCase
  return {
    ...{ mode, bodyKind, recordsPerBatch, connectionCount, pipelining, acks },
    url: server.httpUrl!,
    recordBytes: options.recordBytes,
    pullBytes: options.pullBytes,
    seconds: options.seconds,
    warmupSeconds: options.warmupSeconds,
    payloadBytesMax: mode === 'produce' ? bytesMaxOf(httpCase) : Number.MAX_SAFE_INTEGER,
    serverPid: server.pid,
  }
}

function bytesMaxOf({ recordsPerBatch }: HttpCase): number {
  return recordsPerBatch === 1 ? singleBytesMax : batchBytesMax
}

/** Makes the topic, fills it where it is to be read, loads, and counts what the log holds. */
async function loadBroker(
  { mode, workerCount }: HttpCase,
  server: MeasuredServer,
  load: ReturnType<typeof settingsOf>,
): Promise<LoadResult> {
  const { host, port } = server
  await using admin = new Admin({ bootstrap: `${host}:${port}`, clientId: 'odradek-bench' })
  const topics = new LoadTopics(admin)
  const topic = await topics.create('http', Math.max(1, workerCount))
  let endOffsets: number[] = []
  if (mode === 'consume') {
    const filled = await runLoadProcess('wire', {
      ...{ host, port, topic: topic.name, acks: -1, recordsPerBatch: fillBatch, inFlight: 0 },
      recordBytes: load.recordBytes,
      seconds: 60,
      warmupSeconds: 0,
      payloadBytesMax: filledRecords * load.recordBytes,
    })
    await topics.expectRecords(topic, filled.messagesInAll)
    endOffsets = await topics.endsOf(topic)
  }
  const result = await runLoadProcess('http', { ...load, topic: topic.name, endOffsets })
  if (mode === 'produce') await topics.expectRecords(topic, result.messagesInAll)
  return result
}

function figuresOf(result: LoadResult): HttpFigures {
  const { messages, requests, payloadBytes, seconds, serverCpuSeconds } = result
  return {
    messagesPerSecond: messages / seconds,
    megabytesPerSecond: payloadBytes / 1e6 / seconds,
    requestsPerSecond: requests / seconds,
    latencyP50Ms: result.latencyP50Ms,
    latencyP99Ms: result.latencyP99Ms,
    serverCpuPerRequestMicros: (serverCpuSeconds * 1e6) / requests,
    serverCores: serverCpuSeconds / seconds,
    generatorCores: result.generatorCpuSeconds / seconds,
    seconds,
  }
}
