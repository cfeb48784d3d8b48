/**
 * `npm run bench -- start`: how long a broker with many partitions takes to serve them all: after a kill -9 in the
 * middle of production, after a clean stop, and with every index deleted.
 *
 *   fill, kill -9 | start: unclean | clean stop | start: clean | clean stop, indexes deleted | start, read everywhere
 *
 * The page cache stays warm: what a start reads shows as bytes, for disks that are slower.
 */

import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { readProcessUsage } from '../src/load/process-usage.ts'
import { requestOnce } from '../src/load/wire-messages.ts'
import { produceVersion } from '../src/load/wire-produce.ts'
import { encodeBatch } from '../src/protocol/encode-batch.ts'
import { Errors, errorName } from '../src/protocol/errors.ts'
import { fetchRequestFor, fetchTopic } from '../src/protocol/fetch-request.ts'
import { CreateTopics } from '../src/protocol/messages/create-topics.ts'
import { Fetch } from '../src/protocol/messages/fetch.ts'
import { Produce } from '../src/protocol/messages/produce.ts'
import { inBenchDirectory } from './bench-directory.ts'
import { describeMachine, machineLines } from './machine.ts'
import { atMost, formatNumber, markdownTable, type Verdict, verdictTable } from './report.ts'
import { type MeasuredServer, startServer } from './server-process.ts'
import { count, number, parsed } from './wire-options.ts'

const help = `Usage: npm run bench -- start [options]

Fills a topic, kills the broker while it is written to, and times its starts: unclean, clean, without indexes.

  --partitions N  of one topic (default 1000)
  --gigabytes N   in all of them together, GiB (default 10)
  --dir DIR       where data is written and removed again (default data/ in the project)
  --profile DIR   a CPU profile per start and thread there (V8's .cpuprofile); figures suffer

Example: npm run bench -- start --partitions 100 --gigabytes 1
`

interface StartOptions {
  readonly partitionCount: number
  readonly bytes: number
  readonly directory: string | null
  readonly profileDirectory: string | null
}

interface Start {
  readonly what: string
  /** Until the broker says that it is ready, and until every partition is online. */
  readonly readyMs: number
  readonly onlineMs: number
  readonly readBytes: number
  readonly cpuSeconds: number
}

const topic = 'many'
/** A request writes to so many partitions, a batch each. */
const partitionsPerRequest = 100
const batchBytes = 100_000
const readyTimeoutMs = 180_000

/** Runs the bench with the arguments behind `start`. Resolves to the exit code; throws UsageError. */
export async function runLargeStart(args: readonly string[]): Promise<number> {
  const options = parse(args)
  if (options === null) {
    process.stdout.write(help)
    return 0
  }
  return await inBenchDirectory(options.directory, 0, async directory => {
    process.stdout.write(await measure(options, directory))
    return 0
  })
}

function parse(args: readonly string[]): StartOptions | null {
  const string = { type: 'string' } as const
  const flags = { partitions: string, gigabytes: string, dir: string, profile: string } as const
  const values = parsed(args, { help: { type: 'boolean' }, ...flags })
  if (values.help === true) return null
  const text = (name: keyof typeof flags) => values[name]
  return {
    partitionCount: count('partitions', text('partitions'), 1000),
    bytes: number('gigabytes', text('gigabytes'), 10) * 1024 ** 3,
    directory: text('dir') ?? null,
    profileDirectory: text('profile') ?? null,
  }
}

async function measure(options: StartOptions, directory: string): Promise<string> {
  const machine = describeMachine(directory)
  const { partitionCount, bytes } = options
  const begin = (profile: string | null) => startBroker(directory, profile)
  const endOffset = await fill(await begin(null), options)
  const starts: Start[] = []
  const time = async (what: string): Promise<MeasuredServer> => {
    const { profileDirectory } = options
    const name = what.replaceAll(' ', '-')
    const profile = profileDirectory === null ? null : join(profileDirectory, name)
    const { server, start } = await timeStart(() => begin(profile), what, partitionCount)
    starts.push(start)
    process.stderr.write(`${what}: ${Math.round(start.onlineMs)} ms\n`)
    return server
  }
  let server = await time('unclean')
  const stopMs = await timeStop(server)
  server = await time('clean')
  await server.stop()
  deleteIndexes(join(directory, 'data'))
  server = await time('without indexes')
  const readMs = await readEverywhere(server, partitionCount, endOffset)
  await server.stop()
  const head = ['start', 'ready ms', 'all online ms', 'MB read', 'CPU s']
  const rows = starts.map(({ what, readyMs, onlineMs, readBytes, cpuSeconds }) => [
    what,
    ...[readyMs, onlineMs, readBytes / 1e6, cpuSeconds].map(formatNumber),
  ])
  return `odradek start bench
${machineLines(machine)}
settings  ${partitionCount} partitions, ${formatNumber(bytes / 1024 ** 3)} GiB, page cache warm; clean stop ${formatNumber(stopMs)} ms; a read in the middle of every partition, without indexes: ${formatNumber(readMs)} ms

${markdownTable(head, rows)}

${verdictTable(verdicts(starts, readMs))}
`
}

