/** `odradek consume TOPIC`: records to stdout, values byte for byte, a line each. */
import { type Command, InvalidArgumentError } from 'commander'
import type { StartPosition } from '../client/consumer.ts'
import type { MessageStream } from '../client/message-stream.ts'
import { type ClientFlags, later, wholeNumber, withClientOptions, withExamples } from './program.ts'

interface ConsumeFlags extends ClientFlags {
  readonly from: StartPosition
  readonly partition?: number[]
  readonly maxMessages?: number
  readonly exitAtEnd: boolean
  readonly format?: string
}

export function register(program: Command): void {
  const command = program
    .command('consume')
    .description('Print the records of a topic: values a line each, without end.')
    .argument('<topic>')
    .option('--from <where>', 'beginning, end, an offset or an ISO time', parseFrom, 'smallest')
    .option('--partition <n>', 'only this partition, may be given several times', parsePartition)
    .option('--max-messages <n>', 'stop after so many records', wholeNumber(1))
    .option('--exit-at-end', 'stop when everything that is there now is read', false)
    .option(
      '--format <text>',
      '%t topic, %p partition, %o offset, %T timestamp, %k key, %v value, %h headers',
    )
    .addOption(later('--group <id>', 'consumer groups come in a later version'))
  withClientOptions(command).action(consume)
  withExamples(command, [
    'odradek consume clicks --from end',
    "odradek consume clicks --from 2026-01-31T12:00:00Z --exit-at-end --format '%p %o %k %v'",
  ])
}

async function consume(topic: string, flags: ConsumeFlags): Promise<void> {
  const [{ Consumer }, { RecordPrinter, ...formats }, { reachable }] = await Promise.all([
    import('../client/consumer.ts'),
    import('./record-printer.ts'),
    import('./reachable.ts'),
  ])
  let pieces = flags.json ? formats.jsonPieces : formats.valuePieces
  if (flags.format !== undefined) pieces = formats.formatPieces(flags.format)
  const consumer = new Consumer({
    bootstrap: flags.bootstrap,
    clientId: 'odradek-consume',
    from: flags.from,
    onWarning: message => process.stderr.write(`odradek: ${message}\n`),
  })
  closeOnSignals(() => consumer.close())
  try {
    await reachable(flags.bootstrap, () => consumer.connect())
    const [stream] = await consumer.createMessageStreams(topic, 1, {
      partitions: flags.partition,
      untilEnd: flags.exitAtEnd,
    })
    await printAll(stream, new RecordPrinter(process.stdout, pieces), flags.maxMessages ?? Infinity)
  } finally {
    await consumer.close()
  }
}

async function printAll(
  stream: MessageStream,
  printer: import('./record-printer.ts').RecordPrinter,
  recordsMax: number,
): Promise<void> {
  let left = recordsMax
  while (left > 0) {
    if (!stream.hasData) await printer.flush()
    const chunk = await stream.nextChunk()
    if (chunk === null) break
    while (left > 0 && chunk.advance()) {
      printer.print(chunk)
      left--
      if (printer.isFull) await printer.flush()
    }
  }
  await printer.flush()
}

/** A signal ends the stream, what is fetched is still printed, exit 0; the second signal ends the process. */
function closeOnSignals(close: () => Promise<void>): void {
  let signals = 0
  const onSignal = (): void => {
    if (++signals > 1) process.exit(1)
    void close()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
}

function parseFrom(text: string): StartPosition {
  if (text === 'beginning') return 'smallest'
  if (text === 'end') return 'largest'
  if (/^\d{1,16}$/.test(text)) return { offset: Number(text) }
  const timeMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(timeMs)) {
    throw new InvalidArgumentError('It must be beginning, end, an offset or an ISO time.')
  }
  return new Date(timeMs)
}

function parsePartition(text: string, before: readonly number[] = []): number[] {
  return [...before, wholeNumber(0)(text)]
}
