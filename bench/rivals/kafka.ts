/** Apache Kafka from Maven Central, one KRaft node, loaded by its own performance tools. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'
import { WireClient } from '../../test/support/wire-client.ts'
import { BrokerProcesses } from './broker-processes.ts'
import { fetchKafka, kafkaVersion } from './fetch.ts'
import type { CurvePoint, Level, Load, Rival, RivalCase, RunningRival } from './rival.ts'
import { runTool, type ToolRun } from './run-tool.ts'

const acksOf: Readonly<Record<Level, string>> = { fire: '0', answered: '1', synced: 'all' }
const durabilities: Readonly<Record<Level, string>> = {
  fire: 'acks=0; page cache',
  answered: 'acks=1; answered from the page cache',
  synced: 'acks=all, flush.messages=1: answered after fsync',
}
const toolSeconds = 60
/** The consumer knows no time limit and reports at its end only. */
const consumeGraceSeconds = 120
const pullBytes = 200_000
/** Of a batch in Kafka's format: its head, and what a record of the given size takes. */
const batchHeadBytes = 61
const recordHeadBytes = 10

let classPath = ''

function java(heap: string, mainClass: string, args: readonly string[], settings = ''): string[] {
  const logging = settings === '' ? [] : [`-Dlog4j2.configurationFile=${settings}`]
  return [`-Xms${heap}`, `-Xmx${heap}`, ...logging, '-cp', classPath, mainClass, ...args]
}

export const kafka: Rival = {
  name: 'Apache Kafka',
  driver: `kafka-producer-perf-test and kafka-consumer-perf-test ${kafkaVersion}`,
  consuming: `fetches of up to ${pullBytes / 1000} KB, offsets committed automatically`,
  clientBound: null,
  cases: (['fire', 'answered', 'synced'] as const).flatMap(level =>
    [1, 50].map(batch => ({
      level,
      batch,
      durability: durabilities[level],
      // Nobody counts what acks=0 stored, but a reader.
      consumes: level === 'fire',
    })),
  ),

  async prepare() {
    classPath = await fetchKafka()
    return kafkaVersion
  },

  async start(rivalCase, directory) {
    const processes = new BrokerProcesses()
    const [port, controllerPort] = [await freePort(), await freePort()]
    const dataDirectory = join(directory, 'data')
    const settings = join(directory, 'server.properties')
    const logging = join(directory, 'log4j2.properties')
    mkdirSync(directory, { recursive: true })
    writeFileSync(settings, propertiesOf(dataDirectory, port, controllerPort))
    writeFileSync(logging, 'rootLogger.level = WARN\n')
    const format = ['format', '-t', 'odradekAAAAAAAAAAAAAAA', '-c', settings]
    await runTool({
      command: 'java',
      args: java('128m', 'kafka.tools.StorageTool', format),
      seconds: toolSeconds,
    })
    const bootstrap = `127.0.0.1:${port}`
    const args = java('1g', 'kafka.Kafka', [settings], logging)
    await processes.launch(
      { command: 'java', args, directory, logPath: join(directory, 'out.log') },
      async () => (await WireClient.connect(bootstrap)).close(),
    )
    return running(processes, dataDirectory, bootstrap, rivalCase)
  },
}

function running(
  processes: BrokerProcesses,
  dataDirectory: string,
  bootstrap: string,
  { level, batch }: RivalCase,
): RunningRival {
  return {
    processes,
    dataDirectory,
    produce: async load => {
      await createTopic(bootstrap, load.queue, level)
      const { seconds } = load
      const args = java(
        '256m',
        'org.apache.kafka.tools.ProducerPerformance',
        producerArguments(load, bootstrap, level, batch),
      )
      return producedOf(await runTool({ command: 'java', args, seconds }), load)
    },
    consume: async load => {
      const { queue, messages, directory, seconds } = load
      const settings = join(directory, 'consumer.properties')
      writeFileSync(settings, `max.partition.fetch.bytes=${pullBytes}\nmax.poll.records=1000\n`)
      const args = java('256m', 'org.apache.kafka.tools.ConsumerPerformance', [
        ...['--bootstrap-server', bootstrap, '--topic', queue, '--messages', String(messages)],
        ...['--fetch-size', String(pullBytes), '--consumer.config', settings],
        '--hide-header',
      ])
      const run = await runTool({
        command: 'java',
        args,
        seconds,
        graceSeconds: consumeGraceSeconds,
      })
      return consumedOf(run, load)
    },
    stop: () => processes.stop(),
  }
}

