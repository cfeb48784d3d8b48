/** Entry of `npm run fuzz`: hostile requests to a real broker, API by API, version by version. */
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import { schemas } from '../protocol/schemas.ts'
import { BrokerUnderAttack } from './broker-under-attack.ts'
import { type FuzzReport, fuzzApi } from './fuzz.ts'
import type { AnySchema } from './valid.ts'

class UsageError extends Error {}

const help = `Usage: npm run fuzz -- [options]

Sends requests that are almost right to a real broker, beside an honest client, and checks that it lives, answers
or closes, logs no mistake of its own, keeps within its memory, and that the honest client notices nothing. Ends with
code 1 at the first finding, and prints how to see it again.

  --count N      cases of every API and version (default: 200)
  --seed S       what is sent (default: random, printed); the same seed sends the same
  --api NAME     only this API; repeat for several (default: all)
  --version V    only this version
  --case I       only this case, as a finding says
  --broker FILE  the broker's main file (default: src/main.ts of this checkout)
  --json         one line of JSON for every API instead of the table

Example: npm run fuzz -- --count 10000 --seed 7 --api Produce
`

interface Options {
  readonly apis: readonly AnySchema[]
  readonly count: number
  readonly seed: number
  readonly version?: number
  readonly only?: number
  readonly entry?: string
  readonly isJson: boolean
}

/** Null when help was asked for. */
function parse(args: readonly string[]): Options | null {
  const values = parseValues(args)
  if (values.help === true) return null
  const names = values.api ?? schemas.map(({ name }) => name)
  return {
    apis: names.map(apiOf),
    count: numberOf('count', values.count, 200) as number,
    seed: numberOf('seed', values.seed, Math.floor(Math.random() * 1_000_000)) as number,
    version: numberOf('version', values.version),
    only: numberOf('case', values.case),
    entry: values.broker,
    isJson: values.json === true,
  }
}

function parseValues(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', short: 'h' },
        json: { type: 'boolean' },
        api: { type: 'string', multiple: true },
        count: { type: 'string' },
        seed: { type: 'string' },
        version: { type: 'string' },
        case: { type: 'string' },
        broker: { type: 'string' },
      },
    })
    return values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function apiOf(name: string): AnySchema {
  const found = schemas.find(api => api.name.toLowerCase() === name.toLowerCase())
  if (found !== undefined) return found
  throw new UsageError(`no API ${name}; there are ${schemas.map(api => api.name).join(', ')}`)
}

function numberOf(name: string, text: string | undefined, absent?: number): number | undefined {
  const value = text === undefined ? absent : Number(text)
  if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) return value
  throw new UsageError(`--${name} ${text}: a whole number wanted`)
}

async function main(args: readonly string[]): Promise<number> {
  const options = parse(args)
  if (options === null) {
    process.stdout.write(help)
    return 0
  }
  const { apis, count, seed, isJson } = options
  const total = apis.reduce((sum, { versions }) => sum + versions[1] - versions[0] + 1, 0) * count
  const bar = progressBar(total)
  if (!isJson) process.stdout.write(`seed ${seed}, ${count} cases of every API and version\n`)
  let doneBefore = 0
  try {
    for (const api of apis) {
      const onProgress = (done: number) => bar.update(doneBefore + done, api.name)
      // A broker of its own for each: what is found is found again with --api alone.
      await using broker = await BrokerUnderAttack.start({ entry: options.entry })
      const report = await fuzzApi(broker, api, { ...options, onProgress })
      await broker.stop()
      doneBefore += report.cases
      bar.print(isJson ? JSON.stringify({ seed, ...report }) : summary(report))
    }
  } finally {
    bar.stop()
  }
  return 0
}

function summary(report: FuzzReport): string {
  const { api, versions, cases, answers, closes, parked, seconds } = report
  const kibibytes = Math.ceil(report.largestAnswerBytes / 1024)
  return (
    `${api.padEnd(24)}${versions} versions, ${cases} cases in ${seconds.toFixed(1)} s: ` +
    `${answers} answers (largest ${kibibytes} KiB), ${closes} closed, ${parked} parked; ` +
    `canary ${report.canarySteps} rounds, slowest ${report.canarySlowestStep} ${report.canarySlowestMs.toFixed(0)} ms; ` +
    `memory +${Math.ceil(report.memoryGrowthBytes / 2 ** 20)} MiB`
  )
}

/** On a terminal only. */
function progressBar(total: number) {
  const print = (line: string) => process.stdout.write(`${line}\n`)
  if (!process.stderr.isTTY) return { update: () => {}, stop: () => {}, print }
  const cliProgress = createRequire(import.meta.url)(
    'cli-progress',
  ) as typeof import('cli-progress')
  const format = '{api} [{bar}] {value}/{total}, {eta_formatted} left'
  const bar = new cliProgress.SingleBar(
    { stream: process.stderr, format, hideCursor: true, clearOnComplete: true },
    cliProgress.Presets.shades_classic,
  )
  bar.start(total, 0, { api: '' })
  return {
    update: (done: number, api: string) => bar.update(done, { api }),
    stop: () => bar.stop(),
    print: (line: string) => {
      if (process.stdout.isTTY) process.stderr.write('\r\u001b[K')
      print(line)
    },
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const { message, stack } = error as Error
  process.stderr.write(`fuzz: ${process.env.FUZZ_STACK ? stack : message}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
