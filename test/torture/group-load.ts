/**
 * Groups of member processes (group-member.ts) that read a topic, and what holds of their commits (group-ledger.ts).
 * Members live on when the broker dies; they are killed, stopped and started again one by one.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { ListOffsets } from '../../src/protocol/messages/list-offsets.ts'
import { OffsetCommit } from '../../src/protocol/messages/offset-commit.ts'
import { fetchOffsets } from '../groups/offsets-kit.ts'
import type { WireClient } from '../support/wire-client.ts'
import { Violation } from './checker.ts'
import { GroupLedger } from './group-ledger.ts'
import { NoteReader, nowMs } from './group-notes.ts'
import type { Random } from './random.ts'
import { until } from './watch.ts'

const program = fileURLToPath(new URL('./group-member.ts', import.meta.url))
const staleProbesMax = 3

export interface GroupPlan {
  readonly groupId: string
  readonly topic: string
  readonly partitionCount: number
  /** Of each member: null for a dynamic one. */
  readonly instanceIds: readonly (string | null)[]
  /** Where members write their notes. */
  readonly directory: string
}

interface Member {
  readonly child: ChildProcess
  readonly gone: Promise<unknown>
  readonly instanceId: string | null
}

export class GroupLoad {
  readonly ledger: GroupLedger
  readonly #plan: GroupPlan
  readonly #bootstrap: string
  readonly #notes = new Map<string, NoteReader>()
  readonly #members: Member[] = []
  #crashed: string | null = null
  #isOver = false

  /** `bootstrap` is the same in all lives of the broker. */
  constructor(plan: GroupPlan, bootstrap: string) {
    this.#plan = plan
    this.#bootstrap = bootstrap
    this.ledger = new GroupLedger(plan.groupId, plan.partitionCount)
    for (const instanceId of plan.instanceIds) this.#start(instanceId)
  }

  #start(instanceId: string | null): void {
    const { groupId, topic, partitionCount, directory } = this.#plan
    const name = `${groupId}-${this.#notes.size}`
    const path = join(directory, `${name}.notes`)
    this.#notes.set(name, new NoteReader(path))
    const args = [program, this.#bootstrap, groupId, topic, String(partitionCount), path]
    if (instanceId !== null) args.push(instanceId)
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'ignore', 'pipe'] })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.once('close', code => {
      if (code !== null && !this.#isOver) this.#crashed ??= `${name} ended (${code})\n${stderr}`
    })
    this.#members.push({ child, gone: once(child, 'close'), instanceId })
  }

  /** Kills a member and starts another one in its place. */
  async kill(random: Random): Promise<void> {
    const [member] = this.#members.splice(random.between(0, this.#members.length - 1), 1)
    member.child.kill('SIGKILL')
    await member.gone
    this.#start(member.instanceId)
  }

  /** Stops a member where it is; the returned function lets it go on. */
  freeze(random: Random): () => void {
    const { child } = random.pick(this.#members)
    child.kill('SIGSTOP')
    return () => child.kill('SIGCONT')
  }

  async end(): Promise<void> {
    this.#isOver = true
    for (const { child } of this.#members) child.kill('SIGKILL')
    await Promise.all(this.#members.map(({ gone }) => gone))
  }

  /** Reads what members have noted until now. Throws Violation. */
  look(): void {
    if (this.#crashed !== null) throw new Violation('unexpected', this.#crashed)
    const readMs = nowMs()
    const noted = [...this.#notes].map(([name, reader]) => [name, reader.next()] as const)
    this.ledger.take(new Map(noted), readMs)
  }

  /** Compares what the broker answers with what was promised, while members go on. Throws Violation. */
  async check(client: WireClient, random: Random): Promise<void> {
    const { groupId, topic, partitionCount } = this.#plan
    const keys = Array.from({ length: partitionCount }, (_, index) => `${topic}-${index}`)
    const startMs = nowMs()
    const found = await fetchOffsets(client, groupId, keys)
    for (const [partition, key] of keys.entries()) {
      const highWatermark = await endOf(client, topic, partition)
      if (found[key] > highWatermark) {
        const what = `${found[key]} is committed, the high watermark is ${highWatermark}`
        throw new Violation('phantom', `${groupId}, ${key}: ${what}`)
      }
    }
    this.look()
    for (const [partition, key] of keys.entries()) {
      this.ledger.checkFound({ partition, startMs, endMs: nowMs(), offset: found[key] })
    }
    await this.#probeStale(client, random)
  }

  /** Whoever comes with a generation that is over must not be able to commit. */
  async #probeStale(client: WireClient, random: Random): Promise<void> {
    const { groupId, topic } = this.#plan
    const { staleParts } = this.ledger
    for (let probes = Math.min(staleProbesMax, staleParts.length); probes > 0; probes--) {
      const { memberId, groupInstanceId, generation } = random.pick(staleParts)
      const row = {
        partitionIndex: 0,
        committedOffset: 0,
        committedLeaderEpoch: -1,
        commitTimestamp: -1,
        committedMetadata: 'stale',
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
      const name = `stale commits: ${errorName(errorCode)}`
      this.ledger.errors.set(name, (this.ledger.errors.get(name) ?? 0) + 1)
      if (errorCode !== Errors.NONE) continue
      const what = `${memberId} committed in generation ${generation}`
      throw new Violation('not-fenced', `${groupId}: ${what}`)
    }
  }

  /** Resolves when everything that is in the topic now is committed. Throws Violation when that takes too long. */
  async caughtUp(client: WireClient, timeoutMs: number): Promise<void> {
    const { groupId, topic, partitionCount } = this.#plan
    for (let partition = 0; partition < partitionCount; partition++) {
      const end = await endOf(client, topic, partition)
      const key = `${topic}-${partition}`
      const isThere = async () => {
        this.look()
        return (await fetchOffsets(client, groupId, [key]))[key] >= end || end === 0
      }
      await until(`${groupId} commits ${key} up to ${end}`, isThere, timeoutMs)
    }
  }
}

async function endOf(client: WireClient, topic: string, partition: number): Promise<number> {
  const asked = { partitionIndex: partition, currentLeaderEpoch: -1, timestamp: -1 }
  const answer = await client.request(ListOffsets, 5, {
    replicaId: -1,
    isolationLevel: 0,
    topics: [{ name: topic, partitions: [{ ...asked, maxNumOffsets: 1 }] }],
  })
  const { errorCode, offset } = answer.topics[0].partitions[0]
  if (errorCode === Errors.NONE) return offset
  throw new Violation('unexpected', `${topic}-${partition}: ${errorName(errorCode)}`)
}
