/**
 * `odradek groups reset`: where a group goes on reading. Everything is looked up and checked first, then one commit
 * changes it: as nobody's commit it is refused by the broker when somebody has joined meanwhile.
 */
import {
  type Move,
  moveTo,
  parseTarget,
  type Standing,
  type Target,
} from '../admin/offset-moves.ts'
import type { Admin } from '../client/admin.ts'
import { UsageError } from './failure.ts'
import type { ResetFlags } from './groups.ts'
import { busy } from './groups-describe.ts'
import { count, print, printJson, printTable } from './output.ts'

export interface Wanted {
  /** Topic -> partitions, null for all of them; null: what the group has committed. */
  readonly topics: ReadonlyMap<string, ReadonlySet<number> | null> | null
  readonly target: Target
}

/** @throws UsageError */
export function checkResetFlags({ topic, allTopics, to, shiftBy }: ResetFlags): Wanted {
  if (allTopics === (topic !== undefined)) {
    throw new UsageError('give either --topic TOPIC[:P,P] or --all-topics')
  }
  if ((to === undefined) === (shiftBy === undefined)) {
    throw new UsageError('give either --to earliest|latest|OFFSET|ISO-TIME or --shift-by N')
  }
  const target: Target = to === undefined ? { kind: 'shift', by: shiftBy ?? 0 } : targetOf(to)
  return { topics: topic === undefined ? null : parseTopics(topic), target }
}

export async function resetGroup(
  admin: Admin,
  groupId: string,
  wanted: Wanted,
  { json, dryRun }: ResetFlags,
): Promise<void> {
  const group = await admin.groups.find(groupId)
  if (group !== null && group.members.length > 0) throw new Error(`${busy(group)}, then reset it`)
  const moves = (await standings(admin, groupId, wanted)).map(row => move(wanted.target, row))
  if (!dryRun) await admin.groups.commit(groupId, moves.map(toOffset))
  if (json) return printJson({ groupId, created: group === null, dryRun, offsets: moves })
  if (group === null) {
    print(`group ${groupId} ${dryRun ? 'does not exist, it would be made' : 'is new'}`)
  }
  await printTable(moves, [
    ['topic', row => row.topic],
    ['partition', row => row.partition],
    ['before', row => row.before ?? '-'],
    ['', () => '->'],
    ['after', row => row.after],
    ['log', row => `${row.logStart} to ${row.logEnd}`],
    ['note', row => row.note ?? ''],
  ])
  const what = count(moves.length, 'offset')
  print(dryRun ? `dry run: ${what} not changed` : `${what} set`)
}

function move(target: Target, standing: Standing): Move {
  const { topic, partition, committed } = standing
  if (target.kind !== 'shift' || committed !== null) return moveTo(target, standing)
  throw new Error(
    `${topic}-${partition}: nothing is committed that --shift-by could shift; give --to`,
  )
}

async function standings(
  admin: Admin,
  groupId: string,
  { topics, target }: Wanted,
): Promise<Standing[]> {
  const { groups } = admin
  const committed = await groups.committed(groupId)
  const partitions =
    topics === null
      ? new Map(Array.from(committed, ([topic, offsets]) => [topic, [...offsets.keys()]]))
      : await existing(admin, topics)
  if (partitions.size === 0) {
    throw new Error(`group ${groupId} has no committed offsets: give --topic TOPIC[:P,P]`)
  }
  const range = await groups.ranges(partitions)
  const isTimed = target.kind === 'time'
  const times = isTimed ? await groups.offsetsAt(partitions, target.timeMs) : null
  const rows: Standing[] = []
  for (const [topic, numbers] of partitions) {
    for (const partition of numbers.toSorted((a, b) => a - b)) {
      const { logStart, logEnd } = range(topic, partition)
      const atTime = times?.get(topic)?.get(partition) ?? null
      if (logStart === null || logEnd === null || (isTimed && atTime === null)) {
        const why = 'its log cannot be asked now, nothing was changed'
        throw new Error(`${topic}-${partition}: ${why}; GET /readyz of the broker says why`)
      }
      const offset = committed.get(topic)?.get(partition) ?? null
      rows.push({ topic, partition, committed: offset, logStart, logEnd, atTime })
    }
  }
  return rows
}

/** Partition numbers of what was asked for. @throws Error for what is not there */
async function existing(
  admin: Admin,
  topics: ReadonlyMap<string, ReadonlySet<number> | null>,
): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>()
  for (const [topic, asked] of topics) {
    const all = await admin.groups.partitionsOf(topic)
    for (const partition of asked ?? []) {
      if (all.includes(partition)) continue
      throw new UsageError(
        `--topic ${topic}:${partition}: topic ${topic} has partitions 0 to ${all.length - 1}`,
      )
    }
    found.set(topic, asked === null ? all : [...asked])
  }
  return found
}

function targetOf(text: string): Target {
  const target = parseTarget(text)
  if (target !== null) return target
  throw new UsageError(`--to ${text}: it must be earliest, latest, an offset or an ISO time`)
}

function parseTopics(texts: readonly string[]): Map<string, Set<number> | null> {
  const topics = new Map<string, Set<number> | null>()
  for (const text of texts) {
    const parts = /^(?<topic>[^:]+)(?::(?<numbers>\d{1,6}(?:,\d{1,6})*))?$/.exec(text)?.groups
    if (parts === undefined) {
      throw new UsageError(`--topic ${text}: it must be TOPIC or TOPIC:P,P, as in clicks:0,3`)
    }
    const { topic, numbers } = parts as { topic: string; numbers?: string }
    const before = topics.get(topic)
    if (numbers === undefined || before === null) topics.set(topic, null)
    else topics.set(topic, new Set([...(before ?? []), ...numbers.split(',').map(Number)]))
  }
  return topics
}

function toOffset({ topic, partition, after }: Move) {
  return { topic, partition, offset: after }
}
