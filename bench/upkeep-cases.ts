/**
 * The cases of `bench upkeep`: a broker, a hot topic, another topic that gives the broker work, two measurements.
 *
 *   fill the other topic | quiet: paced load on `hot` | start the work | the same load again, while it lasts
 */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { encodeBatch } from '../src/protocol/encode-batch.ts'
import { Errors, errorName } from '../src/protocol/errors.ts'
import { CreateTopics } from '../src/protocol/messages/create-topics.ts'
import { IncrementalAlterConfigs } from '../src/protocol/messages/incremental-alter-configs.ts'
import { Produce } from '../src/protocol/messages/produce.ts'
import { type Limits, limit } from './cgroup.ts'
import { produceVersion } from './load-produce.ts'
import { type PacedResult, pacedLoad } from './paced-load.ts'
import { readProcessUsage } from './process-usage.ts'
import { formatNumber } from './report.ts'
import { type MeasuredServer, startServer } from './server-process.ts'
import { runLoad } from './wire-cases.ts'
import { requestOnce } from './wire-messages.ts'

export interface UpkeepOptions {
  readonly seconds: number
  readonly repeatCount: number
  readonly requestsPerSecond: number
  readonly backlogBytes: number
  readonly cases: readonly string[]
  readonly jsonPath: string | null
  readonly directory: string | null
}

export interface UpkeepFigures extends PacedResult {
  /** What the broker did besides, by its own metrics. */
  readonly background: string
}

interface Case {
  /** Settings of `odradek start`. */
  readonly set: readonly string[]
  /** Further ones, which would work while it is to be quiet: the broker is started again with them. */
  readonly setBusy?: readonly string[]
  readonly limits?: Limits
  /** Gives the other topic its content. */
  fill(server: MeasuredServer, options: UpkeepOptions): Promise<void>
  /** Starts the work; what it returns ends it. */
  begin(server: MeasuredServer, options: UpkeepOptions): Promise<() => Promise<void>>
  readonly work: Work
}

/** How to see that the work goes on. */
interface Work {
  readonly name: string
  soFar(server: MeasuredServer): Promise<number>
  /** A second with less than this is one without work. */
  readonly perSecondMin: number
}

const topic = 'other'
const coldMemoryBytes = 512 * 1024 * 1024
const nothingToEnd = async (): Promise<void> => {}

const reader: Pick<Case, 'set' | 'begin' | 'work'> = {
  set: ['log.segment.bytes=268435456'],
  begin: async (server, { seconds }) => {
    const reading = readAll(server, seconds + 1)
    return () => reading
  },
  work: {
    name: 'bytes fetched',
    soFar: server => readCounter(server, 'odradek_read_bytes_total'),
    perSecondMin: 1e6,
  },
}

const cases: Readonly<Record<string, Case>> = {
  retention: {
    set: ['log.retention.check.interval.ms=200', 'log.segment.bytes=16777216'],
    fill: (server, { backlogBytes }) => fillPlain(server, backlogBytes),
    begin: async server => {
      await alter(server, 'retention.ms', '1')
      return nothingToEnd
    },
    work: {
      name: 'segments deleted',
      soFar: server => readCounter(server, 'odradek_segments_deleted_total'),
      perSecondMin: 1,
    },
  },
  scrub: {
    set: ['log.segment.bytes=67108864'],
    setBusy: ['log.scrub.interval.ms=1000'],
    fill: (server, { backlogBytes }) => fillPlain(server, backlogBytes),
    begin: async () => nothingToEnd,
    work: {
      name: 'bytes scrubbed',
      soFar: server => readCounter(server, 'odradek_scrubbed_bytes_total'),
      perSecondMin: 1e6,
    },
  },
  compaction: {
    set: ['log.cleaner.backoff.ms=200', 'log.segment.bytes=67108864'],
    fill: (server, { backlogBytes }) => fillKeyed(server, backlogBytes),
    begin: async server => {
      await alter(server, 'cleanup.policy', 'compact')
      await alter(server, 'min.cleanable.dirty.ratio', '0.01')
      return nothingToEnd
    },
    // Its own counters move at the end of a pass only.
    work: {
      name: 'bytes read from files and sockets',
      soFar: async ({ pid }) => readProcessUsage(pid).readAnyBytes,
      perSecondMin: 20e6,
    },
  },
  // What any reader at full speed costs on the same cores: the cold ones are to be compared with it.
  warm: { ...reader, fill: (server, { backlogBytes }) => fillPlain(server, backlogBytes) },
  cold: {
    ...reader,
    limits: { memoryBytes: coldMemoryBytes },
    fill: server => fillPlain(server, 4 * coldMemoryBytes),
  },
  // The same with a disk that is slower than processors are: a read of 1 MB takes 10 ms.
  'cold-slow': {
    ...reader,
    limits: { memoryBytes: coldMemoryBytes, readBytesPerSecond: 100e6 },
    fill: server => fillPlain(server, 4 * coldMemoryBytes),
  },
}

export const upkeepCases: readonly string[] = Object.keys(cases)

