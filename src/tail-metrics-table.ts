/** Metrics of HTTP tails: rows of the table of metrics (metrics-table.ts). Any thread. */
import type { MetricRow } from './metrics-table.ts'

export const tailMetricRows = {
  tails: {
    name: 'tails',
    type: 'gauge',
    help: 'Open tails over HTTP',
    label: { name: 'kind', values: ['sse', 'websocket'] },
  },
  tailsOpened: {
    name: 'tails_opened_total',
    type: 'counter',
    help: 'Tails opened since start',
    label: { name: 'kind', values: ['sse', 'websocket'] },
  },
  tailsEnded: {
    name: 'tails_ended_total',
    type: 'counter',
    help: 'Tails ended, by who or what ended them',
    label: {
      name: 'reason',
      values: ['client', 'slow', 'dead', 'protocol', 'topic', 'shutdown', 'error'],
    },
  },
  tailsRefused: {
    name: 'tails_refused_total',
    type: 'counter',
    help: 'Tails refused because http.tails.max were open',
  },
  tailRecords: {
    name: 'tail_records_total',
    type: 'counter',
    help: 'Records sent to tails, each counted once for every tail',
  },
  tailBytes: { name: 'tail_bytes_total', type: 'counter', help: 'Bytes sent to tails' },
  tailReads: {
    name: 'tail_reads_total',
    type: 'counter',
    help: 'Reads for tails: shared by all at the end of a log, or of one that is behind',
    label: { name: 'by', values: ['shared', 'own'] },
  },
  tailsBehind: {
    name: 'tails_behind',
    type: 'gauge',
    help: 'Tails that read by themselves, or wait for their turn to',
  },
  tailWaitingBytes: {
    name: 'tail_waiting_bytes',
    type: 'gauge',
    help: 'Bytes that clients of tails have not taken yet',
  },
} as const satisfies Record<string, MetricRow>
