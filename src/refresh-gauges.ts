/** Gauges that are cheaper to compute when somebody looks than to keep. Dispatcher thread. */
import { statfsSync } from 'node:fs'
import { getHeapStatistics } from 'node:v8'
import { labelled, Metric, type ThreadMetrics } from './metrics.ts'
import type { Listener } from './net/kafka-listener.ts'
import { emptyOffsetView, PartitionState } from './partitions/offset-table.ts'
import type { ThreadedPartitionHost } from './partitions/partition-host.ts'
import type { Services } from './services.ts'

const view = emptyOffsetView()

export function refreshGauges(
  services: Services,
  host: ThreadedPartitionHost,
  listener: Listener,
): void {
  const { metrics, dispatcher, topics, config } = services
  const states = { online: 0, opening: 0, offline: 0, 'read-only': 0 }
  for (const { slot, generation, state } of host.partitions()) {
    const known = services.offsets.read(slot, generation, view)
    if (known && view.state === PartitionState.readOnly) states['read-only']++
    else if (known && view.state === PartitionState.offline) states.offline++
    else if (state === 'online') states.online++
    else states[state === 'offline' ? 'offline' : 'opening']++
  }
  for (const [state, count] of Object.entries(states)) {
    metrics.set(labelled('partitions', state as keyof typeof states), count)
  }
  metrics.set(Metric.topics, topics.size)
  metrics.set(Metric.diskFreeBytes, freeBytes(config.dataDirectory))
  metrics.set(Metric.owners, host.owners.length)
  metrics.set(Metric.ownersUp, host.owners.filter(owner => owner.alive).length)
  metrics.set(Metric.requestsInFlight, listener.requestsInFlight)
  metrics.set(Metric.heapUsedBytes, getHeapStatistics().used_heap_size)
  metrics.set(Metric.busySeconds, performance.eventLoopUtilization().active / 1000)
  refreshGroups(services)
  metrics.set(Metric.httpFastPathShare, fastPathShare(metrics))
  metrics.set(Metric.purgatorySize, dispatcher.purgatory.fetchCount)
  const arenas = { request: dispatcher.requests, response: dispatcher.responses.arena }
  for (const [name, arena] of Object.entries(arenas)) {
    metrics.set(labelled('arenaBytes', name as keyof typeof arenas), arena.sab.byteLength)
    metrics.set(labelled('arenaUsedBytes', name as keyof typeof arenas), arena.usedBytes)
  }
}

const httpRequests = (['2xx', '3xx', '4xx', '5xx'] as const).map(status =>
  labelled('httpRequests', status),
)

function fastPathShare(metrics: ThreadMetrics): number {
  const requests = httpRequests.reduce((sum, id) => sum + metrics.get(id), 0)
  return requests === 0 ? 0 : metrics.get(Metric.httpFastRequests) / requests
}

function refreshGroups({ groups, committed, metrics }: Services): void {
  const states = { Empty: 0, PreparingRebalance: 0, CompletingRebalance: 0, Stable: 0 }
  let members = 0
  for (const group of groups.list()) {
    states[group.state as keyof typeof states]++
    members += group.members
  }
  for (const groupId of committed.groupIds()) if (!groups.has(groupId)) states.Empty++
  for (const [state, count] of Object.entries(states)) {
    metrics.set(labelled('groups', state as keyof typeof states), count)
  }
  metrics.set(Metric.groupMembers, members)
  metrics.set(Metric.committedOffsets, committed.count)
}

/** 0 when the file system does not say. */
function freeBytes(directory: string): number {
  try {
    const { bavail, bsize } = statfsSync(directory)
    return bavail * bsize
  } catch {
    return 0
  }
}
