/**
 * Offset commits as consumers send them: every connection is the only member of a group of its own and commits one
 * offset after another, each when one before was answered. Frames are encoded once; only the offset is patched.
 */

import { Latencies } from '../src/load/latencies.ts'
import { cpuSecondsBetween, readProcessUsage } from '../src/load/process-usage.ts'
import { decodeResponse, encodeRequest } from '../src/load/wire-messages.ts'
import { Errors, errorName } from '../src/protocol/errors.ts'
import { OffsetCommit } from '../src/protocol/messages/offset-commit.ts'
import { benchTopic, createBenchTopic } from './group-cases.ts'
import { openMany } from './group-line.ts'
import { GroupMember, Round } from './group-members.ts'
import type { MeasuredServer } from './server-process.ts'

const warmupMs = 2000
const version = 9
/** Stands for the offset in a frame; no group id or topic holds these bytes. */
const marker = 0x01_0203_0405_0607

export interface CommitSettings {
  readonly connectionCount: number
  /** Commits outstanding on each. */
  readonly inFlight: number
  /** Partitions in one commit. */
  readonly rowCount: number
  readonly seconds: number
}

export interface CommitFigures {
  readonly commitsPerSecond: number
  /** Of the slowest second of the window: what `sustained` rests on. */
  readonly slowestPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  /** Of the broker, all threads, for one commit. */
  readonly cpuMicroseconds: number
}

export async function measureCommits(
  server: MeasuredServer,
  settings: CommitSettings,
): Promise<CommitFigures> {
  await createBenchTopic(server, settings.rowCount)
  const load = new CommitLoad()
  const members = await openMany(settings.connectionCount, async index => {
    const groupId = `bench-${index}`
    const shape = { groupId, topic: benchTopic, partitionCount: 1, heartbeatMs: 100 }
    const member = await GroupMember.connect(server, shape)
    await member.take(new Round(1, -1), true)
    member.line.onFailure = error => load.fail(error)
    return { member, groupId }
  })
  const { inFlight, rowCount, seconds } = settings
  for (const { member, groupId } of members) load.start(member, groupId, rowCount, inFlight)
  try {
    await load.during(warmupMs)
    load.latencies.reset()
    const usage = readProcessUsage(server.pid)
    const startedMs = performance.now()
    const counts: number[] = []
    for (let second = 0; second < seconds; second++) counts.push(await load.during(1000))
    const elapsedMs = performance.now() - startedMs
    const cpuSeconds = cpuSecondsBetween(usage, readProcessUsage(server.pid))
    const commits = counts.reduce((sum, count) => sum + count, 0)
    return {
      commitsPerSecond: (commits / elapsedMs) * 1000,
      slowestPerSecond: Math.min(...counts),
      p50Ms: load.latencies.percentileMs(0.5),
      p99Ms: load.latencies.percentileMs(0.99),
      p999Ms: load.latencies.percentileMs(0.999),
      cpuMicroseconds: (cpuSeconds / commits) * 1e6,
    }
  } finally {
    load.isOver = true
    for (const { member } of members) member.close()
  }
}

class CommitLoad {
  readonly latencies = new Latencies()
  isOver = false
  #commits = 0
  #failure: Error | null = null

  fail(error: Error): void {
    this.#failure ??= error
  }

  /** @returns the commits answered in so long, as of a second */
  async during(timeMs: number): Promise<number> {
    const before = this.#commits
    const startedMs = performance.now()
    await new Promise(resolve => setTimeout(resolve, timeMs))
    if (this.#failure !== null) throw this.#failure
    return ((this.#commits - before) / (performance.now() - startedMs)) * 1000
  }

  start(member: GroupMember, groupId: string, rowCount: number, inFlight: number): void {
    const template = commitFrame(member, groupId, rowCount)
    /** The first answer, which is looked into; all others are the same bytes. */
    let good: Buffer | null = null
    let offset = 0
    const commit = (): void => {
      const frame = template.withOffset(++offset)
      const sentMs = performance.now()
      member.line.send(frame, answer => {
        this.latencies.observe(performance.now() - sentMs)
        this.#commits++
        if (good === null) good = this.#checked(answer)
        else if (!answer.equals(good)) this.#checked(answer)
        if (!this.isOver && this.#failure === null) commit()
      })
    }
    for (let count = 0; count < inFlight; count++) commit()
  }

  #checked(answer: Buffer): Buffer {
    const { topics } = decodeResponse(OffsetCommit, version, answer).response
    const refused = topics
      .flatMap(({ partitions }) => partitions)
      .find(row => row.errorCode !== Errors.NONE)
    if (refused !== undefined) this.fail(new Error(`OffsetCommit: ${errorName(refused.errorCode)}`))
    return Buffer.from(answer)
  }
}

function commitFrame({ memberId, generation }: GroupMember, groupId: string, rowCount: number) {
  const partitions = Array.from({ length: rowCount }, (_, partitionIndex) => ({
    partitionIndex,
    committedOffset: marker,
    committedLeaderEpoch: 0,
    commitTimestamp: -1,
    committedMetadata: '',
  }))
  const frame = encodeRequest(OffsetCommit, version, 1, {
    groupId,
    generationIdOrMemberEpoch: generation,
    memberId,
    groupInstanceId: null,
    retentionTimeMs: -1,
    topics: [{ name: benchTopic, partitions }],
  })
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(BigInt(marker))
  const places: number[] = []
  for (let at = frame.indexOf(bytes); at >= 0; at = frame.indexOf(bytes, at + 8)) places.push(at)
  return {
    /** A copy: the one before may still be on its way. */
    withOffset(offset: number): Buffer {
      const copy = Buffer.from(frame)
      for (const place of places) {
        copy.writeUInt32BE(Math.floor(offset / 2 ** 32), place)
        copy.writeUInt32BE(offset % 2 ** 32, place + 4)
      }
      return copy
    },
  }
}
