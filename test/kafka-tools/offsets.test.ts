/**
 * Groups and committed offsets across the two: Kafka's DumpLogSegments decodes what odradek keeps, and odradek goes on
 * where a Kafka broker stopped (--adopt).
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach, expect, onTestFinished, test } from 'vitest'
import type { GroupSnapshot } from '../../src/groups/types.ts'
import { connect, createTopic, launchBroker } from '../broker/fixture.ts'
import { commit, deleteOffsets } from '../groups/offsets-kit.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { complaintsIn, dumpLogs, requireKafka } from './kafka-tools.ts'

beforeEach(context => requireKafka(context))

const group: GroupSnapshot = {
  groupId: 'with members',
  protocolType: 'consumer',
  generation: 3,
  protocol: 'range',
  leader: 'member-1',
  stateTimestampMs: 1_700_000_000_000,
  members: [
    {
      memberId: 'member-1',
      groupInstanceId: 'instance-1',
      clientId: 'app',
      clientHost: '/127.0.0.1',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      // ConsumerProtocolSubscription and Assignment, version 0: topic "a", partition 7.
      subscription: Buffer.from('00000000000100016100000000', 'hex'),
      assignment: Buffer.from('000000000001000161000000010000000700000000', 'hex'),
    },
  ],
}

test("DumpLogSegments --offsets-decoder reads odradek's groups and offsets", async () => {
  const data = await tempDirectory()
  const set = { 'offsets.topic.num.partitions': 2 }
  const broker = await launchBroker({ dataDirectory: data, set })
  onTestFinished(() => broker.close())
  const client = await connect(broker)
  const topic = await createTopic(client, { partitions: 2 })
  for (let i = 0; i < 20; i++) {
    await commit(client, `group ${i}`, { [`${topic}-0`]: i }, { metadata: `text ${i}` })
  }
  await commit(client, 'timed', { [`${topic}-1`]: 5 }, { version: 2, retentionTimeMs: 1_000_000 })
  await deleteOffsets(client, 'group 7', [`${topic}-0`])
  const { store } = broker.parts.groupsPart
  expect(await store.saveGroup(group)).toBe(0)
  expect(await store.saveGroup({ ...group, groupId: 'gone' })).toBe(0)
  expect(await store.removeGroup('gone')).toBe(0)
  await broker.close()
  const directories = readdirSync(data).filter(name => name.startsWith('__consumer_offsets-'))
  expect(directories).toHaveLength(2)
  const paths = directories.map(name => join(data, name))
  const dump = await dumpLogs(paths, ['--offsets-decoder'])
  expect(complaintsIn(dump)).toEqual([])
  // Kafka prints keys and values as JSON.
  const rows = [...dump.matchAll(/^\| offset: .* key: (\{.*?\})\s+payload: (.*)$/gm)]
  const found = rows.map(([, key, value]) => ({ key: JSON.parse(key), value }))
  expect(found).toHaveLength(25)
  const ofGroup = (name: string) =>
    found.filter(({ key }) => JSON.stringify(key).includes(`"${name}"`)).map(row => row.value)
  expect(ofGroup('group 3')).toHaveLength(1)
  expect(JSON.parse(ofGroup('group 3')[0])).toMatchObject({
    version: '3',
    data: { offset: 3, leaderEpoch: -1, metadata: 'text 3' },
  })
  expect(JSON.parse(ofGroup('timed')[0])).toMatchObject({ version: '1', data: { offset: 5 } })
  expect(ofGroup('group 7').at(-1)).toContain('DELETE')
  expect(ofGroup('gone').at(-1)).toContain('DELETE')
  expect(JSON.parse(ofGroup('with members')[0])).toMatchObject({
    version: '3',
    data: {
      protocolType: 'consumer',
      generation: 3,
      protocol: 'range',
      leader: 'member-1',
      members: [{ memberId: 'member-1', groupInstanceId: 'instance-1', clientHost: '/127.0.0.1' }],
    },
  })
})
