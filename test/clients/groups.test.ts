/**
 * Consumer groups of real clients, unmodified: kafkajs, kcat (librdkafka) and @platformatic/kafka share a topic, die,
 * come back and find their offsets.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import kafkajs from 'kafkajs'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { Producer } from '../../src/client/producer.ts'
import { requireCommand, requireThat } from '../support/requires.ts'
import { kcat } from './kcat.ts'
import { kafkajsOf, platformatic, platformaticMissing } from './producers.ts'

const partitions = 8
let broker: Broker
beforeAll(async () => {
  const set = { 'group.min.session.timeout.ms': 500 }
  broker = await startBroker({ workers: 2, logLevel: 'silent', set })
})
afterAll(() => broker?.close())

let topics = 0
async function newTopic(): Promise<string> {
  const name = `shared-${++topics}`
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.createTopic({ name, partitions })
  return name
}

/** Values `from`...`to - 1`, spread over all partitions. */
async function produce(topic: string, from: number, to: number): Promise<void> {
  await using producer = new Producer({ bootstrap: broker.bootstrap })
  const numbers = Array.from({ length: to - from }, (_, i) => from + i)
  await producer.send(
    topic,
    numbers.map(value => ({ value: `${value}`, partition: value % partitions })),
  )
}

const numbersUpTo = (end: number) => Array.from({ length: end }, (_, i) => i)
const sorted = (numbers: Iterable<number>) => [...numbers].toSorted((a, b) => a - b)
const groupsOf = () => broker.parts.services.groups
const sizeOf = (groupId: string) => {
  const { state, members } = groupsOf().describe(groupId)
  return state === 'Stable' ? members.length : -1
}

interface Reader {
  readonly values: number[]
  stop(): Promise<void>
}

async function kafkajsReader(
  groupId: string,
  topic: string,
  options: Partial<kafkajs.ConsumerConfig> = {},
): Promise<Reader> {
  const consumer = kafkajsOf(broker.bootstrap).consumer({
    groupId,
    heartbeatInterval: 100,
    // It stops when its last fetch is answered.
    maxWaitTimeInMs: 100,
    ...options,
  })
  const values: number[] = []
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message }) => {
      values.push(Number(message.value))
    },
  })
  let stopped: Promise<void> | null = null
  const stop = () => {
    stopped ??= consumer.disconnect()
    return stopped
  }
  onTestFinished(stop)
  return { values, stop }
}

/** `kcat -G`, which says on stderr what it is assigned. */
function kcatReader(groupId: string, topic: string, settings: readonly string[]) {
  const fast = [
    'session.timeout.ms=1500',
    'heartbeat.interval.ms=100',
    'auto.offset.reset=earliest',
  ]
  const options = [...fast, ...settings].flatMap(setting => ['-X', setting])
  const args = ['-b', broker.bootstrap, ...options, '-u', '-f', '%s\\n', '-G', groupId, topic]
  const child: ChildProcess = spawn('kcat', args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''
  child.stdout?.on('data', chunk => {
    out += chunk
  })
  child.stderr?.resume()
  const closed = once(child, 'close')
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    await closed
  }
  onTestFinished(() => end('SIGKILL'))
  return {
    get values() {
      return out.split('\n').filter(Boolean).map(Number)
    },
    end,
  }
}

describe('kafkajs', () => {
  test('three members share eight partitions; one goes, one comes; everything is read', async () => {
    const topic = await newTopic()
    const groupId = `kafkajs-${topic}`
    await produce(topic, 0, 400)
    const readers = await Promise.all([1, 2, 3].map(() => kafkajsReader(groupId, topic)))
    await expect.poll(() => sizeOf(groupId)).toBe(3)
    const all = () => sorted(new Set(readers.flatMap(({ values }) => values)))
    await expect.poll(() => all().length).toBe(400)
    await readers[0].stop()
    await expect.poll(() => sizeOf(groupId)).toBe(2)
    readers.push(await kafkajsReader(groupId, topic))
    await expect.poll(() => sizeOf(groupId)).toBe(3)
    await produce(topic, 400, 800)
    await expect.poll(() => all().length).toBe(800)
    expect(all()).toEqual(numbersUpTo(800))
    // Each of the three has a part.
    const parts = readers.slice(1).map(({ values }) => values.filter(value => value >= 400).length)
    expect(parts.every(count => count > 0)).toBe(true)
  })

  test('a group goes on where it stopped', async () => {
    const topic = await newTopic()
    const groupId = `resumed-${topic}`
    await produce(topic, 0, 100)
    const first = await kafkajsReader(groupId, topic)
    await expect.poll(() => first.values.length).toBe(100)
    await first.stop()
    await produce(topic, 100, 150)
    const second = await kafkajsReader(groupId, topic)
    await expect.poll(() => second.values.length).toBe(50)
    expect(sorted(second.values)).toEqual(numbersUpTo(150).slice(100))
  })

  test('administers groups', async () => {
    const topic = await newTopic()
    const groupId = `administered-${topic}`
    await produce(topic, 0, 16)
    const reader = await kafkajsReader(groupId, topic)
    await expect.poll(() => reader.values.length).toBe(16)
    const admin = kafkajsOf(broker.bootstrap).admin()
    await admin.connect()
    onTestFinished(() => admin.disconnect())
    const { groups } = await admin.describeGroups([groupId])
    expect(groups[0]).toMatchObject({ state: 'Stable', protocol: 'RoundRobinAssigner' })
    const { MemberAssignment } = kafkajs.AssignerProtocol
    const assigned = MemberAssignment.decode(groups[0].members[0].memberAssignment)
    expect(assigned?.assignment[topic].toSorted()).toEqual(numbersUpTo(partitions))
    await reader.stop()
    const listed = (await admin.listGroups()).groups
    expect(listed).toContainEqual({ groupId, protocolType: 'consumer' })
    await admin.setOffsets({ groupId, topic, partitions: [{ partition: 3, offset: '1' }] })
    const fetched = await admin.fetchOffsets({ groupId, topics: [topic] })
    const offsets = fetched[0].partitions.toSorted((a, b) => a.partition - b.partition)
    expect(offsets.map(({ offset }) => Number(offset))).toEqual([2, 2, 2, 1, 2, 2, 2, 2])
    expect(await admin.deleteGroups([groupId])).toMatchObject([{ groupId, errorCode: 0 }])
    expect((await admin.listGroups()).groups).not.toContainEqual({
      groupId,
      protocolType: 'consumer',
    })
  })
})

