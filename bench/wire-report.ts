/** What `bench wire` prints: the table of figures, the table of targets, machine and settings above them. Pure. */
import { inFlightOf } from '../src/load/wire-produce.ts'
import type { KcatFigures } from './kcat.ts'
import { type Machine, machineLines } from './machine.ts'
import {
  atLeast,
  atMost,
  formatNumber,
  formatSpread,
  markdownTable,
  pairedRatios,
  type Spread,
  spread,
  type Verdict,
  verdictTable,
} from './report.ts'
import type { StartFigures } from './start-up.ts'
import type { Figures, WireCase } from './wire-cases.ts'
import type { WireOptions } from './wire-options.ts'

/** Everything one invocation measured. `runs` are indexed by repeat; a failed run is null. */
export interface WireResults {
  readonly startedAt: string
  readonly machine: Machine
  readonly options: WireOptions
  readonly readyLine: string | null
  readonly kcat: string | null
  readonly cases: { readonly wireCase: WireCase; readonly runs: (Figures | null)[] }[]
  readonly kcatRuns: KcatFigures[][]
  readonly starts: StartFigures[]
  readonly failures: string[]
}

type Figure = Exclude<keyof Figures, 'heap'>

export function renderWire(results: WireResults): string {
  const parts = [renderHead(results)]
  if (results.cases.length > 0) parts.push(renderCases(results))
  if (results.kcatRuns.length > 0) parts.push(renderKcat(results))
  if (results.starts.length > 0) parts.push(renderStarts(results))
  const measured = verdictsOf(results).filter(({ figure }) => Number.isFinite(figure))
  if (measured.length > 0) parts.push(verdictTable(measured))
  if (results.failures.length > 0) parts.push(['FAILED', ...results.failures].join('\n  '))
  return `${parts.join('\n\n')}\n`
}

function renderHead({ startedAt, machine, options, readyLine, kcat }: WireResults): string {
  const inFlight = options.batches.map(
    batch => `${options.inFlight || inFlightOf(batch, options.recordBytes)} at batch ${batch}`,
  )
  return [
    `odradek wire bench, ${startedAt}`,
    machineLines(machine),
    `settings  ${options.recordBytes}-byte records, ${options.connectionCount} connection(s), ` +
      `${options.partitionCount} partition(s), in flight ${inFlight.join(', ')}; closed loop; ` +
      `${options.warmupSeconds} s warm-up, ${options.seconds} s window or ` +
      `${formatNumber(options.payloadBytesMax / 1e9)} GB, ${options.repeatCount} repeats: median (min–max)`,
    `odradek   ${readyLine ?? 'not started'} ${options.odradekArguments.join(' ')}`.trimEnd(),
    `kcat      ${kcat ?? 'not installed (apt-get install kcat)'}`,
    'units     MB, GB = 10^6, 10^9 bytes of record values; CPU = user + system time of the server process',
  ].join('\n')
}

function renderCases(results: WireResults): string {
  const rows = results.cases.map(({ wireCase, runs }) => {
    const { mode, server, recordsPerBatch, acks } = wireCase
    const of = (figure: Figure) => spreadOf(runs, figure)
    return [
      mode === 'produce' ? `produce, batch ${recordsPerBatch}` : 'consume',
      server,
      mode === 'produce' ? acksName(acks) : '',
      formatSpread(of('messagesPerSecond')),
      formatNumber(of('megabytesPerSecond').median),
      formatSpread(of('serverCpuPerGigabyte')),
      formatNumber(of('serverCpuPerRequestMicros').median),
      `${formatNumber(of('serverCores').median)} + ${formatNumber(of('generatorCores').median)}`,
      formatNumber(of('rssMegabytes').median),
      `${formatNumber(of('gcShare').median * 100)} %`,
      formatNumber(of('heapBytesPerRequest').median),
    ]
  })
  const head = ['what', 'server', 'acks', 'msg/s', 'MB/s', 'CPU s/GB', 'CPU µs/request']
  return markdownTable(
    [...head, 'cores: server + client', 'RSS MB', 'GC of CPU', 'heap B/request'],
    rows,
  )
}

