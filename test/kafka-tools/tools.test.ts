/**
 * The command line tools of Apache Kafka, both versions that the Java clients are tested with, unmodified against
 * odradek. Each is a JVM of its own: what one topic can show is one test, so that few start.
 */
import { writeFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { launchBroker } from '../broker/fixture.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import {
  type KafkaVersion,
  kafkaVersions,
  requireKafka,
  runTool,
  startTool,
} from './kafka-tools.ts'

let broker: Broker
beforeAll(async () => {
  broker = await launchBroker()
})
afterAll(() => broker?.close())

const tools = 'org.apache.kafka.tools'
const main = {
  topics: `${tools}.TopicCommand`,
  groups: `${tools}.consumer.group.ConsumerGroupCommand`,
  configs: 'kafka.admin.ConfigCommand',
  consoleConsumer: `${tools}.consumer.ConsoleConsumer`,
  getOffsets: `${tools}.GetOffsetShell`,
  deleteRecords: `${tools}.DeleteRecordsCommand`,
  logDirs: `${tools}.LogDirsCommand`,
  cluster: `${tools}.ClusterTool`,
  producerPerformance: `${tools}.ProducerPerformance`,
  consumerPerformance: `${tools}.ConsumerPerformance`,
  verifiableProducer: `${tools}.VerifiableProducer`,
  verifiableConsumer: `${tools}.VerifiableConsumer`,
  clientCompatibility: `${tools}.ClientCompatibilityTest`,
} as const
/** Those that moved from the one to the other. */
const moved = {
  '3.9.1': {
    consoleProducer: 'kafka.tools.ConsoleProducer',
    acls: 'kafka.admin.AclCommand',
    apiVersions: 'kafka.admin.BrokerApiVersionsCommand',
  },
  '4.1.1': {
    consoleProducer: `${tools}.ConsoleProducer`,
    acls: `${tools}.AclCommand`,
    apiVersions: `${tools}.BrokerApiVersionsCommand`,
  },
} as const
const address = () => ['--bootstrap-server', broker.bootstrap]

const numbered = (count: number) => Array.from({ length: count }, (_, i) => `key-${i}:value ${i}\n`)
/** The rows of a printed table as words, without what is around them. */
const rowsOf = (output: string, first: string) =>
  output
    .split('\n')
    .map(line => line.trim().split(/\s+/))
    .filter(([word]) => word === first)

/** A bound for machines under load: each test starts up to a dozen JVMs. */
const timeout = 300_000

