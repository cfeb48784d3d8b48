/** `odradek produce TOPIC`: stdin, one record a line. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Headers } from '../client/batch-builder.ts'
import type { Producer, TopicWriter } from '../client/producer.ts'
import type { CodecName } from '../protocol/compression.ts'
import { UsageError } from './failure.ts'
import { LineSplitter, type OnLine } from './line-splitter.ts'
import { type ClientFlags, pairs, wholeNumber, withClientOptions, withExamples } from './program.ts'

interface ProduceFlags extends ClientFlags {
  readonly keySeparator?: string
  readonly partition?: number
  readonly header?: ReadonlyMap<string, string>
  readonly acks: 0 | 1 | 'all'
  readonly compression: CodecName
}

const lineBytesMax = 30 * 1024 * 1024
/** Short enough that a typed line shows up at once, long enough to fill batches from a fast pipe. */
const lingerMs = 5

export function register(program: Command): void {
  const command = program
    .command('produce')
    .description('Write stdin to a topic: one record a line, split at LF only (a CR stays).')
    .argument('<topic>')
    .option('--key-separator <text>', 'what stands in front of it in a line is the key')
    .option('--partition <n>', 'write to this partition', wholeNumber(0))
    .option('--header <key=value>', 'a header of every record, may be given several times', pairs)
    .option('--acks <n>', '0: none, 1: in the log file, all: on disk', parseAcks, 'all')
    .addOption(
      new Option('--compression <codec>', 'of batches')
        .choices(['none', 'gzip', 'snappy', 'lz4', 'zstd'])
        .default('none'),
    )
  withClientOptions(command).action(produce)
  withExamples(command, [
    "printf 'one\\ntwo\\n' | odradek produce lines",
    "printf 'k1:v1\\n' | odradek produce pairs --key-separator : --compression zstd",
  ])
}

async function produce(topic: string, flags: ProduceFlags): Promise<void> {
  const [{ Producer }, { reachable }] = await Promise.all([
    import('../client/producer.ts'),
    import('./reachable.ts'),
  ])
  const producer = new Producer({
    bootstrap: flags.bootstrap,
    clientId: 'odradek-produce',
    acks: flags.acks,
    codec: flags.compression,
    lingerMs,
  })
  try {
    await reachable(flags.bootstrap, () => producer.connect())
    const writer = await producer.topic(topic)
    const { partition = 0 } = flags
    if (partition >= writer.partitionCount) {
      throw new UsageError(
        `--partition ${partition}: topic ${topic} has partitions 0 to ${writer.partitionCount - 1}`,
      )
    }
    const records = await writeLines(process.stdin, producer, writer, flags)
    if (flags.json) process.stdout.write(`${JSON.stringify({ topic, records })}\n`)
  } finally {
    await producer.close()
  }
}

/** @returns the number of records, all of them acknowledged */
async function writeLines(
  input: NodeJS.ReadStream,
  producer: Producer,
  writer: TopicWriter,
  flags: ProduceFlags,
): Promise<number> {
  if (input.isTTY) process.stderr.write('one record a line, Ctrl-D ends\n')
  let records = 0
  const append = appender(writer, flags)
  const lines = new LineSplitter((source, start, end) => {
    records++
    append(source, start, end)
  }, lineBytesMax)
  for await (const chunk of input) {
    lines.push(chunk as Buffer)
    if (!producer.hasRoom) await producer.ready()
    if (producer.failure !== null) throw producer.failure
  }
  lines.end()
  await producer.flush()
  return records
}

function appender(writer: TopicWriter, flags: ProduceFlags): OnLine {
  const { keySeparator, partition, header } = flags
  if (keySeparator === undefined && header === undefined) {
    return (source, start, end) => writer.appendSlice(source, start, end, partition)
  }
  const headers: Headers | undefined = header && [...header]
  const separator = Buffer.from(keySeparator ?? '')
  return (source, start, end) => {
    const line = source.subarray(start, end)
    const at = separator.length === 0 ? -1 : line.indexOf(separator)
    const key = at < 0 ? null : line.subarray(0, at)
    const value = at < 0 ? line : line.subarray(at + separator.length)
    writer.append({ key, value, headers, partition })
  }
}

function parseAcks(text: string): ProduceFlags['acks'] {
  if (text === 'all' || text === '-1') return 'all'
  if (text === '0' || text === '1') return text === '0' ? 0 : 1
  throw new InvalidArgumentError('It must be 0, 1 or all.')
}
