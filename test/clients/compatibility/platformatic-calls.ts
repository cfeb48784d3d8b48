/** @platformatic/kafka behind the calls of driver.ts, in a process of its own (serve-driver.ts). */
import { readFileSync } from 'node:fs'
import type { Consumer, Message, MessagesStream } from '@platformatic/kafka'
import * as client from '@platformatic/kafka'
import type { Calls, ConsumeArgs, MemberArgs, ProduceArgs, ReadRecord } from './driver.ts'

/** The package does not let others require its package.json. */
const packageFile = new URL('../node_modules/@platformatic/kafka/package.json', import.meta.url)

let bootstrapBrokers: string[]
let openAdmin: client.Admin | null = null
const producers = new Map<string, client.Producer>()

const options = () => ({ clientId: `compatibility-${process.pid}`, bootstrapBrokers })

function admin(): client.Admin {
  openAdmin ??= new client.Admin(options())
  return openAdmin
}

function producerFor({ idempotent, autoCreate }: ProduceArgs): client.Producer {
  const config = {
    ...options(),
    ...(idempotent === undefined ? {} : { idempotent }),
    ...(autoCreate === undefined ? {} : { autocreateTopics: autoCreate }),
  }
  const key = JSON.stringify([idempotent, autoCreate])
  const open = producers.get(key) ?? new client.Producer(config)
  producers.set(key, open)
  return open
}

async function produce(args: ProduceArgs) {
  const messages = args.records.map(({ key, value, partition, headers }) => ({
    topic: args.topic,
    // Its types know no null; absent is stored as null.
    key: key ?? undefined,
    value: value ?? undefined,
    ...(partition === undefined ? {} : { partition }),
    headers: new Map((headers ?? []).map(([name, bytes]) => [Buffer.from(name), bytes])),
  }))
  const { acks, codec: compression } = args
  await producerFor(args).send({
    messages,
    ...(acks === undefined ? {} : { acks }),
    ...(compression === undefined ? {} : { compression }),
  })
  return { offsets: null }
}

const recordOf = (message: Message): ReadRecord => ({
  partition: message.partition,
  offset: Number(message.offset),
  timestampMs: Number(message.timestamp),
  key: message.key ?? null,
  value: message.value ?? null,
  headers: message.headerEntries.map(([name, value]) => [`${name}`, value] as const),
})

/** Where to begin in every partition of the topic, of those that are not asked for too: the client wants them all. */
async function startsOf(consumer: Consumer, { topic, from }: ConsumeArgs) {
  if (from === 'earliest') return { mode: 'earliest' as const }
  const at = { topics: [topic], timestamp: 'timeMs' in from ? BigInt(from.timeMs) : -2n }
  const found = await consumer.listOffsetsWithTimestamps(at)
  const offsets = [...(found.get(topic) ?? [])].map(([partition, { offset }]) => ({
    topic,
    partition,
    offset: 'offset' in from ? BigInt(from.offset) : offset,
  }))
  return { mode: 'manual' as const, offsets }
}

let readers = 0

/** It reads only as a member of a group: of one that commits nothing. */
async function consume(args: ConsumeArgs): Promise<readonly ReadRecord[]> {
  const { topic, partitions, count, timeoutMs } = args
  const groupId = `reader-${process.pid}-${++readers}`
  const consumer = new client.Consumer({ ...options(), groupId, autocommit: false })
  const start = await startsOf(consumer, args)
  const stream = await consumer.consume({ topics: [topic], ...start })
  consumer.on('error', error => stream.destroy(error))
  const records: ReadRecord[] = []
  const timer = setTimeout(
    () => stream.destroy(new Error(`${records.length} of ${count} records in ${timeoutMs} ms`)),
    timeoutMs,
  )
  try {
    for await (const message of stream) {
      if (partitions.includes(message.partition)) records.push(recordOf(message))
      if (records.length >= count) break
    }
  } finally {
    clearTimeout(timer)
    // It ends with its last long poll, which nobody needs to wait for.
    void consumer.close(true).catch(() => undefined)
  }
  return records
}

async function numberOfPartitions(topic: string): Promise<number> {
  const { topics } = await admin().metadata({ topics: [topic], forceUpdate: true })
  return topics.get(topic)?.partitionsCount ?? 0
}

