/**
 * The cases of `bench upkeep`: a broker, a hot topic, other topics that give the broker work that can be switched on
 * and off while it runs.
 *
 *   fill | work on: window | work off: window | work on: window | ...     the same paced load in all of them
 */

import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Latencies } from '../src/load/latencies.ts'
import { runLoadProcess } from '../src/load/load-process.ts'
import { readProcessUsage } from '../src/load/process-usage.ts'
import { type Limits, limit } from './cgroup.ts'
import { pacedLoad } from './paced-load.ts'
import { formatNumber } from './report.ts'
import { type MeasuredServer, startServer } from './server-process.ts'
import {
  alterTopic,
  createTopic,
  deleteTopic,
  fillKeyed,
  fillPlain,
  readCounter,
} from './upkeep-topics.ts'

export interface UpkeepOptions {
  /** Of one window. */
  readonly seconds: number
  /** Pairs of windows of every case. */
  readonly windowCount: number
  readonly requestsPerSecond: number
  readonly cases: readonly string[]
  /** Further settings of `odradek start`. */
  readonly settings: readonly string[]
  readonly jsonPath: string | null
  readonly directory: string | null
}

/** Of all windows of one kind together, and window by window. */
export interface UpkeepFigures {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  readonly windowP99Ms: readonly number[]
}

export interface UpkeepResult {
  readonly quiet: UpkeepFigures
  readonly busy: UpkeepFigures
  /** What the broker did in the busy windows, by its own metrics. */
  readonly background: string
}

interface Case {
  /** Settings of `odradek start`. */
  settings(options: UpkeepOptions): readonly string[]
  readonly limits?: Limits
  /** Gives topic `work-WINDOW` (0 for the one of all windows) its content. */
  fill(server: MeasuredServer, options: UpkeepOptions): Promise<void>
  /** Resolves when the work of this window goes on; what it returns resolves when it has ended. */
  begin(
    server: MeasuredServer,
    options: UpkeepOptions,
    window: number,
  ): Promise<() => Promise<void>>
  readonly work: Work
}

/** How to see that the work goes on. */
interface Work {
  readonly name: string
  soFar(server: MeasuredServer): Promise<number>
  /** A busy window has at least this, a quiet one no more than half of it. */
  readonly perSecondMin: number
}

const coldMemoryBytes = 512 * 1024 * 1024
const looksMs = 500
const windowTriesMax = 4
/** The default rate. */
const scrubBytesPerSecond = 32 * 1024 * 1024
/** Half of the default rate: a task rests for as long as it works. What is left of a pass is waited for. */
const cleanerBytesPerSecond = 32 * 1024 * 1024
/** A segment of 16 MiB every 200 ms: far more than five minutes' worth of any log that fits this disk. */
const retentionCheckMs = 200
const retentionSegmentBytes = 16 * 1024 * 1024

const reader: Omit<Case, 'fill' | 'limits'> = {
  settings: () => ['log.segment.bytes=268435456'],
  begin: async (server, { seconds }) => {
    const { host, port } = server
    const reading = runLoadProcess('wire', {
      mode: 'consume',
      host,
      port,
      topic: 'work',
      seconds: seconds + 1,
      warmupSeconds: 0,
      payloadBytesMax: 1e15,
    })
    await setTimeout(looksMs)
    return async () => {
      await reading
    }
  },
  work: {
    name: 'bytes fetched',
    soFar: server => readCounter(server, 'odradek_read_bytes_total'),
    perSecondMin: 1e6,
  },
}

