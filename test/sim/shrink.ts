/** Makes a failing seed small: leaves out faults, crashes and operations while the same promise is still broken. */
import { runSeed, type SeedResult } from './run-seed.ts'
import { crashKinds, operations, planOf, rotNames } from './swarm.ts'

export interface Shrunk {
  readonly without: readonly string[]
  readonly steps: number
  readonly result: SeedResult
}

/** Null when the seed does not fail. */
export async function shrink(seed: number, start: readonly string[]): Promise<Shrunk | null> {
  const without = new Set(start)
  let steps = planOf(seed, { without }).steps
  let result = await runSeed(seed, { without })
  const { anomaly } = result
  if (anomaly === null) return null
  const tryWith = async (names: ReadonlySet<string>, stepsMax: number): Promise<boolean> => {
    const tried = await runSeed(seed, { without: names, stepsMax })
    if (tried.anomaly !== anomaly) return false
    result = tried
    return true
  }
  for (let isSmaller = true; isSmaller; ) {
    isSmaller = false
    const plan = planOf(seed, { without })
    const left = [...plan.faults, ...crashKinds, ...operations, ...rotNames, 'recovery-crashes']
    for (const name of left) {
      if (without.has(name)) continue
      if (!(await tryWith(new Set([...without, name]), steps))) continue
      without.add(name)
      isSmaller = true
    }
  }
  for (let step = steps >> 1; step >= 1; step >>= 1) {
    while (steps > step && (await tryWith(without, steps - step))) steps -= step
  }
  return { without: [...without], steps, result }
}
