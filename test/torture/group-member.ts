/**
 * A member of a group, as a process: reads its part, notes what it has processed, commits it, again and again, through
 * lost connections, rebalances and restarts of the broker, until it is killed.
 *
 *   node group-member.ts BOOTSTRAP GROUP TOPIC PARTITIONS NOTES [INSTANCE]
 */
import { setTimeout as delay } from 'node:timers/promises'
import { RecordCursor } from '../../src/client/record-cursor.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { Heartbeat } from '../../src/protocol/messages/heartbeat.ts'
import { JoinGroup } from '../../src/protocol/messages/join-group.ts'
import { OffsetCommit } from '../../src/protocol/messages/offset-commit.ts'
import { OffsetFetch } from '../../src/protocol/messages/offset-fetch.ts'
import { SyncGroup } from '../../src/protocol/messages/sync-group.ts'
import type { ResponseOf } from '../../src/protocol/schema.ts'
import { ConnectionClosed, WireClient } from '../support/wire-client.ts'
import { NoteWriter, nowMs } from './group-notes.ts'
import { fetchPartition } from './load-reader.ts'

const [bootstrap, groupId, topic, partitionText, notesPath, instanceText] = process.argv.slice(2)
const partitionCount = Number(partitionText)
const groupInstanceId = instanceText ?? null
const notes = new NoteWriter(notesPath)

const sessionTimeoutMs = 1500
const rebalanceTimeoutMs = 3000
const heartbeatMs = 150
const retryMs = 30
const recordsMax = 40

/** Another one has our instance id: this process is superfluous. */
class Fenced extends Error {}
/** The group goes on without what we know: join again. */
class JoinAgain extends Error {}

let memberId = ''
let generation = -1
/** Next offset to process of each partition of ours. */
const positions = new Map<number, number>()
/** What is committed, as far as we know. */
const committed = new Map<number, number>()

/** Takes an answer apart: NONE, or one of the ways to go on. */
function check(errorCode: number): void {
  if (errorCode === Errors.NONE) return
  notes.add({ kind: 'error', name: errorName(errorCode) })
  if (errorCode === Errors.FENCED_INSTANCE_ID) throw new Fenced()
  if (errorCode === Errors.UNKNOWN_MEMBER_ID) memberId = ''
  throw new JoinAgain()
}

async function join(client: WireClient): Promise<ResponseOf<typeof JoinGroup>> {
  const answer = await client.request(JoinGroup, 9, {
    groupId,
    sessionTimeoutMs,
    rebalanceTimeoutMs,
    memberId,
    groupInstanceId,
    protocolType: 'consumer',
    protocols: [{ name: 'spread', metadata: Buffer.from(topic) }],
    reason: null,
  })
  if (answer.errorCode === Errors.MEMBER_ID_REQUIRED) {
    memberId = answer.memberId
    return await join(client)
  }
  check(answer.errorCode)
  memberId = answer.memberId
  generation = answer.generationId
  return answer
}

/** The leader's work: partitions in turn. */
function spread(members: readonly { readonly memberId: string }[]) {
  return members.map(({ memberId: id }, index) => {
    const mine = Array.from({ length: partitionCount }, (_, partition) => partition).filter(
      partition => partition % members.length === index,
    )
    return { memberId: id, assignment: Buffer.from(JSON.stringify(mine)) }
  })
}

/** Joins, and finds out where to go on. */
async function begin(client: WireClient): Promise<void> {
  const startMs = nowMs()
  const joined = await join(client)
  const leads = joined.leader === memberId && !joined.skipAssignment
  const answer = await client.request(SyncGroup, 5, {
    groupId,
    generationId: generation,
    memberId,
    groupInstanceId,
    protocolType: joined.protocolType,
    protocolName: joined.protocolName,
    assignments: leads ? spread(joined.members) : [],
  })
  check(answer.errorCode)
  const endMs = nowMs()
  const text = answer.assignment.toString()
  const partitions = (text === '' ? [] : JSON.parse(text)) as number[]
  const who = { generation, memberId, groupInstanceId }
  notes.add({ kind: 'part', startMs, endMs, ...who, partitions })
  positions.clear()
  committed.clear()
  if (partitions.length > 0) await find(client, partitions)
}