const cases: Readonly<Record<string, Case>> = {
  retention: {
    settings: () => [
      `log.retention.check.interval.ms=${retentionCheckMs}`,
      `log.segment.bytes=${retentionSegmentBytes}`,
    ],
    fill: async (server, { seconds, windowCount }) => {
      const segmentCount = Math.ceil(((seconds + 1) * 1000) / retentionCheckMs)
      for (let window = 0; window < windowCount; window++) {
        await fillPlain(server, `work-${window}`, segmentCount * retentionSegmentBytes)
      }
    },
    begin: async (server, _, window) => {
      const topic = `work-${window}`
      await alterTopic(server, topic, 'retention.ms', '1')
      return () => alterTopic(server, topic, 'retention.ms', '-1')
    },
    work: {
      name: 'segments deleted',
      soFar: server => readCounter(server, 'odradek_segments_deleted_total'),
      perSecondMin: 2,
    },
  },
  // A pass takes the half of its interval, for which there is just enough to do.
  scrub: {
    settings: ({ seconds }) => [`log.scrub.interval.ms=${scrubIntervalMs(seconds)}`],
    fill: (server, { seconds }) =>
      fillPlain(server, 'work', (scrubIntervalMs(seconds) / 2000) * scrubBytesPerSecond),
    begin: async server => {
      await moves(server, cases.scrub!.work, true)
      return () => moves(server, cases.scrub!.work, false)
    },
    work: {
      name: 'bytes scrubbed',
      soFar: server => readCounter(server, 'odradek_scrubbed_bytes_total'),
      // What the producer itself appends, 5 MB a second, may be scrubbed in a quiet window, too.
      perSecondMin: 12e6,
    },
  },
  compaction: {
    settings: () => ['log.cleaner.backoff.ms=200', 'log.segment.bytes=16777216'],
    // All is read twice, half of it is written.
    fill: async (server, { seconds, windowCount }) => {
      for (let window = 0; window < windowCount; window++) {
        const bytes = ((seconds + 1) * cleanerBytesPerSecond) / 2.5
        await fillKeyed(server, `work-${window}`, bytes + 16 * 1024 * 1024)
      }
    },
    begin: async (server, _, window) => {
      const passes = () => readCounter(server, 'odradek_compactions_total')
      const before = await passes()
      const topic = `work-${window}`
      await alterTopic(server, topic, 'min.cleanable.dirty.ratio', '0.01')
      await alterTopic(server, topic, 'cleanup.policy', 'compact')
      await setTimeout(looksMs)
      return async () => {
        for (let look = 0; (await passes()) === before; look++) {
          if (look === 120) throw new Error('compaction does not come to its end')
          await setTimeout(looksMs)
        }
      }
    },
    // Its own counters move at the end of a pass only. The load's own are below this.
    work: {
      name: 'bytes read from files and sockets',
      soFar: async ({ pid }) => readProcessUsage(pid).readAnyBytes,
      perSecondMin: 12e6,
    },
  },
  // What any reader at full speed costs on the same cores: the cold ones are to be compared with it.
  warm: { ...reader, fill: server => fillPlain(server, 'work', 600e6) },
  cold: {
    ...reader,
    limits: { memoryBytes: coldMemoryBytes },
    fill: server => fillPlain(server, 'work', 4 * coldMemoryBytes),
  },
  // The same with a disk that is slower than processors are: a read of 1 MB takes 10 ms.
  'cold-slow': {
    ...reader,
    limits: { memoryBytes: coldMemoryBytes, readBytesPerSecond: 100e6 },
    fill: server => fillPlain(server, 'work', 4 * coldMemoryBytes),
  },
}

export const upkeepCases: readonly string[] = Object.keys(cases)

/** A pass takes the half of it, or longer on a busy machine: a busy window fits in, and a quiet one fits the rest. */
function scrubIntervalMs(seconds: number): number {
  return (seconds + 2) * 4000
}

/** Runs one case in `directory`, removed afterwards. Rejects when a load fails or the work did not happen. */
export async function runUpkeepCase(
  name: string,
  options: UpkeepOptions,
  directory: string,
): Promise<UpkeepResult> {
  const upkeep = cases[name]!
  const server = await start(upkeep, directory, options)
  const unlimit = upkeep.limits === undefined ? null : limit(server.pid, directory, upkeep.limits)
  try {
    await upkeep.fill(server, options)
    spawnSync('sync')
    await createTopic(server, 'hot')
    await runWindow(server, { ...options, seconds: 3 }, new Latencies())
    return await runWindows(upkeep, server, options)
  } finally {
    await server.stop()
    await unlimit?.()
    server.remove()
  }
}

