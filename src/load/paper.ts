/**
 * The experiments of the 2011 paper's section 5, as this project runs them: messages of 200 bytes, a producer with
 * batches of 1 and 50, one topic with one partition, then a consumer over the same log that pulls about 200 KB at a
 * time. In three rows, because the paper's own setting promises the least. Pure.
 */
import type { HttpLoadSettings } from './http-generator.ts'
import type { Driver } from './load-process.ts'
import type { Acks, LoadBounds } from './load-window.ts'
import type { WireLoadSettings } from './wire-generator.ts'

export const paperRecordBytes = 200
export const paperBatches = [1, 50] as const
const paperPullBytes = 200_000
export const paperMessages = 1_000_000
export const paperSeconds = 60
/** What the paper reached: messages a second, on two machines with eight 2 GHz cores each. */
export const paperFigures = { producedOne: 50_000, producedFifty: 400_000, consumed: 22_000 }

export interface PaperRow {
  readonly name: 'paper' | 'acks=1' | 'acks=all'
  readonly acks: Acks
  /** When records reach the disk, as the topic is configured. */
  readonly topicConfigs: ReadonlyMap<string, string>
}

const groupCommit: ReadonlyMap<string, string> = new Map([['flush.policy', 'group-commit']])

export const paperRows: readonly PaperRow[] = [
  {
    name: 'paper',
    acks: 0,
    topicConfigs: new Map([
      ['flush.policy', 'interval'],
      ['flush.messages', '500'],
      ['flush.ms', '3000'],
    ]),
  },
  { name: 'acks=1', acks: 1, topicConfigs: groupCommit },
  { name: 'acks=all', acks: -1, topicConfigs: groupCommit },
]

/** Who loads: connections, and requests in flight on each; 0: as many as suit the batch. */
export interface PaperDriver {
  readonly driver: Driver
  readonly connectionCount: number
  readonly pipelining: number
}

/** The paper has one producer; over HTTP 20 connections show what one does not reach. */
export const paperDrivers: readonly PaperDriver[] = [
  { driver: 'wire', connectionCount: 1, pipelining: 0 },
  { driver: 'http', connectionCount: 1, pipelining: 10 },
  { driver: 'http', connectionCount: 20, pipelining: 10 },
]

export type PaperStep =
  | { readonly mode: 'produce'; readonly recordsPerBatch: number }
  /** Reads the log that batches of 50 filled, from its start to its end and around. */
  | { readonly mode: 'consume'; readonly recordsPerBatch: number }

/** In this order, each producing step to a new topic; what consumes reads the one before it. */
export const paperSteps: readonly PaperStep[] = [
  { mode: 'produce', recordsPerBatch: 1 },
  { mode: 'produce', recordsPerBatch: 50 },
  { mode: 'consume', recordsPerBatch: 50 },
]

/** What both drivers are told alike. */
export interface PaperLimits {
  readonly topic: string
  /** Whichever comes first. */
  readonly messages: number
  readonly seconds: number
  readonly serverPid?: number
}

/** Everything from the first message on is measured, as in the paper: there is no warm-up. */
function common({ topic, messages, seconds, serverPid = 0 }: PaperLimits, step: PaperStep) {
  return {
    mode: step.mode,
    topic,
    recordsPerBatch: step.recordsPerBatch,
    recordBytes: paperRecordBytes,
    seconds,
    warmupSeconds: 0,
    payloadBytesMax: messages * paperRecordBytes,
    serverPid,
  }
}

/** Settings of `runLoadProcess('wire', ...)`. */
export function paperWireLoad(
  address: { readonly host: string; readonly port: number },
  acks: Acks,
  { connectionCount, pipelining }: PaperDriver,
  step: PaperStep,
  limits: PaperLimits,
): Partial<WireLoadSettings> & LoadBounds {
  return {
    ...common(limits, step),
    ...address,
    acks,
    connectionCount,
    inFlight: pipelining,
    maxBytes: paperPullBytes,
    partitionMaxBytes: paperPullBytes,
  }
}

/**
 * Settings of `runLoadProcess('http', ...)`. Batches go as NDJSON, a single message as itself.
 * @param endOffset where the log ends that is consumed
 */
export function paperHttpLoad(
  url: string,
  acks: Acks,
  { connectionCount, pipelining }: PaperDriver,
  step: PaperStep,
  limits: PaperLimits,
  endOffset = 0,
): Partial<HttpLoadSettings> & LoadBounds {
  return {
    ...common(limits, step),
    url,
    acks,
    connectionCount,
    pipelining: Math.max(1, pipelining),
    bodyKind: step.recordsPerBatch === 1 ? 'octet-stream' : 'ndjson',
    pullBytes: paperPullBytes,
    endOffsets: [endOffset],
  }
}
