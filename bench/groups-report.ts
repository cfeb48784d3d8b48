/** What `bench groups` prints: tables of medians with their spread, and the verdicts. Pure. */
import type { IdleFigures, RebalanceFigures, RoundFigures } from './group-cases.ts'
import type { CommitFigures } from './group-commits.ts'
import type { GroupsOptions } from './groups-options.ts'
import { type Machine, machineLines } from './machine.ts'
import {
  atLeast,
  atMost,
  formatSpread,
  markdownTable,
  spread,
  type Verdict,
  verdictTable,
} from './report.ts'

export interface GroupsResults {
  readonly startedAt: string
  readonly machine: Machine
  readonly options: GroupsOptions
  readonly rebalances: RebalanceFigures[]
  /** Those with equally many commits outstanding together. */
  readonly commits: { inFlight: number; runs: CommitFigures[] }[]
  readonly idle: IdleFigures[][]
  readonly failures: string[]
}

const kinds = ['initial', 'rejoin', 'newcomer', 'leaver'] as const
const kindNames: Record<(typeof kinds)[number], string> = {
  initial: 'all join a new group at once',
  rejoin: 'the leader joins again',
  newcomer: 'a member comes',
  leaver: 'a member leaves',
}
const targetMs = 2000
const targetCommits = 10_000
const targetConnections = 1000
const targetMegabytes = 30

export function renderGroups(results: GroupsResults): string {
  const { machine, options, failures } = results
  const { memberCount, partitionCount, heartbeatMs, connectionCount, rowCount, seconds } = options
  const set = options.odradekArguments.filter(argument => argument !== '--set').join(' ')
  const parts = [
    `odradek groups bench, ${results.startedAt}
${machineLines(machine)}
settings  ${memberCount} members, ${partitionCount} partitions, heartbeats at once and every ${heartbeatMs} ms;
          commits of ${rowCount} offset(s) over ${connectionCount} connections for ${seconds} s;
          ${options.repeatCount} repeats; ${set === '' ? 'broker defaults' : set}`,
  ]
  if (results.rebalances.length > 0) parts.push(rebalanceTable(results.rebalances))
  if (results.commits.some(({ runs }) => runs.length > 0)) parts.push(commitTable(results.commits))
  if (results.idle.length > 0) parts.push(idleTable(results.idle))
  const verdicts = groupsVerdicts(results)
  if (verdicts.length > 0) parts.push(verdictTable(verdicts))
  if (failures.length > 0) parts.push(['FAILED', ...failures].join('\n  '))
  return `${parts.join('\n\n')}\n`
}

function rebalanceTable(runs: readonly RebalanceFigures[]): string {
  const rows = kinds.map(kind => {
    const rounds = runs.flatMap(run => run[kind])
    return [
      kindNames[kind],
      String(rounds.length),
      formatSpread(spread(rounds.map(({ elapsedMs }) => elapsedMs))),
      formatSpread(spread(rounds.map(({ cpuSeconds }) => cpuSeconds))),
    ]
  })
  const memory = formatSpread(spread(runs.map(({ memberKilobytes }) => memberKilobytes)), ' kB')
  const head = ['rebalance', 'rounds', 'first join to last assignment, ms', 'CPU s of the broker']
  return `${markdownTable(head, rows)}\n\nA member with its connection keeps ${memory} of heap.`
}

function commitTable(cases: GroupsResults['commits']): string {
  const rows = cases.map(({ inFlight, runs }) => {
    const of = (figure: keyof CommitFigures) => formatSpread(spread(runs.map(run => run[figure])))
    return [
      `${inFlight} outstanding`,
      of('commitsPerSecond'),
      of('slowestPerSecond'),
      of('p50Ms'),
      of('p99Ms'),
      of('p999Ms'),
      of('cpuMicroseconds'),
    ]
  })
  const head = ['commits', 'a second', 'slowest second', 'p50 ms', 'p99 ms', 'p99.9 ms', 'CPU µs']
  return markdownTable(head, rows)
}

function idleTable(runs: readonly (readonly IdleFigures[])[]): string {
  const rows = countsOf(runs).map(connectionCount => {
    const figures = figuresOf(runs, connectionCount)
    const of = (figure: keyof IdleFigures) => formatSpread(spread(figures.map(run => run[figure])))
    const found = figures.map(({ foundMegabytes }) => (foundMegabytes * 1e3) / connectionCount)
    return [
      String(connectionCount),
      of('foundMegabytes'),
      formatSpread(spread(found)),
      of('settledMegabytes'),
      of('heapKilobytes'),
    ]
  })
  const head = [
    'idle connections',
    'MB resident',
    'kB each',
    'MB after a collection',
    'heap kB each',
  ]
  return markdownTable(head, rows)
}

const countsOf = (runs: readonly (readonly IdleFigures[])[]) =>
  runs[0]?.map(({ connectionCount }) => connectionCount) ?? []

const figuresOf = (runs: readonly (readonly IdleFigures[])[], connections: number) =>
  runs.flatMap(run => run.filter(({ connectionCount }) => connectionCount === connections))

/** Resident memory may even shrink meanwhile, for reasons of its own: what the heap keeps is in it all the same. */
const costMegabytes = ({ foundMegabytes, heapKilobytes, connectionCount }: IdleFigures) =>
  Math.max(foundMegabytes, (heapKilobytes * connectionCount) / 1e3)

const median = (samples: readonly number[]) => spread(samples).median

/** Each target is one for the figures asked of it; other sizes are shown without. */
export function groupsVerdicts(results: GroupsResults): Verdict[] {
  const { rebalances, commits, idle } = results
  const verdicts: Verdict[] = []
  const elapsed = (rounds: readonly RoundFigures[]) => rounds.map(({ elapsedMs }) => elapsedMs)
  if (rebalances.length > 0) {
    const all = kinds.map(kind => ({ kind, ms: rebalances.flatMap(run => elapsed(run[kind])) }))
    for (const { kind, ms } of all) {
      verdicts.push(atMost(`rebalance: ${kindNames[kind]}`, median(ms), targetMs, 'ms'))
    }
    const worst = Math.max(...all.flatMap(({ ms }) => ms))
    verdicts.push(atMost('rebalance: the slowest of all', worst, targetMs, 'ms'))
  }
  for (const { inFlight, runs } of commits) {
    if (runs.length === 0) continue
    const rate = median(runs.map(run => run.commitsPerSecond))
    verdicts.push(atLeast(`commits, ${inFlight} outstanding`, rate, targetCommits, 'a second'))
  }
  for (const connectionCount of countsOf(idle)) {
    const figures = figuresOf(idle, connectionCount)
    const megabytes = median(figures.map(costMegabytes))
    const wanted = (targetMegabytes * connectionCount) / targetConnections
    verdicts.push(atMost(`${connectionCount} idle connections`, megabytes, wanted, 'MB'))
  }
  return verdicts
}
