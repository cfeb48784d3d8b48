/**
 * @confluentinc/kafka-javascript behind the calls of driver.ts: the interface it has in common with kafkajs, over the
 * librdkafka it brings. Its own settings stand in `kafkaJS` blocks; what a scenario does not give is its default.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type kafkajs from 'kafkajs'
import type { Calls, ConsumeArgs, MemberArgs, ProduceArgs, ReadRecord } from './driver.ts'
import { confluentDirectory, confluentVersion } from './places.ts'

/** What is used of it. Its own types are in the package, which need not be there when this is compiled. */
interface Confluent {
  readonly librdkafkaVersion: string
  readonly CODES: { readonly ERRORS: Readonly<Record<string, number>> }
  readonly KafkaJS: {
    readonly Kafka: new (config: object) => ConfluentKafka
    readonly ConsumerGroupStates: Readonly<Record<string, number>>
  }
}
interface ConfluentKafka {
  admin(): ConfluentAdmin
  producer(config: object): ConfluentProducer
  consumer(config: object): ConfluentConsumer
}
type ConfluentAdmin = Omit<kafkajs.Admin, 'describeGroups' | 'fetchTopicMetadata'> & {
  describeGroups(
    ids: string[],
  ): Promise<{ groups: { state: number; members: readonly unknown[] }[] }>
  fetchTopicMetadata(options: {
    topics: string[]
  }): Promise<readonly { partitions: readonly unknown[] }[]>
}
type ConfluentProducer = Pick<kafkajs.Producer, 'connect' | 'disconnect' | 'send'>
type ConfluentConsumer = Pick<kafkajs.Consumer, 'connect' | 'disconnect' | 'seek'> & {
  subscribe(subscription: { topics: readonly string[] }): Promise<void>
  run(config: { eachMessage(payload: kafkajs.EachMessagePayload): Promise<void> }): Promise<void>
  commitOffsets(
    offsets: readonly { topic: string; partition: number; offset: string }[],
  ): Promise<void>
  assignment(): readonly { readonly topic: string; readonly partition: number }[]
}

const name = '@confluentinc/kafka-javascript'
const client = createRequire(join(confluentDirectory, 'package.json'))(name) as Confluent

/** The client's own logger writes to stdout, which belongs to the answers. */
const log = (text: string) => void process.stderr.write(`${text}\n`)
const logger = {
  info: log,
  error: log,
  warn: log,
  debug: log,
  namespace: () => logger,
  setLogLevel() {},
}

let kafka: ConfluentKafka
let openAdmin: Promise<ConfluentAdmin> | null = null
const producers = new Map<string, Promise<ConfluentProducer>>()

async function connected<Some extends { connect(): Promise<void> }>(one: Some): Promise<Some> {
  await one.connect()
  return one
}

function admin(): Promise<ConfluentAdmin> {
  openAdmin ??= connected(kafka.admin())
  return openAdmin
}

/** Without those that are absent, for absent is not undefined to it. */
const given = (settings: object) =>
  Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))

function producerFor({ codec, acks, idempotent, autoCreate, ...limits }: ProduceArgs) {
  const { maxRecordBytes, timeoutMs } = limits
  const config = {
    kafkaJS: given({ compression: codec, acks, idempotent, allowAutoTopicCreation: autoCreate }),
    ...given({
      'message.max.bytes': maxRecordBytes,
      // How long a topic may be unknown before its records fail.
      'topic.metadata.propagation.max.ms': timeoutMs,
    }),
  }
  const key = JSON.stringify(config)
  const open = producers.get(key) ?? connected(kafka.producer(config))
  producers.set(key, open)
  return open
}

const headersOf = (headers: kafkajs.IHeaders | undefined) =>
  Object.entries(headers ?? {}).flatMap(([header, values]) =>
    [values ?? []].flat().map(value => [header, Buffer.from(value)] as const),
  )

const recordOf = (partition: number, message: kafkajs.KafkaMessage): ReadRecord => ({
  partition,
  offset: Number(message.offset),
  timestampMs: Number(message.timestamp),
  key: message.key,
  value: message.value,
  headers: headersOf(message.headers),
})

/** Where to begin in each partition. */
async function startsOf({ topic, partitions, from }: ConsumeArgs): Promise<Map<number, number>> {
  if (from === 'earliest') return new Map(partitions.map(partition => [partition, 0]))
  if ('offset' in from) return new Map(partitions.map(partition => [partition, from.offset]))
  const found = await (await admin()).fetchTopicOffsetsByTimestamp(topic, from.timeMs)
  return new Map(found.map(({ partition, offset }) => [partition, Number(offset)]))
}

let readers = 0

/** It reads only as a member of a group: of one that commits nothing. */
async function consume(args: ConsumeArgs): Promise<readonly ReadRecord[]> {
  const { topic, partitions, from, count, timeoutMs } = args
  const starts = await startsOf(args)
  const groupId = `reader-${process.pid}-${++readers}`
  const settings = { groupId, fromBeginning: true, autoCommit: false }
  const consumer = await connected(kafka.consumer({ kafkaJS: settings }))
  const records: ReadRecord[] = []
  const done = Promise.withResolvers<void>()
  await consumer.subscribe({ topics: [topic] })
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      const start = starts.get(partition)
      if (!partitions.includes(partition) || start === undefined) return
      if (Number(message.offset) >= start) records.push(recordOf(partition, message))
      if (records.length >= count) done.resolve()
    },
  })
  if (from !== 'earliest') {
    for (const [partition, start] of starts) {
      consumer.seek({ topic, partition, offset: `${start}` })
    }
  }
  const timer = setTimeout(
    () => done.reject(new Error(`${records.length} of ${count} records in ${timeoutMs} ms`)),
    timeoutMs,
  )
  try {
    await done.promise
  } finally {
    clearTimeout(timer)
    await consumer.disconnect()
  }
  return records
}