/** Runs one case in `directory`, removed afterwards. Rejects when a load fails or the work did not happen. */
export async function runUpkeepCase(
  name: string,
  options: UpkeepOptions,
  directory: string,
): Promise<{ quiet: UpkeepFigures; busy: UpkeepFigures }> {
  const upkeep = cases[name]!
  let { server, end } = await start(upkeep, directory, upkeep.set)
  try {
    await create(server, 'hot')
    await upkeep.fill(server, options)
    await measure(server, { ...options, seconds: 2 })
    const quiet = await measure(server, options)
    if (upkeep.setBusy !== undefined) {
      await end()
      const again = await start(upkeep, directory, [...upkeep.set, ...upkeep.setBusy])
      server = again.server
      end = again.end
      await measure(server, { ...options, seconds: 2 })
    }
    const endWork = await upkeep.begin(server, options)
    const watch = watchWork(server, upkeep.work)
    const busy = await measure(server, options)
    const background = await watch.end()
    await endWork()
    return { quiet, busy: { ...busy, background } }
  } finally {
    await end()
    server.remove()
  }
}

async function start(
  { limits }: Case,
  directory: string,
  settings: readonly string[],
): Promise<{ server: MeasuredServer; end: () => Promise<void> }> {
  // The others are without these.
  const off = ['log.retention.check.interval.ms=86400000', 'log.scrub.interval.ms=0']
  const server = await startServer({
    kind: 'odradek',
    directory: join(directory, 'server'),
    gcProbe: false,
    odradekArguments: [
      ...['--workers', '1'],
      ...[...off, ...settings].flatMap(setting => ['--set', setting]),
    ],
    profileDirectory: null,
  })
  const unlimit = limits === undefined ? null : limit(server.pid, directory, limits)
  let isEnded = false
  const end = async (): Promise<void> => {
    if (isEnded) return
    isEnded = true
    await server.stop()
    await unlimit?.()
  }
  return { server, end }
}

/** Looks twice a second. */
function watchWork(server: MeasuredServer, work: Work): { end(): Promise<string> } {
  const stopped = new AbortController()
  const watching = (async () => {
    let [last, looks, active] = [await work.soFar(server), 0, 0]
    const first = last
    let lastMs = performance.now()
    while (!stopped.signal.aborted) {
      await setTimeout(500)
      const soFar = await work.soFar(server)
      const seconds = (performance.now() - lastMs) / 1000
      if (soFar - last >= work.perSecondMin * seconds) active++
      looks++
      last = soFar
      lastMs = performance.now()
    }
    return { done: last - first, share: active / looks }
  })()
  return {
    end: async () => {
      stopped.abort()
      const { done, share } = await watching
      if (share < 0.5) {
        throw new Error(`${work.name}: only in ${Math.round(share * 100)} % of the time`)
      }
      return `${formatNumber(done)} ${work.name}, in ${Math.round(share * 100)} % of the time`
    },
  }
}

async function measure(
  { host, port }: MeasuredServer,
  { seconds, requestsPerSecond }: UpkeepOptions,
): Promise<UpkeepFigures> {
  const load = {
    host,
    port,
    topic: 'hot',
    acks: -1,
    recordsPerBatch: 50,
    recordBytes: 200,
  } as const
  return { ...(await pacedLoad({ ...load, requestsPerSecond, seconds })), background: '' }
}

async function create(server: MeasuredServer, name: string): Promise<void> {
  const response = await requestOnce(server, CreateTopics, 4, {
    topics: [{ name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
    timeoutMs: 10_000,
    validateOnly: false,
  })
  expectNone(`creating topic ${name}`, response.topics[0]?.errorCode)
}

async function alter(server: MeasuredServer, name: string, value: string): Promise<void> {
  const response = await requestOnce(server, IncrementalAlterConfigs, 0, {
    resources: [
      { resourceType: 2, resourceName: topic, configs: [{ name, configOperation: 0, value }] },
    ],
    validateOnly: false,
  })
  expectNone(`setting ${name}`, response.responses[0]?.errorCode)
}

function expectNone(what: string, errorCode = -1): void {
  if (errorCode !== Errors.NONE) throw new Error(`${what}: ${errorName(errorCode)}`)
}

async function fillPlain(server: MeasuredServer, bytes: number): Promise<void> {
  await create(server, topic)
  await runLoad({
    host: server.host,
    port: server.port,
    topic,
    recordsPerBatch: 1000,
    acks: -1,
    inFlight: 16,
    seconds: 600,
    warmupSeconds: 0,
    payloadBytesMax: bytes,
  })
}

/** Updates of 20,000 keys, a batch of 1,000 at a time. */
async function fillKeyed(server: MeasuredServer, bytes: number): Promise<void> {
  await create(server, topic)
  const value = Buffer.alloc(200, 'value ')
  let record = 0
  for (let written = 0; written < bytes; ) {
    const records = Array.from({ length: 1000 }, () => ({
      key: Buffer.from(`key ${(record++ * 7919) % 20_000}`),
      value,
    }))
    const batch = encodeBatch({ records })
    const response = await requestOnce(server, Produce, produceVersion, {
      transactionalId: null,
      acks: 1,
      timeoutMs: 30_000,
      topicData: [
        {
          name: topic,
          partitionData: [{ index: 0, records: batch }],
        },
      ],
    })
    expectNone('filling', response.responses[0]?.partitionResponses[0]?.errorCode)
    written += batch.length
  }
}

/** A consumer that reads the other topic from its start, as fast as it is served. */
async function readAll(server: MeasuredServer, seconds: number): Promise<void> {
  const { host, port } = server
  await runLoad({
    mode: 'consume',
    host,
    port,
    topic,
    seconds,
    warmupSeconds: 0,
    payloadBytesMax: 1e15,
  })
}

async function readCounter(server: MeasuredServer, name: string): Promise<number> {
  const http = /http=(\S+)/.exec(server.readyLine)?.[1]
  const text = await (await fetch(`http://${http}/metrics`)).text()
  let sum = 0
  for (const line of text.split('\n')) {
    if (line.startsWith(name)) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return sum
}
