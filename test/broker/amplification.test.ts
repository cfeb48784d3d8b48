/** A small request cannot make a large answer: what is named a thousand times is told once. */
import { expect, test } from 'vitest'
import { DescribeConfigs } from '../../src/protocol/messages/describe-configs.ts'
import { DescribeLogDirs } from '../../src/protocol/messages/describe-log-dirs.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { connect, createTopic, sharedBroker, topicIdOf } from './fixture.ts'

const broker = sharedBroker()
const times = Array.from({ length: 2000 }, (_, i) => i)

test('DescribeConfigs of the same topic and the same broker', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client)
  for (const version of [0, 1, 4]) {
    const { results } = await client.request(DescribeConfigs, version, {
      resources: times.flatMap(() => [
        { resourceType: 2, resourceName: topic, configurationKeys: null },
        { resourceType: 4, resourceName: '0', configurationKeys: [] },
      ]),
      includeSynonyms: true,
      includeDocumentation: true,
    })
    expect(results.map(({ resourceName }) => resourceName)).toEqual([topic, '0'])
    for (const { configs } of results) expect(configs.length).toBeGreaterThan(10)
  }
})

test('Metadata of the same topic, by name and by an id that has another name each time', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client, { partitions: 8 })
  const topicId = topicIdOf(broker(), topic)
  const ask = async (version: number, topics: { topicId: string; name: string | null }[]) =>
    (
      await client.request(Metadata, version, {
        topics,
        allowAutoTopicCreation: false,
        includeClusterAuthorizedOperations: false,
        includeTopicAuthorizedOperations: false,
      })
    ).topics
  const byName = times.map(() => ({ topicId: 'AAAAAAAAAAAAAAAAAAAAAA', name: topic }))
  for (const version of [0, 4, 9, 12]) expect(await ask(version, byName)).toHaveLength(1)
  const byId = times.map(i => ({ topicId, name: `name-${i}` }))
  expect(await ask(12, byId)).toMatchObject([{ name: topic, topicId }])
})

test('DescribeLogDirs of the same partition', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client)
  const { results } = await client.request(DescribeLogDirs, 4, {
    topics: [{ topic, partitions: times.map(() => 0) }],
  })
  expect(results[0].topics.map(({ partitions }) => partitions.length)).toEqual([1])
})
