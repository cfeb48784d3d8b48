/** The command line of `bench flush`: how many dirty files, how much in flight, for how long, how often. Pure. */
import { count, list, number, oneOf, parsed } from './wire-options.ts'

/** `sequential`, `pool` and `journal` are raw loops (flush-raw.ts); the acks are odradek's. */
export type FlushMode = 'acks=1' | 'acks=all' | 'sequential' | 'pool' | 'journal'

export interface FlushOptions {
  readonly seconds: number
  readonly warmupSeconds: number
  readonly repeatCount: number
  readonly payloadBytesMax: number
  readonly recordBytes: number
  readonly batches: readonly number[]
  readonly partitionCounts: readonly number[]
  readonly windowsBytes: readonly number[]
  readonly modes: readonly FlushMode[]
  readonly connectionCount: number
  /** Threads of libuv's pool, in odradek and in the raw loops. */
  readonly poolThreads: number
  readonly odradekArguments: readonly string[]
  readonly jsonPath: string | null
  /** Parent of the directory that holds everything a run writes; null for data/ in the project. */
  readonly directory: string | null
}

const flushModes: readonly FlushMode[] = ['acks=1', 'acks=all', 'sequential', 'pool', 'journal']

export const flushHelp = `Usage: npm run bench -- flush [options]

What durability costs with many dirty partitions on one owner: acks=all beside acks=1 (both group-commit) and beside raw
loops that write the same bytes to the same number of files and sync them one after the other, all at once in libuv's
pool, or through one journal file. Closed loop: a fixed number of bytes in flight, spread evenly over the partitions.

  --quick            1.5 s and 2 repeats a case instead of 3 s and 3
  --seconds N        length of a measured window (default 3)
  --repeat N         repeats of every case, interleaved (default 3)
  --partitions LIST  dirty partitions of the owner (default 1,10,100,1000)
  --window LIST      MB in flight, all connections together (default 4,36)
  --batch LIST       records per batch (default 50)
  --only MODES       of ${flushModes.join(',')} (default all)
  --connections N    connections of the load generator (default 4)
  --pool N           threads of libuv's pool (default 16, as odradek sets it)
  --set KEY=VALUE    passed on to odradek start; may be repeated
  --json FILE        writes machine, settings, every sample and the verdicts there
  --dir DIR          where data is written and removed again (default data/ in the project)

Example: npm run bench -- flush --quick --partitions 100 --window 4
`

/** Parses `args`; null when help was asked for. Throws UsageError naming the culprit. */
export function parseFlushOptions(args: readonly string[]): FlushOptions | null {
  const values = parse(args)
  if (values.help === true) return null
  const isQuick = values.quick === true
  return {
    seconds: number('seconds', values.seconds, isQuick ? 1.5 : 3),
    warmupSeconds: isQuick ? 0.7 : 1,
    repeatCount: count('repeat', values.repeat, isQuick ? 2 : 3),
    // Far below the dirty memory at which Linux starts writing back on its own.
    payloadBytesMax: 1.2e9,
    recordBytes: 200,
    batches: list(values.batch, '50').map(text => count('batch', text, 50)),
    partitionCounts: list(values.partitions, '1,10,100,1000').map(text =>
      count('partitions', text, 1),
    ),
    windowsBytes: list(values.window, '4,36').map(text => number('window', text, 4) * 1e6),
    modes: list(values.only, flushModes.join(',')).map(text => oneOf('only', flushModes, text)),
    connectionCount: count('connections', values.connections, 4),
    poolThreads: count('pool', values.pool, 16),
    odradekArguments: (values.set ?? []).flatMap(setting => ['--set', setting]),
    jsonPath: values.json ?? null,
    directory: values.dir ?? null,
  }
}

function parse(args: readonly string[]) {
  const string = { type: 'string' } as const
  const boolean = { type: 'boolean' } as const
  return parsed(args, {
    help: boolean,
    quick: boolean,
    seconds: string,
    repeat: string,
    partitions: string,
    window: string,
    batch: string,
    only: string,
    connections: string,
    pool: string,
    json: string,
    dir: string,
    set: { type: 'string', multiple: true },
  })
}
