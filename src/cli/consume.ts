/**
 * `odradek consume TOPIC`: records to stdout, values byte for byte, a line each. In a group a record counts as
 * processed when stdout has taken its line: then, and only then, it may be committed, so that no line is lost whatever
 * ends this.
 */
import { type Command, InvalidArgumentError } from 'commander'
import type { Consumer } from '../client/consumer.ts'
import type { PartitionOffset } from '../client/group-options.ts'
import type { MessageStream } from '../client/message-stream.ts'
import type { StartPosition } from '../client/start-offsets.ts'
import { UsageError } from './failure.ts'
import { type ClientFlags, wholeNumber, withClientOptions, withExamples } from './program.ts'
import type { RecordPrinter } from './record-printer.ts'

interface ConsumeFlags extends ClientFlags {
  readonly from: StartPosition
  readonly group?: string
  readonly partition?: number[]
  readonly maxMessages?: number
  readonly exitAtEnd: boolean
  readonly format?: string
}

/** How often a group learns what was printed, besides at the end. */
const autoCommitMs = 1000
/** After so long the others get the part of a member that was killed. */
const sessionTimeoutMs = 10_000
/** How long a rebalance, and the end, wait for a slow stdout; what it has not taken by then others print again. */
const revokeGraceMs = 5000

export function register(program: Command): void {
  const command = program
    .command('consume')
    .description('Print the records of a topic: values a line each, without end.')
    .argument('<topic>')
    .option(
      '--from <where>',
      'beginning, end, an offset or an ISO time; in a group: where it has committed nothing',
      parseFrom,
      'smallest',
    )
    .option('--group <id>', 'read as a member of this group, from where it stands, and commit')
    .option('--partition <n>', 'only this partition, may be given several times', parsePartition)
    .option('--max-messages <n>', 'stop after so many records', wholeNumber(1))
    .option('--exit-at-end', 'stop when everything that is there now is read', false)
    .option(
      '--format <text>',
      '%t topic, %p partition, %o offset, %T timestamp, %k key, %v value, %h headers',
    )
  withClientOptions(command).action(consume)
  withExamples(command, [
    'odradek consume clicks --from end',
    "odradek consume clicks --from 2026-01-31T12:00:00Z --exit-at-end --format '%p %o %k %v'",
    'odradek consume clicks --group billing --max-messages 100',
  ])
}

async function consume(topic: string, flags: ConsumeFlags): Promise<void> {
  if (flags.group !== undefined && flags.partition !== undefined) {
    throw new UsageError('--partition: members of a group are given their partitions, drop --group')
  }
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
    groupId: flags.group,
    autoCommitMs,
    sessionTimeoutMs,
    revokeGraceMs,
    onWarning: message => process.stderr.write(`odradek: ${message}\n`),
  })
  const signals = closeOnSignals(() => consumer.close())
  try {
    await reachable(flags.bootstrap, () => consumer.connect())
    const [stream] = await consumer.createMessageStreams(topic, 1, {
      partitions: flags.partition,
      untilEnd: flags.exitAtEnd,
    })
    const printer = new RecordPrinter(process.stdout, pieces)
    const { maxMessages = Infinity, group } = flags
    if (group === undefined) await printAll(stream, printer, maxMessages)
    else await printForGroup(consumer, stream, printer, maxMessages)
  } catch (error) {
    // A signal may come before the streams are there.
    if (!signals.isClosing) throw error
  } finally {
    await consumer.close()
  }
}

async function printAll(
  stream: MessageStream,
  printer: RecordPrinter,
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

/** A chunk is asked for only when stdout has taken the last one: asking says that it was processed. */
async function printForGroup(
  consumer: Consumer,
  stream: MessageStream,
  printer: RecordPrinter,
  recordsMax: number,
): Promise<void> {
  // Whoever read our output may go (`| head`): then there is still something to commit.
  process.stdout.on('error', () => undefined)
  /** Within the chunk at hand; null: none of it. */
  let written: PartitionOffset | null = null
  try {
    for (let left = recordsMax; left > 0; ) {
      const chunk = await stream.nextChunk()
      if (chunk === null) break
      written = null
      while (left > 0 && chunk.advance()) {
        printer.print(chunk)
        left--
        if (!printer.isFull) continue
        await printer.flush()
        const { topic, partition, offset } = chunk
        written = { topic, partition, offset: offset + 1 }
      }
      await printer.flush()
    }
    await stream.commit()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
    if (written !== null) await consumer.commit([written])
  } finally {
    stream.close()
  }
}

/** A signal ends the streams, what is fetched is still printed, exit 0; the second signal ends the process. */
function closeOnSignals(close: () => Promise<void>): { readonly isClosing: boolean } {
  const signals = { isClosing: false }
  const onSignal = (): void => {
    if (signals.isClosing) process.exit(1)
    signals.isClosing = true
    void close()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return signals
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
