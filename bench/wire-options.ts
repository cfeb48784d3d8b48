/** The command line of `bench wire`: what to measure, for how long, how often. Pure. */
import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import type { ServerKind } from './server-process.ts'
import type { WireSettings } from './wire-cases.ts'

const partNames = ['produce', 'consume', 'kcat', 'start'] as const
export type Part = (typeof partNames)[number]
export type Acks = -1 | 0 | 1

export interface WireOptions extends WireSettings {
  readonly repeatCount: number
  readonly startCount: number
  readonly kcatLineCount: number
  readonly kcatRepeatCount: number
  readonly batches: readonly number[]
  readonly acks: readonly Acks[]
  readonly parts: readonly Part[]
  readonly servers: readonly ServerKind[]
  readonly jsonPath: string | null
  /** Parent of the directory that holds everything a run writes; null for data/ in the project. */
  readonly directory: string | null
}

/** A mistake on the command line: one line, exit code 2. */
export class UsageError extends Error {}

export const wireHelp = `Usage: npm run bench -- wire [options]

Measures odradek's Kafka port with a load generator of its own and, where installed, kcat, beside a floor server
(bench/floor-server.ts) in the same run, and prints every figure beside its target.

  --quick            2 s and 2 repeats a case instead of 5 s and 3: under three minutes
  --seconds N        length of a measured window (default 5)
  --repeat N         repeats of every case, interleaved floor, odradek, floor, ... (default 3)
  --json FILE        writes machine, settings, every sample and the verdicts there
  --only PARTS       of produce,consume,kcat,start (default all)
  --server S         floor or odradek alone (default both)
  --batch LIST       records per batch (default 1,50,1000)
  --acks LIST        of 0,1,all (default all three; the floor is measured with 1)
  --connections N    connections of the generator (default 1)
  --partitions N     partitions of the topic (default 1; more than 1 leaves the floor out)
  --in-flight N      requests in flight per connection (default 4 MB, at most 1024)
  --check-crc        the consuming generator checks every CRC
  --workers N        passed on to odradek start
  --set KEY=VALUE    passed on to odradek start; may be repeated
  --profile DIR      a CPU profile per server and thread there (V8's .cpuprofile); figures suffer
  --dir DIR          where data is written and removed again (default data/ in the project)

Example: npm run bench -- wire --quick --only produce --batch 50 --json bench/results/today.json
`

const gibibyte = 1024 ** 3

/** Parses `args`; null when help was asked for. Throws UsageError naming the culprit. */
export function parseWireOptions(args: readonly string[], memoryBytes: number): WireOptions | null {
  const values = parse(args)
  if (values.help === true) return null
  const isQuick = values.quick === true
  const partitionCount = count('partitions', values.partitions, 1)
  const servers = serversOf(values.server)
  const parts = list(values.only, partNames.join(',')).map(text => oneOf('only', partNames, text))
  const repeatCount = count('repeat', values.repeat, isQuick ? 2 : 3)
  return {
    seconds: number('seconds', values.seconds, isQuick ? 2 : 5),
    warmupSeconds: isQuick ? 0.7 : 1.5,
    repeatCount,
    startCount: isQuick ? 5 : 10,
    kcatLineCount: isQuick ? 400_000 : 1_500_000,
    kcatRepeatCount: parts.includes('kcat') ? (isQuick ? 1 : repeatCount) : 0,
    // A run stays below the share of dirty memory at which Linux starts writing back (10 %), and below 2 GB.
    payloadBytesMax: Math.min(isQuick ? 1.4e9 : 2e9, Math.max(gibibyte / 4, memoryBytes * 0.07)),
    recordBytes: 200,
    partitionCount,
    connectionCount: count('connections', values.connections, 1),
    inFlight: values['in-flight'] === undefined ? 0 : count('in-flight', values['in-flight'], 64),
    checkCrc: values['check-crc'] === true,
    batches: list(values.batch, '1,50,1000').map(text => count('batch', text, 50)),
    acks: list(values.acks, '0,1,all').map(acksOf),
    parts,
    servers: partitionCount > 1 ? servers.filter(server => server === 'odradek') : servers,
    jsonPath: values.json ?? null,
    directory: values.dir ?? null,
    profileDirectory: values.profile ?? null,
    odradekArguments: [
      ...(values.workers === undefined ? [] : ['--workers', values.workers]),
      ...(values.set ?? []).flatMap(setting => ['--set', setting]),
    ],
  }
}

function parse(args: readonly string[]) {
  const string = { type: 'string' } as const
  const boolean = { type: 'boolean' } as const
  return parsed(args, {
    help: boolean,
    quick: boolean,
    'check-crc': boolean,
    seconds: string,
    repeat: string,
    json: string,
    only: string,
    server: string,
    batch: string,
    acks: string,
    connections: string,
    partitions: string,
    'in-flight': string,
    workers: string,
    profile: string,
    dir: string,
    set: { type: 'string', multiple: true },
  })
}

/** Values of a bench's flags. Throws UsageError. */
export function parsed<Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
) {
  try {
    return parseArgs({ args: [...args], options }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

/** One of the words that a flag knows. */
export function oneOf<T extends string>(name: string, known: readonly T[], text: string): T {
  const found = known.find(item => item === text)
  if (found === undefined) throw new UsageError(`--${name} ${text}: of ${known.join(', ')} wanted`)
  return found
}

export function list(text: string | undefined, absent: string): string[] {
  return (text ?? absent).split(',').map(item => item.trim())
}

export function number(name: string, text: string | undefined, absent: number): number {
  if (text === undefined) return absent
  const value = Number(text)
  if (!(value > 0) || value > 3600)
    throw new UsageError(`--${name} ${text}: a number above 0 wanted`)
  return value
}

export function count(name: string, text: string | undefined, absent: number): number {
  const value = text === undefined ? absent : Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 100_000) {
    throw new UsageError(`--${name} ${text}: a whole number from 1 wanted`)
  }
  return value
}

export function acksOf(text: string): Acks {
  if (text === 'all' || text === '-1') return -1
  if (text === '0') return 0
  if (text === '1') return 1
  throw new UsageError(`--acks ${text}: 0, 1 or all wanted`)
}

function serversOf(text: string | undefined): ServerKind[] {
  if (text === undefined) return ['floor', 'floor, gathering', 'odradek']
  if (text === 'floor') return ['floor', 'floor, gathering']
  if (text === 'odradek') return [text]
  throw new UsageError(`--server ${text}: floor or odradek wanted`)
}