describe('kcat -G', () => {
  test('a member that is killed is expired, and the other reads what it would have', async context => {
    requireCommand(context, 'kcat')
    const topic = await newTopic()
    const groupId = `killed-${topic}`
    const [one, two] = [1, 2].map(() => kcatReader(groupId, topic, []))
    await expect.poll(() => sizeOf(groupId)).toBe(2)
    await one.end('SIGKILL')
    await expect.poll(() => sizeOf(groupId)).toBe(1)
    expect(groupsOf().timeline(groupId)).toContainEqual(
      expect.objectContaining({ kind: 'expired', decidedBy: 'session.timeout.ms=1500' }),
    )
    await produce(topic, 0, 80)
    await expect.poll(() => two.values.length).toBe(80)
    expect(sorted(two.values)).toEqual(numbersUpTo(80))
  })

  test('a static member that is started again keeps its partitions without a rebalance', async context => {
    requireCommand(context, 'kcat')
    const topic = await newTopic()
    const groupId = `static-${topic}`
    const settings = (id: string) => [`group.instance.id=${id}`, 'session.timeout.ms=30000']
    const one = kcatReader(groupId, topic, settings('one'))
    const two = kcatReader(groupId, topic, settings('two'))
    await expect.poll(() => sizeOf(groupId)).toBe(2)
    await two.end('SIGKILL')
    const before = groupsOf().timeline(groupId).length
    const again = kcatReader(groupId, topic, settings('two'))
    const since = () =>
      groupsOf()
        .timeline(groupId)
        .slice(before)
        .map(({ kind }) => kind)
    await expect.poll(since).toEqual(['fenced', 'replaced'])
    await produce(topic, 0, 80)
    await expect.poll(() => one.values.length + again.values.length).toBe(80)
    expect([one.values.length, again.values.length]).toEqual([40, 40])
    expect(since()).toEqual(['fenced', 'replaced'])
  })

  test('cooperative members hand partitions over in two rebalances', async context => {
    requireCommand(context, 'kcat')
    const topic = await newTopic()
    const groupId = `cooperative-${topic}`
    const settings = ['partition.assignment.strategy=cooperative-sticky']
    const one = kcatReader(groupId, topic, settings)
    await expect.poll(() => sizeOf(groupId)).toBe(1)
    const two = kcatReader(groupId, topic, settings)
    await expect.poll(() => sizeOf(groupId)).toBe(2)
    await produce(topic, 0, 80)
    await expect.poll(() => one.values.length + two.values.length).toBe(80)
    expect(sorted([...one.values, ...two.values])).toEqual(numbersUpTo(80))
    expect(two.values.length).toBeGreaterThan(0)
  })

  test('and -e: reads to the end, commits, leaves; the next one finds nothing', async context => {
    requireCommand(context, 'kcat')
    const topic = await newTopic()
    const groupId = `ends-${topic}`
    await produce(topic, 0, 80)
    const args = ['-q', '-e', '-X', 'auto.offset.reset=earliest', '-G', groupId, topic]
    const first = String(await kcat(broker.bootstrap, args))
    expect(sorted(first.trim().split('\n').map(Number))).toEqual(numbersUpTo(80))
    expect(String(await kcat(broker.bootstrap, args))).toBe('')
    expect(groupsOf().describe(groupId).state).toBe('Empty')
  })
})

describe('@platformatic/kafka', () => {
  test('two members share a topic, with the newest versions of the requests', async context => {
    if (platformaticMissing !== null) requireThat(context, false, ...platformaticMissing)
    const topic = await newTopic()
    const groupId = `platformatic-${topic}`
    await produce(topic, 0, 80)
    const values: number[] = []
    for (const name of ['one', 'two']) {
      const consumer = new platformatic!.Consumer({
        clientId: name,
        bootstrapBrokers: [broker.bootstrap],
        groupId,
        heartbeatInterval: 100,
      })
      // It may close its connection under its own SyncGroup, and reports that as an 'error': when nobody listens
      // that is thrown in the middle of close(), which then never ends.
      consumer.on('error', () => undefined)
      onTestFinished(() => consumer.close(true))
      const stream = await consumer.consume({
        topics: [topic],
        mode: 'committed',
        fallbackMode: 'earliest',
      })
      stream.on('data', (message: { value: Buffer }) => values.push(Number(message.value)))
      stream.on('error', () => undefined)
    }
    await expect.poll(() => sizeOf(groupId)).toBe(2)
    await produce(topic, 80, 160)
    await expect.poll(() => new Set(values).size).toBe(160)
  })
})
