/** DescribeLogDirs, OffsetForLeaderEpoch, and the ACL calls of a broker without access control. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { CreateAcls, DeleteAcls, DescribeAcls } from '../../src/protocol/messages/acls.ts'
import { DescribeLogDirs } from '../../src/protocol/messages/describe-log-dirs.ts'
import { OffsetForLeaderEpoch } from '../../src/protocol/messages/offset-for-leader-epoch.ts'
import { batchOf, connect, createTopic, sharedBroker, store } from './fixture.ts'

const broker = sharedBroker()

test('log directories: the bytes of the files, of all topics or of those asked for', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client, { partitions: 2 })
  await store(client, topic, batchOf(['a', 'b', 'c']))
  for (const version of [0, 1, 2, 3, 4]) {
    const all = await client.request(DescribeLogDirs, version, { topics: null })
    expect(all.errorCode).toBe(Errors.NONE)
    const [directory] = all.results
    expect(all.results).toHaveLength(1)
    expect(directory.errorCode).toBe(Errors.NONE)
    const found = directory.topics.find(({ name }) => name === topic)
    const rows = found?.partitions.toSorted((a, b) => a.partitionIndex - b.partitionIndex)
    const bytesOf = (index: number): number => {
      const path = join(directory.logDir, `${topic}-${index}`)
      const logs = readdirSync(path).filter(name => name.endsWith('.log'))
      return logs.reduce((sum, name) => sum + statSync(join(path, name)).size, 0)
    }
    expect(bytesOf(0)).toBeGreaterThan(0)
    expect(rows).toEqual(
      [0, 1].map(partitionIndex => ({
        partitionIndex,
        partitionSize: bytesOf(partitionIndex),
        offsetLag: 0,
        isFutureKey: false,
      })),
    )
    if (version < 4) expect([directory.totalBytes, directory.usableBytes]).toEqual([-1, -1])
    else expect(directory.totalBytes).toBeGreaterThan(directory.usableBytes)
  }
})

test('log directories: what does not exist is left out, what is asked for twice comes once', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client, { partitions: 2 })
  const asked = [
    { topic, partitions: [1, 1, 7] },
    { topic: 'nowhere', partitions: [0] },
  ]
  const { results } = await client.request(DescribeLogDirs, 4, { topics: asked })
  expect(results[0].topics).toEqual([
    {
      name: topic,
      partitions: [{ partitionIndex: 1, partitionSize: 0, offsetLag: 0, isFutureKey: false }],
    },
  ])
})

test('the only leader epoch ends where the log does; others are unknown or fenced', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client)
  await store(client, topic, batchOf(['a', 'b', 'c']))
  const unknown = { leaderEpoch: -1, endOffset: -1 }
  const cases = [
    { current: 0, epoch: 0, answer: { errorCode: Errors.NONE, leaderEpoch: 0, endOffset: 3 } },
    { current: -1, epoch: 0, answer: { errorCode: Errors.NONE, leaderEpoch: 0, endOffset: 3 } },
    { current: 0, epoch: 5, answer: { errorCode: Errors.NONE, ...unknown } },
    { current: 0, epoch: -1, answer: { errorCode: Errors.NONE, ...unknown } },
    { current: 1, epoch: 0, answer: { errorCode: Errors.UNKNOWN_LEADER_EPOCH, ...unknown } },
    { current: -2, epoch: 0, answer: { errorCode: Errors.FENCED_LEADER_EPOCH, ...unknown } },
  ]
  for (const version of [2, 3, 4]) {
    for (const { current, epoch, answer } of cases) {
      const row = { partition: 0, currentLeaderEpoch: current, leaderEpoch: epoch }
      const topics = [{ topic, partitions: [row, { ...row, partition: 9 }] }]
      const { topics: found } = await client.request(OffsetForLeaderEpoch, version, {
        replicaId: -1,
        topics,
      })
      expect(found).toEqual([
        {
          topic,
          partitions: [
            { partition: 0, ...answer },
            { partition: 9, errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION, ...unknown },
          ],
        },
      ])
    }
  }
})

test('access control lists: switched off, said for every row', async () => {
  const client = await connect(broker())
  const off = {
    errorCode: Errors.SECURITY_DISABLED,
    errorMessage: expect.stringContaining('no access control'),
  }
  const acl = { principal: 'User:a', host: '*', operation: 3, permissionType: 3 }
  const filter = {
    resourceTypeFilter: 2,
    resourceNameFilter: null,
    patternTypeFilter: 3,
    principalFilter: null,
    hostFilter: null,
    operation: 1,
    permissionType: 1,
  }
  const creation = { resourceType: 2, resourceName: 't', resourcePatternType: 3, ...acl }
  for (const version of [0, 1, 2, 3]) {
    const described = await client.request(DescribeAcls, version, filter)
    expect(described).toMatchObject({ ...off, resources: [] })
    const created = await client.request(CreateAcls, version, { creations: [creation, creation] })
    expect(created.results).toEqual([off, off])
    const deleted = await client.request(DeleteAcls, version, { filters: [filter] })
    expect(deleted.filterResults).toEqual([{ ...off, matchingAcls: [] }])
  }
})
