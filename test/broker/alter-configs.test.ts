/** Configs changed over the wire act on running logs at once, and after a restart. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { AlterConfigs } from '../../src/protocol/messages/alter-configs.ts'
import { DescribeConfigs } from '../../src/protocol/messages/describe-configs.ts'
import { IncrementalAlterConfigs } from '../../src/protocol/messages/incremental-alter-configs.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  launchBroker,
  lookUp,
  produce,
  readAll,
  sharedBroker,
  store,
  testBroker,
} from './fixture.ts'

const broker = sharedBroker()
const topicType = 2

/** Sets, or with null deletes. */
async function alter(
  client: WireClient,
  topic: string,
  configs: Readonly<Record<string, string | null>>,
  version = 1,
) {
  const answer = await client.request(IncrementalAlterConfigs, version, {
    resources: [
      {
        resourceType: topicType,
        resourceName: topic,
        configs: Object.entries(configs).map(([name, value]) => ({
          name,
          configOperation: value === null ? 1 : 0,
          value,
        })),
      },
    ],
    validateOnly: false,
  })
  return answer.responses[0]
}

async function configOf(client: WireClient, topic: string, name: string) {
  const { results } = await client.request(DescribeConfigs, 4, {
    resources: [{ resourceType: topicType, resourceName: topic, configurationKeys: [name] }],
    includeSynonyms: false,
    includeDocumentation: false,
  })
  return results[0].configs[0].value
}

async function segmentsOf({ dataDirectory }: Broker, topic: string, partition = 0) {
  const files = await readdir(join(dataDirectory, `${topic}-${partition}`))
  return files.filter(file => file.endsWith('.log')).length
}

test.each([0, 1])('IncrementalAlterConfigs v%i acts on the next append', async version => {
  const client = await connect(broker())
  const topic = await createTopic(client, { partitions: 3 })
  const large = batchOf(['x'.repeat(3000)])
  await store(client, topic, large)
  expect(await alter(client, topic, { 'max.message.bytes': '1000' }, version)).toMatchObject({
    errorCode: Errors.NONE,
    errorMessage: null,
  })
  for (const partition of [0, 1, 2])
    expect((await produce(client, topic, large, { partition })).errorCode).toBe(
      Errors.MESSAGE_TOO_LARGE,
    )
  await alter(client, topic, { 'max.message.bytes': null }, version)
  await store(client, topic, large)
})

test('segments roll by their new size, timestamps are kept or stamped as told', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client)
  for (let i = 0; i < 5; i++) await store(client, topic, batchOf(['x'.repeat(1000)]))
  expect(await segmentsOf(broker(), topic)).toBe(1)
  await alter(client, topic, { 'segment.bytes': '2048' })
  for (let i = 0; i < 4; i++) await store(client, topic, batchOf(['x'.repeat(1000)]))
  expect(await segmentsOf(broker(), topic)).toBe(5)
  const stamped = () => produce(client, topic, batchOf(['x'], { timestampMs: 5 }))
  expect((await stamped()).logAppendTimeMs).toBe(-1)
  await alter(client, topic, { 'message.timestamp.type': 'LogAppendTime' })
  expect((await stamped()).logAppendTimeMs).toBeGreaterThan(5)
})

test('a topic becomes compacted over records without keys, which stay', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client)
  await store(client, topic, batchOf(['no key']))
  await alter(client, topic, { 'cleanup.policy': 'compact' })
  const row = await produce(client, topic, batchOf(['no key either']))
  expect(row.errorCode).toBe(Errors.INVALID_RECORD)
  expect(await readAll(client, topic)).toHaveLength(1)
  await alter(client, topic, { 'cleanup.policy': null })
  await store(client, topic, batchOf(['now again']))
})

test('changes go on while records come in; each record is there once', async () => {
  const client = await connect(broker())
  const admin = await connect(broker())
  const topic = await createTopic(client)
  const wanted: string[] = []
  const changing = (async () => {
    for (let i = 0; i < 40; i++) {
      const policy = ['group-commit', 'os', 'interval'][i % 3]
      const row = await alter(admin, topic, {
        'flush.policy': policy,
        'segment.bytes': `${2048 + 100 * i}`,
        'index.interval.bytes': `${i * 10}`,
        'flush.messages': '1',
      })
      expect(row.errorCode).toBe(Errors.NONE)
    }
  })()
  for (let i = 0; i < 200; i++) {
    const values = Array.from({ length: 5 }, (_, j) => `${i}.${j} ${'x'.repeat(40)}`)
    wanted.push(...values)
    await store(client, topic, batchOf(values), { acks: i % 2 === 0 ? -1 : 1 })
  }
  await changing
  const found = await readAll(client, topic, { end: wanted.length })
  expect(found.map(({ value }) => String(value))).toEqual(wanted)
})

