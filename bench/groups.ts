/**
 * `npm run bench -- groups`: rebalances, offset commits and idle connections. Cases are interleaved within a repeat,
 * and each has a broker of its own, so that none pays for another's garbage.
 */
import { join } from 'node:path'
import { descriptorLimit } from '../src/descriptors.ts'
import { inBenchDirectory } from './bench-directory.ts'
import { measureIdle, measureRebalances } from './group-cases.ts'
import { measureCommits } from './group-commits.ts'
import { type GroupsOptions, groupsHelp, parseGroupsOptions } from './groups-options.ts'
import { type GroupsResults, groupsVerdicts, renderGroups } from './groups-report.ts'
import { describeMachine } from './machine.ts'
import { attempt, progress, writeResults } from './outcome.ts'
import { formatNumber } from './report.ts'
import { type MeasuredServer, startServer } from './server-process.ts'

const freeBytesMin = 1e9

/** Runs the bench with the arguments behind `groups`. Resolves to the exit code; throws UsageError. */
export async function runGroups(args: readonly string[]): Promise<number> {
  const options = parseGroupsOptions(args)
  if (options === null) {
    process.stdout.write(groupsHelp)
    return 0
  }
  return await inBenchDirectory(options.directory, freeBytesMin, async directory => {
    const results: GroupsResults = {
      startedAt: new Date().toISOString(),
      machine: describeMachine(directory),
      options: { ...options, idleCounts: possible(options.idleCounts) },
      rebalances: [],
      commits: options.inFlights.map(inFlight => ({ inFlight, runs: [] })),
      idle: [],
      failures: [],
    }
    for (let repeat = 1; repeat <= options.repeatCount; repeat++) {
      await measureOnce(results, `${repeat}/${options.repeatCount}`, join(directory, 'case'))
    }
    process.stdout.write(renderGroups(results))
    writeResults(options.jsonPath, { ...results, verdicts: groupsVerdicts(results) })
    return results.failures.length === 0 ? 0 : 1
  })
}

/** Without those for which this process, or the broker, has no file descriptors. */
function possible(counts: readonly number[]): number[] {
  const spare = 2000
  const limit = descriptorLimit() - spare
  const left = counts.filter(count => count * 1.15 <= limit)
  for (const count of counts) {
    if (!left.includes(count)) progress(`idle ${count}: too few file descriptors (ulimit -n)`)
  }
  return left
}

async function measureOnce(
  results: GroupsResults,
  repeat: string,
  directory: string,
): Promise<void> {
  const { options, rebalances, commits, idle, failures } = results
  const on = <T>(what: string, use: (server: MeasuredServer) => Promise<T>): Promise<T | null> =>
    attempt(failures, `${repeat} ${what}`, () => withServer(options, directory, use))
  if (options.parts.includes('rebalance')) {
    const figures = await on('rebalance', server => measureRebalances(server, options))
    if (figures !== null) {
      rebalances.push(figures)
      progress(
        `${repeat} rebalance: ${figures.rejoin.map(round => ms(round.elapsedMs)).join(', ')}`,
      )
    }
  }
  if (options.parts.includes('commits')) {
    for (const { inFlight, runs } of commits) {
      const what = `commits, ${inFlight} outstanding`
      const figures = await on(what, server => measureCommits(server, { ...options, inFlight }))
      if (figures === null) continue
      runs.push(figures)
      progress(`${repeat} ${what}: ${formatNumber(figures.commitsPerSecond)}/s`)
    }
  }
  if (options.parts.includes('idle') && options.idleCounts.length > 0) {
    const figures = await on('idle', server => measureIdle(server, options.idleCounts))
    if (figures === null) return
    idle.push(figures)
    const list = figures.map(figure => `${figure.connectionCount}: ${ms(figure.foundMegabytes)} MB`)
    progress(`${repeat} idle ${list.join(', ')}`)
  }
}

const ms = formatNumber

async function withServer<T>(
  { odradekArguments, profileDirectory, idleCounts }: GroupsOptions,
  directory: string,
  use: (server: MeasuredServer) => Promise<T>,
): Promise<T> {
  // One more than is idle at a time is open at the start.
  const connectionsMax = Math.max(10_000, ...idleCounts) + 100
  const server = await startServer({
    kind: 'odradek',
    directory,
    gcProbe: false,
    collectProbe: true,
    odradekArguments: ['--set', `max.connections=${connectionsMax}`, ...odradekArguments],
    profileDirectory,
  })
  try {
    return await use(server)
  } finally {
    // When the broker has died, why is the better message.
    await server.stop().finally(() => server.remove())
  }
}