interface Member {
  readonly consumer: Consumer
  readonly topic: string
  stream: MessagesStream<Buffer, Buffer, Buffer, Buffer> | null
  unread: Message[]
  /** Next offset and leader epoch, by partition. */
  readonly next: Map<number, { readonly offset: bigint; readonly leaderEpoch: number }>
  rebalances: number
  /** With which its stream has ended. */
  failure: Error | null
}

let member: Member

async function memberStart({ groupId, topic, instanceId, ...args }: MemberArgs): Promise<void> {
  const { sessionTimeoutMs: sessionTimeout, autoCommit: autocommit } = args
  const consumer = new client.Consumer({
    ...options(),
    groupId,
    ...(instanceId === undefined ? {} : { groupInstanceId: instanceId }),
    ...(sessionTimeout === undefined ? {} : { sessionTimeout }),
    ...(autocommit === undefined ? {} : { autocommit }),
    // Else three times, a second apart.
    ...(args.outlivesBroker ? { retries: true } : {}),
  })
  member = {
    consumer,
    topic,
    stream: null,
    unread: [],
    next: new Map(),
    rebalances: 0,
    failure: null,
  }
  consumer.on('consumer:group:join', () => {
    member.rebalances++
  })
  const fail = (error: Error) => {
    member.failure = error
  }
  // A rebalance that it could not go along with; without a listener that ends the process, or a close() for ever.
  consumer.on('error', fail)
  // Answers only when the group has an assignment: the runner begins to poll meanwhile.
  const starting = consumer.consume({
    topics: [topic],
    mode: 'committed',
    fallbackMode: 'earliest',
  })
  void starting.then(
    stream => {
      member.stream = stream
      stream.on('data', message => member.unread.push(message))
      stream.on('error', fail)
    },
    (error: Error) => fail(error),
  )
}

/** Records are pushed by the client: a poll takes those that came. */
async function taken(maxWaitMs: number): Promise<ReadRecord[]> {
  const endMs = performance.now() + maxWaitMs
  while (member.unread.length === 0 && performance.now() < endMs) {
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  const messages = member.unread
  member.unread = []
  for (const { partition, offset, leaderEpoch } of messages) {
    member.next.set(partition, { offset: offset + 1n, leaderEpoch })
  }
  return messages.map(recordOf)
}

function assignmentOf({ consumer, topic }: Member): number[] {
  const mine = (consumer.assignments ?? []).filter(one => one.topic === topic)
  return mine.flatMap(({ partitions }) => partitions).toSorted((a, b) => a - b)
}

export const calls: Calls = {
  async hello({ bootstrap }) {
    bootstrapBrokers = [bootstrap]
    const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }
    return { name: '@platformatic/kafka', version, cannot: {} }
  },
  async createTopic({ topic, partitions }) {
    await admin().createTopics({ topics: [topic], partitions, replicas: 1 })
  },
  async deleteTopic({ topic }) {
    await admin().deleteTopics({ topics: [topic] })
  },
  async listTopics() {
    return await admin().listTopics()
  },
  async describeTopic({ topic }) {
    return { partitions: await numberOfPartitions(topic) }
  },
  produce,
  consume,
  async deleteRecords({ topic, partition, before }) {
    const partitions = [{ partition, offset: BigInt(before) }]
    await admin().deleteRecords({ topics: [{ name: topic, partitions }] })
  },
  async listGroups() {
    return [...(await admin().listGroups()).keys()]
  },
  async describeGroup({ groupId }) {
    const group = (await admin().describeGroups({ groups: [groupId] })).get(groupId)
    const words = `${group?.state}`.split('_').map(word => word[0] + word.slice(1).toLowerCase())
    return { state: words.join(''), members: group?.members.size ?? 0 }
  },
  async deleteGroup({ groupId }) {
    await admin().deleteGroups({ groups: [groupId] })
  },
  memberStart,
  async memberPoll({ maxWaitMs }) {
    if (member.failure !== null) throw member.failure
    const records = await taken(maxWaitMs)
    return { records, assignment: assignmentOf(member), rebalances: member.rebalances }
  },
  async memberCommit() {
    const { consumer, topic, next } = member
    const offsets = [...next].map(([partition, at]) => ({ topic, partition, ...at }))
    await consumer.commit({ offsets })
  },
  async memberStop() {
    await member.stream?.close()
    await member.consumer.close()
  },
  async bye() {
    for (const producer of producers.values()) await producer.close()
    await openAdmin?.close()
  },
}