test('retention that is shortened takes what is too much already', async () => {
  const eager = await testBroker({ workers: 1, set: { 'log.retention.check.interval.ms': 20 } })
  const client = await connect(eager)
  const topic = await createTopic(client, { configs: { 'segment.bytes': '1024' } })
  for (let i = 0; i < 10; i++) await store(client, topic, batchOf(['x'.repeat(700)]))
  expect(await segmentsOf(eager, topic)).toBe(10)
  await alter(client, topic, { 'retention.bytes': '2500' })
  // Segments of some 770 bytes: four of them are the fewest that hold as much.
  const start = async () => (await lookUp(client, topic, -2)).offset
  await expect.poll(start, { timeout: 20_000 }).toBe(6)
  await expect.poll(() => segmentsOf(eager, topic), { timeout: 20_000 }).toBe(4)
  expect(await readAll(client, topic, { offset: 6 })).toHaveLength(4)
})

test.each([0, 1, 2])('AlterConfigs v%i replaces all configs', async version => {
  const client = await connect(broker())
  const topic = await createTopic(client, { configs: { 'retention.ms': '5', 'flush.ms': '6' } })
  const replace = async (validateOnly: boolean) => {
    const answer = await client.request(AlterConfigs, version, {
      resources: [
        {
          resourceType: topicType,
          resourceName: topic,
          configs: [{ name: 'flush.ms', value: '77' }],
        },
      ],
      validateOnly,
    })
    expect(answer.responses[0].errorCode).toBe(Errors.NONE)
    return [
      await configOf(client, topic, 'flush.ms'),
      await configOf(client, topic, 'retention.ms'),
    ]
  }
  expect(await replace(true)).toEqual(['6', '5'])
  expect(await replace(false)).toEqual(['77', '604800000'])
})

test('what was changed is in force after a restart, and on owners that died', async () => {
  const directory = await tempDirectory()
  const start = () => launchBroker({ dataDirectory: directory, workers: 1 })
  const first = await start()
  let topic: string
  try {
    const client = await connect(first)
    topic = await createTopic(client)
    await alter(client, topic, { 'max.message.bytes': '1000' })
  } finally {
    await first.close()
  }
  const second = await start()
  try {
    const client = await connect(second)
    const large = batchOf(['x'.repeat(3000)])
    expect((await produce(client, topic, large)).errorCode).toBe(Errors.MESSAGE_TOO_LARGE)
    await alter(client, topic, { 'max.message.bytes': '2000' })
    await second.parts.host.owners[0].terminate()
    const small = batchOf(['x'.repeat(1500)])
    await expect
      .poll(async () => (await produce(client, topic, small)).errorCode, { timeout: 20_000 })
      .toBe(Errors.NONE)
    expect((await produce(client, topic, large)).errorCode).toBe(Errors.MESSAGE_TOO_LARGE)
  } finally {
    await second.close()
  }
})

test('what os made readable does not count as flushed when the policy changes', async () => {
  const dataDirectory = await tempDirectory()
  const broker = await testBroker({ dataDirectory })
  const client = await connect(broker)
  const topic = await createTopic(client, { configs: { 'flush.policy': 'os' } })
  await store(client, topic, batchOf(['a', 'b', 'c']))
  const never = { 'flush.messages': '1000000', 'flush.ms': '3600000' }
  const row = await alter(client, topic, { 'flush.policy': 'interval', ...never })
  expect(row.errorCode).toBe(Errors.NONE)
  const points = async (): Promise<string> => {
    await broker.parts.host.saveCheckpoint()
    return await readFile(join(dataDirectory, 'flushed-ends'), 'latin1')
  }
  const { id } = broker.parts.services.topics.get(topic)!
  expect(await points()).not.toContain(id)
  expect((await alter(client, topic, { 'flush.policy': 'group-commit' })).errorCode).toBe(0)
  await store(client, topic, batchOf(['d']))
  expect(await points()).toContain(`${id} 0 4 0\n`)
})

test('a change while a partition is being opened anew counts', async () => {
  const broker = await testBroker()
  const client = await connect(broker)
  const topic = await createTopic(client)
  await store(client, topic, batchOf(['before']))
  const { host, services } = broker.parts
  const found = services.topics.get(topic)!
  const [partition] = found.partitions
  await host.owners[partition.ownerIndex].terminate()
  await expect.poll(() => partition.state, { interval: 0 }).toBe('opening')
  await host.applyConfig(found.partitions, { ...found.log, batchBytesMax: 200 })
  await expect.poll(() => partition.state, { timeout: 20_000 }).toBe('online')
  const refused = await produce(client, topic, batchOf(['x'.repeat(300)]))
  expect(refused.errorCode).toBe(Errors.MESSAGE_TOO_LARGE)
})
