/** kcat (librdkafka) as a process: bytes in on stdin, bytes out on stdout. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface KcatResult {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** Runs kcat to its end. @throws when it exits with anything but 0, with what it said */
export async function kcat(
  bootstrap: string,
  args: readonly string[],
  input: Uint8Array | string = '',
): Promise<Buffer> {
  const { code, stdout, stderr } = await tryKcat(bootstrap, args, input)
  if (code !== 0) throw new Error(`kcat ${args.join(' ')}: exit ${code}\n${stderr}`)
  return stdout
}

export async function tryKcat(
  bootstrap: string,
  args: readonly string[],
  input: Uint8Array | string = '',
): Promise<KcatResult> {
  const child = spawn('kcat', ['-b', bootstrap, ...args], { stdio: 'pipe' })
  const stdout: Buffer[] = []
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // One that fails early does not read its input.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout: Buffer.concat(stdout), stderr }
}

/**
 * Values from `offset` (kcat's words: beginning, end, a number, s@TIMESTAMP) to the end, each with an LF. CRCs are
 * checked. The short wait is how kcat learns soon that it has reached the end.
 */
export function kcatConsume(
  bootstrap: string,
  topic: string,
  offset: string | number,
  more: readonly string[] = [],
): Promise<Buffer> {
  const settings = ['-X', 'check.crcs=true', '-X', 'fetch.wait.max.ms=10']
  return kcat(bootstrap, ['-C', '-t', topic, '-o', `${offset}`, '-e', '-q', ...settings, ...more])
}
