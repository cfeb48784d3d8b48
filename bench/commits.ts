/**
 * `npm run bench -- commits`: offset commits a second, as durable as acks=all makes them. Every connection is a group
 * of its own that commits one offset after another, each when the one before was answered: how consumers commit. The
 * generator is this process, the broker another one.
 */
import net from 'node:net'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Writer } from '../src/protocol/bytes.ts'
import { codec } from '../src/protocol/compile.ts'
import { writeRequestHeader } from '../src/protocol/headers.ts'
import { CreateTopics } from '../src/protocol/messages/create-topics.ts'
import { OffsetCommit } from '../src/protocol/messages/offset-commit.ts'
import type { ApiSchema } from '../src/protocol/schema.ts'
import { inBenchDirectory } from './bench-directory.ts'
import { Latencies } from './latencies.ts'
import { describeMachine } from './machine.ts'
import { cpuSecondsBetween, readProcessUsage } from './process-usage.ts'
import { formatNumber } from './report.ts'
import { type MeasuredServer, startServer } from './server-process.ts'
import { count, number, UsageError } from './wire-options.ts'

const help = `Usage: npm run bench -- commits [options]

Offset commits a second with acks=all durability: connections that commit in a closed loop, a group each.

  --connections N   default 100
  --rows N          partitions in one commit (default 1)
  --seconds N       length of the measured window (default 5), after one second of warm-up
  --set KEY=VALUE   passed on to odradek start; may be repeated
  --profile DIR     leaves a CPU profile of every thread of the broker there
  --dir DIR         where data is written and removed again (default data/ in the project)
`

const freeBytesMin = 1e9
const warmupMs = 1000
const apiVersion = 8
const topic = 'orders'

interface CommitOptions {
  readonly connectionCount: number
  readonly rowCount: number
  readonly seconds: number
  readonly settings: readonly string[]
  readonly directory: string | null
  readonly profileDirectory: string | null
}

/** Runs the bench with the arguments behind `commits`. Resolves to the exit code; throws UsageError. */
export async function runCommits(args: readonly string[]): Promise<number> {
  const options = parse(args)
  if (options === null) {
    process.stdout.write(help)
    return 0
  }
  return await inBenchDirectory(options.directory, freeBytesMin, async directory => {
    const server = await startServer({
      kind: 'odradek',
      directory: join(directory, 'case'),
      gcProbe: false,
      odradekArguments: options.settings.flatMap(setting => ['--set', setting]),
      profileDirectory: options.profileDirectory,
    })
    const load = new CommitLoad(server, options)
    await load.run()
    await server.stop()
    process.stdout.write(`${JSON.stringify(describeMachine(directory))}\n${load.report()}\n`)
    return load.errors === 0 ? 0 : 1
  })
}

function parse(args: readonly string[]): CommitOptions | null {
  const string = { type: 'string' } as const
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean' },
        connections: string,
        rows: string,
        seconds: string,
        dir: string,
        profile: string,
        set: { type: 'string', multiple: true },
      },
    })
    if (values.help === true) return null
    return {
      connectionCount: count('connections', values.connections, 100),
      rowCount: count('rows', values.rows, 1),
      seconds: number('seconds', values.seconds, 5),
      settings: values.set ?? [],
      directory: values.dir ?? null,
      profileDirectory: values.profile ?? null,
    }
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

/** One connection: a request at a time, answered before the next. */
class Line {
  readonly #socket: net.Socket
  readonly #onAnswer: (answer: Buffer) => void
  #received = Buffer.alloc(0)

  constructor(socket: net.Socket, onAnswer: (answer: Buffer) => void) {
    this.#socket = socket
    this.#onAnswer = onAnswer
    socket.on('data', chunk => {
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk])
      if (this.#received.length < 4) return
      const end = 4 + this.#received.readInt32BE(0)
      if (this.#received.length < end) return
      const answer = this.#received.subarray(4, end)
      this.#received = this.#received.subarray(end)
      this.#onAnswer(answer)
    })
  }

