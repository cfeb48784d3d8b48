/**
 * The processes of a measured broker: started without a shell, known by their ids, ended by these. Their output goes to
 * a file whose end explains a failure. CPU time is that of the whole tree, children of children included.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { readProcessUsage } from '../../src/load/process-usage.ts'
import { track } from '../server-process.ts'

const startTimeoutMs = 120_000
const stopTimeoutMs = 30_000
const logTailChars = 600

export interface BrokerCommand {
  readonly command: string
  readonly args: readonly string[]
  readonly directory: string
  readonly logPath: string
  readonly environment?: NodeJS.ProcessEnv
}

export class BrokerProcesses {
  readonly #children: ChildProcess[] = []
  readonly #logPaths: string[] = []

  /** Starts one more; the one started last is stopped first. */
  start({ command, args, directory, logPath, environment }: BrokerCommand): void {
    const log = openSync(logPath, 'a')
    const child = spawn(command, args, {
      cwd: directory,
      stdio: ['ignore', log, log],
      env: { ...process.env, ...environment },
    })
    closeSync(log)
    child.once('error', () => undefined)
    track(child)
    this.#children.push(child)
    this.#logPaths.push(logPath)
  }

  /** Every process of the tree that runs now. */
  get pids(): number[] {
    return processTree(this.#children.map(child => child.pid).filter(pid => pid !== undefined))
  }

  /** User and system seconds of the whole tree so far. */
  get cpuSeconds(): number {
    return cpuSecondsOf(this.pids)
  }

  get rssBytes(): number {
    return rssBytesOf(this.pids)
  }

  /** Resolves when `isServing` does, asked again and again. Rejects when a process ends before, or at the deadline. */
  async serving(isServing: () => Promise<unknown>): Promise<void> {
    const untilMs = performance.now() + startTimeoutMs
    for (;;) {
      if (this.#children.some(hasEnded)) throw new Error(`it ended at its start; ${this.said()}`)
      try {
        await isServing()
        return
      } catch (error) {
        if (performance.now() > untilMs) {
          throw new Error(`not serving in time: ${(error as Error).message}; ${this.said()}`)
        }
        await sleep(100)
      }
    }
  }

  /** Starts one and waits until it serves; when that fails everything is stopped. */
  async launch(spec: BrokerCommand, isServing: () => Promise<unknown>): Promise<void> {
    try {
      this.start(spec)
      await this.serving(isServing)
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** SIGTERM to one after the other, waiting for each; whoever of the tree is left then is killed. */
  async stop(): Promise<void> {
    const all = this.pids
    for (const child of [...this.#children].reverse()) {
      if (hasEnded(child)) continue
      child.kill('SIGTERM')
      const untilMs = performance.now() + stopTimeoutMs
      while (!hasEnded(child) && performance.now() < untilMs) await sleep(20)
      if (!hasEnded(child)) child.kill('SIGKILL')
    }
    // Children that the launcher left behind.
    for (const pid of all) if (isOf(pid, all)) kill(pid)
  }

  /** The end of what the broker printed. */
  said(): string {
    const text = this.#logPaths.map(path => readFileSync(path, 'utf8').trim()).join('\n')
    return `it said: ${text.slice(-logTailChars)}`
  }
}

/** Resolves once something accepts connections there. */
export async function accepts(port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
    socket.once('error', reject)
  })
}

/** `roots` and everything below them. */
export function processTree(roots: readonly number[]): number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const parent = Number(statFields(Number(entry))[1] ?? 0)
    children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
  }
  const found: number[] = []
  const queue = roots.filter(pid => statFields(pid).length > 0)
  for (let pid = queue.pop(); pid !== undefined; pid = queue.pop()) {
    found.push(pid)
    queue.push(...(children.get(pid) ?? []))
  }
  return found
}

/** User and system seconds of these processes, and of their children that have ended and were waited for. */
export function cpuSecondsOf(pids: readonly number[]): number {
  const ticks = pids.map(pid =>
    statFields(pid)
      .slice(11, 15)
      .reduce((sum, field) => sum + Number(field), 0),
  )
  return ticks.reduce((sum, count) => sum + count, 0) / ticksPerSecond
}

/** Resident memory of these processes, pages they share counted in each. */
export function rssBytesOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (readProcessUsage(pid).rssBytes || 0), 0)
}

const ticksPerSecond = 100

/** Of /proc/PID/stat what follows the command: state, parent, ...; empty when the process is gone. */
function statFields(pid: number): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return []
  }
}

/** Still one of ours: it hangs below init or below another of the tree, and is no zombie. */
function isOf(pid: number, tree: readonly number[]): boolean {
  const [state, parent] = statFields(pid)
  return state !== undefined && state !== 'Z' && (parent === '1' || tree.includes(Number(parent)))
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended in between.
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}
