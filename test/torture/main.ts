/** Entry of `npm run torture -- NAME`: breaks a real broker on a real disk, often, and checks what it keeps. */
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import type { Scenario } from './scenario.ts'
import { type Report, scenarios, torture } from './scenarios.ts'

class UsageError extends Error {}

const help = `Usage: npm run torture -- NAME [options]

Breaks a real broker on a real disk, under load, again and again, and compares what it holds afterwards with what it
promised. Ends with code 1 at the first promise that was not kept; the data is kept then.

${listing()}
  --cycles N      how often (default: by scenario)
  --seed S        steers settings, times and sizes (default: random, printed)
  --json          one line of JSON instead of the summary
  --dir DIR       where data is written (default: the system's temporary directory)
  --broker FILE   the broker's main file (default: src/main.ts of this checkout)

Example: npm run torture -- kill9 --cycles 20 --seed 7
`

function listing(): string {
  return scenarios.map(({ name, about }) => `  ${name.padEnd(14)}${about}\n`).join('')
}

interface Options {
  readonly scenario: Scenario
  readonly cycles: number
  readonly seed: number
  readonly isJson: boolean
  readonly directory?: string
  readonly entry?: string
}

/** Null when help was asked for. */
function parse(args: readonly string[]): Options | null {
  const { values, positionals } = parseValues(args)
  const [name, ...more] = positionals
  if (values.help === true || name === 'help') return null
  if (name === undefined) throw new UsageError(`a name is missing; --help lists them`)
  if (more.length > 0) throw new UsageError(`one scenario at a time, not also ${more[0]}`)
  const scenario = scenarios.find(one => one.name === name)
  if (scenario === undefined) {
    throw new UsageError(`no scenario ${JSON.stringify(name)}; --help lists them`)
  }
  return {
    scenario,
    cycles: count('cycles', values.cycles, scenario.cyclesDefault),
    seed: count('seed', values.seed, Math.floor(Math.random() * 1_000_000)),
    isJson: values.json === true,
    directory: values.dir,
    entry: values.broker,
  }
}

function parseValues(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        json: { type: 'boolean' },
        cycles: { type: 'string' },
        seed: { type: 'string' },
        dir: { type: 'string' },
        broker: { type: 'string' },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function count(name: string, text: string | undefined, absent: number): number {
  const value = text === undefined ? absent : Number(text)
  if (!Number.isSafeInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new UsageError(`--${name} ${text}: a whole number wanted`)
  }
  return value
}

async function main(args: readonly string[]): Promise<number> {
  const options = parse(args)
  if (options === null) {
    process.stdout.write(help)
    return 0
  }
  const { scenario, isJson, ...rest } = options
  const missing = scenario.needs().filter(({ isThere }) => !isThere)
  if (missing.length > 0) {
    const lines = missing.map(need => `torture: ${scenario.name}: ${need.missing}; ${need.cure}\n`)
    process.stderr.write(lines.join(''))
    return 2
  }
  const progress = progressBar(scenario)
  const report = await torture(scenario, { ...rest, onCycle: progress.update })
  progress.stop()
  process.stdout.write(isJson ? `${JSON.stringify(report)}\n` : summary(scenario, report))
  return report.violation === null ? 0 : 1
}

/** On a terminal only. */
function progressBar({ name, cycle }: Scenario) {
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {} }
  const cliProgress = createRequire(import.meta.url)(
    'cli-progress',
  ) as typeof import('cli-progress')
  const format = `${name} [{bar}] {value}/{total}, ${cycle} by ${cycle}, {eta_formatted} left`
  const bar = new cliProgress.SingleBar(
    { stream: process.stderr, format, hideCursor: true, clearOnComplete: true },
    cliProgress.Presets.shades_classic,
  )
  bar.start(1, 0)
  return {
    update: (done: number, total: number) => {
      bar.setTotal(total)
      bar.update(done)
    },
    stop: () => bar.stop(),
  }
}

function summary({ cycle }: Scenario, report: Report): string {
  const { scenario, seed, cycles, seconds, counts, violation, directory } = report
  const rate = ((cycles / seconds) * 60).toFixed(0)
  const lines = [
    `${scenario}: ${cycles} cycles (${cycle}) in ${seconds.toFixed(1)} s, ${rate} a minute, seed ${seed}`,
    ...Object.entries(counts).map(([what, number]) => `  ${what}: ${number}`),
    violation === null
      ? '  every promise was kept'
      : `  FAILED: ${violation}\n  the data is kept in ${directory}`,
  ]
  return `${lines.join('\n')}\n`
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`torture: ${(error as Error).message}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
