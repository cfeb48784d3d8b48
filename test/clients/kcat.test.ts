/** kcat as people use it: metadata, keys, headers, offsets, partitions, idempotence, mistakes. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { Producer } from '../../src/client/producer.ts'
import {
  joinLines,
  linesOf,
  loadCommittedCorpus,
  loadCorpus,
  splitLines,
} from '../support/loghub.ts'
import { requireCommand } from '../support/requires.ts'
import { kcat, kcatConsume, tryKcat } from './kcat.ts'

let broker: Broker
beforeAll(async () => {
  broker = await startBroker({ workers: 2, logLevel: 'silent' })
})
afterAll(() => broker?.close())
beforeEach(context => void requireCommand(context, 'kcat'))

let topics = 0
const newTopic = () => `kcat-${++topics}`

async function createTopic(partitions = 1): Promise<string> {
  const name = newTopic()
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.createTopic({ name, partitions })
  return name
}

describe('the main job', () => {
  test('all files through one pipe are the same lines on the other side', async () => {
    const corpus = loadCorpus()
    const topic = newTopic()
    // As `cat *.log | kcat -P`: a file without a last LF runs into the next one.
    const stream = Buffer.concat(corpus.files.map(({ bytes }) => bytes))
    await kcat(broker.bootstrap, ['-P', '-t', topic], stream)
    const found = await kcat(broker.bootstrap, ['-C', '-t', topic, '-e', '-q'])
    // kcat makes no record of an empty line.
    const lines = splitLines(stream).filter(line => line.length > 0)
    expect(found.equals(joinLines(lines))).toBe(true)
  })

  test('odd lines survive: CR LF, none but CR, not ASCII, seventy kilobytes, no last LF', async () => {
    const lines = linesOf(loadCommittedCorpus()).filter(line => line.length > 0)
    const topic = newTopic()
    await kcat(broker.bootstrap, ['-P', '-t', topic], joinLines(lines).subarray(0, -1))
    const found = await kcatConsume(broker.bootstrap, topic, 'beginning')
    expect(found.equals(joinLines(lines))).toBe(true)
  })
})

describe('-L', () => {
  test('lists broker, controller, topics and partitions', async () => {
    const topic = await createTopic(3)
    const all = JSON.parse(String(await kcat(broker.bootstrap, ['-L', '-J'])))
    expect(all.brokers).toEqual([{ id: 0, name: broker.bootstrap }])
    expect(all.controllerid).toBe(0)
    const row = all.topics.find((one: { topic: string }) => one.topic === topic)
    const replicas = { leader: 0, replicas: [{ id: 0 }], isrs: [{ id: 0 }] }
    expect(row.partitions).toEqual([0, 1, 2].map(partition => ({ partition, ...replicas })))
    const one = JSON.parse(String(await kcat(broker.bootstrap, ['-L', '-J', '-t', topic])))
    expect(one.topics.map(({ topic: name }: { topic: string }) => name)).toEqual([topic])
  })
})

describe('-P', () => {
  test('with keys and headers', async () => {
    const topic = newTopic()
    const args = ['-P', '-t', topic, '-K', ':', '-H', 'colour=red', '-H', 'empty=']
    await kcat(broker.bootstrap, args, 'k1:v1\nk2:v2\n')
    const format = ['-f', '%p %o %k=%s %h %R%S\\n']
    const found = await kcatConsume(broker.bootstrap, topic, 'beginning', format)
    const size = '\0\0\0\x02' + '2'
    expect(String(found)).toBe(
      `0 0 k1=v1 colour=red,empty= ${size}\n0 1 k2=v2 colour=red,empty= ${size}\n`,
    )
  })

  test('-Z makes tombstones of empty values', async () => {
    const topic = newTopic()
    await kcat(broker.bootstrap, ['-P', '-t', topic, '-K', ':', '-Z'], 'gone:\nhere:x\n')
    const found = await kcatConsume(broker.bootstrap, topic, 'beginning', ['-J'])
    const records = String(found)
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(records.map(({ key, payload }) => [key, payload])).toEqual([
      ['gone', null],
      ['here', 'x'],
    ])
  })

  test.each(['0', '1', 'all'])('with acks=%s', async acks => {
    const topic = newTopic()
    const lines = Array.from({ length: 500 }, (_, i) => `line ${i}\n`).join('')
    await kcat(broker.bootstrap, ['-P', '-t', topic, '-X', `acks=${acks}`], lines)
    await using admin = new Admin({ bootstrap: broker.bootstrap })
    const end = async () => (await admin.describeTopic(topic)).partitions[0].endOffset
    await expect.poll(end).toBe(500)
    expect(String(await kcatConsume(broker.bootstrap, topic, 'beginning'))).toBe(lines)
  })

  test('idempotent, with five requests in flight', async () => {
    const topic = newTopic()
    const lines = Array.from({ length: 20_000 }, (_, i) => `line ${i}\n`).join('')
    const settings = ['enable.idempotence=true', 'batch.num.messages=100', 'linger.ms=0']
    const args = ['-P', '-t', topic, ...settings.flatMap(setting => ['-X', setting])]
    await kcat(broker.bootstrap, args, lines)
    expect(String(await kcatConsume(broker.bootstrap, topic, 'beginning'))).toBe(lines)
  })

  test('to many partitions by key, and back in order', async () => {
    const topic = await createTopic(8)
    const lines = Array.from({ length: 4000 }, (_, i) => `key${i % 40}:${i}`)
    await kcat(
      broker.bootstrap,
      ['-P', '-t', topic, '-K', ':', '-z', 'lz4'],
      `${lines.join('\n')}\n`,
    )
    const found = await kcatConsume(broker.bootstrap, topic, 'beginning', ['-f', '%p %k %s\\n'])
    const homes = new Map<string, Set<string>>()
    const values = new Map<string, number[]>()
    for (const line of String(found).trim().split('\n')) {
      const [partition, key, value] = line.split(' ')
      homes.set(key, (homes.get(key) ?? new Set()).add(partition))
      values.set(key, [...(values.get(key) ?? []), Number(value)])
    }
    expect(values.size).toBe(40)
    expect([...homes.values()].every(({ size }) => size === 1)).toBe(true)
    expect(new Set([...homes.values()].flatMap(set => [...set])).size).toBeGreaterThan(4)
    for (const [key, found] of values) {
      const first = Number(key.slice(3))
      expect(found).toEqual(Array.from({ length: 100 }, (_, i) => first + 40 * i))
    }
  })

  test('of a value larger than the topic allows fails and says so', async () => {
    const topic = await createTopic()
    const large = 'x'.repeat(1_500_000)
    const settings = ['-X', 'message.max.bytes=4000000']
    const { code, stderr } = await tryKcat(
      broker.bootstrap,
      ['-P', '-t', topic, ...settings],
      large,
    )
    expect(code).not.toBe(0)
    expect(stderr).toMatch(/too large|MSG_SIZE_TOO_LARGE/i)
    expect(await kcatConsume(broker.bootstrap, topic, 'beginning')).toHaveLength(0)
  })
})

describe('-C', () => {
  test('from the beginning, an offset, the last few, one partition, at most so many', async () => {
    const topic = await createTopic(2)
    await using producer = new Producer({ bootstrap: broker.bootstrap, codec: 'zstd' })
    const values = Array.from({ length: 50 }, (_, i) => `v${i}`)
    await producer.send(
      topic,
      values.map(value => ({ value, partition: 1 })),
    )
    await producer.send(topic, [{ value: 'other', partition: 0 }])
    const consume = async (offset: string | number, ...more: string[]) =>
      String(await kcatConsume(broker.bootstrap, topic, offset, more))
        .trim()
        .split('\n')
    expect((await consume('beginning')).toSorted()).toEqual(['other', ...values].toSorted())
    expect(await consume(17, '-p', '1')).toEqual(values.slice(17))
    expect(await consume(-3, '-p', '1')).toEqual(values.slice(-3))
    expect(await consume('beginning', '-p', '1', '-c', '4')).toEqual(values.slice(0, 4))
    expect(await consume('end', '-p', '1')).toEqual([''])
    expect(await consume('beginning', '-p', '0')).toEqual(['other'])
  })

  test('waits for records that come later', async () => {
    const topic = await createTopic()
    const reading = kcat(broker.bootstrap, ['-C', '-t', topic, '-c', '3', '-q', '-u'])
    await using producer = new Producer({ bootstrap: broker.bootstrap })
    for (const value of ['a', 'b', 'c']) await producer.send(topic, [value])
    expect(String(await reading)).toBe('a\nb\nc\n')
  })

  test('reads a record of 900 kilobytes with limits far below', async () => {
    const topic = await createTopic()
    const large = Buffer.alloc(900_000, 'y')
    await kcat(broker.bootstrap, ['-P', '-t', topic, '-z', 'none'], `before\n${large}\nafter\n`)
    const limits = ['fetch.message.max.bytes=1000', 'fetch.max.bytes=1000000']
    const settings = limits.flatMap(limit => ['-X', limit])
    const found = await kcatConsume(broker.bootstrap, topic, 'beginning', settings)
    expect(String(found)).toBe(`before\n${large}\nafter\n`)
  })
})

describe('-Q', () => {
  test('finds offsets by time', async () => {
    const topic = await createTopic()
    await using producer = new Producer({ bootstrap: broker.bootstrap, codec: 'gzip' })
    const times = [1000, 2000, 3000, 4000]
    await producer.send(
      topic,
      times.map(timestampMs => ({ value: 'x', timestampMs })),
    )
    const query = async (time: number) =>
      String(await kcat(broker.bootstrap, ['-Q', '-t', `${topic}:0:${time}`])).trim()
    expect(await query(1)).toBe(`${topic} [0] offset 0`)
    expect(await query(2000)).toBe(`${topic} [0] offset 1`)
    expect(await query(2001)).toBe(`${topic} [0] offset 2`)
    expect(await query(-1)).toBe(`${topic} [0] offset 4`)
    expect(await query(-2)).toBe(`${topic} [0] offset 0`)
  })
})
