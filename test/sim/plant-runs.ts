/** Plants bugs one by one and counts the seeds until each is caught: a bug nobody catches is a bug of the checker. */
import type { Options } from './options.ts'
import { type Plant, plants } from './plants.ts'
import { runOrders } from './pool.ts'
import type { SeedResult } from './run-seed.ts'

/** A plant that survives so many seeds is not caught. */
const seedsMax = 4_000
/** Starting seeds lie this far apart. */
const startDistance = 100_000

export interface Caught {
  readonly name: string
  /** Seeds until it was caught, by starting seed; null where it was not. */
  readonly seeds: readonly (number | null)[]
  readonly median: number | null
  readonly anomalies: readonly string[]
}

async function catchPlant(
  plant: Plant,
  starts: readonly number[],
  jobs: number,
  limit = seedsMax,
): Promise<Caught> {
  const seeds: (number | null)[] = []
  const anomalies = new Set<string>()
  for (const start of starts) {
    const found = await firstFailure(plant.name, start, jobs, limit)
    seeds.push(found === null ? null : found.seed - start + 1)
    if (found?.anomaly != null) anomalies.add(found.anomaly)
  }
  const sorted = seeds.map(count => count ?? Number.POSITIVE_INFINITY).sort((a, b) => a - b)
  const middle = sorted[sorted.length >> 1] as number
  const median = Number.isFinite(middle) ? middle : null
  return { name: plant.name, seeds, median, anomalies: [...anomalies] }
}

async function firstFailure(
  plant: string,
  start: number,
  jobs: number,
  limit: number,
): Promise<SeedResult | null> {
  const orders = Array.from({ length: limit }, (_, index) => ({
    seed: start + index,
    without: [],
    steps: null,
    twice: false,
  }))
  let first: SeedResult | null = null
  await runOrders(orders, {
    jobs,
    plant,
    onResult(result) {
      if (result.anomaly === null) return false
      first = result
      return true
    },
  })
  return first
}

export async function runPlants(options: Options): Promise<number> {
  const { plant: only, starts, from, jobs, isJson } = options
  const chosen = only === null ? plants : plants.filter(({ name }) => name === only)
  if (chosen.length === 0) throw new Error(`there is no plant ${only}`)
  const first = Array.from({ length: starts }, (_, index) => from + index * startDistance)
  const results: Caught[] = []
  for (const plant of chosen) {
    const caught = await catchPlant(plant, first, jobs)
    results.push(caught)
    if (!isJson) process.stdout.write(`${lineOf(caught)}\n`)
  }
  if (isJson) process.stdout.write(`${JSON.stringify({ plants: results })}\n`)
  const missed = results.filter(({ seeds }) => seeds.includes(null))
  if (!isJson) {
    const count = `${results.length} planted bugs, ${results.length - missed.length} caught`
    process.stdout.write(`${count} from every starting seed\n`)
  }
  return missed.length === 0 ? 0 : 1
}

function lineOf({ name, seeds, median, anomalies }: Caught): string {
  const each = seeds.map(count => count ?? 'not caught').join(', ')
  const middle = median === null ? 'not caught' : `median ${median}`
  return `${name.padEnd(32)} ${middle.padEnd(12)} seeds (${each}): ${anomalies.join(', ')}`
}
