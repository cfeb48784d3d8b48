/**
 * The same server under a client that is not ours: kcat (librdkafka), where it is installed. Producing reads a prepared
 * file of 200-byte lines, consuming writes to /dev/null; timed from exec to exit, so kcat's own start (some 20 ms), its
 * reading of lines and its one thread of work are in the figure: a lower bound for the server.
 */
import { execFile } from 'node:child_process'
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { dropBallast, fillBallast } from '../src/load/page-ballast.ts'
import { cpuSecondsBetween, readProcessUsage } from '../src/load/process-usage.ts'
import { type MeasuredServer, type ServerKind, startServer, track } from './server-process.ts'
import { createTopic, stopAfter } from './wire-cases.ts'

const run = promisify(execFile)
const topic = 'lines'
const lineBytes = 200
/** Left alone, kcat tries for five minutes to reach a server that died. */
const kcatTimeoutMs = 60_000
/** Whole log against payload at batch 1, the worst case, in ballast. */
const logShareMax = 1.6

export interface KcatSettings {
  /** Lines for large batches; a quarter of it for batch 1. */
  readonly lineCount: number
  readonly odradekArguments: readonly string[]
}

export interface KcatFigures {
  readonly what: string
  readonly server: ServerKind
  readonly messagesPerSecond: number
  readonly megabytesPerSecond: number
  readonly serverCpuPerGigabyte: number
}

/** Version of kcat as it names itself, or null when it is not installed. */
export async function kcatVersion(): Promise<string | null> {
  try {
    const { stdout, stderr } = await run('kcat', ['-V'])
    const text = stdout + stderr
    const version = /Version ([\d.]+)/.exec(text)?.[1] ?? '?'
    return `kcat ${version}, librdkafka ${/librdkafka ([\d.]+)/.exec(text)?.[1] ?? '?'}`
  } catch {
    return null
  }
}

/** Produces to one server at each batch size, then, from odradek, consumes what the last one left. */
export async function runKcat(
  server: ServerKind,
  settings: KcatSettings,
  directory: string,
): Promise<KcatFigures[]> {
  mkdirSync(directory, { recursive: true })
  const figures: KcatFigures[] = []
  for (const batch of [1, 50, 10_000]) {
    const lineCount = batch === 1 ? Math.ceil(settings.lineCount / 4) : settings.lineCount
    const alsoConsume = server === 'odradek' && batch === 10_000
    figures.push(...(await runOne(server, batch, lineCount, alsoConsume, settings, directory)))
  }
  return figures
}

async function runOne(
  kind: ServerKind,
  batch: number,
  lineCount: number,
  alsoConsume: boolean,
  settings: KcatSettings,
  directory: string,
): Promise<KcatFigures[]> {
  const lines = join(directory, 'lines')
  writeLines(lines, lineCount)
  const ballast = join(directory, 'ballast')
  fillBallast(ballast, lineCount * lineBytes * logShareMax)
  const server = await startServer({
    kind,
    directory: join(directory, 'server'),
    gcProbe: false,
    odradekArguments: settings.odradekArguments,
    profileDirectory: null,
  })
  const figures: KcatFigures[] = []
  try {
    if (kind === 'odradek') await createTopic(server, 1, topic)
    dropBallast(ballast)
    const produce = ['-P', '-t', topic, '-p', '0', '-l', lines, '-X', `batch.num.messages=${batch}`]
    const limits = ['-X', 'acks=1', '-X', 'queue.buffering.max.messages=200000']
    const name = `kcat -P, batch ${batch}`
    figures.push(await timeKcat(name, server, lineCount, [...produce, ...limits]))
    if (alsoConsume) {
      const consume = ['-C', '-t', topic, '-p', '0', '-o', 'beginning', '-e', '-q']
      figures.push(await timeKcat('kcat -C -e -q', server, lineCount, consume))
    }
    await server.stop()
    return figures
  } catch (error) {
    throw await stopAfter(server, error as Error)
  } finally {
    server.remove()
    dropBallast(ballast)
  }
}

async function timeKcat(
  what: string,
  server: MeasuredServer,
  lineCount: number,
  kcatArguments: readonly string[],
): Promise<KcatFigures> {
  const before = readProcessUsage(server.pid)
  const startMs = performance.now()
  // A shell only for the redirection: a pipe would make this process read every byte.
  const bootstrap = `${server.host}:${server.port}`
  const command = 'exec kcat -b "$0" "$@" > /dev/null'
  const kcat = run('sh', ['-c', command, bootstrap, ...kcatArguments], { timeout: kcatTimeoutMs })
  track(kcat.child)
  await kcat.catch(error => {
    const how = String(error.stderr).trim() || String(error.signal)
    throw new Error(`${what} against ${server.kind}: ${how}`)
  })
  const seconds = (performance.now() - startMs) / 1000
  const gigabytes = (lineCount * lineBytes) / 1e9
  return {
    what,
    server: server.kind,
    messagesPerSecond: lineCount / seconds,
    megabytesPerSecond: (gigabytes * 1000) / seconds,
    serverCpuPerGigabyte: cpuSecondsBetween(before, readProcessUsage(server.pid)) / gigabytes,
  }
}

/** `lineCount` lines of 200 bytes without the line feed, each different. */
function writeLines(path: string, lineCount: number): void {
  const file = openSync(path, 'w')
  const linesPerWrite = 5_000
  for (let first = 0; first < lineCount; first += linesPerWrite) {
    const count = Math.min(linesPerWrite, lineCount - first)
    const text = Array.from({ length: count }, (_, line) =>
      `${first + line} `.padEnd(lineBytes, 'the quick brown fox jumps over the lazy dog '),
    )
    writeSync(file, `${text.join('\n')}\n`)
  }
  closeSync(file)
}