/** RELIABILITY section 5 sets them for 1,000 partitions and 10 GiB. */
function verdicts([unclean, clean, bare]: readonly Start[], readMs: number): Verdict[] {
  return [
    atMost('clean start', clean!.onlineMs / 1000, 3, 's'),
    atMost('unclean start', unclean!.onlineMs / 1000, 10, 's'),
    atMost('start without indexes, with a read', (bare!.onlineMs + readMs) / 1000, 60, 's'),
  ]
}

function startBroker(directory: string, profileDirectory: string | null): Promise<MeasuredServer> {
  return startServer({
    kind: 'odradek',
    directory,
    gcProbe: false,
    odradekArguments: [],
    profileDirectory,
    readyTimeoutMs,
  })
}

async function timeStart(
  begin: () => Promise<MeasuredServer>,
  what: string,
  partitionCount: number,
): Promise<{ server: MeasuredServer; start: Start }> {
  const startMs = performance.now()
  const server = await begin()
  const readyMs = performance.now() - startMs
  while ((await onlineCount(server)) < partitionCount) {
    if (performance.now() - startMs > readyTimeoutMs) throw new Error(`${what}: not all online`)
    await setTimeout(5)
  }
  const onlineMs = performance.now() - startMs
  const usage = readProcessUsage(server.pid)
  const cpuSeconds = usage.userSeconds + usage.systemSeconds
  return { server, start: { what, readyMs, onlineMs, readBytes: usage.readAnyBytes, cpuSeconds } }
}

async function timeStop(server: MeasuredServer): Promise<number> {
  const startMs = performance.now()
  await server.stop()
  return performance.now() - startMs
}

async function onlineCount(server: MeasuredServer): Promise<number> {
  const http = /http=(\S+)/.exec(server.readyLine)?.[1]
  const text = await (await fetch(`http://${http}/metrics`)).text()
  return Number(/odradek_partitions\{state="online"\} (\d+)/.exec(text)?.[1] ?? 0)
}

/** Writes to all partitions in turn and kills the broker. Returns how many records each of them has, at least. */
async function fill(server: MeasuredServer, options: StartOptions): Promise<number> {
  const { partitionCount, bytes } = options
  const created = await requestOnce(server, CreateTopics, 4, {
    topics: [
      {
        name: topic,
        numPartitions: partitionCount,
        replicationFactor: 1,
        assignments: [],
        configs: [],
      },
    ],
    timeoutMs: 60_000,
    validateOnly: false,
  })
  expectNone('creating the topic', created.topics[0]?.errorCode)
  const value = Buffer.alloc(1000, 'start ')
  const records = Array.from({ length: batchBytes / 1000 }, () => ({ key: null, value }))
  const batch = encodeBatch({ records, timestampMs: Date.now() })
  const rounds = Math.ceil(bytes / batch.length / partitionCount)
  for (let round = 0; round < rounds; round++) {
    for (let first = 0; first < partitionCount; first += partitionsPerRequest) {
      const last = Math.min(first + partitionsPerRequest, partitionCount)
      const partitionData = indexes(first, last).map(index => ({ index, records: batch }))
      const answer = await requestOnce(server, Produce, produceVersion, {
        transactionalId: null,
        acks: 1,
        timeoutMs: 30_000,
        topicData: [{ name: topic, partitionData }],
      })
      for (const { errorCode } of answer.responses[0]!.partitionResponses) {
        expectNone('filling', errorCode)
      }
    }
  }
  await server.kill()
  return rounds * records.length
}

/** Fetches a batch from the middle of every partition: nobody finds it without an index. */
async function readEverywhere(
  server: MeasuredServer,
  partitionCount: number,
  endOffset: number,
): Promise<number> {
  const startMs = performance.now()
  for (let first = 0; first < partitionCount; first += partitionsPerRequest) {
    const partitions = indexes(first, Math.min(first + partitionsPerRequest, partitionCount))
    const fetchOffset = Math.floor(endOffset / 2)
    const wishes = partitions.map(partition => ({
      partition,
      fetchOffset,
      maxBytes: 2 * batchBytes,
    }))
    const terms = { maxWaitMs: 0, minBytes: 1, maxBytes: 2 ** 30 }
    const request = fetchRequestFor(terms, [fetchTopic(topic, wishes)])
    const answer = await requestOnce(server, Fetch, 11, request)
    for (const { errorCode, partitionIndex } of answer.responses[0]!.partitions) {
      expectNone(`reading partition ${partitionIndex}`, errorCode)
    }
  }
  return performance.now() - startMs
}

function indexes(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, index) => first + index)
}

function deleteIndexes(dataDirectory: string): void {
  for (const name of readdirSync(dataDirectory, { recursive: true, encoding: 'utf8' })) {
    if (/\.(index|timeindex)$/.test(name)) rmSync(join(dataDirectory, name))
  }
}

function expectNone(what: string, errorCode = -1): void {
  if (errorCode !== Errors.NONE) throw new Error(`${what}: ${errorName(errorCode)}`)
}
