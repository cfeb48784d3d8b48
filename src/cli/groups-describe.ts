/** `odradek groups describe`: a group with its members, and where it stands in each partition. */
import type { Admin } from '../client/admin.ts'
import type { GroupDescription, GroupMember, GroupOffset } from '../client/admin-groups.ts'
import type { TimelineRow } from './group-timeline.ts'
import type { DescribeFlags } from './groups.ts'
import { count, plain, print, printJson, printTable } from './output.ts'

/** More names than this are counted only. */
const namesMax = 5

export async function describeGroup(
  admin: Admin,
  groupId: string,
  flags: DescribeFlags,
): Promise<void> {
  const group = await admin.groups.describe(groupId)
  const offsets = await admin.groups.offsets(group)
  const timeline = flags.timeline ? await timelineOf(admin, groupId, flags) : null
  if (flags.json) {
    const members = group.members.map(member => ({
      ...member,
      assignment: member.assignment && Array.from(member.assignment, toAssigned),
    }))
    printJson({ ...group, members, offsets, ...(timeline && { timeline }) })
    return
  }
  print(headline(group, offsets))
  if (group.members.length > 0) await printMembers(group.members)
  if (offsets.length > 0) await printOffsets(offsets)
  if (timeline === null) return
  const { printTimeline } = await import('./group-timeline.ts')
  print('')
  await printTimeline(timeline)
}

/** Who keeps it from being reset or deleted. */
export function busy({ groupId, members }: GroupDescription): string {
  const names = members
    .slice(0, namesMax)
    .map(({ clientId, host }) => plain(`${clientId || 'no client id'} at ${hostOf(host)}`))
  if (members.length > namesMax) names.push(`${members.length - namesMax} more`)
  const them = members.length === 1 ? 'it' : 'them'
  return `group ${groupId} has ${count(members.length, 'member')} (${names.join(', ')}): stop ${them} first`
}

/** As `0-2,5`. */
export function ranges(numbers: readonly number[]): string {
  const parts: string[] = []
  const ordered = [...numbers].sort((a, b) => a - b)
  for (let at = 0; at < ordered.length; ) {
    let end = at
    while (ordered[end + 1] === ordered[end] + 1) end++
    parts.push(end === at ? `${ordered[at]}` : `${ordered[at]}-${ordered[end]}`)
    at = end + 1
  }
  return parts.join(',')
}

async function timelineOf(
  admin: Admin,
  groupId: string,
  flags: DescribeFlags,
): Promise<readonly TimelineRow[]> {
  const { fetchTimeline } = await import('./group-timeline.ts')
  return await fetchTimeline(groupId, await admin.groups.clusterId(), flags)
}

function headline(group: GroupDescription, offsets: readonly GroupOffset[]): string {
  const { groupId, state, assignor, members, coordinator } = group
  const lags = offsets.map(({ lag }) => lag ?? 0)
  const facts = [
    state,
    count(members.length, 'member'),
    ...(assignor === '' ? [] : [`assignor ${assignor}`]),
    `lag ${lags.reduce((sum, lag) => sum + lag, 0)}`,
    `coordinator ${coordinator.nodeId} at ${coordinator.host}:${coordinator.port}`,
  ]
  return plain(`${groupId}: ${facts.join(', ')}`)
}

async function printMembers(members: readonly GroupMember[]): Promise<void> {
  print('')
  await printTable(members, [
    ['member', member => member.memberId],
    ['instance', member => member.groupInstanceId ?? '-'],
    ['client', member => member.clientId || '-'],
    ['host', member => hostOf(member.host)],
    ['assigned', member => assignedText(member)],
  ])
}

async function printOffsets(offsets: readonly GroupOffset[]): Promise<void> {
  print('')
  await printTable(offsets, [
    ['topic', row => row.topic],
    ['partition', row => row.partition],
    ['committed', row => committedText(row)],
    ['end', row => row.logEnd ?? '?'],
    ['lag', row => row.lag ?? (row.committed === null ? '-' : '?')],
    ['member', row => row.memberId ?? '-'],
  ])
}

/** Below the start of the log a consumer begins where its auto.offset.reset says. */
function committedText({ committed, logStart }: GroupOffset): string {
  if (committed === null) return '-'
  const isGone = logStart !== null && committed < logStart
  return isGone ? `${committed} (log starts at ${logStart})` : String(committed)
}

function assignedText({ assignment }: GroupMember): string {
  if (assignment === null) return '?'
  if (assignment.size === 0) return '-'
  return Array.from(assignment, ([topic, numbers]) => `${topic} ${ranges(numbers)}`).join('; ')
}

const toAssigned = ([topic, partitions]: readonly [string, readonly number[]]) => ({
  topic,
  partitions,
})

/** Kafka writes a slash before addresses. */
const hostOf = (host: string): string => host.replace(/^\//, '')