async function find(client: WireClient, partitionIndexes: number[]): Promise<void> {
  const startMs = nowMs()
  const topics = [{ name: topic, partitionIndexes }]
  const group = { groupId, memberId: null, memberEpoch: -1, topics }
  const answer = await client.request(OffsetFetch, 9, {
    groupId: '',
    topics: null,
    groups: [group],
    requireStable: true,
  })
  const [{ errorCode, topics: rows }] = answer.groups
  check(errorCode)
  const endMs = nowMs()
  for (const { partitionIndex: partition, committedOffset: offset } of rows[0].partitions) {
    notes.add({ kind: 'found', startMs, endMs, partition, offset })
    positions.set(partition, Math.max(0, offset))
    committed.set(partition, Math.max(0, offset))
  }
}

async function heartbeat(client: WireClient): Promise<void> {
  const request = { groupId, generationId: generation, memberId, groupInstanceId }
  const { errorCode } = await client.request(Heartbeat, 4, request)
  if (errorCode === Errors.REBALANCE_IN_PROGRESS) await commitAll(client)
  check(errorCode)
}

/** Reads on, and notes what it has processed. */
async function readOn(client: WireClient, partition: number, from: number): Promise<void> {
  const row = await fetchPartition(client, { topic, partition }, from, 0)
  if (row.errorCode !== Errors.NONE) {
    notes.add({ kind: 'error', name: errorName(row.errorCode) })
    return
  }
  const bytes = row.records ?? Buffer.alloc(0)
  const cursor = new RecordCursor().reset(Buffer.from(bytes), from)
  let to = from
  for (let count = Math.ceil(Math.random() * recordsMax); count > 0 && cursor.advance(); count--)
    to = cursor.offset + 1
  if (to === from) return
  notes.add({ kind: 'processed', partition, from, to })
  positions.set(partition, to)
}

async function commitAll(client: WireClient): Promise<void> {
  for (const [partition, offset] of positions) {
    if (committed.get(partition) === offset) continue
    notes.add({ kind: 'sent', startMs: nowMs(), generation, partition, offset })
    const row = {
      partitionIndex: partition,
      committedOffset: offset,
      committedLeaderEpoch: -1,
      commitTimestamp: -1,
      committedMetadata: memberId,
    }
    const answer = await client.request(OffsetCommit, 9, {
      groupId,
      generationIdOrMemberEpoch: generation,
      memberId,
      groupInstanceId,
      retentionTimeMs: -1,
      topics: [{ name: topic, partitions: [row] }],
    })
    const { errorCode } = answer.topics[0].partitions[0]
    if (errorCode === Errors.NONE) notes.add({ kind: 'acked', endMs: nowMs() })
    check(errorCode)
    committed.set(partition, offset)
  }
}

async function work(client: WireClient): Promise<void> {
  let heardMs = nowMs()
  for (;;) {
    for (const [partition, position] of positions) await readOn(client, partition, position)
    if (Math.random() < 0.5) await commitAll(client)
    if (nowMs() - heardMs > heartbeatMs) {
      await heartbeat(client)
      heardMs = nowMs()
    }
    await delay(Math.random() * 10)
  }
}

// Whoever started it holds the other end: it does not outlive them.
process.stdin.on('end', () => process.exit()).resume()

async function live(): Promise<void> {
  const client = await WireClient.connect(bootstrap)
  try {
    for (;;) {
      try {
        await begin(client)
        await work(client)
      } catch (error) {
        if (!(error instanceof JoinAgain)) throw error
        await delay(Math.random() * retryMs)
      }
    }
  } finally {
    client.close()
  }
}

for (;;) {
  try {
    await live()
  } catch (error) {
    if (error instanceof Fenced) break
    const isLost =
      error instanceof ConnectionClosed || (error as { code?: unknown }).code !== undefined
    if (!isLost) throw error
    await delay(Math.random() * retryMs)
  }
}
