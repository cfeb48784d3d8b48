/**
 * Load generator: a process of its own, so that it takes no CPU time from the server it measures but what the machine
 * shares. Settings come as one JSON argument, the result leaves as one JSON line; exit code 1 and one line on stderr
 * when any answer was an error, came out of order or did not come. wire.ts starts it; by hand:
 *
 *   node bench/load-generator.ts '{"mode":"produce","port":9092,"topic":"load","recordsPerBatch":50,"seconds":2}'
 */
import { ConsumeLoad, type ConsumeSettings } from './load-consume.ts'
import { ProduceLoad, type ProduceSettings } from './load-produce.ts'
import {
  LoadWindow,
  newTotals,
  type Totals,
  type WindowResult,
  type WindowSettings,
} from './load-window.ts'

export interface LoadSettings extends ProduceSettings, ConsumeSettings, WindowSettings {
  readonly mode: 'produce' | 'consume'
  readonly connectionCount: number
}

export interface LoadResult extends WindowResult {
  /** Records sent since the start, warm-up included, all of them answered. 0 when consuming. */
  readonly messagesSent: number
}

const loadDefaults: LoadSettings = {
  mode: 'produce',
  host: '127.0.0.1',
  port: 9092,
  topic: 'load',
  partitionCount: 1,
  firstPartition: 0,
  recordsPerBatch: 50,
  recordBytes: 200,
  acks: 1,
  inFlight: 64,
  connectionCount: 1,
  maxBytes: 8 * 1024 * 1024,
  partitionMaxBytes: 1024 * 1024,
  checkCrc: false,
  seconds: 5,
  warmupSeconds: 1,
  payloadBytesMax: 2e9,
  serverPid: 0,
  gcProbe: false,
  ballastDirectory: null,
}

const stallMs = 10_000

async function run(settings: LoadSettings): Promise<LoadResult> {
  const totals = newTotals()
  const window = new LoadWindow(settings)
  const { connectionCount, partitionCount } = settings
  const loads = Array.from({ length: connectionCount }, (_, connection) => {
    if (settings.mode === 'consume') return new ConsumeLoad(settings, window, totals)
    const firstPartition = Math.floor((connection * partitionCount) / connectionCount)
    return new ProduceLoad({ ...settings, firstPartition }, window, totals)
  })
  const watch = failWhenStalled(totals)
  try {
    await Promise.race([Promise.all(loads.map(load => load.run())), watch.stalled])
  } finally {
    watch.stop()
  }
  let messagesSent = 0
  for (const load of loads) if (load instanceof ProduceLoad) messagesSent += load.messagesSent
  return { ...window.result(), messagesSent }
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

if (import.meta.main) {
  try {
    const given = JSON.parse(process.argv[2] ?? '{}') as Partial<LoadSettings>
    process.stdout.write(`${JSON.stringify(await run({ ...loadDefaults, ...given }))}\n`)
  } catch (error) {
    process.stderr.write(`load generator: ${(error as Error).message}\n`)
    // Other connections may still be open.
    process.exit(1)
  }
}
