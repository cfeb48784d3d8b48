/**
 * `odradek groups describe --timeline`: what happened in a group lately. The Kafka protocol has no word for it, so the
 * broker is asked over HTTP; whether it is the same one is checked by the id of its cluster.
 */
import { askBroker, BrokerRefusal } from './ask-broker.ts'
import type { DescribeFlags } from './groups.ts'
import { print, printTable } from './output.ts'

export interface TimelineRow {
  /** ISO, UTC. */
  readonly time: string | null
  readonly event: string
  readonly generation: number
  readonly memberId: string | null
  readonly groupInstanceId: string | null
  readonly clientId: string | null
  readonly clientHost: string | null
  readonly detail: string
  readonly decidedBy: string | null
  readonly elapsedMs: number | null
  readonly times: number
}

interface Answer {
  readonly cluster_id?: string
  readonly timeline?: readonly {
    readonly time: string | null
    readonly event: string
    readonly generation: number
    readonly member_id: string | null
    readonly group_instance_id: string | null
    readonly client_id: string | null
    readonly client_host: string | null
    readonly detail: string
    readonly decided_by: string | null
    readonly elapsed_ms: number | null
    readonly times: number
  }[]
}

/** @param clusterId of the broker that the Kafka protocol reached. @throws Error when --admin is another's address */
export async function fetchTimeline(
  groupId: string,
  clusterId: string | null,
  { admin, bootstrap }: DescribeFlags,
): Promise<TimelineRow[]> {
  const cure = `give --admin URL, the HTTP address of the broker at ${bootstrap}`
  const path = `/v1/groups/${encodeURIComponent(groupId)}`
  const answer = await askBroker<Answer>(admin, path).catch((error: Error) => {
    if (!(error instanceof BrokerRefusal) || error.status !== 404) throw error
    throw new Error(`the broker at ${admin} does not know group ${groupId}: ${cure}`)
  })
  if (answer.timeline === undefined) {
    throw new Error(`${admin} is no odradek broker, or an older one: ${cure}`)
  }
  if (answer.cluster_id !== clusterId) {
    throw new Error(
      `the broker at ${admin} is another one, it has a group ${groupId}, too: ${cure}`,
    )
  }
  return answer.timeline.map(row => ({
    time: row.time,
    event: row.event,
    generation: row.generation,
    memberId: row.member_id,
    groupInstanceId: row.group_instance_id,
    clientId: row.client_id,
    clientHost: row.client_host,
    detail: row.detail,
    decidedBy: row.decided_by,
    elapsedMs: row.elapsed_ms,
    times: row.times,
  }))
}

export async function printTimeline(rows: readonly TimelineRow[]): Promise<void> {
  if (rows.length === 0) {
    return print('no events: nobody has joined or left since the broker was started')
  }
  await printTable(rows, [
    ['time', row => row.time ?? '?'],
    ['event', row => row.event],
    ['gen', row => row.generation],
    ['member', row => shortId(row.memberId)],
    ['after', row => duration(row.elapsedMs)],
    ['what', row => (row.times > 1 ? `${row.detail} (${row.times} times)` : row.detail)],
    ['decided by', row => row.decidedBy ?? ''],
  ])
}

/** Member ids end in a UUID, of which eight digits tell members apart. */
function shortId(memberId: string | null): string {
  return memberId?.replace(/(-[0-9a-f]{8})(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, '$1') ?? ''
}

function duration(ms: number | null): string {
  if (ms === null) return ''
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`
}
