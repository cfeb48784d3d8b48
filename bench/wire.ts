/**
 * `npm run bench -- wire`: runs every case in turn and reports. Cases are interleaved: within a repeat the floor and
 * odradek follow each other at every batch size, so that a drifting machine hits both.
 *
 *   repeat 1   floor 1/1 | odradek 1/1 | odradek 1/all | odradek 1/0 | floor 50/1 | odradek 50/1 | ... | consume | kcat
 *   repeat 2   the same again                                                          (batch size / acks)
 */
import os from 'node:os'
import { join } from 'node:path'
import { inBenchDirectory } from './bench-directory.ts'
import { kcatVersion, runKcat } from './kcat.ts'
import { describeMachine } from './machine.ts'
import { attempt, progress, writeResults } from './outcome.ts'
import { formatNumber } from './report.ts'
import { startServer } from './server-process.ts'
import { ensureBuilt, measureStart } from './start-up.ts'
import { runCase, type WireCase } from './wire-cases.ts'
import { parseWireOptions, type WireOptions, wireHelp } from './wire-options.ts'
import { renderWire, verdictsOf, type WireResults } from './wire-report.ts'

const freeBytesMin = 8e9

/** Runs the bench with the arguments behind `wire`. Resolves to the exit code; throws UsageError. */
export async function runWire(args: readonly string[]): Promise<number> {
  const options = parseWireOptions(args, os.totalmem())
  if (options === null) {
    process.stdout.write(wireHelp)
    return 0
  }
  return await inBenchDirectory(options.directory, freeBytesMin, async directory => {
    const results = await measureAll(options, directory)
    process.stdout.write(renderWire(results))
    writeResults(options.jsonPath, { ...results, verdicts: verdictsOf(results) })
    return results.failures.length === 0 ? 0 : 1
  })
}

async function measureAll(options: WireOptions, directory: string): Promise<WireResults> {
  const results: WireResults = {
    startedAt: new Date().toISOString(),
    machine: describeMachine(directory),
    options,
    readyLine: await readyLineOf(options, join(directory, 'ready')),
    kcat: await kcatVersion(),
    cases: planCases(options).map(wireCase => ({ wireCase, runs: [] })),
    kcatRuns: [],
    starts: [],
    failures: [],
  }
  for (let repeat = 1; repeat <= options.repeatCount; repeat++) {
    for (const { wireCase, runs } of results.cases) {
      const what = `${repeat}/${options.repeatCount} ${nameOf(wireCase)}`
      const figures = await attempt(results.failures, what, () =>
        runCase(wireCase, options, join(directory, 'case')),
      )
      runs.push(figures)
      if (figures !== null) progress(`${what}: ${formatNumber(figures.messagesPerSecond)} msg/s`)
    }
    if (repeat <= options.kcatRepeatCount && results.kcat !== null) {
      const runs = []
      for (const server of options.servers.filter(kind => kind !== 'floor, gathering')) {
        const run = () =>
          runKcat(server, { ...options, lineCount: options.kcatLineCount }, join(directory, 'kcat'))
        runs.push(
          ...((await attempt(
            results.failures,
            `${repeat}/${options.repeatCount} kcat, ${server}`,
            run,
          )) ?? []),
        )
      }
      if (runs.length > 0) results.kcatRuns.push(runs)
    }
  }
  if (options.parts.includes('start') && options.servers.includes('odradek')) {
    const isBuilt = await attempt(results.failures, 'build of dist/', async () => ensureBuilt())
    if (isBuilt === true) progress('built dist/')
    const startCount = isBuilt === null ? 0 : options.startCount
    for (let start = 1; start <= startCount; start++) {
      const figures = await attempt(results.failures, `start ${start}`, () =>
        measureStart(join(directory, 'start')),
      )
      if (figures === null) break
      results.starts.push(figures)
    }
  }
  return results
}

/** One start beforehand: shows the settings odradek runs with, and fails early when it does not run at all. */
async function readyLineOf(options: WireOptions, directory: string): Promise<string | null> {
  if (!options.servers.includes('odradek')) return null
  const server = await startServer({
    kind: 'odradek',
    directory,
    gcProbe: false,
    odradekArguments: options.odradekArguments,
    profileDirectory: null,
  })
  await server.stop()
  server.remove()
  return server.readyLine
}

function planCases({ batches, acks, parts, servers }: WireOptions): WireCase[] {
  const cases: WireCase[] = []
  if (parts.includes('produce')) {
    for (const recordsPerBatch of batches) {
      for (const server of servers) {
        if (server === 'odradek') continue
        cases.push({ server, mode: 'produce', recordsPerBatch, acks: 1 })
      }
      if (!servers.includes('odradek')) continue
      // acks=1 next to the floor, acks=all next to acks=1: neighbours in time are compared.
      const order = ([1, -1, 0] as const).filter(wanted => acks.includes(wanted))
      for (const wanted of order) {
        cases.push({ server: 'odradek', mode: 'produce', recordsPerBatch, acks: wanted })
      }
    }
  }
  if (parts.includes('consume') && servers.includes('odradek')) {
    cases.push({ server: 'odradek', mode: 'consume', recordsPerBatch: 50, acks: 1 })
  }
  return cases
}

function nameOf({ server, mode, recordsPerBatch, acks }: WireCase): string {
  if (mode === 'consume') return `${server} consume`
  return `${server} produce, batch ${recordsPerBatch}, acks ${acks === -1 ? 'all' : acks}`
}