async function createTopic(bootstrap: string, topic: string, level: Level): Promise<void> {
  const flush = level === 'synced' ? ['--config', 'flush.messages=1'] : []
  const args = java('128m', 'org.apache.kafka.tools.TopicCommand', [
    ...['--bootstrap-server', bootstrap, '--create', '--topic', topic],
    ...['--partitions', '1', '--replication-factor', '1', ...flush],
  ])
  await runTool({ command: 'java', args, seconds: toolSeconds })
}

function producerArguments(
  { queue, messages, messageBytes }: Load,
  bootstrap: string,
  level: Level,
  batch: number,
): string[] {
  // 0 keeps batches from forming; else what holds so many, and time enough for them to gather.
  const batchBytes = batch === 1 ? 0 : batchHeadBytes + batch * (messageBytes + recordHeadBytes)
  return [
    ...['--topic', queue, '--num-records', String(messages), '--record-size', String(messageBytes)],
    ...['--throughput', '-1', '--producer-props', `bootstrap.servers=${bootstrap}`],
    ...[`acks=${acksOf[level]}`, 'enable.idempotence=false', `batch.size=${batchBytes}`],
    `linger.ms=${batch === 1 ? 0 : 5}`,
  ]
}

/** Of `N records sent, R records/sec (...)` every 5 s, and once more over all of them at the end. */
export function producedOf({ lines, wasKilled, cpuSeconds }: ToolRun, { messages }: Load) {
  const reports = lines
    .map(line => /^(\d+) records sent, ([\d.]+) records\/sec/.exec(line))
    .filter(report => report !== null)
    .map(([, count, rate]) => ({ messages: Number(count), perSecond: Number(rate) }))
  const whole = reports.at(-1)
  const curve: CurvePoint[] = []
  for (const { messages: count, perSecond } of wasKilled ? reports : reports.slice(0, -1)) {
    const before = curve.at(-1) ?? { seconds: 0, messages: 0 }
    const seconds = before.seconds + count / perSecond
    curve.push({ seconds, messages: before.messages + count })
  }
  if (wasKilled) {
    const last = curve.at(-1)
    if (last === undefined) throw new Error('the producer reported nothing before it was stopped')
    return { ...last, curve, clientCpuSeconds: cpuSeconds }
  }
  if (whole?.messages !== messages) throw new Error(`${whole?.messages} of ${messages} were sent`)
  const end = { messages, seconds: messages / whole.perSecond }
  return { ...end, curve: [...curve, end], clientCpuSeconds: cpuSeconds }
}

/**
 * Of the one line `start, end, MB, MB/s, messages, messages/s, rebalance ms, fetch ms, ...`. Joining the group is not
 * reading: the fetch time counts.
 */
export function consumedOf({ lines, wasKilled, cpuSeconds }: ToolRun, { messages }: Load) {
  const fields = lines.map(line => line.split(',').map(field => field.trim()))
  const report = fields.filter(line => line.length >= 10 && /^\d{4}-/.test(line[0] ?? '')).at(-1)
  const [read, fetchMs] = [Number(report?.[4]), Number(report?.[7])]
  if (wasKilled || report === undefined) throw new Error('the consumer did not come to its end')
  if (read < messages) throw new Error(`${read} of ${messages} messages were read`)
  return { messages: read, seconds: fetchMs / 1000, curve: [], clientCpuSeconds: cpuSeconds }
}

function propertiesOf(data: string, port: number, controllerPort: number): string {
  const listener = `PLAINTEXT://127.0.0.1:${port}`
  return `process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:${controllerPort}
listeners=${listener},CONTROLLER://127.0.0.1:${controllerPort}
advertised.listeners=${listener}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs=${data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
`
}