function renderKcat({ kcatRuns }: WireResults): string {
  const first = kcatRuns[0]!
  const samples = (what: string, server: string, figure: keyof KcatFigures) =>
    kcatRuns
      .flat()
      .filter(run => run.what === what && run.server === server)
      .map(run => Number(run[figure]))
  const rows = first.map(({ what, server }) => {
    const speeds = samples(what, server, 'messagesPerSecond')
    const costs = samples(what, server, 'serverCpuPerGigabyte')
    const speedRatios = pairedRatios(speeds, samples(what, 'floor', 'messagesPerSecond'))
    const costRatios = pairedRatios(costs, samples(what, 'floor', 'serverCpuPerGigabyte'))
    return [
      what,
      server,
      formatSpread(spread(speeds)),
      formatNumber(spread(samples(what, server, 'megabytesPerSecond')).median),
      formatSpread(spread(costs)),
      server === 'floor' ? '' : formatNumber(spread(speedRatios).median),
      server === 'floor' ? '' : formatNumber(spread(costRatios).median),
    ]
  })
  const head = ['what (exec to exit)', 'server', 'msg/s', 'MB/s', 'CPU s/GB']
  return markdownTable([...head, 'msg/s, x floor', 'CPU s/GB, x floor'], rows)
}

function renderStarts({ starts }: WireResults): string {
  const first = spread(starts.map(start => start.firstAnswerMs))
  const rss = spread(starts.map(start => start.idleRssMegabytes))
  return markdownTable(
    ['start-up of dist/', `median of ${starts.length}`],
    [
      ['exec to first ApiVersions answer', formatSpread(first, ' ms')],
      ['resident memory, idle', formatSpread(rss, ' MB')],
      ['threads', String(starts[0]!.threadCount)],
    ],
  )
}

/** The targets of DESIGN section 10 that this bench can tell, each beside its figure. */
export function verdictsOf(results: WireResults): Verdict[] {
  const verdicts: Verdict[] = []
  for (const batch of results.options.batches) {
    const floor = runsOf(results, 'floor', batch, 1)
    const one = runsOf(results, 'odradek', batch, 1)
    const all = runsOf(results, 'odradek', batch, -1)
    const speed = ratio(one, floor, 'messagesPerSecond')
    const cpu = ratio(one, floor, 'serverCpuPerGigabyte')
    verdicts.push(atLeast(`batch ${batch}: msg/s against the floor's`, speed, 0.8, 'x'))
    verdicts.push(atMost(`batch ${batch}: CPU per GB against the floor's`, cpu, 1.3, 'x'))
    const durable = ratio(all, one, 'messagesPerSecond')
    verdicts.push(atLeast(`batch ${batch}: acks=all against own acks=1`, durable, 0.8, 'x'))
  }
  for (const [batch, target] of [
    [1, 50_000],
    [50, 600_000],
  ] as const) {
    const reached = spreadOf(runsOf(results, 'odradek', batch, 1), 'messagesPerSecond').median
    verdicts.push(atLeast(`batch ${batch}, acks=1`, reached, target, 'msg/s'))
  }
  const consume = results.cases.find(({ wireCase }) => wireCase.mode === 'consume')
  const consumed = spreadOf(consume?.runs ?? [], 'messagesPerSecond').median
  verdicts.push(atLeast('consume', consumed, 1_000_000, 'msg/s'))
  const rss = spread(results.starts.map(start => start.idleRssMegabytes)).median
  const first = spread(results.starts.map(start => start.firstAnswerMs)).median
  verdicts.push(atMost('idle RSS', rss, 100, 'MB'))
  verdicts.push(atMost('exec to first ApiVersions answer', first, 300, 'ms'))
  return verdicts
}

function runsOf(
  { cases }: WireResults,
  server: string,
  batch: number,
  acks: number,
): readonly (Figures | null)[] {
  const found = cases.find(
    ({ wireCase }) =>
      wireCase.mode === 'produce' &&
      wireCase.server === server &&
      wireCase.recordsPerBatch === batch &&
      wireCase.acks === acks,
  )
  return found?.runs ?? []
}

function ratio(
  numerators: readonly (Figures | null)[],
  denominators: readonly (Figures | null)[],
  figure: Figure,
): number {
  return spread(pairedRatios(samplesOf(numerators, figure), samplesOf(denominators, figure))).median
}

function spreadOf(runs: readonly (Figures | null)[], figure: Figure): Spread {
  return spread(samplesOf(runs, figure))
}

function samplesOf(runs: readonly (Figures | null)[], figure: Figure): number[] {
  return runs.map(run => run?.[figure] ?? Number.NaN)
}

function acksName(acks: number): string {
  return acks === -1 ? 'all' : String(acks)
}