async function runWindows(
  upkeep: Case,
  server: MeasuredServer,
  options: UpkeepOptions,
): Promise<UpkeepResult> {
  const quiet = new Windows()
  const busy = new Windows()
  let done = 0
  for (let window = 0; window < options.windowCount; window++) {
    const endWork = await upkeep.begin(server, options, window)
    done += await busy.run(server, upkeep.work, true, options)
    await endWork()
    await setTimeout(looksMs)
    await quiet.run(server, upkeep.work, false, options)
    // The hot topic starts anew, so that the scrub has no more to do in the last window than in the first.
    await deleteTopic(server, 'hot')
    await createTopic(server, 'hot')
    await runWindow(server, { ...options, seconds: 0.5 }, new Latencies())
  }
  const background = `${formatNumber(done)} ${upkeep.work.name}`
  return { quiet: quiet.figures, busy: busy.figures, background }
}

async function start(
  upkeep: Case,
  directory: string,
  options: UpkeepOptions,
): Promise<MeasuredServer> {
  // The others are without these.
  const off = ['log.retention.check.interval.ms=86400000', 'log.scrub.interval.ms=0']
  const settings = [...off, ...upkeep.settings(options), ...options.settings]
  return await startServer({
    kind: 'odradek',
    directory: join(directory, 'server'),
    gcProbe: false,
    odradekArguments: ['--workers', '1', ...settings.flatMap(setting => ['--set', setting])],
    profileDirectory: null,
  })
}

class Windows {
  readonly #all = new Latencies()
  readonly #p99Ms: number[] = []

  /**
   * Resolves to what was done meanwhile. A window with too little work, or too much for a quiet one, does not count and
   * is run again.
   */
  async run(
    server: MeasuredServer,
    work: Work,
    isWanted: boolean,
    options: UpkeepOptions,
  ): Promise<number> {
    let done = 0
    for (let attempt = 0; attempt < windowTriesMax; attempt++) {
      const latencies = new Latencies()
      const before = await work.soFar(server)
      const startMs = performance.now()
      await runWindow(server, options, latencies)
      const seconds = (performance.now() - startMs) / 1000
      done = (await work.soFar(server)) - before
      const share = done / seconds / work.perSecondMin
      if (isWanted ? share < 1 : share > 0.5) continue
      this.#all.add(latencies)
      this.#p99Ms.push(latencies.percentileMs(0.99))
      return done
    }
    const kind = isWanted ? 'busy' : 'quiet'
    throw new Error(`${formatNumber(done)} ${work.name} in a ${kind} window`)
  }

  get figures(): UpkeepFigures {
    const of = (share: number): number => this.#all.percentileMs(share)
    const windowP99Ms = this.#p99Ms
    return { p50Ms: of(0.5), p99Ms: of(0.99), p999Ms: of(0.999), windowP99Ms }
  }
}

async function runWindow(
  { host, port }: MeasuredServer,
  { seconds, requestsPerSecond }: UpkeepOptions,
  all: Latencies,
): Promise<void> {
  const load = {
    host,
    port,
    topic: 'hot',
    acks: -1,
    recordsPerBatch: 50,
    recordBytes: 200,
  } as const
  await pacedLoad({ ...load, requestsPerSecond, seconds }, all)
}

/** Resolves when the work goes on at its rate, or when no more is done than the producer itself causes. */
async function moves(server: MeasuredServer, work: Work, isWanted: boolean): Promise<void> {
  let last = await work.soFar(server)
  for (let look = 0; look < 120; look++) {
    await setTimeout(looksMs)
    const soFar = await work.soFar(server)
    const share = ((soFar - last) / looksMs) * (1000 / work.perSecondMin)
    if (isWanted ? share >= 1 : share <= 0.5) return
    last = soFar
  }
  throw new Error(`${work.name}: it does not ${isWanted ? 'begin' : 'end'}`)
}
