/** What `bench http` prints: a table for each part, each producing case beside the server that discards. Pure. */
import type { HttpCase, HttpFigures } from './http-cases.ts'
import type { HttpOptions, HttpPart } from './http-options.ts'
import { type Machine, machineLines } from './machine.ts'
import {
  atLeast,
  formatNumber,
  formatSpread,
  markdownTable,
  pairedRatios,
  spread,
  type Verdict,
  verdictTable,
} from './report.ts'

/** Runs of one case, by repeat; a failed run is null. */
export interface CaseRuns {
  readonly httpCase: HttpCase
  readonly runs: (HttpFigures | null)[]
}

export interface HttpResults {
  readonly startedAt: string
  readonly machine: Machine
  readonly options: HttpOptions
  readonly cases: readonly CaseRuns[]
  readonly failures: string[]
}

const titles: Record<HttpPart, string> = {
  connections: 'Single octet-stream records, acks=1',
  bodies: 'Kinds of bodies, acks=1, 10 connections without pipelining',
  acks: 'acks, octet-stream, 10 connections, pipelining 10',
  workers:
    'Owner threads, with a partition each; octet-stream, acks=1, 100 connections, pipelining 10',
  consume: 'Pulls of a log of 500,000 records, over and over, as NDJSON',
}

export function renderHttp(results: HttpResults): string {
  const { options, cases, failures } = results
  const set = options.odradekArguments.filter(argument => argument !== '--set').join(' ')
  const parts = [
    [
      `odradek http bench, ${results.startedAt}`,
      machineLines(results.machine),
      `settings  ${options.recordBytes}-byte records, flush.policy=group-commit; autocannon in a process of its own, closed ` +
        `loop; ${options.warmupSeconds} s warm-up, ${options.seconds} s window, ${options.repeatCount} repeats: median (min–max)`,
      `odradek   ${set === '' ? 'defaults' : set}`,
      'units     MB = 10^6 bytes of record values; x discard: requests against a node:http server that stores nothing',
    ].join('\n'),
  ]
  for (const part of options.parts) {
    const of = cases.filter(({ httpCase }) => httpCase.part === part)
    if (of.length > 0) parts.push(`${titles[part]}\n\n${table(of)}`)
  }
  const verdicts = httpVerdicts(results).filter(({ figure }) => Number.isFinite(figure))
  if (verdicts.length > 0) parts.push(verdictTable(verdicts))
  if (failures.length > 0) parts.push(['FAILED', ...failures].join('\n  '))
  return `${parts.join('\n\n')}\n`
}

function table(cases: readonly CaseRuns[]): string {
  const head = ['server', 'body', 'batch', 'acks', 'workers', 'conns', 'pipelining', 'msg/s']
  const more = ['MB/s', 'requests/s', 'x discard', 'p50 ms', 'p99 ms', 'CPU µs/request']
  const rows = cases.map(entry => {
    const { httpCase, runs } = entry
    const of = (figure: keyof HttpFigures) => spread(samples(runs, figure))
    const isBroker = httpCase.server === 'odradek'
    const isProducing = httpCase.mode === 'produce'
    return [
      httpCase.server,
      isProducing ? httpCase.bodyKind : 'pulls',
      isProducing ? String(httpCase.recordsPerBatch) : '',
      isBroker && isProducing ? acksName(httpCase.acks) : '',
      isBroker && httpCase.workerCount > 0 ? String(httpCase.workerCount) : '',
      String(httpCase.connectionCount),
      String(httpCase.pipelining),
      formatSpread(of('messagesPerSecond')),
      formatNumber(of('megabytesPerSecond').median),
      formatNumber(of('requestsPerSecond').median),
      isBroker && isProducing ? formatNumber(againstDiscard(entry, cases)) : '',
      formatNumber(of('latencyP50Ms').median),
      formatNumber(of('latencyP99Ms').median),
      formatNumber(of('serverCpuPerRequestMicros').median),
      `${formatNumber(of('serverCores').median)} + ${formatNumber(of('generatorCores').median)}`,
    ]
  })
  return markdownTable([...head, ...more, 'cores: server + client'], rows)
}

/** The targets of the issue that this bench can tell. */
export function httpVerdicts({ cases }: HttpResults): Verdict[] {
  const verdicts: Verdict[] = []
  for (const entry of cases) {
    const { httpCase, runs } = entry
    if (httpCase.server !== 'odradek') continue
    const { part, connectionCount, pipelining, recordsPerBatch, bodyKind, mode } = httpCase
    const where = `${connectionCount} connection(s), pipelining ${pipelining}`
    const reached = spread(samples(runs, 'messagesPerSecond')).median
    if (part === 'connections') {
      const target = pipelining === 1 ? 1.5 : 2
      const figure = againstDiscard(entry, cases)
      verdicts.push(atLeast(`${where}: requests/s against discarding`, figure, target, 'x'))
      if (pipelining > 1) verdicts.push(atLeast(`${where}: stored`, reached, 50_000, 'msg/s'))
    }
    if (part === 'bodies' && bodyKind === 'ndjson' && recordsPerBatch === 50) {
      verdicts.push(atLeast(`NDJSON of 50, ${where}`, reached, 400_000, 'msg/s'))
    }
    if (mode === 'consume') {
      verdicts.push(atLeast(`pulls, ${connectionCount} connection(s)`, reached, 22_000, 'msg/s'))
    }
  }
  return verdicts
}

/** The median of the ratios within a repeat; the discarding server saw the same requests. */
function againstDiscard({ httpCase, runs }: CaseRuns, cases: readonly CaseRuns[]): number {
  const floor = cases.find(
    ({ httpCase: other }) =>
      other.server === 'discard' &&
      other.part === httpCase.part &&
      other.bodyKind === httpCase.bodyKind &&
      other.connectionCount === httpCase.connectionCount &&
      other.pipelining === httpCase.pipelining,
  )
  const ratios = pairedRatios(
    samples(runs, 'requestsPerSecond'),
    samples(floor?.runs ?? [], 'requestsPerSecond'),
  )
  return spread(ratios).median
}

function samples(runs: readonly (HttpFigures | null)[], figure: keyof HttpFigures): number[] {
  return runs.map(run => run?.[figure] ?? Number.NaN)
}

export function acksName(acks: number): string {
  return acks === -1 ? 'all' : String(acks)
}
