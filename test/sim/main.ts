/** Entry of `npm run sim`: see options.ts. Exit code 0 when every promise held, 1 when one was broken, 2 for usage. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { Order } from './child.ts'
import { help, type Options, parseOptions, UsageError } from './options.ts'
import { runPlants } from './plant-runs.ts'
import { runOrders } from './pool.ts'
import { runSeed, type SeedResult } from './run-seed.ts'
import { shrink } from './shrink.ts'

/** Seeds that once failed. */
function corpus(): number[] {
  const path = new URL('corpus.json', import.meta.url)
  return (JSON.parse(readFileSync(path, 'utf8')) as { seeds: { seed: number }[] }).seeds.map(
    ({ seed }) => seed,
  )
}

function bar(total: number): { step(failed: number): void; stop(): void } {
  if (!process.stderr.isTTY) return { step() {}, stop() {} }
  const { SingleBar, Presets } = createRequire(import.meta.url)(
    'cli-progress',
  ) as typeof import('cli-progress')
  const format =
    'seeds [{bar}] {percentage}% {value}/{total}, {failed} failed, {eta_formatted} left'
  const drawn = new SingleBar(
    { stream: process.stderr, format, clearOnComplete: true },
    Presets.legacy,
  )
  drawn.start(total, 0, { failed: 0 })
  return {
    step: failed => drawn.increment(1, { failed }),
    stop: () => drawn.stop(),
  }
}

async function runMany(options: Options): Promise<number> {
  const numbers = Array.from({ length: options.seeds }, (_, index) => options.from + index)
  const seeds = options.corpus ? [...new Set([...corpus(), ...numbers])] : numbers
  const { without, steps, twice } = options
  const orders: Order[] = seeds.map(seed => ({ seed, without, steps, twice }))
  const failed: SeedResult[] = []
  const counts = new Map<string, number>()
  let events = 0
  const startedMs = performance.now()
  const progress = bar(seeds.length)
  await runOrders(orders, {
    jobs: options.jobs,
    onResult(result) {
      if (result.anomaly !== null) failed.push(result)
      events += result.events
      for (const [what, count] of Object.entries(result.counts)) {
        counts.set(what, (counts.get(what) ?? 0) + count)
      }
      progress.step(failed.length)
      return false
    },
  })
  progress.stop()
  const seconds = (performance.now() - startedMs) / 1000
  const sorted = failed.sort((a, b) => a.seed - b.seed)
  const summary = { seeds: seeds.length, failed: sorted.length, events, seconds }
  if (options.isJson) {
    const failures = sorted.map(({ seed, anomaly, detail }) => ({ seed, anomaly, detail }))
    const met = Object.fromEntries(byName(counts))
    process.stdout.write(`${JSON.stringify({ ...summary, failures, counts: met })}\n`)
  } else {
    for (const result of sorted) process.stdout.write(`${failureLine(result)}\n`)
    if (options.counts) {
      for (const [what, count] of byName(counts)) process.stdout.write(`  ${what}: ${count}\n`)
    }
    const rate = Math.round(seeds.length / seconds)
    const total = `${seeds.length} seeds, ${failed.length} failed`
    process.stdout.write(`${total}, ${events} events in ${seconds.toFixed(1)} s, ${rate} seeds/s\n`)
  }
  return failed.length === 0 ? 0 : 1
}

function byName(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1))
}

function failureLine({ seed, anomaly, detail }: SeedResult): string {
  return `seed ${seed}: ${detail.startsWith(String(anomaly)) ? detail : `${anomaly}: ${detail}`}
  replay: npm run sim -- --trace ${seed}      make it smaller: npm run sim -- --shrink ${seed}`
}

async function trace(seed: number, { without, steps }: Options): Promise<number> {
  const options = { without: new Set(without), stepsMax: steps ?? undefined, isTraced: true }
  const result = await runSeed(seed, options)
  for (const line of result.trace) process.stdout.write(`${line}\n`)
  process.stdout.write(`events ${result.events}, hash ${result.hash.toString(16)}\n`)
  process.stdout.write(result.anomaly === null ? 'every promise held\n' : `${result.detail}\n`)
  return result.anomaly === null ? 0 : 1
}

async function makeSmall(seed: number, { without }: Options): Promise<number> {
  const shrunk = await shrink(seed, without)
  if (shrunk === null) {
    process.stdout.write(`seed ${seed} does not fail\n`)
    return 0
  }
  const { result, steps } = shrunk
  const left = shrunk.without.length > 0 ? ` --without ${shrunk.without.join(',')}` : ''
  process.stdout.write(`${result.detail}\n  ${result.events} events\n`)
  process.stdout.write(`  npm run sim -- --trace ${seed} --steps ${steps}${left}\n`)
  return 1
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args)
  if (options.help) {
    process.stdout.write(help)
    return 0
  }
  if (options.trace !== null) return await trace(options.trace, options)
  if (options.shrink !== null) return await makeSmall(options.shrink, options)
  if (options.plants) return await runPlants(options)
  return await runMany(options)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`sim: ${(error as Error).message}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
