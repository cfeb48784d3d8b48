/** kafkajs behind the calls of driver.ts, in a process of its own (serve-driver.ts). */
import { createRequire } from 'node:module'
import kafkajs from 'kafkajs'
import { kafkajsTypes } from '../producers.ts'
import type { Calls, ConsumeArgs, MemberArgs, ProduceArgs, ReadRecord } from './driver.ts'

const { version } = createRequire(import.meta.url)('kafkajs/package.json') as { version: string }

/** The client's own logger writes to stdout, which belongs to the answers. */
const logCreator: kafkajs.logCreator = () => entry => {
  process.stderr.write(`${entry.label} ${entry.log.message} ${entry.log.error ?? ''}\n`)
}

let kafka: kafkajs.Kafka
let openAdmin: Promise<kafkajs.Admin> | null = null
const producers = new Map<string, Promise<kafkajs.Producer>>()

function admin(): Promise<kafkajs.Admin> {
  openAdmin ??= connected(kafka.admin())
  return openAdmin
}

async function connected<Some extends { connect(): Promise<void> }>(client: Some): Promise<Some> {
  await client.connect()
  return client
}

function producerFor({ idempotent, autoCreate }: ProduceArgs): Promise<kafkajs.Producer> {
  const config = {
    // Without it kafkajs warns about its new default; it is that default.
    createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    ...(idempotent === undefined ? {} : { idempotent }),
    ...(autoCreate === undefined ? {} : { allowAutoTopicCreation: autoCreate }),
  }
  const key = JSON.stringify([idempotent, autoCreate])
  const open = producers.get(key) ?? connected(kafka.producer(config))
  producers.set(key, open)
  return open
}

const headersOf = (headers: kafkajs.IHeaders | undefined) =>
  Object.entries(headers ?? {}).flatMap(([name, values]) =>
    [values ?? []].flat().map(value => [name, Buffer.from(value)] as const),
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

/** kafkajs reads only as a member of a group: of one that commits nothing. */
async function consume(args: ConsumeArgs): Promise<readonly ReadRecord[]> {
  const { topic, partitions, from, count, timeoutMs } = args
  const starts = await startsOf(args)
  const groupId = `reader-${process.pid}-${++readers}`
  const consumer = await connected(kafka.consumer({ groupId }))
  const records: ReadRecord[] = []
  const done = Promise.withResolvers<void>()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ partition, message }) => {
      const start = starts.get(partition)
      // Before the seek below has been done, records come from the beginning.
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
  await done.promise.finally(() => {
    clearTimeout(timer)
    // It ends with its last long poll, which nobody needs to wait for.
    void consumer.disconnect()
  })
  return records
}

interface Member {
  readonly consumer: kafkajs.Consumer
  readonly topic: string
  unread: ReadRecord[]
  readonly next: Map<number, number>
  assignment: number[]
  rebalances: number
}

let member: Member

async function memberStart({ groupId, topic, ...options }: MemberArgs): Promise<void> {
  const { sessionTimeoutMs: sessionTimeout } = options
  const config = { groupId, ...(sessionTimeout === undefined ? {} : { sessionTimeout }) }
  const consumer = kafka.consumer(config)
  member = { consumer, topic, unread: [], next: new Map(), assignment: [], rebalances: 0 }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.assignment = (payload.memberAssignment[topic] ?? []).toSorted((a, b) => a - b)
    member.rebalances++
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: options.autoCommit ?? true,
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

export const calls: Calls = {
  async hello({ bootstrap }) {
    kafka = new kafkajs.Kafka({ brokers: [bootstrap], logCreator })
    const staticMember = 'kafkajs has no group.instance.id'
    return { name: 'kafkajs', version, cannot: { staticMember } }
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
    const { topics } = await (await admin()).fetchTopicMetadata({ topics: [topic] })
    return { partitions: topics[0].partitions.length }
  },
  async produce(args) {
    const producer = await producerFor(args)
    const messages = args.records.map(({ headers, ...record }) => ({
      ...record,
      headers: Object.fromEntries(headers ?? []),
    }))
    const { topic, acks, codec } = args
    const compression = codec === undefined ? undefined : kafkajsTypes[codec]
    await producer.send({ topic, messages, acks, compression })
    return { offsets: null }
  },
  consume,
  async deleteRecords({ topic, partition, before }) {
    const partitions = [{ partition, offset: `${before}` }]
    // It looks for the leader in what it knows, and knows only topics that it was asked about.
    await (await admin()).fetchTopicOffsets(topic)
    await (await admin()).deleteTopicRecords({ topic, partitions })
  },
  async listGroups() {
    const { groups } = await (await admin()).listGroups()
    return groups.map(({ groupId }) => groupId)
  },
  async describeGroup({ groupId }) {
    const { groups } = await (await admin()).describeGroups([groupId])
    return { state: groups[0].state, members: groups[0].members.length }
  },
  async deleteGroup({ groupId }) {
    await (await admin()).deleteGroups([groupId])
  },
  memberStart,
  async memberPoll({ maxWaitMs }) {
    const records = await taken(maxWaitMs)
    return { records, assignment: member.assignment, rebalances: member.rebalances }
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
