/**
 * A process that runs seeds as it is told, one at a time, and reports each. With SIM_PLANT set it first plants that bug
 * into the modules it loads, so nothing of the product may be imported before (the imports below are dynamic).
 */
import { plantInModules } from './plant-hook.ts'
import type { SeedResult } from './run-seed.ts'

export interface Order {
  readonly seed: number
  readonly without: readonly string[]
  readonly steps: number | null
  readonly twice: boolean
}

const { SIM_PLANT: plant } = process.env
const hook = plant === undefined ? null : plantInModules(plant)
const { runSeed } = await import('./run-seed.ts')
hook?.ensureUsed()

async function run({ seed, without, steps, twice }: Order): Promise<SeedResult> {
  const options = { without: new Set(without), stepsMax: steps ?? undefined }
  const result = await runSeed(seed, options)
  if (!twice || result.anomaly !== null) return result
  const again = await runSeed(seed, options)
  if (again.hash === result.hash && again.events === result.events) return result
  const detail = `two runs differ: ${result.events} and ${again.events} events`
  return { ...result, anomaly: 'not-deterministic', detail }
}

process.on('message', (order: Order) => {
  void run(order).then(result => process.send?.(result))
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
