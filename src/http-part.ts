/** What the broker shows and lets do over HTTP: wires the HTTP listener to the parts. Dispatcher thread. */
import { groupLags, listGroups, viewGroup } from './admin/group-views.ts'
import type { Parts } from './broker.ts'
import { boundLabels } from './http/bound-labels.ts'
import type { HttpListener, Readiness } from './http/server.ts'
import { bindPort } from './net/bind-port.ts'
import { type Hosted, nameOf } from './partitions/hosted.ts'
import { emptyOffsetView, PartitionState } from './partitions/offset-table.ts'
import { refreshGauges } from './refresh-gauges.ts'
import { packageVersion } from './version.ts'

const view = emptyOffsetView()

/** Loads the HTTP listener and starts it. */
export async function startHttpPart(
  parts: Parts,
  metricsMemory: SharedArrayBuffer,
): Promise<HttpListener> {
  const { config, services, host, log } = parts
  const { startHttp } = await import('./http/server.ts')
  return await bindPort('http', () =>
    startHttp({
      config: { http: config.http, advertised: config.advertised },
      version: packageVersion(),
      broker: {
        clusterId: services.clusterId,
        nodeId: services.nodeId,
        ...services.advertised,
      },
      metricsMemory,
      metrics: services.metrics,
      refreshGauges: () => refreshGauges(services, host, parts.listener),
      connectionsMax: parts.descriptors.httpConnections,
      readiness: () => readiness(parts),
      recoverPartition: async (topic, index) => {
        const partition = services.topics.get(topic)?.partitions[index]
        return partition === undefined ? null : await host.recover(partition)
      },
      groups: {
        list: () => listGroups(services),
        view: groupId => viewGroup(services, groupId),
        lags: () => boundLabels(groupLags(services), config.limits.metricLabelsMax),
      },
      log,
    }),
  )
}

function readiness(parts: Parts): Readiness {
  const { host, serving } = parts
  const unavailable: string[] = []
  const { directoryReason } = host.offline
  const reasons = directoryReason === null ? [] : [directoryReason]
  for (const hosted of host.hosted()) {
    const reason = whyUnavailable(hosted, parts)
    if (reason === null) continue
    unavailable.push(nameOf(hosted))
    reasons.push(`${nameOf(hosted)}: ${reason}`)
  }
  return { serving, unavailable, reasons }
}

/** Why it takes no records; null when it does. */
function whyUnavailable(hosted: Hosted, { host, dispatcher }: Parts): string | null {
  const { slot, generation, state } = hosted.partition
  const reason = host.offline.reasonOf(hosted)
  if (reason !== null) return reason
  if (state !== 'online') return state
  if (!dispatcher.offsets.read(slot, generation, view)) return 'opening'
  // Its owner tells the reason in a moment.
  if (view.state === PartitionState.offline) return 'offline'
  return view.state === PartitionState.readOnly ? 'read-only: there is no room on the disk' : null
}
