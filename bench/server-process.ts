/**
 * A measured server as a child process: started on a data directory of its own, known by its `ready` line, stopped by
 * its process id. Its stderr goes to a file, whose end is shown when it does not start or dies.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'

/**
 * `floor`: one writeSync a batch. `floor, gathering`: small batches of a read copied together, one writeSync a read.
 * `discard`: HTTP, see discard-server.ts.
 */
export type ServerKind = 'floor' | 'floor, gathering' | 'odradek' | 'discard'

export interface ServerOptions {
  readonly kind: ServerKind
  /** Made by `start`, removed by `stop`. */
  readonly directory: string
  /** Loads gc-probe.ts into every thread. */
  readonly gcProbe: boolean
  /** Loads collect-probe.ts: SIGUSR2 collects all garbage of the main thread. */
  readonly collectProbe?: boolean
  /** Further arguments of `odradek start`. */
  readonly odradekArguments: readonly string[]
  /** Where V8 leaves a CPU profile per thread when the server stops; null for none. */
  readonly profileDirectory: string | null
  /** How long it may take until it is ready; default 20 s. */
  readonly readyTimeoutMs?: number
}

export interface MeasuredServer {
  readonly kind: ServerKind
  /** Of the Kafka port; `discard` has only the other one. */
  readonly host: string
  readonly port: number
  /** Null where it speaks no HTTP. */
  readonly httpUrl: string | null
  readonly pid: number
  /** The whole `ready` line. */
  readonly readyLine: string
  /** Where gc-probe.ts leaves its files; gone after `remove`. */
  readonly statsDirectory: string
  /** SIGTERM, then waits; SIGKILL after 15 s. Rejects when the server died before or exits with a code. */
  stop(): Promise<void>
  /** SIGKILL, then waits. */
  kill(): Promise<void>
  /** Removes the directory. */
  remove(): void
}

const root = join(import.meta.dirname, '..')
const startTimeoutMs = 20_000
const stopTimeoutMs = 15_000
const running = new Set<ChildProcess>()

/** Remembers a child for `killChildren`, until it ends. */
export function track(child: ChildProcess): void {
  running.add(child)
  child.once('exit', () => running.delete(child))
}

/** For an interrupted bench: no server and no generator outlives it. */
export function killChildren(): void {
  for (const child of running) child.kill('SIGKILL')
}

/** Starts a server and resolves when it is ready. Rejects with the end of its log when it is not in time. */
export async function startServer(options: ServerOptions): Promise<MeasuredServer> {
  const { kind, directory } = options
  const statsDirectory = join(directory, 'stats')
  const dataDirectory = join(directory, 'data')
  mkdirSync(statsDirectory, { recursive: true })
  // odradek makes its own data directory.
  if (kind !== 'odradek') mkdirSync(dataDirectory)
  const logPath = join(directory, 'stderr.log')
  const log = openSync(logPath, 'w')
  const child = spawn(process.execPath, commandOf(options, dataDirectory), {
    cwd: root,
    stdio: ['ignore', 'pipe', log],
    env: environmentOf(options, statsDirectory),
  })
  closeSync(log)
  track(child)
  const exited = new Promise<string>(resolve => {
    child.once('exit', (code, signal) => resolve(`exit ${signal ?? code}`))
  })
  const readyLine = await Promise.race([
    firstLine(child),
    exited.then(how => fail(`${kind} ended before it was ready (${how})`, logPath)),
    delay(options.readyTimeoutMs ?? startTimeoutMs).then(() =>
      fail(`${kind} was not ready in time`, logPath),
    ),
  ]).catch(error => {
    child.kill('SIGKILL')
    throw error
  })
  const address = /(?:kafka|http)=(\S+):(\d+)/.exec(readyLine)
  const http = /http=(\S+:\d+)/.exec(readyLine)
  if (address === null) throw new Error(`${kind}: no address in "${readyLine}"`)
  return {
    kind,
    host: address[1]!,
    port: Number(address[2]),
    httpUrl: http && `http://${http[1]}`,
    pid: child.pid!,
    readyLine,
    statsDirectory,
    stop: () => stopChild(child, exited, kind, logPath),
    kill: async () => {
      child.kill('SIGKILL')
      await exited
    },
    remove: () => rmSync(directory, { recursive: true, force: true }),
  }
}

function commandOf({ kind, odradekArguments }: ServerOptions, dataDirectory: string): string[] {
  if (kind === 'discard') return [join(import.meta.dirname, 'discard-server.ts')]
  if (kind !== 'odradek') {
    const floor = [join(import.meta.dirname, 'floor-server.ts'), dataDirectory]
    return kind === 'floor' ? floor : [...floor, 'gather']
  }
  const addresses = ['--kafka', '127.0.0.1:0', '--http', '127.0.0.1:0']
  const start = [join(root, 'src/main.ts'), 'start', '--data-dir', dataDirectory]
  return [...start, ...addresses, ...odradekArguments]
}

/** NODE_OPTIONS and not arguments: worker threads that set their own execArgv obey it, too. */
function environmentOf(options: ServerOptions, statsDirectory: string): NodeJS.ProcessEnv {
  const { gcProbe, collectProbe, profileDirectory } = options
  const nodeOptions = [process.env.NODE_OPTIONS ?? '']
  const load = ({ href }: URL) => nodeOptions.push(`--import=${href}`)
  if (gcProbe) load(new URL('./gc-probe.ts', import.meta.url))
  if (collectProbe === true) load(new URL('./collect-probe.ts', import.meta.url))
  if (profileDirectory !== null) {
    nodeOptions.push('--cpu-prof', `--cpu-prof-dir=${resolve(profileDirectory)}`)
  }
  return {
    ...process.env,
    NODE_OPTIONS: nodeOptions.join(' ').trim(),
    BENCH_STATS_DIRECTORY: statsDirectory,
  }
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise(resolve => {
    let text = ''
    child.stdout!.setEncoding('utf8')
    child.stdout!.on('data', chunk => {
      text += chunk
      const end = text.indexOf('\n')
      if (end >= 0) resolve(text.slice(0, end))
    })
  })
}

async function stopChild(
  child: ChildProcess,
  exited: Promise<string>,
  kind: ServerKind,
  logPath: string,
): Promise<void> {
  if (!running.has(child)) fail(`${kind} died under load (${await exited})`, logPath)
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
  const how = await exited
  clearTimeout(timer)
  // The others have no SIGTERM handler and no state to save.
  if (how !== 'exit 0' && kind === 'odradek') {
    fail(`${kind} did not stop clean (${how})`, logPath)
  }
}

function delay(timeMs: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, timeMs).unref()
  })
}

function fail(what: string, logPath: string): never {
  const log = existsSync(logPath) ? readFileSync(logPath, 'utf8').trim() : ''
  const tail = log.split('\n').slice(-8).join('\n')
  throw new Error(tail === '' ? what : `${what}; its stderr ends:\n${tail}`)
}
