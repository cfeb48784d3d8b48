/**
 * `npm run bench -- http`: runs every case in turn and reports. Within a repeat the discarding server and odradek
 * follow each other at every setting, so that a drifting machine hits both.
 */
import { join } from 'node:path'
import type { BodyKind } from '../src/load/http-bodies.ts'
import { inBenchDirectory } from './bench-directory.ts'
import { type HttpCase, runHttpCase } from './http-cases.ts'
import { type HttpOptions, httpHelp, parseHttpOptions } from './http-options.ts'
import { acksName, type HttpResults, httpVerdicts, renderHttp } from './http-report.ts'
import { describeMachine } from './machine.ts'
import { attempt, progress, writeResults } from './outcome.ts'
import { formatNumber } from './report.ts'

const freeBytesMin = 4e9

/** Runs the bench with the arguments behind `http`. Resolves to the exit code; throws UsageError. */
export async function runHttp(args: readonly string[]): Promise<number> {
  const options = parseHttpOptions(args)
  if (options === null) {
    process.stdout.write(httpHelp)
    return 0
  }
  return await inBenchDirectory(options.directory, freeBytesMin, async directory => {
    const results: HttpResults = {
      startedAt: new Date().toISOString(),
      machine: describeMachine(directory),
      options,
      cases: planCases(options).map(httpCase => ({ httpCase, runs: [] })),
      failures: [],
    }
    for (let repeat = 1; repeat <= options.repeatCount; repeat++) {
      for (const { httpCase, runs } of results.cases) {
        const what = `${repeat}/${options.repeatCount} ${nameOf(httpCase)}`
        const figures = await attempt(results.failures, what, () =>
          runHttpCase(httpCase, options, join(directory, 'case')),
        )
        runs.push(figures)
        if (figures !== null) progress(`${what}: ${formatNumber(figures.messagesPerSecond)} msg/s`)
      }
    }
    process.stdout.write(renderHttp(results))
    writeResults(options.jsonPath, { ...results, verdicts: httpVerdicts(results) })
    return results.failures.length === 0 ? 0 : 1
  })
}

type Terms = Omit<HttpCase, 'part' | 'server'>

/** Each producing case comes after the discarding server under the same requests. */
export function planCases(options: HttpOptions): HttpCase[] {
  const cases: HttpCase[] = []
  const base: Terms = {
    mode: 'produce',
    bodyKind: 'octet-stream',
    recordsPerBatch: 1,
    connectionCount: 10,
    pipelining: 1,
    acks: 1,
    workerCount: 0,
  }
  const { connectionCounts, pipelinings } = options
  const has = (part: HttpCase['part']): boolean => options.parts.includes(part)
  const add = (part: HttpCase['part'], first: Terms, ...others: Terms[]): void => {
    cases.push({ part, server: 'discard', ...first })
    for (const terms of [first, ...others]) cases.push({ part, server: 'odradek', ...terms })
  }
  for (const connectionCount of has('connections') ? connectionCounts : []) {
    for (const pipelining of pipelinings)
      add('connections', { ...base, connectionCount, pipelining })
  }
  for (const bodyKind of has('bodies') ? options.bodies : []) {
    add('bodies', { ...base, bodyKind, recordsPerBatch: batchOf(bodyKind, options) })
  }
  if (has('acks')) {
    const [first, ...others] = options.acks.map(acks => ({ ...base, acks, pipelining: 10 }))
    add('acks', first!, ...others)
  }
  if (has('workers')) {
    const [first, ...others] = options.workerCounts.map(workerCount => {
      return { ...base, workerCount, connectionCount: 100, pipelining: 10 }
    })
    add('workers', first!, ...others)
  }
  for (const connectionCount of has('consume') ? connectionCounts : []) {
    cases.push({ part: 'consume', server: 'odradek', ...base, mode: 'consume', connectionCount })
  }
  return cases
}

function batchOf(bodyKind: BodyKind, { recordsPerBatch }: HttpOptions): number {
  return bodyKind === 'octet-stream' ? 1 : recordsPerBatch
}

function nameOf(httpCase: HttpCase): string {
  const { server, mode, bodyKind, connectionCount, pipelining, acks, workerCount } = httpCase
  const what = mode === 'consume' ? 'pulls' : `${bodyKind}, acks ${acksName(acks)}`
  const workers = workerCount === 0 ? '' : `, ${workerCount} worker(s)`
  return `${server} ${what}, ${connectionCount} connection(s), pipelining ${pipelining}${workers}`
}
