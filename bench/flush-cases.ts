/** One measurement of `bench flush`: a fresh broker or a fresh raw loop on a fresh directory, everything removed. */

import { execFile } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { runLoadProcess } from '../src/load/load-process.ts'
import { dropBallast, fillBallast } from '../src/load/page-ballast.ts'
import type { FlushMode, FlushOptions } from './flush-options.ts'
import type { RawResult, RawSettings } from './flush-raw.ts'
import { type MeasuredServer, startServer, track } from './server-process.ts'
import { createTopic, stopAfter } from './wire-cases.ts'

export interface FlushCase {
  readonly mode: FlushMode
  readonly partitionCount: number
  readonly windowBytes: number
  readonly recordsPerBatch: number
}

export interface FlushFigures {
  readonly messagesPerSecond: number
  /** Syncs of one file: the flush rounds of one partition. */
  readonly roundsPerSecond: number
  readonly syncsPerSecond: number
  readonly latencyP50Ms: number
  readonly latencyP99Ms: number
  readonly cpuPerGigabyte: number
  /** Cores kept busy by the measured process. */
  readonly cores: number
}

/** A batch header and about 7 bytes around each value. */
const batchHeaderBytes = 61
const recordOverheadBytes = 7

export function batchesInFlight(
  { windowBytes, recordsPerBatch }: FlushCase,
  { recordBytes }: FlushOptions,
): number {
  return Math.max(1, Math.floor(windowBytes / (recordsPerBatch * recordBytes)))
}

/** Runs one case in `directory`. Rejects when anything went wrong: no figure of a failed run. */
export function runFlushCase(
  flushCase: FlushCase,
  options: FlushOptions,
  directory: string,
): Promise<FlushFigures> {
  return flushCase.mode === 'acks=1' || flushCase.mode === 'acks=all'
    ? runBroker(flushCase, options, directory)
    : runRaw(flushCase, options, directory)
}

async function runBroker(
  flushCase: FlushCase,
  options: FlushOptions,
  directory: string,
): Promise<FlushFigures> {
  const { partitionCount, recordsPerBatch } = flushCase
  const { recordBytes, connectionCount, payloadBytesMax, odradekArguments } = options
  const ballastDirectory = join(directory, 'ballast')
  fillBallast(ballastDirectory, payloadBytesMax)
  const server = await startServer({
    kind: 'odradek',
    directory: join(directory, 'server'),
    gcProbe: false,
    odradekArguments: ['--workers', '1', ...odradekArguments],
    profileDirectory: null,
  })
  try {
    await createTopic(server, partitionCount)
    const inFlight = Math.ceil(batchesInFlight(flushCase, options) / connectionCount)
    const load = await runLoadProcess('wire', {
      mode: 'produce',
      host: server.host,
      port: server.port,
      partitionCount,
      recordsPerBatch,
      recordBytes,
      acks: flushCase.mode === 'acks=1' ? 1 : -1,
      inFlight,
      connectionCount,
      seconds: options.seconds,
      warmupSeconds: options.warmupSeconds,
      payloadBytesMax,
      serverPid: server.pid,
      ballastDirectory,
    })
    const syncs = await syncsOf(server)
    await server.stop()
    // Counted over the whole load, warm-up included: as many a message inside the window as outside.
    const syncsPerSecond = (syncs / load.messagesInAll) * (load.messages / load.seconds)
    return {
      messagesPerSecond: load.messages / load.seconds,
      roundsPerSecond: syncsPerSecond / partitionCount,
      syncsPerSecond,
      latencyP50Ms: load.latencyP50Ms,
      latencyP99Ms: load.latencyP99Ms,
      cpuPerGigabyte: load.serverCpuSeconds / (load.payloadBytes / 1e9),
      cores: load.serverCpuSeconds / load.seconds,
    }
  } catch (error) {
    throw await stopAfter(server, error as Error)
  } finally {
    server.remove()
    dropBallast(ballastDirectory)
  }
}

async function syncsOf({ readyLine }: MeasuredServer): Promise<number> {
  const url = /http=(\S+)/.exec(readyLine)?.[1] ?? ''
  const base = url.startsWith('http') ? url : `http://${url}`
  const response = await fetch(`${base}/metrics`)
  let syncs = 0
  for (const line of (await response.text()).split('\n')) {
    if (line.startsWith('odradek_flushes_total')) syncs += Number(line.split(' ').at(-1))
  }
  if (!(syncs > 0)) throw new Error(`no flushes_total in ${base}/metrics`)
  return syncs
}

async function runRaw(
  flushCase: FlushCase,
  options: FlushOptions,
  directory: string,
): Promise<FlushFigures> {
  const { recordsPerBatch, partitionCount } = flushCase
  const { recordBytes } = options
  const ballastDirectory = join(directory, 'ballast')
  const rawDirectory = join(directory, 'raw')
  mkdirSync(directory, { recursive: true })
  // Filled and dropped: the pages are warm in the host, as they are for the broker.
  fillBallast(ballastDirectory, options.payloadBytesMax)
  dropBallast(ballastDirectory)
  try {
    const settings: RawSettings = {
      mode: flushCase.mode as RawSettings['mode'],
      directory: rawDirectory,
      fileCount: partitionCount,
      batchBytes: batchHeaderBytes + recordsPerBatch * (recordBytes + recordOverheadBytes),
      batchesInFlight: batchesInFlight(flushCase, options),
      seconds: options.seconds,
      warmupSeconds: options.warmupSeconds / 2,
      bytesMax: options.payloadBytesMax,
    }
    const script = join(import.meta.dirname, 'flush-raw.ts')
    const child = promisify(execFile)(process.execPath, [script, JSON.stringify(settings)])
    track(child.child)
    const result = JSON.parse((await child).stdout) as RawResult
    return figuresOfRaw(result, flushCase, options)
  } finally {
    rmSync(rawDirectory, { recursive: true, force: true })
  }
}

function figuresOfRaw(
  result: RawResult,
  { recordsPerBatch }: FlushCase,
  { recordBytes }: FlushOptions,
): FlushFigures {
  const { batches, syncs, rounds, seconds, cpuSeconds } = result
  const payloadBytes = batches * recordsPerBatch * recordBytes
  return {
    messagesPerSecond: (batches * recordsPerBatch) / seconds,
    roundsPerSecond: rounds / seconds,
    syncsPerSecond: syncs / seconds,
    latencyP50Ms: result.latencyP50Ms,
    latencyP99Ms: result.latencyP99Ms,
    cpuPerGigabyte: cpuSeconds / (payloadBytes / 1e9),
    cores: cpuSeconds / seconds,
  }
}
