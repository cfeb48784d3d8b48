/** The command line of `bench groups`. Pure. */
import type { CommitSettings } from './group-commits.ts'
import { count, list, number, oneOf, parsed } from './wire-options.ts'

export const groupParts = ['rebalance', 'commits', 'idle'] as const
export type GroupPart = (typeof groupParts)[number]

export interface GroupsOptions extends Omit<CommitSettings, 'inFlight'> {
  readonly repeatCount: number
  readonly parts: readonly GroupPart[]
  readonly memberCount: number
  readonly partitionCount: number
  readonly heartbeatMs: number
  readonly roundCount: number
  /** Commits outstanding on a connection, one case each. */
  readonly inFlights: readonly number[]
  /** Idle connections, ascending. */
  readonly idleCounts: readonly number[]
  readonly odradekArguments: readonly string[]
  readonly profileDirectory: string | null
  readonly jsonPath: string | null
  /** Parent of the directory that holds everything a run writes; null for data/ in the project. */
  readonly directory: string | null
}

export const groupsHelp = `Usage: npm run bench -- groups [options]

Consumer groups over real sockets, the clients in this process, the broker in another: a group rebalances, offsets are
committed as durably as acks=all makes records, connections do nothing. Every figure stands beside its target.

  --seconds N      measured window of commits (default 10), after two seconds of warm-up
  --repeat N       repeats of every case, interleaved, each with a new broker (default 3)
  --only PARTS     of ${groupParts.join(',')} (default all)
  --members N      members of the group that rebalances (default 500)
  --partitions N   partitions of its topic (default 1000)
  --rounds N       rebalances of every kind in one repeat (default 5)
  --heartbeat-ms N pause between heartbeats in a rebalance, of which the first comes at once (default 10)
  --connections N  connections that commit, a group each (default 100)
  --in-flight LIST commits outstanding on each (default 1,8; consumers have one)
  --rows N         partitions in one commit (default 1)
  --idle LIST      idle connections (default 1000,10000; as many as file descriptors permit)
  --set KEY=VALUE  passed on to odradek start; may be repeated
  --profile DIR    a CPU profile per thread of the broker there (V8's .cpuprofile); figures suffer
  --json FILE      writes machine, settings, every sample and the verdicts there
  --dir DIR        where data is written and removed again (default data/ in the project)

Example: npm run bench -- groups --only rebalance --members 100 --repeat 1
`

/** Parses `args`; null when help was asked for. Throws UsageError naming the culprit. */
export function parseGroupsOptions(args: readonly string[]): GroupsOptions | null {
  const values = parse(args)
  if (values.help === true) return null
  const idle = list(values.idle, '1000,10000').map(text => count('idle', text, 1000))
  return {
    seconds: Math.ceil(number('seconds', values.seconds, 10)),
    repeatCount: count('repeat', values.repeat, 3),
    parts: list(values.only, groupParts.join(',')).map(text => oneOf('only', groupParts, text)),
    memberCount: count('members', values.members, 500),
    partitionCount: count('partitions', values.partitions, 1000),
    heartbeatMs: number('heartbeat-ms', values['heartbeat-ms'], 10),
    roundCount: count('rounds', values.rounds, 5),
    connectionCount: count('connections', values.connections, 100),
    inFlights: list(values['in-flight'], '1,8').map(text => count('in-flight', text, 1)),
    rowCount: count('rows', values.rows, 1),
    idleCounts: [...new Set(idle)].sort((a, b) => a - b),
    odradekArguments: (values.set ?? []).flatMap(setting => ['--set', setting]),
    profileDirectory: values.profile ?? null,
    jsonPath: values.json ?? null,
    directory: values.dir ?? null,
  }
}

function parse(args: readonly string[]) {
  const string = { type: 'string' } as const
  return parsed(args, {
    help: { type: 'boolean' },
    seconds: string,
    repeat: string,
    only: string,
    members: string,
    partitions: string,
    rounds: string,
    'heartbeat-ms': string,
    connections: string,
    'in-flight': string,
    rows: string,
    idle: string,
    profile: string,
    json: string,
    dir: string,
    set: { type: 'string', multiple: true },
  })
}
