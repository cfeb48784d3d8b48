/**
 * Makes system calls of a running broker fail: strace is attached to all of its threads, and let go again.
 *
 * `when=` counts per thread, and Node's pool hands file calls to any of its threads, so "the third one" is the third of
 * each thread. Injected calls are not carried out, so a short write cannot be made this way: diskfull makes real ones.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { findCommand } from '../support/requires.ts'
import type { Need } from './scenario.ts'
import { commandNeed } from './shell.ts'
import { until } from './watch.ts'

export class FaultInjector {
  readonly #strace: ChildProcess
  readonly #outputPath: string
  #stderr = ''

  private constructor(strace: ChildProcess, outputPath: string) {
    this.#strace = strace
    this.#outputPath = outputPath
    strace.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
  }

  /**
   * Attaches to every thread of `pid`.
   * @param calls as `pwritev,pwrite64`
   * @param fault as strace's `inject=` takes it behind the calls, `error=EIO:when=1`
   */
  static async attach(
    pid: number,
    calls: string,
    fault: string,
    outputPath: string,
  ): Promise<FaultInjector> {
    const args = ['-f', '-qq', '-o', outputPath, '-p', String(pid)]
    args.push('-e', `trace=${calls}`, '-e', `inject=${calls}:${fault}`)
    const strace = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] })
    const injector = new FaultInjector(strace, outputPath)
    await until('strace is attached', () => {
      if (strace.exitCode !== null) throw new Error(`strace: ${injector.#stderr}`)
      return areTraced(pid)
    })
    return injector
  }

  /** Lets the process go. @returns how many calls failed by our doing */
  async detach(): Promise<number> {
    if (this.#strace.exitCode === null && this.#strace.signalCode === null) {
      this.#strace.kill('SIGINT')
      await once(this.#strace, 'exit')
    }
    return readFileSync(this.#outputPath, 'utf8').split('(INJECTED)').length - 1
  }
}

/** Whether all threads have a tracer; true as well when the process is gone. */
function areTraced(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/task`).every(task => {
      const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')
      return !/^TracerPid:\s+0$/m.test(status)
    })
  } catch {
    return false
  }
}

export const straceNeeds = (): readonly Need[] => [
  commandNeed('strace'),
  {
    isThere: findCommand('strace') === null || canTrace(),
    missing: 'strace may not trace processes here',
    cure: 'run it as root, or with --cap-add=SYS_PTRACE in a container',
    isInstallable: false,
  },
]

function canTrace(): boolean {
  try {
    execFileSync('strace', ['-f', '-o', '/dev/null', 'true'], { stdio: 'ignore', timeout: 20_000 })
    return true
  } catch {
    return false
  }
}
