/** Command line of the simulation. */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'

export const help = `Usage: npm run sim -- --seeds N [options]

Runs the log core over a simulated disk, clock and clients. Each seed is one life: faults, crashes, recoveries, and in
the end a check of everything that was promised. A failing seed replays exactly.

  --seeds N       how many seeds (default 200)
  --from K        the first one (default 1)
  --jobs J        processes (default: one per core)
  --json          the result as one JSON object on stdout
  --trace SEED    runs one seed and prints what happened
  --without LIST  faults, crashes and operations to leave out, by name, separated by commas
  --steps N       events of the chaos at most
  --shrink SEED   looks for the smallest set of faults and events that still fails
  --corpus        also the seeds that once failed (test/sim/corpus.json)
  --twice         runs each seed twice; both runs must do exactly the same
  --counts        also prints what the seeds met
  --plants        plants known bugs one by one and counts the seeds until each is caught
  --plant NAME    only this one
  --starts N      with --plants: starting seeds per bug, for the median (default 5)

Example: npm run sim -- --seeds 2000
         npm run sim -- --trace 4711 --steps 300
`

export class UsageError extends Error {}

export interface Options {
  readonly seeds: number
  readonly from: number
  readonly jobs: number
  readonly isJson: boolean
  readonly trace: number | null
  readonly shrink: number | null
  readonly without: readonly string[]
  readonly steps: number | null
  readonly corpus: boolean
  readonly twice: boolean
  readonly counts: boolean
  readonly plants: boolean
  readonly plant: string | null
  readonly starts: number
  readonly help: boolean
}

export function parseOptions(args: readonly string[]): Options {
  const { values } = parse(args)
  const number = (name: keyof typeof values, fallback: number): number => {
    const text = values[name]
    if (text === undefined) return fallback
    const value = Number(text)
    const isRight = Number.isSafeInteger(value) && value >= 0 && value < 2 ** 32
    if (!isRight) throw new UsageError(`--${name} takes a whole number, not ${String(text)}`)
    return value
  }
  const optional = (name: keyof typeof values): number | null => {
    return values[name] === undefined ? null : number(name, 0)
  }
  return {
    seeds: number('seeds', 200),
    from: number('from', 1),
    jobs: Math.max(1, number('jobs', availableParallelism())),
    isJson: values.json ?? false,
    trace: optional('trace'),
    shrink: optional('shrink'),
    without: values.without?.split(',').filter(name => name !== '') ?? [],
    steps: optional('steps'),
    corpus: values.corpus ?? false,
    twice: values.twice ?? false,
    counts: values.counts ?? false,
    plants: (values.plants ?? false) || values.plant !== undefined,
    plant: values.plant ?? null,
    starts: Math.max(1, number('starts', 5)),
    help: values.help ?? false,
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        seeds: { type: 'string' },
        from: { type: 'string' },
        jobs: { type: 'string' },
        json: { type: 'boolean' },
        trace: { type: 'string' },
        shrink: { type: 'string' },
        without: { type: 'string' },
        steps: { type: 'string' },
        corpus: { type: 'boolean' },
        twice: { type: 'boolean' },
        counts: { type: 'boolean' },
        plants: { type: 'boolean' },
        plant: { type: 'string' },
        starts: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}
