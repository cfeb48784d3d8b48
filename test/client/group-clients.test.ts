/** Groups shared with other clients, unmodified: offsets, and partitions where the ways of assigning allow. */
import { spawn } from 'node:child_process'
import type kafkajs from 'kafkajs'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { requireCommand } from '../support/requires.ts'
import {
  committedOffsets,
  kafkajsOf,
  numbersUpTo,
  produceNumbers,
  readInGroup,
  shared,
  sorted,
} from './group-kit.ts'

let broker: Broker
beforeAll(async () => {
  broker = await startBroker({ http: false, workers: 2, logLevel: 'silent' })
})
afterAll(() => broker?.close())

let topics = 0
/** A topic of its own with `count` numbers in it, and a group named like it. */
async function newTopic(partitions: number, count: number): Promise<string> {
  const name = `shared-${++topics}`
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.createTopic({ name, partitions })
  if (count > 0) await produceNumbers(broker.bootstrap, name, [0, count], partitions)
  return name
}

describe('beside other clients', () => {
  test('kafkajs goes on at the offsets that our members committed, and we at its', async () => {
    const topic = await newTopic(4, 40)
    const ours = await readInGroup(broker.bootstrap, topic, topic, { streamCount: 2 })
    await expect.poll(() => ours.numbers.length).toBe(40)
    await ours.close()
    expect(await committedOffsets(broker.bootstrap, topic, topic)).toEqual([10, 10, 10, 10])
    await produceNumbers(broker.bootstrap, topic, [40, 60], 4)
    const theirs = kafkajsOf(broker.bootstrap).consumer({ groupId: topic, maxWaitTimeInMs: 100 })
    const values: number[] = []
    await theirs.connect()
    await theirs.subscribe({ topic, fromBeginning: true })
    const eachMessage = async ({ message }: kafkajs.EachMessagePayload) =>
      void values.push(Number(message.value))
    await theirs.run({ eachMessage })
    await expect.poll(() => sorted(values)).toEqual(numbersUpTo(60).slice(40))
    await theirs.disconnect()
    await produceNumbers(broker.bootstrap, topic, [60, 64], 4)
    const again = await readInGroup(broker.bootstrap, topic, topic)
    await expect.poll(() => sorted(again.numbers)).toEqual([60, 61, 62, 63])
  })

  test('a group whose members assign in ways that we do not know is not joined, and says so', async () => {
    const topic = await newTopic(2, 0)
    const theirs = kafkajsOf(broker.bootstrap).consumer({ groupId: topic, maxWaitTimeInMs: 100 })
    await theirs.connect()
    await theirs.subscribe({ topic })
    await theirs.run({ eachMessage: async () => undefined })
    onTestFinished(() => theirs.disconnect())
    const state = () => broker.parts.services.groups.describe(topic).state
    await expect.poll(state).toBe('Stable')
    await expect(readInGroup(broker.bootstrap, topic, topic)).rejects.toMatchObject({
      code: Errors.INCONSISTENT_GROUP_PROTOCOL,
      message: expect.stringContaining('in none of the ways that this consumer knows'),
    })
  })

  test('kcat, which knows Kafka range assignor, and our members share a topic, whoever leads', async context => {
    requireCommand(context, 'kcat')
    for (const isKcatFirst of [true, false]) {
      const topic = await newTopic(4, 40)
      const lines: string[] = []
      const size = () => broker.parts.services.groups.describe(topic).members.length
      const settings = ['auto.offset.reset=earliest', 'heartbeat.interval.ms=50']
      const options = [...settings.flatMap(setting => ['-X', setting]), '-u', '-f', '%s\\n']
      const startKcat = async () => {
        const kcat = spawn('kcat', ['-b', broker.bootstrap, ...options, '-G', topic, topic])
        onTestFinished(() => void kcat.kill('SIGKILL'))
        kcat.stdout.on('data', chunk => lines.push(...String(chunk).split('\n').filter(Boolean)))
        kcat.stderr.resume()
        await expect.poll(size).toBeGreaterThan(isKcatFirst ? 0 : 1)
      }
      if (isKcatFirst) await startKcat()
      const ours = await readInGroup(broker.bootstrap, topic, topic, { streamCount: 2 })
      if (!isKcatFirst) await startKcat()
      await expect.poll(() => ours.parts.map(({ length }) => length)).toEqual([1, 1])
      await produceNumbers(broker.bootstrap, topic, [40, 80], 4)
      const all = () => sorted(new Set([...ours.numbers, ...lines.map(Number)]))
      await expect.poll(all).toEqual(numbersUpTo(80))
      expect(broker.parts.services.groups.describe(topic).protocol).toBe('range')
      await ours.close()
    }
  })

  test('two of ours, one stream each, with the same client id', async () => {
    const topic = await newTopic(4, 0)
    const readers = [
      await readInGroup(broker.bootstrap, topic, topic),
      await readInGroup(broker.bootstrap, topic, topic),
    ]
    await shared(readers, 4)
    expect(readers.map(({ parts }) => parts[0].length)).toEqual([2, 2])
  })
})
