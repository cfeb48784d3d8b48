/**
 * `npm run bench -- upkeep`: what retention, scrub, compaction and cold readers cost a producer that sends at a fixed
 * rate (open loop). Busy and quiet windows take turns on one server, so that a drifting machine hits both; figures are
 * the ratios of neighbours.
 */
import { join } from 'node:path'
import { inBenchDirectory } from './bench-directory.ts'
import { describeMachine, type Machine, machineLines } from './machine.ts'
import { progress, writeResults } from './outcome.ts'
import {
  atMost,
  formatNumber,
  formatSpread,
  markdownTable,
  pairedRatios,
  spread,
  type Verdict,
  verdictTable,
} from './report.ts'
import {
  runUpkeepCase,
  type UpkeepFigures,
  type UpkeepOptions,
  type UpkeepResult,
  upkeepCases,
} from './upkeep-cases.ts'
import { count, list, number, oneOf, parsed } from './wire-options.ts'

const help = `Usage: npm run bench -- upkeep [options]

A producer with acks=all at a fixed rate, alone and while the broker works in the background on other topics:
retention, scrub, compaction, a consumer that reads what is in memory, or a cold backlog (in a memory cgroup, as root;
cold-slow also with a disk of 100 MB/s). Windows with and without the work take turns.

  --seconds N      of every window (default 3)
  --windows N      pairs of windows of every case (default 6)
  --rate N         requests a second, of 50 records of 200 bytes (default 500)
  --only CASES     of ${upkeepCases.join(',')} (default all)
  --set KEY=VALUE  passed on to odradek start; more of them behind commas
  --json FILE      writes machine, settings and the figures there
  --dir DIR        where data is written and removed again (default data/ in the project)

Example: npm run bench -- upkeep --seconds 2 --windows 4 --only scrub
`

interface Measured {
  readonly name: string
  readonly result: UpkeepResult | null
  readonly failure: string | null
}

/** Runs the bench with the arguments behind `upkeep`. Resolves to the exit code; throws UsageError. */
export async function runUpkeep(args: readonly string[]): Promise<number> {
  const options = parse(args)
  if (options === null) {
    process.stdout.write(help)
    return 0
  }
  return await inBenchDirectory(options.directory, 0, async directory => {
    const machine = describeMachine(directory)
    const results = await measureAll(options, directory)
    process.stdout.write(render(machine, options, results))
    writeResults(options.jsonPath, { machine, options, results })
    return results.some(({ failure }) => failure !== null) ? 1 : 0
  })
}

async function measureAll(options: UpkeepOptions, directory: string): Promise<Measured[]> {
  const results: Measured[] = []
  for (const name of options.cases) {
    try {
      const result = await runUpkeepCase(name, options, join(directory, 'case'))
      results.push({ name, result, failure: null })
      const { quiet, busy } = result
      progress(
        `${name}: p99 ${formatNumber(quiet.p99Ms)} ms quiet, ${formatNumber(busy.p99Ms)} ms busy`,
      )
    } catch (error) {
      const failure = `${name}: ${(error as Error).message}`
      results.push({ name, result: null, failure })
      progress(`FAILED ${failure}`)
    }
  }
  return results
}

function parse(args: readonly string[]): UpkeepOptions | null {
  const string = { type: 'string' } as const
  const values = parsed(args, {
    help: { type: 'boolean' },
    ...{ seconds: string, windows: string, rate: string, only: string, set: string },
    ...{ json: string, dir: string },
  })
  if (values.help === true) return null
  return {
    seconds: number('seconds', values.seconds, 3),
    windowCount: count('windows', values.windows, 6),
    requestsPerSecond: count('rate', values.rate, 500),
    cases: list(values.only, upkeepCases.join(',')).map(text => oneOf('only', upkeepCases, text)),
    settings: values.set?.split(',') ?? [],
    jsonPath: values.json ?? null,
    directory: values.dir ?? null,
  }
}

function render(machine: Machine, options: UpkeepOptions, results: readonly Measured[]): string {
  const { requestsPerSecond, windowCount, seconds, settings } = options
  const set = settings.map(setting => `, ${setting}`).join('')
  const rows = results.flatMap(({ name, result }) =>
    result === null
      ? []
      : [row(`${name}: quiet`, result.quiet, ''), row(name, result.busy, result.background)],
  )
  const head = ['what', 'p50 ms', 'p99 ms', 'p99.9 ms', 'p99 by window', 'in the background']
  const failures = results.flatMap(({ failure }) => failure ?? [])
  const parts = [
    `odradek upkeep bench
${machineLines(machine)}
settings  acks=all, ${requestsPerSecond} requests a second of 50 x 200 bytes, open loop, ${windowCount} x ${seconds} s busy and quiet in turn${set}`,
    markdownTable(head, rows),
    verdictTable(results.flatMap(verdictsOf)),
  ]
  if (failures.length > 0) parts.push(['FAILED', ...failures].join('\n  '))
  return `${parts.join('\n\n')}\n`
}

function row(what: string, figures: UpkeepFigures, background: string): string[] {
  const { p50Ms, p99Ms, p999Ms, windowP99Ms } = figures
  const numbers = [p50Ms, p99Ms, p999Ms].map(formatNumber)
  return [what, ...numbers, formatSpread(spread(windowP99Ms)), background]
}

function verdictsOf({ name, result }: Measured): Verdict[] {
  if (result === null) return []
  const { quiet, busy } = result
  const ratios = pairedRatios(busy.windowP99Ms, quiet.windowP99Ms)
  return [
    atMost(`${name}: p99 against quiet, median window`, spread(ratios).median, 2, 'x'),
    atMost(`${name}: p99 against quiet, all windows`, busy.p99Ms / quiet.p99Ms, 2, 'x'),
  ]
}
