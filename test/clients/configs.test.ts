/** kafkajs and @platformatic/kafka change configs of a running topic and delete its records. */
import kafkajs from 'kafkajs'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { Producer } from '../../src/client/producer.ts'
import { requireThat } from '../support/requires.ts'
import { kafkajsOf, platformatic, platformaticMissing } from './producers.ts'

let broker: Broker
beforeAll(async () => {
  broker = await startBroker({ workers: 2, logLevel: 'silent' })
})
afterAll(() => broker?.close())

let topics = 0
/** A topic with two configs and five records. */
async function newTopic(): Promise<string> {
  const topic = `configured-${++topics}`
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  const configs = new Map([
    ['retention.ms', '60000'],
    ['segment.bytes', '4096'],
  ])
  await admin.createTopic({ name: topic, partitions: 1, configs })
  await using producer = new Producer({ bootstrap: broker.bootstrap })
  const values = ['a', 'b', 'c', 'd', 'e'].map(value => ({ value: Buffer.from(value) }))
  await producer.send(topic, values)
  return topic
}

async function ownConfigs(topic: string): Promise<Record<string, string | null>> {
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  const set = (await admin.topicConfigs(topic)).filter(({ isDefault }) => !isDefault)
  return Object.fromEntries(set.map(({ name, value }) => [name, value]))
}

async function firstOffset(topic: string): Promise<number | null> {
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  return (await admin.describeTopic(topic)).partitions[0].startOffset
}

describe('kafkajs', () => {
  async function newAdmin() {
    const admin = kafkajsOf(broker.bootstrap).admin()
    await admin.connect()
    onTestFinished(() => admin.disconnect())
    return admin
  }

  test('alterConfigs replaces what a topic has; wrong values are refused', async () => {
    const admin = await newAdmin()
    const topic = await newTopic()
    const alter = (name: string, value: string, type = kafkajs.ConfigResourceTypes.TOPIC) =>
      admin.alterConfigs({
        validateOnly: false,
        resources: [{ type, name: topic, configEntries: [{ name, value }] }],
      })
    await alter('cleanup.policy', 'compact,delete')
    expect(await ownConfigs(topic)).toEqual({ 'cleanup.policy': 'compact,delete' })
    await expect(alter('cleanup.policy', 'burn')).rejects.toMatchObject({ type: 'INVALID_CONFIG' })
    expect(await ownConfigs(topic)).toEqual({ 'cleanup.policy': 'compact,delete' })
  })

  test('deleteTopicRecords up to an offset, and up to the end', async () => {
    const admin = await newAdmin()
    const topic = await newTopic()
    // It only knows topics it has asked about.
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '3' }] })
    expect(await firstOffset(topic)).toBe(3)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '-1' }] })
    expect(await admin.fetchTopicOffsets(topic)).toEqual([
      { partition: 0, offset: '5', high: '5', low: '5' },
    ])
  })
})

describe('@platformatic/kafka', () => {
  beforeEach(context => {
    if (platformaticMissing !== null) requireThat(context, false, ...platformaticMissing)
  })

  function newAdmin() {
    const bootstrapBrokers = [broker.bootstrap]
    const admin = new platformatic!.Admin({ clientId: 'test', bootstrapBrokers, retries: 0 })
    onTestFinished(() => admin.close())
    return admin
  }

  test('alterConfigs and incrementalAlterConfigs', async () => {
    const admin = newAdmin()
    const topic = await newTopic()
    const resource = { resourceType: 2, resourceName: topic } as const
    await admin.incrementalAlterConfigs({
      resources: [
        {
          ...resource,
          configs: [
            { name: 'flush.ms', configOperation: 0, value: '9' },
            { name: 'retention.ms', configOperation: 1 },
            { name: 'cleanup.policy', configOperation: 2, value: 'compact' },
          ],
        },
      ],
    })
    expect(await ownConfigs(topic)).toEqual({
      'segment.bytes': '4096',
      'flush.ms': '9',
      'cleanup.policy': 'delete,compact',
    })
    const configs = [{ name: 'flush.ms', value: '10' }]
    await admin.alterConfigs({ resources: [{ ...resource, configs }], validateOnly: true })
    expect(await ownConfigs(topic)).toMatchObject({ 'flush.ms': '9' })
    await admin.alterConfigs({ resources: [{ ...resource, configs }] })
    expect(await ownConfigs(topic)).toEqual({ 'flush.ms': '10' })
    const broken = [{ name: 'flush.msec', value: '10' }]
    await expect(
      admin.alterConfigs({ resources: [{ ...resource, configs: broken }] }),
    ).rejects.toThrow()
  })

  test('deleteRecords answers the new first offset', async () => {
    const admin = newAdmin()
    const topic = await newTopic()
    const deleteBefore = (offset: bigint) =>
      admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset }] }] })
    expect(await deleteBefore(2n)).toEqual([
      { name: topic, partitions: [{ partition: 0, lowWatermark: 2n }] },
    ])
    expect(await firstOffset(topic)).toBe(2)
    await expect(deleteBefore(6n)).rejects.toThrow()
    expect(await deleteBefore(-1n)).toMatchObject([{ partitions: [{ lowWatermark: 5n }] }])
  })
})
