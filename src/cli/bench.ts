/** `odradek bench`: load on a running broker, over Kafka's protocol or HTTP, and the paper's experiments. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { defaultBootstrap } from '../client/address.ts'
import type { BodyKind } from '../load/http-bodies.ts'
import { paperMessages, paperRows, paperSeconds } from '../load/paper.ts'
import { defaultAdmin, pairs, wholeNumber, withExamples } from './program.ts'

interface TargetFlags {
  readonly target: string
  /** Seconds. */
  readonly duration: number
  readonly keep: boolean
  readonly json: boolean
}

export interface LoadFlags extends TargetFlags {
  readonly connections: number
  readonly pipelining?: number
  readonly size: number
  readonly batch: number
  readonly acks: 0 | 1 | -1
  readonly messages?: number
  readonly partitions: number
  readonly config?: ReadonlyMap<string, string>
  readonly pullBytes: number
  readonly warmup: number
  readonly consume: boolean
}

export interface HttpFlags extends LoadFlags {
  readonly body?: BodyKind
}

export interface PaperFlags extends TargetFlags {
  readonly messages: number
  readonly row?: string
  readonly driver?: string
}

/** As `bodyKinds`; that file is loaded when a load is run. */
const bodies: readonly BodyKind[] = ['octet-stream', 'lines', 'ndjson', 'rest-json', 'rest-binary']
const secondsMax = 86_400

export function register(program: Command): void {
  const bench = program
    .command('bench')
    .description('Load a running broker: over wire, http, or as the paper did.')
    .helpCommand(false)
  withExamples(bench, [
    'odradek bench wire --batch 50 --acks 1',
    'odradek bench http --connections 10 --pipelining 10',
    'odradek bench paper',
  ])
  registerWire(bench)
  registerHttp(bench)
  registerPaper(bench)
}

function registerWire(bench: Command): void {
  const wire = bench
    .command('wire')
    .description("Produce and consume over Kafka's protocol: any broker that speaks it.")
    .option(
      '--target <address>',
      "HOST:PORT; or the URL of odradek's HTTP port, which tells it and the CPU time used",
      defaultBootstrap,
    )
  withLoadOptions(wire, { connections: 1, batch: 50 })
    .option('--pipelining <n>', 'requests in flight on a connection (default: 4 MB of them)', from1)
    .action(async (flags: LoadFlags) => await (await import('./bench-load.ts')).benchWire(flags))
  withExamples(wire, [
    'odradek bench wire --batch 1 --acks all --duration 20',
    'odradek bench wire --target 127.0.0.1:9092 --partitions 4 --connections 4 --json',
  ])
}

function registerHttp(bench: Command): void {
  const http = bench
    .command('http')
    .description('Produce and consume over HTTP with autocannon.')
    .option('--target <url>', "the broker's HTTP address", defaultAdmin)
  withLoadOptions(http, { connections: 10, batch: 1 })
    .option('--pipelining <n>', 'requests in flight on a connection (default: 1)', from1)
    .addOption(
      new Option(
        '--body <kind>',
        'of a request (default: octet-stream; ndjson with --batch)',
      ).choices(bodies),
    )
    .action(async (flags: HttpFlags) => await (await import('./bench-load.ts')).benchHttp(flags))
  withExamples(http, [
    'odradek bench http --connections 100 --pipelining 10 --acks 1',
    'odradek bench http --batch 50 --body lines --target http://127.0.0.1:8082',
  ])
}

function registerPaper(bench: Command): void {
  const paper = bench
    .command('paper')
    .description("The 2011 paper's experiments: batches of 1 and 50, then a consumer.")
    .option(
      '--target <address>',
      "URL of odradek's HTTP port; or HOST:PORT of any Kafka port, for the wire alone",
      defaultAdmin,
    )
    .option('--messages <n>', 'of each load, 200 bytes each', from1, paperMessages)
    .option('--duration <seconds>', 'of each load at most', parseSeconds, paperSeconds)
    .addOption(
      new Option('--row <name>', 'only this one').choices(paperRows.map(({ name }) => name)),
    )
    .addOption(new Option('--driver <name>', 'only this one').choices(['wire', 'http']))
  withEndOptions(paper).action(
    async (flags: PaperFlags) => await (await import('./bench-paper.ts')).benchPaper(flags),
  )
  withExamples(paper, [
    'odradek bench paper --messages 10000000',
    'odradek bench paper --row paper --driver wire --target 127.0.0.1:9092',
  ])
}

function withLoadOptions(
  command: Command,
  defaults: { readonly connections: number; readonly batch: number },
): Command {
  return withEndOptions(
    command
      .option('--connections <n>', 'open at once', from1, defaults.connections)
      .option('--size <bytes>', 'of a record', wholeNumber(2), 200)
      .option('--batch <n>', 'records in a request', from1, defaults.batch)
      .option('--acks <n>', '0: none, 1: in the log file, all: on disk', parseAcks, -1)
      .option('--duration <seconds>', 'of each load', parseSeconds, 10)
      .option('--messages <n>', 'end earlier after so many (default: 2 GB produced)', from1)
      .option('--warmup <seconds>', 'before what is measured', parseWarmUp, 1)
      .option('--partitions <n>', 'of the topic', from1, 1)
      .option('--config <key=value>', 'a topic config, may be given several times', pairs)
      .option('--pull-bytes <n>', 'asked for at once when consuming', from1, 200_000)
      .option('--no-consume', 'only produce'),
  )
}

function withEndOptions(command: Command): Command {
  return command
    .option('--keep', 'leave the topics (odradek-bench-...) behind', false)
    .option('--json', 'print JSON', false)
}

const from1 = wholeNumber(1)

function parseSeconds(text: string): number {
  const seconds = /^\d+(\.\d+)?s?$/.test(text) ? Number.parseFloat(text) : Number.NaN
  if (seconds > 0 && seconds <= secondsMax) return seconds
  throw new InvalidArgumentError('It must be a number of seconds above 0.')
}

function parseWarmUp(text: string): number {
  return /^0+(\.0+)?s?$/.test(text) ? 0 : parseSeconds(text)
}

function parseAcks(text: string): LoadFlags['acks'] {
  if (text === 'all' || text === '-1') return -1
  if (text === '0' || text === '1') return text === '0' ? 0 : 1
  throw new InvalidArgumentError('It must be 0, 1 or all.')
}
