/** The command line as a process of its own, as a user runs it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { inheritedEnvironment } from '../support/spawn-broker.ts'

export interface CliResult {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

export interface CliOptions {
  readonly input?: string | Uint8Array
  /** Arguments of node itself. */
  readonly nodeArgs?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

/** Starts it; stdin stays open. */
export function spawnCli(args: readonly string[], options: CliOptions = {}): ChildProcess {
  return spawn(process.execPath, [...(options.nodeArgs ?? []), mainFile, ...args], {
    stdio: 'pipe',
    env: { ...inheritedEnvironment(), ...options.env },
  })
}

/** Runs it to its end with `input` as stdin. */
export async function runCli(
  args: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  const child = spawnCli(args, options)
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout!.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // A command that fails early does not read its input.
  child.stdin!.on('error', () => undefined)
  child.stdin!.end(options.input)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout: Buffer.concat(stdout), stderr }
}