describe.each(kafkaVersions)('Kafka %s', { timeout }, (version: KafkaVersion) => {
  beforeEach(context => requireKafka(context, version))
  const label = `tools-${version.replaceAll('.', '-')}`
  const run = (tool: string, ...args: string[]) =>
    runTool(tool, [...address(), ...args], { version })
  const { consoleProducer, acls, apiVersions } = moved[version]

  /** A topic with 20 records, by the tools. */
  async function filledTopic(topic: string, partitions: number): Promise<void> {
    await run(main.topics, '--create', '--topic', topic, '--partitions', `${partitions}`)
    const properties = ['parse.key=true', 'key.separator=:'].flatMap(one => ['--property', one])
    await runTool(consoleProducer, [...address(), '--topic', topic, ...properties], {
      version,
      input: numbered(20).join(''),
    })
  }

  test('kafka-topics creates, extends, describes, lists and deletes; kafka-configs alters', async () => {
    const topic = `${label}-topic`
    const named = ['--topic', topic]
    const created = ['--create', ...named, '--partitions', '3', '--config', 'retention.ms=600000']
    expect(await run(main.topics, ...created)).toContain(`Created topic ${topic}.`)
    await expect(run(main.topics, '--create', ...named)).rejects.toThrow(/already exists/)
    await run(main.topics, '--alter', ...named, '--partitions', '5')
    const described = await run(main.topics, '--describe', ...named)
    expect(described).toMatch(
      /PartitionCount: 5\s+ReplicationFactor: 1\s+Configs: retention.ms=600000/,
    )
    expect(described.match(/Leader: 0\s+Replicas: 0\s+Isr: 0/g)).toHaveLength(5)
    expect((await run(main.topics, '--list')).split('\n')).toContain(topic)

    const entity = ['--entity-type', 'topics', '--entity-name', topic]
    const added = ['--add-config', 'max.message.bytes=2000000', '--delete-config', 'retention.ms']
    await run(main.configs, '--alter', ...entity, ...added)
    const configs = await run(main.configs, '--describe', ...entity)
    expect(configs).toContain('max.message.bytes=2000000')
    expect(configs).not.toContain('retention.ms=')
    const bad = ['--alter', ...entity, '--add-config', 'retention.ms=soon']
    await expect(run(main.configs, ...bad)).rejects.toThrow(/InvalidConfig.*retention\.ms/)

    await run(main.topics, '--delete', ...named)
    expect((await run(main.topics, '--list')).split('\n')).not.toContain(topic)
    await expect(run(main.topics, '--describe', ...named)).rejects.toThrow(/does not exist/)
  })

  test('console producer and consumer; kafka-consumer-groups lists, describes, resets, deletes', async () => {
    const topic = `${label}-console`
    const group = `${label}-group`
    await filledTopic(topic, 2)
    const reading = ['--topic', topic, '--group', group, '--property', 'print.key=true']
    const beginning = ['--from-beginning', '--max-messages', '20', '--timeout-ms', '30000']
    const read = await run(main.consoleConsumer, ...reading, ...beginning)
    const lines = read.split('\n').filter(line => line.includes('\t'))
    const sent = numbered(20).map(line => line.trim().replace(':', '\t'))
    expect(lines.toSorted()).toEqual(sent.toSorted())

    expect((await run(main.groups, '--list')).split('\n')).toContain(group)
    const named = ['--group', group]
    const offsets = rowsOf(await run(main.groups, '--describe', ...named), group)
    expect(offsets.map(([, , partition]) => partition).toSorted()).toEqual(['0', '1'])
    // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG
    expect(offsets.reduce((sum, row) => sum + Number(row[3]), 0)).toBe(20)
    expect(offsets.every(row => row[3] === row[4] && row[5] === '0')).toBe(true)

    const reset = ['--reset-offsets', ...named, '--topic', topic]
    await run(main.groups, ...reset, '--to-earliest', '--dry-run')
    const untouched = rowsOf(await run(main.groups, '--describe', ...named), group)
    expect(untouched.map(String).toSorted()).toEqual(offsets.map(String).toSorted())
    await run(main.groups, ...reset, '--shift-by', '-2', '--execute')
    const again = await run(main.consoleConsumer, ...reading, '--max-messages', '4')
    expect(again.split('\n').filter(line => line.includes('\t'))).toHaveLength(4)

    await run(main.groups, '--delete-offsets', ...named, '--topic', topic)
    await run(main.groups, '--delete', ...named)
    expect((await run(main.groups, '--list')).split('\n')).not.toContain(group)
  })

  test('kafka-consumer-groups shows members, and lets a group in use alone', async () => {
    const topic = `${label}-used`
    const group = `${label}-used-group`
    await filledTopic(topic, 3)
    const reading = [...address(), '--topic', topic, '--group', group, '--from-beginning']
    const consumer = startTool(main.consoleConsumer, reading, { version })
    onTestFinished(() => consumer.stop())
    await expect.poll(() => consumer.said().match(/value/g)?.length).toBe(20)
    const named = ['--group', group]
    const members = await run(main.groups, '--describe', ...named, '--members', '--verbose')
    expect(rowsOf(members, group)).toHaveLength(1)
    expect(members).toMatch(/console-consumer\s+3\s/)
    expect(await run(main.groups, '--describe', ...named, '--state')).toMatch(/range\s+Stable\s+1/)
    const resetting = ['--reset-offsets', ...named, '--topic', topic, '--to-earliest', '--execute']
    expect(await run(main.groups, ...resetting)).toMatch(/only.*inactive|current state is Stable/)
    expect(await run(main.groups, '--delete', ...named)).toMatch(/GroupNotEmptyException/)
    await consumer.stop()
  })

  test('kafka-get-offsets, kafka-delete-records and kafka-log-dirs', async () => {
    const topic = `${label}-offsets`
    await filledTopic(topic, 1)
    const named = ['--topic', topic]
    expect(await run(main.getOffsets, ...named)).toContain(`${topic}:0:20\n`)
    const file = `${await tempDirectory()}/offsets.json`
    const partitions = [{ topic, partition: 0, offset: 7 }]
    writeFileSync(file, JSON.stringify({ partitions, version: 1 }))
    const deleted = await run(main.deleteRecords, '--offset-json-file', file)
    expect(deleted).toMatch(new RegExp(`partition: ${topic}-0\\s+low_watermark: 7`))
    const earliest = await run(main.getOffsets, ...named, '--time', 'earliest')
    expect(earliest).toContain(`${topic}:0:7\n`)
    const newest = await run(main.getOffsets, ...named, '--time', 'max-timestamp')
    expect(newest).toMatch(new RegExp(`${topic}:0:\\d+\n`))
    const directories = await run(main.logDirs, '--describe', '--topic-list', topic)
    const [row] = JSON.parse(
      directories.split('\n').find(line => line.startsWith('{')) ?? '',
    ).brokers
    expect(row.logDirs[0]).toMatchObject({ error: null, logDir: broker.dataDirectory })
    expect(row.logDirs[0].partitions[0]).toMatchObject({ partition: `${topic}-0`, offsetLag: 0 })
    expect(row.logDirs[0].partitions[0].size).toBeGreaterThan(100)
  })

  test('producer and consumer performance, verifiable producer and consumer', async () => {
    const topic = `${label}-load`
    await run(main.topics, '--create', '--topic', topic, '--partitions', '2')
    const load = ['--topic', topic, '--num-records', '5000', '--record-size', '100']
    const props = [
      '--throughput',
      '-1',
      '--producer-props',
      `bootstrap.servers=${broker.bootstrap}`,
    ]
    const sent = await runTool(main.producerPerformance, [...load, ...props], { version })
    expect(sent).toMatch(/^5000 records sent/m)
    const reading = ['--topic', topic, '--messages', '5000', '--timeout', '30000']
    const [, read] = (await run(main.consumerPerformance, ...reading))
      .split('\n')
      .filter(line => line.includes(', '))
    expect(read.split(', ')[4]).toBe('5000')

    const produced = await run(main.verifiableProducer, '--topic', topic, '--max-messages', '30')
    expect(produced).toMatch(/"name":"tool_data","sent":30,"acked":30/)
    const max = ['--max-messages', '5030', '--reset-policy', 'earliest', '--verbose']
    const consuming = ['--topic', topic, '--group-id', `${label}-verifiable`, ...max]
    const consumed = await run(main.verifiableConsumer, ...consuming)
    expect(consumed).toMatch(/"name":"offsets_committed".*"success":true/)
    expect(consumed).not.toMatch(/"success":false/)
    expect(consumed.match(/"name":"record_data"/g)).toHaveLength(5030)
  })

  test('what the broker is: API versions, cluster id, configs; kafka-acls is told there is no security', async () => {
    const versions = await run(apiVersions)
    expect(versions).toMatch(/Fetch\(1\): 4 to 17 \[usable: 17\]/)
    expect(versions).toMatch(/JoinGroup\(11\): 0 to 9 \[usable: 9\]/)
    expect(versions).not.toMatch(/Exception/)
    const cluster = await runTool(main.cluster, ['cluster-id', ...address()], { version })
    expect(cluster).toMatch(/Cluster ID: [\w-]{22}/)
    const entity = ['--entity-type', 'brokers', '--entity-name', '0']
    const configs = await run(main.configs, '--describe', ...entity, '--all')
    expect(configs).toContain('group.initial.rebalance.delay.ms=0')
    const disabled = /SecurityDisabledException: odradek has no access control/
    await expect(run(acls, '--list')).rejects.toThrow(disabled)
    const rule = ['--allow-principal', 'User:x', '--operation', 'Read', '--topic', label]
    await expect(run(acls, '--add', ...rule)).rejects.toThrow(disabled)
  })

  test("Kafka's own test of what a broker can do", async () => {
    const expected = {
      'offsets-for-times-supported': true,
      'cluster-id-supported': true,
      'expect-record-too-large-exception': false,
      'num-cluster-nodes': 1,
      'create-topics-supported': true,
      'describe-acls-supported': true,
      'describe-configs-supported': true,
      'idempotent-producer-supported': true,
    }
    const topic = `${label}-own`
    // It makes this one and leaves it there.
    await run(main.topics, '--delete', '--if-exists', '--topic', 'newtopic')
    await run(main.topics, '--create', '--topic', topic, '--partitions', '1')
    const args = Object.entries(expected).flatMap(([name, value]) => [`--${name}`, `${value}`])
    const said = await run(main.clientCompatibility, '--topic', topic, ...args)
    expect(said).toContain('SUCCESS')
  })
})
