/**
 * `odradek groups reset`: where a group goes on reading. Everything is looked up and checked first, then one commit
 * changes it: as nobody's commit it is refused by the broker when somebody has joined meanwhile.
 */
import type { Admin } from '../client/admin.ts'
import { UsageError } from './failure.ts'
import type { ResetFlags } from './groups.ts'
import { busy } from './groups-describe.ts'
import { count, print, printJson, printTable } from './output.ts'

/** Where to; `shift` counts from what is committed. */
export type Target =
  | { readonly kind: 'earliest' | 'latest' }
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'time'; readonly timeMs: number }
  | { readonly kind: 'shift'; readonly by: number }

export interface Wanted {
  /** Topic -> partitions, null for all of them; null: what the group has committed. */
  readonly topics: ReadonlyMap<string, ReadonlySet<number> | null> | null
  readonly target: Target
}

/** What is known of a partition before anything is changed. */
export interface Standing {
  readonly topic: string
  readonly partition: number
  readonly committed: number | null
  readonly logStart: number
  readonly logEnd: number
  /** First offset from the wanted time on, -1 when there is none; null when no time is wanted. */
  readonly atTime: number | null
}

export interface Move {
  readonly topic: string
  readonly partition: number
  readonly before: number | null
  readonly after: number
  readonly logStart: number
  readonly logEnd: number
  /** Why it is not what was asked for; null when it is. */
  readonly note: string | null
}

/** @throws UsageError */
export function checkResetFlags({ topic, allTopics, to, shiftBy }: ResetFlags): Wanted {
  if (allTopics === (topic !== undefined)) {
    throw new UsageError('give either --topic TOPIC[:P,P] or --all-topics')
  }
  if ((to === undefined) === (shiftBy === undefined)) {
    throw new UsageError('give either --to earliest|latest|OFFSET|ISO-TIME or --shift-by N')
  }
  const target: Target = to === undefined ? { kind: 'shift', by: shiftBy ?? 0 } : parseTarget(to)
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
  const moves = (await standings(admin, groupId, wanted)).map(row => moveTo(wanted.target, row))
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

/** Where one partition goes: always to an offset that its log has, or to its end. Pure. */
export function moveTo(target: Target, standing: Standing): Move {
  const { topic, partition, committed, logStart, logEnd, atTime } = standing
  const asked = askedOffset(target, standing)
  const after = Math.min(Math.max(asked, logStart), logEnd)
  let note: string | null = null
  if (target.kind === 'time' && atTime === -1) note = 'no record from then on: the end'
  else if (asked < logStart) note = `${asked} is before the start of the log`
  else if (asked > logEnd) note = `${asked} is beyond the end of the log`
  return { topic, partition, before: committed, after, logStart, logEnd, note }
}

function askedOffset(target: Target, standing: Standing): number {
  const { topic, partition, committed, logStart, logEnd, atTime } = standing
  switch (target.kind) {
    case 'earliest':
      return logStart
    case 'latest':
      return logEnd
    case 'offset':
      return target.offset
    case 'time':
      return atTime === null || atTime === -1 ? logEnd : atTime
    case 'shift':
      if (committed !== null) return committed + target.by
      throw new Error(
        `${topic}-${partition}: nothing is committed that --shift-by could shift; give --to`,
      )
  }
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

function parseTarget(text: string): Target {
  // `consume --from` calls them beginning and end.
  if (text === 'earliest' || text === 'beginning') return { kind: 'earliest' }
  if (text === 'latest' || text === 'end') return { kind: 'latest' }
  if (/^\d{1,15}$/.test(text)) return { kind: 'offset', offset: Number(text) }
  const timeMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(timeMs)) return { kind: 'time', timeMs }
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