  static async open(server: MeasuredServer, onAnswer: (answer: Buffer) => void): Promise<Line> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const socket = net.connect({ host: server.host, port: server.port, noDelay: true })
    socket.once('connect', resolve).once('error', reject)
    await promise
    return new Line(socket, onAnswer)
  }

  send<Req>(schema: ApiSchema<Req, never>, version: number, message: Req): void {
    writer.begin()
    writeRequestHeader(writer, schema, version, 1, 'bench')
    codec(schema, version).request.write(writer, message)
    for (const piece of writer.end()) this.#socket.write(piece)
  }

  close(): void {
    this.#socket.destroy()
  }
}

const writer = new Writer()

class CommitLoad {
  readonly #server: MeasuredServer
  readonly #options: CommitOptions
  readonly #latencies = new Latencies()
  #commits = 0
  #elapsedMs = 0
  /** Of the broker, all threads. */
  #cpuSeconds = 0
  #isOver = false
  errors = 0

  constructor(server: MeasuredServer, options: CommitOptions) {
    this.#server = server
    this.#options = options
  }

  async run(): Promise<void> {
    await this.#createTopic()
    const { connectionCount, seconds } = this.#options
    const lines = Array.from({ length: connectionCount }, (_, index) => this.#commitOn(index))
    const open = await Promise.all(lines)
    await new Promise(resolve => setTimeout(resolve, warmupMs))
    this.#commits = 0
    this.#latencies.reset()
    const usage = readProcessUsage(this.#server.pid)
    const startedMs = performance.now()
    await new Promise(resolve => setTimeout(resolve, seconds * 1000))
    this.#elapsedMs = performance.now() - startedMs
    this.#cpuSeconds = cpuSecondsBetween(usage, readProcessUsage(this.#server.pid))
    this.#isOver = true
    for (const line of open) line.close()
  }

  report(): string {
    const perSecond = formatNumber((this.#commits / this.#elapsedMs) * 1000)
    const { connectionCount, rowCount } = this.#options
    const at = (share: number): string => `${formatNumber(this.#latencies.percentileMs(share))} ms`
    return (
      `${perSecond} commits/s of ${rowCount} offset(s), ${connectionCount} connections: ` +
      `p50 ${at(0.5)}, p99 ${at(0.99)}, p99.9 ${at(0.999)}; ${this.errors} errors; ` +
      `${formatNumber((this.#cpuSeconds / this.#commits) * 1e6)} µs CPU of the broker a commit`
    )
  }

  async #createTopic(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const line = await Line.open(this.#server, () => resolve())
    const request = {
      name: topic,
      numPartitions: this.#options.rowCount,
      replicationFactor: 1,
      assignments: [],
      configs: [],
    }
    line.send(CreateTopics as ApiSchema<object, never>, 4, {
      topics: [request],
      timeoutMs: 30_000,
      validateOnly: false,
    })
    await promise
    line.close()
  }

  async #commitOn(index: number): Promise<Line> {
    let sentMs = 0
    let offset = 0
    const line = await Line.open(this.#server, answer => {
      const nowMs = performance.now()
      // The last field of a row, before the empty tag sections of row, topic and answer.
      if (answer.readInt16BE(answer.length - 5) !== 0) this.errors++
      this.#commits++
      this.#latencies.observe(nowMs - sentMs)
      if (!this.#isOver) next()
    })
    const next = (): void => {
      offset++
      sentMs = performance.now()
      line.send(OffsetCommit as ApiSchema<object, never>, apiVersion, this.#request(index, offset))
    }
    next()
    return line
  }

  #request(index: number, offset: number) {
    const row = { committedOffset: offset, committedLeaderEpoch: 0, commitTimestamp: -1 }
    const partitions = Array.from({ length: this.#options.rowCount }, (_, partitionIndex) => ({
      partitionIndex,
      ...row,
      committedMetadata: '',
    }))
    return {
      groupId: `group-${index}`,
      generationIdOrMemberEpoch: -1,
      memberId: '',
      groupInstanceId: null,
      retentionTimeMs: -1,
      topics: [{ name: topic, partitions }],
    }
  }
}
