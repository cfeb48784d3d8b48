/**
 * `odradek start`: the broker until a signal. The only place that installs process-wide handlers.
 *
 * stdout: one line, when everything serves. stderr: the log, and on a terminal a progress bar for a long recovery and
 * four lines to copy.
 */
import type { Command } from 'commander'
import type { Broker } from '../broker.ts'
import type { BrokerConfig, ConfigFlags } from '../config/config.ts'
import type { Adopt } from '../data-directory.ts'
import { defaultAdmin, gathered, later, withExamples } from './program.ts'
import { ProgressBar } from './progress-bar.ts'
import { trimHeapLater } from './trim-heap.ts'

/** Late enough not to delay the first clients. */
const trimDelayMs = 500
/** Between looks whether npx is still there. */
const parentLookMs = 500

interface StartFlags extends ConfigFlags {
  readonly config?: string
  readonly set?: readonly string[]
  readonly adopt?: string
}

export function register(program: Command): void {
  const command = program
    .command('start')
    .description('Run the broker. Flags win over --set, ODRADEK_… variables and the file.')
    .option('--config <file>', 'configuration file, see config/odradek.yaml')
    .option('--data-dir <dir>', 'where the logs live (default: ./data)')
    .option('--kafka <host:port>', 'Kafka listener; port 0: any free one (default: 127.0.0.1:9092)')
    .option('--http <host:port>', 'HTTP listener (default: 127.0.0.1:8082)')
    .option('--advertise <host:port>', 'what clients are told to dial (default: the listener)')
    .option('--workers <n>', 'owner threads, or auto: one less than the cores (default: auto)')
    .option('--broker-id <n>', 'node id of this broker')
    .option(
      '--adopt <file>',
      "take over Apache Kafka's data directory; the file has its topics' configs",
    )
    .option('--set <key=value>', 'any setting, may be given several times', gathered)
    .option('--log-level <level>', 'trace, debug, info, warn, error, silent (default: info)')
    .option('--insecure', 'allow listeners that other machines reach, without authentication')
    .addOption(later('--zookeeper <hosts>', 'several brokers come in a later version'))
    .addOption(later('--dispatchers <n>', 'there is one dispatcher so far'))
    .action((flags: StartFlags) => start(flags))
  withExamples(command, [
    'odradek start --data-dir /var/lib/odradek',
    'odradek start --kafka 127.0.0.1:0 --http 127.0.0.1:0 --set num.partitions=4',
  ])
}

/** Serves until SIGTERM or SIGINT, then drains. */
async function start({ config: file, set, adopt, ...flags }: StartFlags): Promise<void> {
  const stopped = signalled()
  failOnUncaught()
  const [{ startBrokerWith }, { loadConfig }] = await Promise.all([
    import('../broker.ts'),
    import('../config/config.ts'),
  ])
  const config = loadConfig({ file, set, flags, env: process.env })
  const progress = new ProgressBar(process.stderr)
  const broker = await startBrokerWith(config, {
    adopt: adopt === undefined ? undefined : await adoptionOf(adopt, config),
    onProgress: ({ what, doneBytes, totalBytes }) => progress.update(what, doneBytes, totalBytes),
  }).finally(() => progress.stop())
  process.stdout.write(`${readyLine(broker, config)}\n`)
  if (process.stderr.isTTY) process.stderr.write(firstSteps(broker))
  trimHeapLater(trimDelayMs, () => broker.connections === 0)
  await stopped
  await broker.close()
  // What a client left open must not keep a stopped broker alive.
  process.exit(0)
}

/** What `--adopt` does with a directory of Apache Kafka; the file is read and checked first. */
async function adoptionOf(file: string, config: BrokerConfig): Promise<Adopt> {
  const [{ adoptDirectory }, { readAdoptConfigs }, { createLogger }] = await Promise.all([
    import('../adoption/adopt.ts'),
    import('../adoption/adopt-configs.ts'),
    import('../log.ts'),
  ])
  const configs = readAdoptConfigs(file)
  const log = createLogger({ level: config.logLevel })
  const onNote = (note: string): void => log.info(note)
  return directory => adoptDirectory(directory, { configs, config, onNote })
}

/** Milliseconds count from the start of the process: what a user waits. */
function readyLine(broker: Broker, config: BrokerConfig): string {
  const http = broker.httpUrl?.replace(/^http:\/\//, '') ?? 'off'
  const elapsedMs = Math.round(performance.now())
  return `ready kafka=${broker.bootstrap} http=${http} data=${config.dataDirectory} workers=${broker.workers} in ${elapsedMs} ms`
}

/** Lines that work when copied into another terminal in the same directory; an address for a browser. */
function firstSteps({ bootstrap, httpUrl }: Broker): string {
  const odradek = import.meta.url.endsWith('.ts') ? 'npm run -s odradek --' : 'odradek'
  const at = bootstrap === '127.0.0.1:9092' ? '' : ` --bootstrap ${bootstrap}`
  const adminAt = httpUrl === defaultAdmin ? '' : ` --admin ${httpUrl}`
  const look = httpUrl === null ? `topics list${at}` : `status${adminAt}`
  return [
    `  produce   printf 'one\\ntwo\\n' | ${odradek} produce hello${at}`,
    `  consume   ${odradek} consume hello${at}`,
    `  load      seq 1000000 | ${odradek} produce load${at}`,
    `  look      ${odradek} ${look}`,
    ...(httpUrl === null ? [] : [`  page      ${httpUrl}/`]),
    '',
  ].join('\n')
}

/** Resolves at the first SIGTERM or SIGINT, or when npm is gone; a second signal ends the process at once. */
function signalled(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  let signals = 0
  const onSignal = (): void => {
    if (++signals > 1) process.exit(1)
    resolve()
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  if (process.env.npm_lifecycle_script?.includes('odradek')) whenParentIsGone(resolve)
  return promise
}

/**
 * npx, and npm with a script of `odradek start`, hand signals to a shell that dies of them and tells nobody: without
 * this a broker would live on, with nobody who knows of it. Windows never says that a parent is gone.
 */
function whenParentIsGone(tell: () => void): void {
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    tell()
  }, parentLookMs)
  timer.unref()
}

/** A broker in an unknown state must not go on acknowledging: say why, and end. What is on disk is recovered. */
function failOnUncaught(): void {
  const fail = (error: unknown, origin: string): void => {
    void report(error, origin).finally(() => process.exit(1))
  }
  process.on('uncaughtException', fail)
  process.on('unhandledRejection', (error: unknown) => fail(error, 'unhandledRejection'))
}

async function report(error: unknown, origin: string): Promise<void> {
  const { createLogger } = await import('../log.ts')
  createLogger({ level: 'fatal', sync: true }).fatal({ err: error, origin }, 'the broker ends here')
}