interface Member {
  readonly consumer: ConfluentConsumer
  readonly topic: string
  unread: ReadRecord[]
  readonly next: Map<number, number>
  rebalances: number
}

let member: Member

async function memberStart(args: MemberArgs): Promise<void> {
  const { groupId, topic, instanceId, sessionTimeoutMs, autoCommit } = args
  const heartbeatInterval = sessionTimeoutMs === undefined ? undefined : sessionTimeoutMs / 5
  const settings = { groupId, fromBeginning: true, autoCommit, heartbeatInterval }
  const consumer = kafka.consumer({
    kafkaJS: given({ ...settings, sessionTimeout: sessionTimeoutMs }),
    ...given({ 'group.instance.id': instanceId }),
    // It assigns by itself when this does not.
    rebalance_cb: ({ code }: { code: number }) => {
      if (code === client.CODES.ERRORS.ERR__ASSIGN_PARTITIONS) member.rebalances++
    },
  })
  member = { consumer, topic, unread: [], next: new Map(), rebalances: 0 }
  await consumer.connect()
  await consumer.subscribe({ topics: [topic] })
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      member.unread.push(recordOf(partition, message))
    },
  })
}

/** Records are pushed by the client: a poll takes those that came. */
async function taken(maxWaitMs: number): Promise<ReadRecord[]> {
  const endMs = performance.now() + maxWaitMs
  while (member.unread.length === 0 && performance.now() < endMs) {
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  const records = member.unread
  member.unread = []
  for (const { partition, offset } of records) member.next.set(partition, offset + 1)
  return records
}

/** PREPARING_REBALANCE is PreparingRebalance in Kafka's words. */
const stateNames = new Map(
  Object.entries(client.KafkaJS.ConsumerGroupStates).map(([state, number]) => [
    number,
    state.toLowerCase().replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase()),
  ]),
)

export const calls: Calls = {
  async hello({ bootstrap }) {
    kafka = new client.KafkaJS.Kafka({ kafkaJS: { brokers: [bootstrap], logger } })
    const version = `${confluentVersion} (librdkafka ${client.librdkafkaVersion})`
    return { name, version, cannot: {} }
  },
  async createTopic({ topic, partitions: numPartitions }) {
    await (await admin()).createTopics({ topics: [{ topic, numPartitions }] })
  },
  async deleteTopic({ topic }) {
    await (await admin()).deleteTopics({ topics: [topic] })
  },
  async listTopics() {
    return await (await admin()).listTopics()
  },
  async describeTopic({ topic }) {
    const [{ partitions }] = await (await admin()).fetchTopicMetadata({ topics: [topic] })
    return { partitions: partitions.length }
  },
  async produce(args) {
    const producer = await producerFor(args)
    const messages = args.records.map(({ headers, ...record }) => ({
      ...record,
      headers: Object.fromEntries(headers ?? []),
    }))
    await producer.send({ topic: args.topic, messages }).catch(async (error: Error) => {
      // It remembers for a while that a topic is unknown, also when there is one now.
      if (/unknown topic/i.test(error.message)) {
        producers.clear()
        await producer.disconnect()
      }
      throw error
    })
    return { offsets: null }
  },
  consume,
  async deleteRecords({ topic, partition, before }) {
    const partitions = [{ partition, offset: `${before}` }]
    await (await admin()).deleteTopicRecords({ topic, partitions })
  },
  async listGroups() {
    const { groups } = await (await admin()).listGroups()
    return groups.map(({ groupId }) => groupId)
  },
  async describeGroup({ groupId }) {
    const { groups } = await (await admin()).describeGroups([groupId])
    const [{ state, members }] = groups
    return { state: stateNames.get(state) ?? `${state}`, members: members.length }
  },
  async deleteGroup({ groupId }) {
    const deleting = (await admin()).deleteGroups([groupId])
    // It collects the broker's errors below one of its own.
    await deleting.catch((error: Error & { groups?: readonly { error?: Error }[] }) => {
      throw error.groups?.[0]?.error ?? error
    })
  },
  memberStart,
  async memberPoll({ maxWaitMs }) {
    const records = await taken(maxWaitMs)
    const mine = member.consumer.assignment().filter(({ topic }) => topic === member.topic)
    const assignment = mine.map(({ partition }) => partition).toSorted((a, b) => a - b)
    return { records, assignment, rebalances: member.rebalances }
  },
  async memberCommit() {
    const { consumer, topic, next } = member
    const offsets = [...next].map(([partition, offset]) => ({
      topic,
      partition,
      offset: `${offset}`,
    }))
    await consumer.commitOffsets(offsets)
  },
  async memberStop() {
    await member.consumer.disconnect()
  },
  async bye() {
    for (const producer of producers.values()) await (await producer).disconnect()
    await (await openAdmin)?.disconnect()
  },
}
