/** What `odradek bench` prints: a row for each load, with everything that decides its figure beside it. */
import { availableParallelism, cpus } from 'node:os'
import type { Driver } from '../load/load-process.ts'
import type { Acks } from '../load/load-window.ts'
import type { Measured } from './bench-session.ts'
import type { BenchTarget } from './bench-target.ts'
import { print, printTable } from './output.ts'

/** How a load was set. */
export interface LoadTerms {
  readonly mode: 'produce' | 'consume'
  /** Row of the paper's experiment; null in the others. */
  readonly row: string | null
  readonly driver: Driver
  /** Kind of body or answer; null on the wire. */
  readonly body: string | null
  readonly flush: string
  readonly acks: Acks
  readonly connections: number
  /** Requests in flight on a connection. */
  readonly pipelining: number
  /** Records in a request; of a pull, as many as came. */
  readonly batch: number
  readonly size: number
}

/** Figures of a load. MB are 10^6 bytes of record values, without keys, headers and framing. NaN: not known. */
export interface BenchRow extends Omit<LoadTerms, 'acks'> {
  readonly acks: 'all' | 0 | 1
  readonly messages: number
  readonly seconds: number
  readonly messagesPerSecond: number
  readonly megabytesPerSecond: number
  readonly requestsPerSecond: number
  readonly latencyP50Ms: number
  readonly latencyP99Ms: number
  /** CPU seconds of the broker's process for a million messages, all of them, warm-up included. */
  readonly brokerCpuPerMillion: number
  /** CPU cores that the load generator kept busy: near 1, it may be the one that could do no more. */
  readonly generatorCores: number
}

export function rowOf(terms: LoadTerms, measured: Measured): BenchRow {
  const { messages, requests, seconds } = measured
  const perPull = requests === 0 ? 0 : Math.round(messages / requests)
  return {
    ...terms,
    acks: terms.acks === -1 ? 'all' : terms.acks,
    batch: terms.mode === 'consume' ? perPull : terms.batch,
    messages,
    seconds,
    messagesPerSecond: messages / seconds,
    megabytesPerSecond: measured.payloadBytes / 1e6 / seconds,
    requestsPerSecond: requests / seconds,
    latencyP50Ms: measured.latencyP50Ms,
    latencyP99Ms: measured.latencyP99Ms,
    brokerCpuPerMillion: (measured.brokerCpuSeconds / measured.messagesInAll) * 1e6,
    generatorCores: measured.generatorCpuSeconds / seconds,
  }
}

/** What stands above the table. */
export function headLine(target: BenchTarget): string {
  const where = target.http === null ? target.bootstrap : `${target.bootstrap}, ${target.http}`
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU'
  return `${where}   load generated on ${availableParallelism()} x ${model}, Node ${process.version}`
}

/** Columns that say nothing in this run (the row of the paper, kinds of bodies) are left out. */
export async function printRows(rows: readonly BenchRow[]): Promise<void> {
  const columns: [heading: string, cell: (row: BenchRow) => string | number][] = [
    ['row', row => row.row ?? ''],
    ['what', row => row.mode],
    ['driver', row => (row.driver === 'http' ? 'autocannon' : 'wire')],
    ['body', row => row.body ?? ''],
    ['flush policy', row => row.flush],
    ['acks', row => (row.mode === 'consume' ? '' : row.acks)],
    ['conns', row => row.connections],
    ['pipelining', row => row.pipelining],
    ['batch', row => row.batch],
    ['msg/s', row => whole(row.messagesPerSecond)],
    ['MB/s', row => figure(row.megabytesPerSecond)],
    ['requests/s', row => whole(row.requestsPerSecond)],
    ['p50 ms', row => figure(row.latencyP50Ms)],
    ['p99 ms', row => figure(row.latencyP99Ms)],
    ['broker CPU s/M', row => figure(row.brokerCpuPerMillion)],
    ['client cores', row => figure(row.generatorCores)],
  ]
  const told = columns.filter(([, cell]) =>
    rows.some(row => !['', '-'].includes(String(cell(row)))),
  )
  await printTable(rows, told)
  if (rows.some(({ generatorCores }) => generatorCores > 0.9)) {
    print('client cores near 1: there the load generator may be what could do no more')
  }
}

function whole(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : '-'
}

function figure(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return '-'
  if (value >= 100) return whole(value)
  return value.toFixed(value >= 10 ? 1 : 2)
}
