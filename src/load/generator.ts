/**
 * The frame of a load generator, a process of its own, so that it takes no CPU time from the server it measures but
 * what the machine shares. Settings come as one JSON argument. Out go lines of JSON: a sample now and then, the result
 * at the end. Exit code 1 and one line on stderr when any answer was an error, came out of order or did not come.
 *
 *   stdout   {"sample":{"seconds":0.25,"messages":...}}  {"sample":...}  ...  {"result":{...}}
 */
import {
  LoadWindow,
  newTotals,
  type Totals,
  type WindowResult,
  type WindowSettings,
} from './load-window.ts'

/** One connection, or several, that sends until the window ends, and then waits for what is still owed. */
export interface Load {
  run(): Promise<void>
}

/** The totals at a moment of a load, counted from its start, warm-up included. */
export interface LoadSample {
  readonly seconds: number
  readonly messages: number
  readonly payloadBytes: number
}

export interface GeneratorResult extends WindowResult {
  /** Records of all answers, warm-up and what came after the window included: what the log grew by, if it was fed. */
  readonly messagesInAll: number
  readonly requestsInAll: number
}

export type GeneratorLine = { readonly sample: LoadSample } | { readonly result: GeneratorResult }

/** Prepares what a load sends; connections are opened when it runs. */
type MakeLoads<Settings> = (
  settings: Settings,
  window: LoadWindow,
  totals: Totals,
) => readonly Load[] | Promise<readonly Load[]>

const sampleMs = 250
const stallMs = 10_000

/** Runs this process's load: the settings of the command line over `defaults`. */
export async function runGenerator<Settings extends WindowSettings>(
  defaults: Settings,
  makeLoads: MakeLoads<Settings>,
): Promise<void> {
  try {
    const given = JSON.parse(process.argv[2] ?? '{}') as Partial<Settings>
    write({ result: await measure({ ...defaults, ...given }, makeLoads) })
  } catch (error) {
    process.stderr.write(`load generator: ${(error as Error).message}\n`)
    // Other connections may still be open.
    process.exit(1)
  }
}

async function measure<Settings extends WindowSettings>(
  settings: Settings,
  makeLoads: MakeLoads<Settings>,
): Promise<GeneratorResult> {
  const totals = newTotals()
  const window = new LoadWindow(settings)
  const loads = await makeLoads(settings, window, totals)
  window.start()
  const startMs = performance.now()
  const sampler = setInterval(() => {
    const { messages, payloadBytes } = totals
    write({ sample: { seconds: (performance.now() - startMs) / 1000, messages, payloadBytes } })
  }, sampleMs)
  const watch = failWhenStalled(totals)
  try {
    await Promise.race([Promise.all(loads.map(load => load.run())), watch.stalled])
  } finally {
    watch.stop()
    clearInterval(sampler)
  }
  const { messages, requests } = totals
  return { ...window.result(), messagesInAll: messages, requestsInAll: requests }
}

function write(line: GeneratorLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

function failWhenStalled(totals: Totals): { stalled: Promise<never>; stop(): void } {
  let requestsBefore = -1
  let timer: NodeJS.Timeout | undefined
  const stalled = new Promise<never>((_, reject) => {
    timer = setInterval(() => {
      if (totals.requests === requestsBefore) {
        reject(new Error(`no answer for ${stallMs / 1000} s, after ${totals.requests} answers`))
      }
      requestsBefore = totals.requests
    }, stallMs)
  })
  return { stalled, stop: () => clearInterval(timer) }
}
