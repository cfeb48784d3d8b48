/**
 * `npm run bench -- flush`: what acks=all costs with many dirty partitions on one owner. Cases are interleaved: at
 * every point acks=1, acks=all and the raw loops follow each other, so that a drifting machine hits all of them.
 */
import { join } from 'node:path'
import { inBenchDirectory } from './bench-directory.ts'
import { type FlushCase, runFlushCase } from './flush-cases.ts'
import { type FlushOptions, flushHelp, parseFlushOptions } from './flush-options.ts'
import { type FlushResults, flushVerdicts, renderFlush } from './flush-report.ts'
import { describeMachine } from './machine.ts'
import { attempt, progress, writeResults } from './outcome.ts'
import { formatNumber } from './report.ts'

const freeBytesMin = 6e9

/** Runs the bench with the arguments behind `flush`. Resolves to the exit code; throws UsageError. */
export async function runFlush(args: readonly string[]): Promise<number> {
  const options = parseFlushOptions(args)
  if (options === null) {
    process.stdout.write(flushHelp)
    return 0
  }
  // The broker and the raw loops inherit it.
  process.env.UV_THREADPOOL_SIZE = String(options.poolThreads)
  return await inBenchDirectory(options.directory, freeBytesMin, async directory => {
    const results = await measureAll(options, directory)
    process.stdout.write(renderFlush(results))
    writeResults(options.jsonPath, { ...results, verdicts: flushVerdicts(results) })
    return results.failures.length === 0 ? 0 : 1
  })
}

async function measureAll(options: FlushOptions, directory: string): Promise<FlushResults> {
  const results: FlushResults = {
    startedAt: new Date().toISOString(),
    machine: describeMachine(directory),
    options,
    cases: planCases(options).map(flushCase => ({ flushCase, runs: [] })),
    failures: [],
  }
  for (let repeat = 1; repeat <= options.repeatCount; repeat++) {
    for (const { flushCase, runs } of results.cases) {
      const what = `${repeat}/${options.repeatCount} ${nameOf(flushCase)}`
      const figures = await attempt(results.failures, what, () =>
        runFlushCase(flushCase, options, join(directory, 'case')),
      )
      runs.push(figures)
      if (figures !== null) progress(`${what}: ${formatNumber(figures.messagesPerSecond)} msg/s`)
    }
  }
  return results
}

function planCases(options: FlushOptions): FlushCase[] {
  const cases: FlushCase[] = []
  for (const recordsPerBatch of options.batches) {
    for (const windowBytes of options.windowsBytes) {
      for (const partitionCount of options.partitionCounts) {
        for (const mode of options.modes) {
          cases.push({ mode, partitionCount, windowBytes, recordsPerBatch })
        }
      }
    }
  }
  return cases
}

function nameOf({ mode, partitionCount, windowBytes, recordsPerBatch }: FlushCase): string {
  return `${mode}, ${partitionCount} partition(s), ${windowBytes / 1e6} MB, batch ${recordsPerBatch}`
}
