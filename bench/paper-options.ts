/** The command line of `bench paper`. Pure. */
import { parseArgs } from 'node:util'
import { paperMessages, paperSeconds } from '../src/load/paper.ts'
import { type Level, levels } from './rivals/rival.ts'
import { count, list, number, UsageError } from './wire-options.ts'

export const peerNames = ['rabbitmq', 'activemq', 'kafka', 'nats', 'redis'] as const
export type PeerName = (typeof peerNames)[number]

export interface PaperOptions {
  readonly peers: readonly PeerName[]
  readonly odradek: boolean
  readonly messages: number
  readonly seconds: number
  readonly messageBytes: number
  readonly warmupMessages: number
  readonly repeatCount: number
  readonly levels: readonly Level[]
  readonly batches: readonly number[]
  /** Results so far, to go on with; null for a new run. */
  readonly resumePath: string | null
  /** Null: bench/results/DATE-CORES-core-ARCHITECTURE.json. The HTML report stands beside it. */
  readonly jsonPath: string | null
  readonly directory: string | null
}

export const paperHelp = `Usage: npm run bench -- paper [options]

The experiments of the 2011 Kafka paper (section 5) on this machine: one producer of 200-byte messages, then one
consumer, against odradek by the Kafka protocol and by HTTP, and against other systems started beside it.

  --peers LIST       of rabbitmq,activemq,kafka,nats,redis, or all; default none. One that is not installed is named
  --no-odradek       the peers alone
  --messages N       of a run (default 1000000), or until the time is up
  --seconds N        the time of a run (default 60)
  --repeat N         rounds over everything, interleaved (default 5)
  --levels LIST      of fire,answered,synced (default all): no answer, answered, answered when on disk
  --batches LIST     (default 1,50)
  --warmup N         messages sent to each broker before a run (default a tenth of N, at most 100000)
  --json FILE        where the results go, the HTML report beside it (default bench/results/DATE-MACHINE.json)
  --resume FILE      goes on with the results in FILE: runs that are there are not run again, failed ones are
  --dir DIR          where data is written and removed again (default data/ in the project)

Results are written after every run: an interrupted bench goes on with --resume. A run that fails is reported with its
reason, and the next one begins.

Example: npm run bench -- paper --peers rabbitmq,activemq --messages 100000 --repeat 3
`

const warmupMessagesMax = 100_000

/** Parses `args`; null when help was asked for. Throws UsageError naming the culprit. */
export function parsePaperOptions(args: readonly string[]): PaperOptions | null {
  const values = parse(args)
  if (values.help === true) return null
  const messages = whole('messages', values.messages, paperMessages)
  const warmup = Math.min(warmupMessagesMax, Math.ceil(messages / 10))
  return {
    peers: peersOf(values.peers),
    odradek: values['no-odradek'] !== true,
    messages,
    seconds: number('seconds', values.seconds, paperSeconds),
    messageBytes: 200,
    warmupMessages: whole('warmup', values.warmup, warmup),
    repeatCount: count('repeat', values.repeat, 5),
    levels: list(values.levels, levels.join(',')).map(levelOf),
    batches: list(values.batches, '1,50').map(text => count('batches', text, 50)),
    resumePath: values.resume ?? null,
    jsonPath: values.json ?? values.resume ?? null,
    directory: values.dir ?? null,
  }
}

function parse(args: readonly string[]) {
  const string = { type: 'string' } as const
  const boolean = { type: 'boolean' } as const
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: boolean,
        'no-odradek': boolean,
        peers: string,
        messages: string,
        seconds: string,
        repeat: string,
        levels: string,
        batches: string,
        warmup: string,
        json: string,
        resume: string,
        dir: string,
      },
    }).values
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

/** `count` for numbers of messages. */
function whole(name: string, text: string | undefined, absent: number): number {
  const value = text === undefined ? absent : Number(text)
  if (Number.isInteger(value) && value >= 1 && value <= 1e9) return value
  throw new UsageError(`--${name} ${text}: a whole number from 1 to 1000000000 wanted`)
}

function peersOf(text: string | undefined): PeerName[] {
  if (text === undefined) return []
  if (text === 'all') return [...peerNames]
  return list(text, '').map(name => {
    const peer = peerNames.find(known => known === name)
    if (peer !== undefined) return peer
    throw new UsageError(`--peers ${name}: ${peerNames.join(', ')} or all wanted`)
  })
}

function levelOf(text: string): Level {
  const level = levels.find(known => known === text)
  if (level !== undefined) return level
  throw new UsageError(`--levels ${text}: ${levels.join(', ')} wanted`)
}
