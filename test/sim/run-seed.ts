/** Runs one seed: simulation, traps, verdict. */
import { Anomaly } from './checker/anomaly.ts'
import { Simulation } from './driver/simulation.ts'
import { type PlanOptions, planOf } from './swarm.ts'
import { setTraps } from './world/traps.ts'

export interface SeedResult {
  readonly seed: number
  /** Null when every promise held. */
  readonly anomaly: string | null
  readonly detail: string
  readonly hash: number
  readonly events: number
  readonly counts: Readonly<Record<string, number>>
  readonly trace: readonly string[]
}

export async function runSeed(
  seed: number,
  options: PlanOptions & { readonly isTraced?: boolean } = {},
): Promise<SeedResult> {
  const release = setTraps()
  let sim: Simulation | null = null
  let anomaly: string | null = null
  let detail = ''
  try {
    sim = new Simulation(planOf(seed, options), options.isTraced ?? false)
    await sim.run()
  } catch (error) {
    anomaly = error instanceof Anomaly ? error.anomaly : 'crash'
    detail = error instanceof Anomaly ? error.message : String((error as Error).stack ?? error)
  } finally {
    release()
  }
  const { hash = 0, events = 0, counts = new Map(), trace = null } = sim?.world ?? {}
  return {
    seed,
    anomaly,
    detail,
    hash,
    events,
    counts: Object.fromEntries(counts),
    trace: trace ?? [],
  }
}
