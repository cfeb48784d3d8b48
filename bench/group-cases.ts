/**
 * The cases of `bench groups`, each against a broker of its own: rebalances, commits, idle connections. Any answer with
 * an error, any partition without an owner and any lost connection fails the case: there is no figure of a failed run.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { cpuSecondsBetween, readProcessUsage } from '../src/load/process-usage.ts'
import { requestOnce } from '../src/load/wire-messages.ts'
import { ApiVersions } from '../src/protocol/messages/api-versions.ts'
import { CreateTopics } from '../src/protocol/messages/create-topics.ts'
import { Metadata } from '../src/protocol/messages/metadata.ts'
import { type Address, Line, openMany } from './group-line.ts'
import { checkAssignment, GroupMember, type GroupShape, Round } from './group-members.ts'
import type { MeasuredServer } from './server-process.ts'

export const benchTopic = 'orders'
const settleMs = 1000
const stillBytes = 500_000
const triesMax = 8

export interface RoundFigures {
  readonly elapsedMs: number
  readonly cpuSeconds: number
}

export interface RebalanceFigures {
  readonly initial: readonly RoundFigures[]
  readonly rejoin: readonly RoundFigures[]
  readonly newcomer: readonly RoundFigures[]
  readonly leaver: readonly RoundFigures[]
  /** Heap of the broker that a member keeps, its connection included. */
  readonly memberKilobytes: number
}

export interface RebalanceSettings {
  readonly memberCount: number
  readonly partitionCount: number
  readonly heartbeatMs: number
  readonly roundCount: number
}

export async function createBenchTopic(address: Address, partitionCount: number): Promise<void> {
  const topic = {
    name: benchTopic,
    numPartitions: partitionCount,
    replicationFactor: 1,
    assignments: [],
    configs: [],
  }
  const request = { topics: [topic], timeoutMs: 60_000, validateOnly: false }
  const { topics } = await requestOnce(address, CreateTopics, 7, request)
  if (topics[0]?.errorCode !== 0) throw new Error(`CreateTopics: ${topics[0]?.errorMessage}`)
}

/** A group is built at once, rebalances, gets one member more and loses it again, `roundCount` times each. */
export async function measureRebalances(
  server: MeasuredServer,
  { memberCount, partitionCount, heartbeatMs, roundCount }: RebalanceSettings,
): Promise<RebalanceFigures> {
  await createBenchTopic(server, partitionCount)
  const shape = { groupId: 'bench', topic: benchTopic, partitionCount, heartbeatMs }
  const before = await settledMemory(server)
  const members = await openMany(memberCount, () => GroupMember.connect(server, shape))
  const run = (among: readonly GroupMember[], first: (member: GroupMember) => boolean) =>
    measureRound(server, shape, among, first)
  const initial = [await run(members, () => true)]
  const after = await settledMemory(server)
  const memberKilobytes = (after.heapBytes - before.heapBytes) / memberCount / 1e3
  const figures = { initial, rejoin: [] as RoundFigures[], newcomer: [] as RoundFigures[] }
  const leaver: RoundFigures[] = []
  for (let round = 0; round < roundCount; round++) {
    figures.rejoin.push(await run(members, ({ isLeader }) => isLeader))
    const extra = await GroupMember.connect(server, shape)
    figures.newcomer.push(await run([...members, extra], member => member === extra))
    await extra.leave()
    extra.close()
    leaver.push(await run(members, () => false))
  }
  for (const member of members) member.close()
  return { ...figures, leaver, memberKilobytes }
}

async function measureRound(
  server: MeasuredServer,
  shape: GroupShape,
  members: readonly GroupMember[],
  joinsFirst: (member: GroupMember) => boolean,
): Promise<RoundFigures> {
  const newest = Math.max(...members.map(({ generation }) => generation))
  const round = new Round(members.length, newest)
  const usage = readProcessUsage(server.pid)
  await Promise.all(members.map(member => member.take(round, joinsFirst(member))))
  const cpuSeconds = cpuSecondsBetween(usage, readProcessUsage(server.pid))
  checkAssignment(members, shape)
  return { elapsedMs: round.elapsedMs, cpuSeconds }
}

export interface IdleFigures {
  readonly connectionCount: number
  /** Resident memory of the broker above that without them: as it is found, and after a full collection. */
  readonly foundMegabytes: number
  readonly settledMegabytes: number
  /** Heap of the broker that one of them keeps. */
  readonly heapKilobytes: number
}

/** What connections cost that have asked for versions and metadata and are silent since, for every count in turn. */
export async function measureIdle(
  server: MeasuredServer,
  counts: readonly number[],
): Promise<IdleFigures[]> {
  await createBenchTopic(server, 1)
  ;(await openIdle(server)).close()
  const base = await settledMemory(server)
  const figures: IdleFigures[] = []
  const lines: Line[] = []
  for (const connectionCount of counts) {
    lines.push(...(await openMany(connectionCount - lines.length, () => openIdle(server))))
    await sleep(settleMs)
    const found = readProcessUsage(server.pid)
    const settled = await settledMemory(server)
    figures.push({
      connectionCount,
      foundMegabytes: (found.rssBytes - base.rssBytes) / 1e6,
      settledMegabytes: (settled.rssBytes - base.rssBytes) / 1e6,
      heapKilobytes: (settled.heapBytes - base.heapBytes) / connectionCount / 1e3,
    })
  }
  let lost = 0
  for (const line of lines) if (line.isLost) lost++
  for (const line of lines) line.close()
  if (lost > 0) throw new Error(`${lost} idle connections were closed by the broker`)
  return figures
}

async function openIdle(address: Address): Promise<Line> {
  const line = await Line.open(address)
  const software = { clientSoftwareName: 'odradek-bench', clientSoftwareVersion: '1' }
  await line.ask(ApiVersions, 3, software)
  await line.ask(Metadata, 12, {
    topics: [{ topicId: 'AAAAAAAAAAAAAAAAAAAAAA', name: benchTopic }],
    allowAutoTopicCreation: false,
    includeClusterAuthorizedOperations: false,
    includeTopicAuthorizedOperations: false,
  })
  return line
}

export interface Memory {
  readonly rssBytes: number
  /** Of the dispatcher: objects, and the buffers they hold. */
  readonly heapBytes: number
}

/** What is in use when nothing goes on: collects garbage until the figure stands still (bench/collect-probe.ts). */
async function settledMemory(server: MeasuredServer): Promise<Memory> {
  const path = join(server.statsDirectory, 'heap.json')
  let last = Number.POSITIVE_INFINITY
  for (let tries = 0; ; tries++) {
    rmSync(path, { force: true })
    process.kill(server.pid, 'SIGUSR2')
    while (!existsSync(path)) await sleep(10)
    await sleep(settleMs)
    const { rssBytes } = readProcessUsage(server.pid)
    const { heapBytes } = JSON.parse(readFileSync(path, 'utf8')) as { heapBytes: number }
    if (Math.abs(last - rssBytes) < stillBytes || tries === triesMax) return { rssBytes, heapBytes }
    last = rssBytes
  }
}

function sleep(timeMs: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, timeMs))
}
