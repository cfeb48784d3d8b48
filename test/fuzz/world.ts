/**
 * What the broker under attack holds, so that requests reach deep: topics with records, groups with members, producers,
 * a fetch session. Set up anew for every API and version, because attacks delete and change it.
 *
 * Names depend on the API and the version only, so that a case is the same bytes in every run, but for the ids that the
 * broker draws (topic ids, member ids), which have the same length.
 */

import { zeroUuid } from '../../src/protocol/bytes.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { DeleteTopics } from '../../src/protocol/messages/delete-topics.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { InitProducerId } from '../../src/protocol/messages/init-producer-id.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { OffsetCommit } from '../../src/protocol/messages/offset-commit.ts'
import { encodeBatch } from '../../src/protocol/record-batch.ts'
import { fetchRequest, produce } from '../broker/fixture.ts'
import { Member } from '../groups/wire-kit.ts'
import { WireClient } from '../support/wire-client.ts'

export interface KnownMember {
  readonly groupId: string
  readonly memberId: string
  readonly instanceId: string | null
  readonly generation: number
}

export interface World {
  readonly topics: readonly string[]
  readonly topicIds: readonly string[]
  readonly groups: readonly string[]
  readonly members: readonly KnownMember[]
  readonly producerId: number
  readonly sessionId: number
}

const configsOf: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  'fuzz-plain': [],
  'fuzz-small': [
    ['segment.bytes', '16384'],
    ['retention.bytes', '65536'],
  ],
  'fuzz-compact': [['cleanup.policy', 'compact']],
  'fuzz-appended': [['message.timestamp.type', 'LogAppendTime']],
  'fuzz-timed': [['message.timestamp.after.max.ms', '3600000']],
}
const partitions = 2
/** As long as a session may be: members outlive the attack. */
const sessionTimeoutMs = 1_800_000

/** @param mine names a topic that is not to be touched: the canary's. */
export async function setUpWorld(
  bootstrap: string,
  label: string,
  mine: (topic: string) => boolean,
): Promise<World> {
  const client = await WireClient.connect(bootstrap)
  try {
    const topics = await setUpTopics(client, mine)
    const groups = ['stable', 'static', 'simple'].map(kind => `fuzz-${label}-${kind}`)
    const members = [await join(client, groups[0], null), await join(client, groups[1], 'fuzz-1')]
    await commitSimply(client, groups[2])
    const identity = await client.request(InitProducerId, 5, {
      transactionalId: null,
      transactionTimeoutMs: 60_000,
      producerId: -1,
      producerEpoch: -1,
    })
    const { sessionId } = await client.request(
      Fetch,
      12,
      fetchRequest('fuzz-plain', { sessionId: 0, sessionEpoch: 0 }),
    )
    return {
      topics: [...topics.keys(), '__consumer_offsets', 'fuzz-missing'],
      topicIds: [...topics.values()],
      groups,
      members,
      producerId: identity.producerId,
      sessionId,
    }
  } finally {
    client.close()
  }
}

/** Deletes what attacks have created, creates what they have deleted. @returns name -> id */
async function setUpTopics(
  client: WireClient,
  mine: (topic: string) => boolean,
): Promise<ReadonlyMap<string, string>> {
  const strangers = [...(await topicsOf(client)).keys()].filter(
    name => !mine(name) && !name.startsWith('__'),
  )
  await client.request(DeleteTopics, 6, {
    topics: strangers.map(name => ({ name, topicId: zeroUuid })),
    topicNames: [],
    timeoutMs: 30_000,
  })
  const created = await client.request(CreateTopics, 7, {
    topics: Object.entries(configsOf).map(([name, configs]) => ({
      name,
      numPartitions: partitions,
      replicationFactor: 1,
      assignments: [],
      configs: configs.map(([key, value]) => ({ name: key, value })),
    })),
    timeoutMs: 30_000,
    validateOnly: false,
  })
  for (const { name, errorCode, errorMessage } of created.topics) {
    if (errorCode !== Errors.NONE) throw new Error(`set-up: ${name}: ${errorMessage}`)
  }
  for (const name of Object.keys(configsOf)) await fill(client, name)
  return new Map([...(await topicsOf(client))].filter(([name]) => name in configsOf))
}

async function topicsOf(client: WireClient): Promise<Map<string, string>> {
  const { topics } = await client.request(Metadata, 12, {
    topics: null,
    allowAutoTopicCreation: false,
    includeClusterAuthorizedOperations: false,
    includeTopicAuthorizedOperations: false,
  })
  return new Map(topics.map(({ name, topicId }) => [name ?? '', topicId]))
}

async function fill(client: WireClient, topic: string): Promise<void> {
  for (let i = 0; i < 3; i++) {
    const batch = encodeBatch({
      timestampMs: 1_700_000_000_000 + i,
      codec: i === 1 ? 'gzip' : 'none',
      records: ['one', 'two'].map(text => ({ key: Buffer.from(text), value: Buffer.from(text) })),
    })
    const { errorCode } = await produce(client, topic, batch, { partition: i % partitions })
    if (errorCode !== Errors.NONE) throw new Error(`set-up: ${topic}: error ${errorCode}`)
  }
}

async function join(
  client: WireClient,
  groupId: string,
  instanceId: string | null,
): Promise<KnownMember> {
  const member = new Member(client, groupId)
  member.instanceId = instanceId
  const { errorCode } = await member.join({ sessionTimeoutMs, rebalanceTimeoutMs: 1000 })
  if (errorCode !== Errors.NONE) throw new Error(`set-up: ${groupId}: error ${errorCode}`)
  await member.sync({ [member.memberId]: 'everything' })
  return { groupId, memberId: member.memberId, instanceId, generation: member.generation }
}

async function commitSimply(client: WireClient, groupId: string): Promise<void> {
  const row = {
    partitionIndex: 0,
    committedOffset: 2,
    committedLeaderEpoch: 0,
    commitTimestamp: -1,
    committedMetadata: 'half',
  }
  await client.request(OffsetCommit, 9, {
    groupId,
    generationIdOrMemberEpoch: -1,
    memberId: '',
    groupInstanceId: null,
    retentionTimeMs: -1,
    topics: [{ name: 'fuzz-plain', partitions: [row] }],
  })
}
