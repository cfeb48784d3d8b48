/** The command line of `bench http`. Pure. */
import { type BodyKind, bodyKinds } from '../src/load/http-bodies.ts'
import type { Acks } from '../src/load/load-window.ts'
import { acksOf, count, list, number, oneOf, parsed } from './wire-options.ts'

export const httpParts = ['connections', 'bodies', 'acks', 'workers', 'consume'] as const
export type HttpPart = (typeof httpParts)[number]

export interface HttpOptions {
  readonly seconds: number
  readonly warmupSeconds: number
  readonly repeatCount: number
  readonly recordBytes: number
  /** Of the bodies that hold several records. */
  readonly recordsPerBatch: number
  readonly parts: readonly HttpPart[]
  readonly connectionCounts: readonly number[]
  readonly pipelinings: readonly number[]
  readonly bodies: readonly BodyKind[]
  readonly acks: readonly Acks[]
  readonly workerCounts: readonly number[]
  readonly pullBytes: number
  readonly odradekArguments: readonly string[]
  readonly profileDirectory: string | null
  readonly jsonPath: string | null
  /** Parent of the directory that holds everything a run writes; null for data/ in the project. */
  readonly directory: string | null
}

export const httpHelp = `Usage: npm run bench -- http [options]

The HTTP port under autocannon, a process of its own. Beside each producing case, in the same run, a node:http server
(bench/discard-server.ts) that only throws the body away. A run fails unless the log grew by exactly what was answered
with 2xx.

  --quick            2 s and one repeat a case instead of 4 s and 3
  --seconds N        length of a measured window (default 4), after a warm-up
  --repeat N         repeats of every case, interleaved: discarding server, odradek, ... (default 3)
  --only PARTS       of ${httpParts.join(',')} (default all)
  --connections LIST (default 1,10,100,500)
  --pipelining LIST  requests in flight on a connection (default 1,10)
  --body LIST        of ${bodyKinds.join(',')} (default all)
  --batch N          records in a body that holds several (default 50)
  --acks LIST        of 0,1,all (default all three; cases of other parts have acks=1)
  --workers LIST     owner threads of the broker, a partition each (default 1,2)
  --pull-bytes N     of a consuming request (default 200000)
  --json FILE        writes machine, settings, every sample and the verdicts there
  --set KEY=VALUE    passed on to odradek start; may be repeated
  --profile DIR      a CPU profile per server and thread there (V8's .cpuprofile); figures suffer
  --dir DIR          where data is written and removed again (default data/ in the project)

Example: npm run bench -- http --quick --only connections --connections 10
`

/** Parses `args`; null when help was asked for. Throws UsageError naming the culprit. */
export function parseHttpOptions(args: readonly string[]): HttpOptions | null {
  const values = parse(args)
  if (values.help === true) return null
  const isQuick = values.quick === true
  const counts = (name: 'connections' | 'pipelining' | 'workers', absent: string): number[] =>
    list(values[name], absent).map(text => count(name, text, 1))
  return {
    seconds: number('seconds', values.seconds, isQuick ? 2 : 4),
    warmupSeconds: isQuick ? 0.7 : 1.5,
    repeatCount: count('repeat', values.repeat, isQuick ? 1 : 3),
    recordBytes: 200,
    recordsPerBatch: count('batch', values.batch, 50),
    parts: list(values.only, httpParts.join(',')).map(text => oneOf('only', httpParts, text)),
    connectionCounts: counts('connections', '1,10,100,500'),
    pipelinings: counts('pipelining', '1,10'),
    bodies: list(values.body, bodyKinds.join(',')).map(text => oneOf('body', bodyKinds, text)),
    acks: list(values.acks, '0,1,all').map(acksOf),
    workerCounts: counts('workers', '1,2'),
    pullBytes: values['pull-bytes'] === undefined ? 200_000 : Number(values['pull-bytes']),
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
    quick: { type: 'boolean' },
    seconds: string,
    repeat: string,
    only: string,
    connections: string,
    pipelining: string,
    body: string,
    batch: string,
    acks: string,
    workers: string,
    'pull-bytes': string,
    json: string,
    profile: string,
    dir: string,
    set: { type: 'string', multiple: true },
  })
}
