/** Starts a load generator as a process and listens to it. Who measures, `odradek bench` or a bench, calls this. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { extname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import type { GeneratorLine, GeneratorResult, LoadSample } from './generator.ts'
import type { HttpLoadSettings } from './http-generator.ts'
import type { WireLoadSettings } from './wire-generator.ts'

export interface LoadResult extends GeneratorResult {
  /** Every quarter of a second: for curves over time, or over bytes. */
  readonly samples: readonly LoadSample[]
}

export interface LoadCalls {
  readonly onSample?: (sample: LoadSample) => void
  /** Aborted: the generator is killed. */
  readonly signal?: AbortSignal
}

/** A checkout runs the TypeScript sources, the published package its JavaScript. */
const { dirname, filename } = import.meta

/** `wire`: the Kafka protocol; `http`: autocannon. */
export type Driver = 'wire' | 'http'

export type LoadSettings<D extends Driver> = Partial<
  D extends 'wire' ? WireLoadSettings : HttpLoadSettings
>

/**
 * Runs one load to its end. Rejects with the generator's own line when anything went wrong: there is no figure of a
 * failed run. An aborted one is rejected, too.
 */
export async function runLoadProcess<D extends Driver>(
  driver: D,
  settings: LoadSettings<D>,
  { onSample, signal }: LoadCalls = {},
): Promise<LoadResult> {
  const script = join(dirname, `${driver}-generator${extname(filename)}`)
  const child = spawn(process.execPath, [script, JSON.stringify(settings)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  // A generator must not outlive who started it.
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  signal?.addEventListener('abort', kill)
  const exited = once(child, 'close')
  // It is looked at only after the last line.
  exited.catch(() => undefined)
  const stderr = text(child.stderr)
  const samples: LoadSample[] = []
  let result: GeneratorResult | null = null
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const said = JSON.parse(line) as GeneratorLine
      if ('result' in said) result = said.result
      else {
        samples.push(said.sample)
        onSample?.(said.sample)
      }
    }
    const [code] = (await exited) as [number | null]
    const [complaint] = (await stderr).trim().split('\n').slice(-1)
    if (code !== 0 || result === null) {
      throw new Error(complaint || `the load generator ended with ${code}`)
    }
    return { ...result, samples }
  } finally {
    process.removeListener('exit', kill)
    signal?.removeEventListener('abort', kill)
    kill()
  }
}
