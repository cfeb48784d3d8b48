/**
 * `npm run bench -- upkeep`: what retention, scrub, compaction and cold readers cost a producer that sends at a fixed
 * rate (open loop). Within a repeat every case follows a quiet one on the same server, so that a drifting machine hits
 * both; figures are ratios of the two.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { inBenchDirectory } from './bench-directory.ts'
import { describeMachine, type Machine } from './machine.ts'
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
  upkeepCases,
} from './upkeep-cases.ts'
import { count, list, number, UsageError } from './wire-options.ts'

const help = `Usage: npm run bench -- upkeep [options]

A producer with acks=all at a fixed rate, alone and while the broker works in the background on other topics:
retention, scrub, compaction, a consumer that reads what is in memory, or a cold backlog (in a memory cgroup, as root;
cold-slow also with a disk of 100 MB/s).

  --seconds N     of every measurement (default 6)
  --repeat N      repeats of every case (default 3)
  --rate N        requests a second, of 50 records of 200 bytes (default 500)
  --backlog N     MB of the other topics (default 600; the cold cases take four times their memory limit)
  --only CASES    of ${upkeepCases.join(',')} (default all)
  --json FILE     writes machine, settings and every sample there
  --dir DIR       where data is written and removed again (default data/ in the project)

Example: npm run bench -- upkeep --seconds 3 --repeat 1 --only scrub
`

interface Measured {
  readonly name: string
  readonly quiet: UpkeepFigures[]
  readonly busy: UpkeepFigures[]
  readonly failures: string[]
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
    if (options.jsonPath !== null) {
      mkdirSync(dirname(options.jsonPath), { recursive: true })
      writeFileSync(options.jsonPath, `${JSON.stringify({ machine, options, results }, null, 2)}\n`)
    }
    return results.some(({ failures }) => failures.length > 0) ? 1 : 0
  })
}

async function measureAll(options: UpkeepOptions, directory: string): Promise<Measured[]> {
  const results = options.cases.map(
    name => ({ name, quiet: [], busy: [], failures: [] }) as Measured,
  )
  for (let repeat = 1; repeat <= options.repeatCount; repeat++) {
    for (const measured of results) {
      const what = `${repeat}/${options.repeatCount} ${measured.name}`
      try {
        const { quiet, busy } = await runUpkeepCase(measured.name, options, join(directory, 'case'))
        measured.quiet.push(quiet)
        measured.busy.push(busy)
        progress(
          `${what}: p99 ${formatNumber(quiet.p99Ms)} ms quiet, ${formatNumber(busy.p99Ms)} ms`,
        )
      } catch (error) {
        measured.failures.push(`${what}: ${(error as Error).message}`)
        progress(`${what}: FAILED: ${(error as Error).message}`)
      }
    }
  }
  return results
}

function parse(args: readonly string[]): UpkeepOptions | null {
  const string = { type: 'string' } as const
  let values: Record<string, string | boolean | undefined>
  try {
    const names = ['seconds', 'repeat', 'rate', 'backlog', 'only', 'json', 'dir']
    const flags = Object.fromEntries(names.map(name => [name, string]))
    values = parseArgs({ args: [...args], options: { help: { type: 'boolean' }, ...flags } }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  if (values.help === true) return null
  const text = (name: string) => values[name] as string | undefined
  const cases = list(text('only'), upkeepCases.join(','))
  const unknown = cases.find(name => !upkeepCases.includes(name))
  if (unknown !== undefined) {
    throw new UsageError(`--only ${unknown}: of ${upkeepCases.join(', ')} wanted`)
  }
  return {
    seconds: number('seconds', text('seconds'), 6),
    repeatCount: count('repeat', text('repeat'), 3),
    requestsPerSecond: count('rate', text('rate'), 500),
    backlogBytes: number('backlog', text('backlog'), 600) * 1e6,
    cases,
    jsonPath: text('json') ?? null,
    directory: text('dir') ?? null,
  }
}

function render(machine: Machine, options: UpkeepOptions, results: readonly Measured[]): string {
  const rows = results.flatMap(({ name, quiet, busy }) => [
    row(`${name}: before`, quiet),
    row(`${name}: meanwhile`, busy),
  ])
  const head = ['what', 'p50 ms', 'p99 ms', 'p99.9 ms', 'done in the background']
  const failures = results.flatMap(result => result.failures)
  const parts = [
    `odradek upkeep bench
machine   ${machine.coreCount} x ${machine.cpuModel}, ${machine.kernel}, Node ${machine.nodeVersion}, load average before ${machine.loadAverage.toFixed(2)}
disk      ${machine.fileSystem}, 4 KiB append + fdatasync p50 ${machine.fdatasyncP50Ms.toFixed(2)} ms, p99 ${machine.fdatasyncP99Ms.toFixed(2)} ms
settings  acks=all, ${options.requestsPerSecond} requests a second of 50 x 200 bytes, open loop, ${options.seconds} s each, ${options.repeatCount} repeats: median (min–max)`,
    markdownTable(head, rows),
    verdictTable(results.map(verdictOf).filter(({ figure }) => Number.isFinite(figure))),
  ]
  if (failures.length > 0) parts.push(['FAILED', ...failures].join('\n  '))
  return `${parts.join('\n\n')}\n`
}

function row(what: string, figures: readonly UpkeepFigures[]): string[] {
  const of = (pick: (figure: UpkeepFigures) => number) => formatSpread(spread(figures.map(pick)))
  return [
    what,
    of(({ p50Ms }) => p50Ms),
    of(({ p99Ms }) => p99Ms),
    of(({ p999Ms }) => p999Ms),
    figures.at(-1)?.background ?? '',
  ]
}

function verdictOf({ name, quiet, busy }: Measured): Verdict {
  const ratios = pairedRatios(
    busy.map(({ p99Ms }) => p99Ms),
    quiet.map(({ p99Ms }) => p99Ms),
  )
  return atMost(`${name}: p99 against quiet`, spread(ratios).median, 2, 'x')
}

function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}
