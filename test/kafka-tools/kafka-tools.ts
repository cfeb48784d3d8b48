/**
 * Apache Kafka and its tools as processes, from the jars that fetch.ts put into the cache directory. Kafka is the
 * independent reader here: it shares no line with odradek.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { freePort } from '../support/free-port.ts'
import { findCommand, requireThat, type Skippable } from '../support/requires.ts'
import { WireClient } from '../support/wire-client.ts'

/** The oldest first: its node and its DumpLogSegments are what the tests of this folder use. */
export const kafkaVersions = ['3.9.1', '4.1.1'] as const
export type KafkaVersion = (typeof kafkaVersions)[number]

const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
/** @returns the directory of all jars of that Kafka and of what it needs. */
export function jarDirectory(version: KafkaVersion): string {
  return join(cache, 'odradek', `kafka-${version}`)
}

const toolTimeoutMs = 120_000
const startTimeoutMs = 60_000
const stopTimeoutMs = 30_000

/**
 * Skips the running test when that Kafka is not there. With CI=true that is a failure, unless .ci/run tried to fetch it
 * and found no way (then it has said so, and KAFKA_TOOLS=absent).
 */
export function requireKafka(context: Skippable, version: KafkaVersion = kafkaVersions[0]): void {
  const environment = process.env.KAFKA_TOOLS === 'absent' ? {} : process.env
  const isThere = existsSync(jarDirectory(version)) && findCommand('java') !== null
  const cure = 'apt-get install maven && node test/kafka-tools/fetch.ts'
  requireThat(context, isThere, "Apache Kafka's tools are not there", cure, environment)
}

/** The quick compiler only: these processes are short, and share their cores with others. */
export const jvmTuning = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto'] as const

function javaArguments(
  heap: string,
  mainClass: string,
  { version = kafkaVersions[0], logFile = '' }: { version?: KafkaVersion; logFile?: string } = {},
): string[] {
  const logging = logFile === '' ? [] : [`-Dlog4j.configuration=file:${logFile}`]
  const jars = join(jarDirectory(version), '*')
  return [`-Xmx${heap}`, ...jvmTuning, ...logging, '-cp', jars, mainClass]
}

interface ToolOptions {
  readonly version?: KafkaVersion
  /** What it reads from stdin. */
  readonly input?: string
}

/** Runs a tool to its end. @returns stdout, then stderr. Rejects with what it said when its exit code is not 0. */
export async function runTool(
  mainClass: string,
  args: readonly string[],
  { version, input = '' }: ToolOptions = {},
): Promise<string> {
  const java = [...javaArguments('256m', mainClass, { version }), ...args]
  const run = promisify(execFile)('java', java, {
    timeout: toolTimeoutMs,
    killSignal: 'SIGKILL',
    maxBuffer: 256 * 1024 * 1024,
  })
  // One that has ended reads nothing more; its exit code says why.
  run.child.stdin?.on('error', () => undefined).end(input)
  const { stdout, stderr } = await run.catch(error => {
    const said = `${error.stdout ?? ''}${error.stderr ?? ''}`.split('\n').slice(-40).join('\n')
    throw new Error(`${mainClass}: exit ${error.code}\n${said}`)
  })
  return `${stdout}\n${stderr}`
}

