/** A broker as a process of its own, started as a user starts it, on ports that the system chooses. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface SpawnOptions {
  readonly dataDirectory: string
  /** More arguments of `odradek start`. */
  readonly args?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** The file to run; `src/main.ts` of this checkout. Tests of the built package give dist's. */
  readonly entry?: string
  /** The node to run it with; the one that runs the test. */
  readonly node?: string
  /** After this time without the ready line the start counts as failed: a bound, not an expectation. */
  readonly readyTimeoutMs?: number
  /** Told the process id as soon as there is one, long before it serves. */
  readonly onSpawn?: (pid: number) => void
}

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface SpawnedBroker {
  /** Kafka address as `127.0.0.1:40123`. */
  readonly bootstrap: string
  /** As `http://127.0.0.1:40124`. */
  readonly httpUrl: string
  readonly dataDirectory: string
  /** The whole ready line. */
  readonly readyLine: string
  readonly pid: number
  readonly child: ChildProcess
  /** Resolves when the process has ended, however it ended. */
  readonly exited: Promise<Exit>
  /** What it wrote so far. */
  stdout(): string
  stderr(): string
  /** SIGTERM, then waits. @returns the exit code, null when a signal ended it. */
  stop(): Promise<number | null>
  /** SIGKILL, then waits until the process is gone. */
  kill9(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const readyPattern = /^ready kafka=(\S+) http=(\S+) data=(.*) workers=(\d+) in (\d+) ms$/
const readyTimeoutMsDefault = 45_000

/** Brokers that still run; a test process that ends takes its own with it. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/**
 * Starts a broker and waits until it serves.
 * @returns it; stop it with `stop()`, `kill9()` or `await using`.
 * Rejects when it exits, or prints something else first; the message has its stderr.
 */
export async function spawnBroker(options: SpawnOptions): Promise<SpawnedBroker> {
  const started = startProcess(options)
  const { child, exited, output } = started
  const readyLine = await readyOf(started, options)
  const match = readyPattern.exec(readyLine)
  if (match === null) {
    child.kill('SIGKILL')
    throw new Error(
      `the first line of stdout is not the ready line: ${readyLine}\n${output.stderr}`,
    )
  }
  const isGone = () => child.exitCode !== null || child.signalCode !== null
  const stop = async () => {
    if (!isGone()) child.kill('SIGTERM')
    return (await exited).code
  }
  return {
    bootstrap: match[1],
    httpUrl: match[2].startsWith('http') ? match[2] : `http://${match[2]}`,
    dataDirectory: options.dataDirectory,
    readyLine,
    pid: child.pid ?? -1,
    child,
    exited,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    stop,
    kill9: async () => {
      if (!isGone()) child.kill('SIGKILL')
      await exited
    },
    [Symbol.asyncDispose]: async () => void (await stop()),
  }
}

/**
 * Runs `odradek start` to its end, for starts that must fail.
 * @returns how it ended and what it wrote; rejects when it serves instead.
 */
export async function failedStart(
  options: SpawnOptions,
): Promise<Exit & { readonly stdout: string; readonly stderr: string }> {
  const { child, exited, output, firstLine } = startProcess(options)
  const timer = setTimeout(
    () => child.kill('SIGKILL'),
    options.readyTimeoutMs ?? readyTimeoutMsDefault,
  )
  void firstLine.then(() => child.kill('SIGKILL'))
  const exit = await exited
  clearTimeout(timer)
  if (output.stdout.startsWith('ready ')) throw new Error(`it serves: ${output.stdout}`)
  return { ...exit, ...output }
}

interface Output {
  stdout: string
  stderr: string
}

/** Without settings: those of whoever runs the tests are not meant, and what tests read is none (ODRADEK_FUZZ). */
export function inheritedEnvironment(): NodeJS.ProcessEnv {
  const variables = Object.entries(process.env)
  return Object.fromEntries(variables.filter(([name]) => !name.startsWith('ODRADEK_')))
}

interface Process {
  readonly child: ChildProcess
  readonly exited: Promise<Exit>
  readonly output: Output
  /** First line of stdout, without its LF. Never resolves when there is none. */
  readonly firstLine: Promise<string>
}

function startProcess(options: SpawnOptions): Process {
  const args = ['start', '--kafka', '127.0.0.1:0', '--http', '127.0.0.1:0']
  args.push('--data-dir', options.dataDirectory, ...(options.args ?? []))
  const child = spawn(options.node ?? process.execPath, [options.entry ?? mainFile, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...inheritedEnvironment(), ...options.env },
  })
  running.add(child)
  if (child.pid !== undefined) options.onSpawn?.(child.pid)
  const output: Output = { stdout: '', stderr: '' }
  const firstLine = Promise.withResolvers<string>()
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text
    const end = output.stdout.indexOf('\n')
    if (end >= 0) firstLine.resolve(output.stdout.slice(0, end))
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text
  })
  // 'close', not 'exit': by then all output has been read.
  const exited = once(child, 'close').then(([code, signal]): Exit => {
    running.delete(child)
    return { code, signal }
  })
  return { child, exited, output, firstLine: firstLine.promise }
}

async function readyOf(started: Process, options: SpawnOptions): Promise<string> {
  const { child, exited, output, firstLine } = started
  const timeoutMs = options.readyTimeoutMs ?? readyTimeoutMsDefault
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    child.kill('SIGKILL')
  }, timeoutMs)
  const ended = exited.then(({ code, signal }) => {
    const why = isLate
      ? `no ready line within ${timeoutMs} ms`
      : `ended before it was ready (exit ${code ?? signal})`
    throw new Error(`broker: ${why}\n${output.stdout}${output.stderr}`)
  })
  // After the ready line nobody waits for `ended` any more.
  ended.catch(() => {})
  try {
    return await Promise.race([firstLine, ended])
  } finally {
    clearTimeout(timer)
  }
}
