/** What `bench flush` prints: one table, the ratios the decision rests on, the targets. Pure. */
import { batchesInFlight, type FlushCase, type FlushFigures } from './flush-cases.ts'
import type { FlushMode, FlushOptions } from './flush-options.ts'
import { type Machine, machineLines } from './machine.ts'
import {
  atLeast,
  formatNumber,
  formatSpread,
  markdownTable,
  pairedRatios,
  type Spread,
  spread,
  type Verdict,
  verdictTable,
} from './report.ts'

/** Everything one invocation measured. `runs` are indexed by repeat; a failed run is null. */
export interface FlushResults {
  readonly startedAt: string
  readonly machine: Machine
  readonly options: FlushOptions
  readonly cases: { readonly flushCase: FlushCase; readonly runs: (FlushFigures | null)[] }[]
  readonly failures: string[]
}

type Point = Omit<FlushCase, 'mode'>

export function renderFlush(results: FlushResults): string {
  const parts = [renderHead(results), renderTable(results)]
  const measured = flushVerdicts(results).filter(({ figure }) => Number.isFinite(figure))
  if (measured.length > 0) parts.push(verdictTable(measured))
  if (results.failures.length > 0) parts.push(['FAILED', ...results.failures].join('\n  '))
  return `${parts.join('\n\n')}\n`
}

function renderHead({ startedAt, machine, options }: FlushResults): string {
  return [
    `odradek flush bench, ${startedAt}`,
    machineLines(machine),
    `settings  ${options.recordBytes}-byte records, 1 owner, group-commit, ${options.connectionCount} connections, libuv ` +
      `pool of ${options.poolThreads}; closed loop; ${options.warmupSeconds} s warm-up, ${options.seconds} s window or ` +
      `${formatNumber(options.payloadBytesMax / 1e9)} GB, ${options.repeatCount} repeats: median (min–max)`,
    `odradek   ${['--workers 1', ...options.odradekArguments].join(' ')}`,
    'units     rounds: flush rounds of one partition (raw: of all files); latency: of a batch (raw: of a round);',
    '          GB = 10^9 bytes of record values; CPU = user + system time of the broker (of the raw loop)',
    '          x raw pool: against the raw loop that syncs the same files all at once in the pool',
  ].join('\n')
}

function renderTable(results: FlushResults): string {
  const rows = results.cases.map(({ flushCase, runs }) => {
    const of = (figure: keyof FlushFigures) => spread(samplesOf(runs, figure))
    const against = (mode: FlushMode) => formatNumber(ratioTo(results, flushCase, mode).median)
    const { mode, partitionCount, windowBytes, recordsPerBatch } = flushCase
    return [
      `${windowBytes / 1e6} MB, ${batchesInFlight(flushCase, results.options)} x ${recordsPerBatch}`,
      String(partitionCount),
      mode.startsWith('acks') ? mode : `raw, ${mode}`,
      formatSpread(of('messagesPerSecond')),
      formatNumber(of('roundsPerSecond').median),
      formatNumber(of('syncsPerSecond').median),
      formatNumber(of('latencyP50Ms').median),
      formatNumber(of('latencyP99Ms').median),
      formatNumber(of('cpuPerGigabyte').median),
      formatNumber(of('cores').median),
      mode === 'acks=1' ? '' : against('acks=1'),
      mode === 'pool' ? '' : against('pool'),
    ]
  })
  const head = [
    'in flight: batches x records',
    'partitions',
    'what',
    'msg/s',
    'rounds/s',
    'syncs/s',
    'p50 ms',
    'p99 ms',
    'CPU s/GB',
    'cores',
    'x acks=1',
    'x raw pool',
  ]
  return markdownTable(head, rows)
}

/** The targets that decide about the journal, each beside its figure. */
export function flushVerdicts(results: FlushResults): Verdict[] {
  return results.cases
    .filter(({ flushCase }) => flushCase.mode === 'acks=all')
    .flatMap(({ flushCase }) => {
      const { partitionCount, windowBytes, recordsPerBatch } = flushCase
      const what = `${partitionCount} partition(s), ${windowBytes / 1e6} MB, batch ${recordsPerBatch}: acks=all against`
      const wanted = partitionCount >= 100 ? 0.6 : 0.8
      return [
        atLeast(`${what} acks=1`, ratioTo(results, flushCase, 'acks=1').median, wanted, 'x'),
        atLeast(`${what} raw pool`, ratioTo(results, flushCase, 'pool').median, 0.8, 'x'),
      ]
    })
}

/** msg/s of a case against another mode at the same point, repeat by repeat. */
function ratioTo(results: FlushResults, flushCase: FlushCase, mode: FlushMode): Spread {
  const other = results.cases.find(
    candidate => candidate.flushCase.mode === mode && isSamePoint(candidate.flushCase, flushCase),
  )
  const own = results.cases.find(candidate => candidate.flushCase === flushCase)
  const figure = 'messagesPerSecond'
  return spread(
    pairedRatios(samplesOf(own?.runs ?? [], figure), samplesOf(other?.runs ?? [], figure)),
  )
}

function isSamePoint(a: Point, b: Point): boolean {
  return (
    a.partitionCount === b.partitionCount &&
    a.windowBytes === b.windowBytes &&
    a.recordsPerBatch === b.recordsPerBatch
  )
}

function samplesOf(runs: readonly (FlushFigures | null)[], figure: keyof FlushFigures): number[] {
  return runs.map(run => run?.[figure] ?? Number.NaN)
}
