/**
 * The cases of `bench upkeep`: a broker, a hot topic, another topic that gives the broker work, two measurements.
 *
 *   fill the other topic | quiet: paced load on `hot` | start the work | the same load again, while it lasts
 */
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeBatch } from '../src/protocol/encode-batch.ts'
import { Errors, errorName } from '../src/protocol/errors.ts'
import { CreateTopics } from '../src/protocol/messages/create-topics.ts'
import { IncrementalAlterConfigs } from '../src/protocol/messages/incremental-alter-configs.ts'
import { Produce } from '../src/protocol/messages/produce.ts'
import { produceVersion } from './load-produce.ts'
import { type PacedResult, pacedLoad } from './paced-load.ts'
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
  /** Arguments of `odradek start`. */
  readonly set: readonly string[]
  readonly memoryBytesMax?: number
  /** Gives the other topic its content. */
  fill(server: MeasuredServer, options: UpkeepOptions): Promise<void>
  /** Starts the work; what it returns ends it. */
  begin(server: MeasuredServer, options: UpkeepOptions): Promise<() => Promise<void>>
  /** Counters that must have moved meanwhile. */
  readonly counters: readonly string[]
}

const topic = 'other'
const coldMemoryBytes = 512 * 1024 * 1024
const nothingToEnd = async (): Promise<void> => {}

const cases: Readonly<Record<string, Case>> = {
  retention: {
    set: ['log.retention.check.interval.ms=200', 'log.segment.bytes=16777216'],
    fill: (server, { backlogBytes }) => fillPlain(server, backlogBytes),
    begin: async server => {
      await alter(server, 'retention.ms', '1')
      return nothingToEnd
    },
    counters: ['odradek_segments_deleted_total'],
  },
  scrub: {
    set: ['log.scrub.interval.ms=1000', 'log.segment.bytes=67108864'],
    fill: (server, { backlogBytes }) => fillPlain(server, backlogBytes),
    begin: async () => nothingToEnd,
    counters: ['odradek_scrubbed_bytes_total'],
  },
  compaction: {
    set: ['log.cleaner.backoff.ms=200', 'log.segment.bytes=67108864'],
    fill: (server, { backlogBytes }) => fillKeyed(server, backlogBytes),
    begin: async server => {
      await alter(server, 'cleanup.policy', 'compact')
      await alter(server, 'min.cleanable.dirty.ratio', '0.01')
      return nothingToEnd
    },
    counters: ['odradek_compaction_read_bytes_total'],
  },
  // What any reader at full speed costs on the same cores: the cold one is to be compared with it.
  warm: {
    set: ['log.segment.bytes=268435456'],
    fill: (server, { backlogBytes }) => fillPlain(server, backlogBytes),
    begin: async (server, { seconds }) => {
      const reading = readAll(server, seconds + 1)
      return () => reading
    },
    counters: ['odradek_read_bytes_total'],
  },
  cold: {
    set: ['log.segment.bytes=268435456'],
    memoryBytesMax: coldMemoryBytes,
    fill: server => fillPlain(server, 4 * coldMemoryBytes),
    begin: async (server, { seconds }) => {
      const reading = readAll(server, seconds + 1)
      return () => reading
    },
    counters: ['odradek_read_bytes_total'],
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
  // Without a setting of its own, the scrub waits until it is measured: the other cases are without it.
  const base = ['log.retention.check.interval.ms=86400000', 'log.scrub.interval.ms=0']
  const quietSet = name === 'scrub' ? [...upkeep.set] : [...base, ...upkeep.set]
  const server = await startServer({
    kind: 'odradek',
    directory: join(directory, 'server'),
    gcProbe: false,
    odradekArguments: ['--workers', '1', ...quietSet.flatMap(setting => ['--set', setting])],
    profileDirectory: null,
  })
  const limit =
    upkeep.memoryBytesMax === undefined ? null : limitMemory(server.pid, upkeep.memoryBytesMax)
  try {
    await create(server, 'hot')
    await measure(server, { ...options, seconds: 2 })
    // A scrub cannot be switched on later: its quiet part is measured before there is anything to look at.
    if (name !== 'scrub') await upkeep.fill(server, options)
    const quiet = await measure(server, options)
    if (name === 'scrub') await upkeep.fill(server, options)
    const before = await counters(server, upkeep)
    const end = await upkeep.begin(server, options)
    const busy = await measure(server, options)
    const after = await counters(server, upkeep)
    await end()
    const done = upkeep.counters.map(
      (counter, index) => `${counter} +${after[index]! - before[index]!}`,
    )
    if (after.every((value, index) => value === before[index])) {
      throw new Error(`nothing happened in the background: ${done.join(', ')}`)
    }
    await server.stop()
    return { quiet, busy: { ...busy, background: done.join(', ') } }
  } finally {
    server.remove()
    limit?.()
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

async function counters(server: MeasuredServer, { counters: names }: Case): Promise<number[]> {
  const http = /http=(\S+)/.exec(server.readyLine)?.[1]
  const text = await (await fetch(`http://${http}/metrics`)).text()
  return names.map(name => {
    let sum = 0
    for (const line of text.split('\n')) {
      if (line.startsWith(name)) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
    }
    return sum
  })
}

/** Puts a process into a memory cgroup of its own, page cache included (version 1 or 2). Needs root. */
function limitMemory(pid: number, bytes: number): () => void {
  const isV1 = existsSync('/sys/fs/cgroup/memory')
  const group = join(isV1 ? '/sys/fs/cgroup/memory' : '/sys/fs/cgroup', `odradek-bench-${pid}`)
  mkdirSync(group)
  writeFileSync(join(group, isV1 ? 'memory.limit_in_bytes' : 'memory.max'), String(bytes))
  writeFileSync(join(group, 'cgroup.procs'), String(pid))
  return () => {
    // Only an empty group can be removed; the process may take a moment to be gone.
    try {
      rmdirSync(group)
    } catch {
      setTimeout(() => rmdirSync(group), 1000)
    }
  }
}