/** Starts a tool that runs until it is stopped: killed. */
export function startTool(
  mainClass: string,
  args: readonly string[],
  { version }: Pick<ToolOptions, 'version'> = {},
): { readonly said: () => string; stop(): Promise<void> } {
  const child = spawn('java', [...javaArguments('256m', mainClass, { version }), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  const closed = once(child, 'close')
  const stop = async () => {
    child.kill('SIGKILL')
    await closed
  }
  return { said: () => said, stop }
}

const dumped = /\.(log|index|timeindex|snapshot)$/

/** What DumpLogSegments prints about all files of log directories that it knows. */
export async function dumpLogs(
  directories: readonly string[],
  more: readonly string[] = [],
): Promise<string> {
  const files = directories.flatMap(directory =>
    readdirSync(directory)
      .filter(name => dumped.test(name))
      .sort()
      .map(name => join(directory, name)),
  )
  const args = ['--deep-iteration', ...more, '--files', files.join(',')]
  const output = await runTool('kafka.tools.DumpLogSegments', args)
  const unseen = files.filter(file => !output.includes(`Dumping ${file}\n`))
  if (unseen.length > 0) throw new Error(`DumpLogSegments left out ${unseen.join(', ')}`)
  return output
}

const complaints =
  /corrupt|mismatch|non-consecutive|out of order|invalid bytes|isvalid: false|exception|error/i
const gaps = /^(Non-consecutive offsets in .*|\s+-?\d+ is followed by -?\d+)$/

/** Lines in which DumpLogSegments complains. `mayHaveGaps`: of compacted logs, whose gaps it reports as well. */
export function complaintsIn(output: string, { mayHaveGaps = false } = {}): string[] {
  return output
    .split('\n')
    .filter(line => complaints.test(line) || gaps.test(line))
    .filter(line => !(mayHaveGaps && gaps.test(line)))
}

const logging = `log4j.rootLogger=WARN, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %m (%c)%n
`

/** One KRaft node, broker and controller, on free ports of 127.0.0.1. */
export class KafkaNode {
  readonly bootstrap: string
  readonly #child: ChildProcess
  readonly #exited: Promise<unknown>
  readonly #logPath: string

  private constructor(bootstrap: string, child: ChildProcess, logPath: string) {
    this.bootstrap = bootstrap
    this.#child = child
    this.#logPath = logPath
    this.#exited = once(child, 'exit')
  }

  /** Starts on `directory/data`, which is formatted when it is new. Resolves when it serves. */
  static async start(directory: string): Promise<KafkaNode> {
    const data = join(directory, 'data')
    const [port, controllerPort] = [await freePort(), await freePort()]
    const properties = join(directory, 'server.properties')
    const log4j = join(directory, 'log4j.properties')
    writeFileSync(properties, propertiesOf(data, port, controllerPort))
    writeFileSync(log4j, logging)
    if (!existsSync(data)) {
      const args = ['format', '-t', 'odradekAAAAAAAAAAAAAAA', '-c', properties]
      await runTool('kafka.tools.StorageTool', args)
    }
    const logPath = join(directory, 'kafka.log')
    const child = spawn(
      'java',
      [...javaArguments('512m', 'kafka.Kafka', { logFile: log4j }), properties],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    const log = createWriteStream(logPath)
    child.stdout.pipe(log)
    child.stderr.pipe(log)
    const node = new KafkaNode(`127.0.0.1:${port}`, child, logPath)
    await node.#serving()
    return node
  }

  async #serving(): Promise<void> {
    const untilMs = performance.now() + startTimeoutMs
    for (;;) {
      if (this.#hasEnded) throw new Error(`Kafka ended at its start\n${this.#said()}`)
      try {
        const client = await WireClient.connect(this.bootstrap)
        client.close()
        return
      } catch {
        if (performance.now() > untilMs) {
          await this.kill9()
          throw new Error(`Kafka did not serve in time\n${this.#said()}`)
        }
        await sleep(100)
      }
    }
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null
  }

  #said(): string {
    return readFileSync(this.#logPath, 'utf8').split('\n').slice(-20).join('\n')
  }

  /** SIGTERM: a clean shutdown. */
  async stop(): Promise<void> {
    if (this.#hasEnded) return
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopTimeoutMs)
    await this.#exited
    clearTimeout(timer)
  }

  async kill9(): Promise<void> {
    if (!this.#hasEnded) this.#child.kill('SIGKILL')
    await this.#exited
  }
}

function propertiesOf(data: string, port: number, controllerPort: number): string {
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=PLAINTEXT://127.0.0.1:${port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=${data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=100
log.cleaner.dedupe.buffer.size=4194304
log.retention.check.interval.ms=500
log.initial.task.delay.ms=500
num.network.threads=2
num.io.threads=2
`
}
