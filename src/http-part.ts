/** What the broker shows and lets do over HTTP: wires the HTTP listener to the parts. Dispatcher thread. */
import { groupLags, listGroups, viewGroup } from './admin/group-views.ts'
import { StatusSampler } from './admin/status-sampler.ts'
import type { Parts } from './broker.ts'
import { systemClock } from './clock.ts'
import { LocalAdmin } from './http/backend/admin-backend.ts'
import { LocalGroupBackend } from './http/backend/group-backend.ts'
import { LocalBackend } from './http/backend/local-backend.ts'
import { boundLabels } from './http/bound-labels.ts'
import type { ConsumerServices } from './http/rest/register-rest.ts'
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
  const sampler = statusSampler(parts)
  const backend = new LocalBackend(services)
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
      fastPath: config.httpFastPath ? parts.listener.readPath : null,
      connectionsMax: parts.descriptors.httpConnections,
      tails: config.tails,
      consumers: consumerServices(parts),
      readiness: () => readiness(parts),
      status: () => sampler.status(),
      backend,
      tasks: services.tasks,
      admin: new LocalAdmin(services, backend),
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

/** Consumer instances are members next door: their heartbeats cost nothing, and they learn of a rebalance soon. */
function consumerServices({ config, services }: Parts): ConsumerServices {
  const { groups, committed, dispatcher } = services
  const { sessionTimeoutMsMin, sessionTimeoutMsMax } = config.groups
  const sessionTimeoutMs = Math.min(sessionTimeoutMsMax, Math.max(sessionTimeoutMsMin, 30_000))
  return {
    groups: new LocalGroupBackend({
      groups,
      committed,
      limits: config.groups,
      wallMs: () => dispatcher.clock.wallMs(),
    }),
    limits: config.consumers,
    sessionTimeoutMs,
    heartbeatMs: Math.min(500, Math.ceil(sessionTimeoutMs / 4)),
    clock: dispatcher.clock,
  }
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

function statusSampler(parts: Parts): StatusSampler {
  const { services, host, listener } = parts
  return new StatusSampler({
    services,
    owners: host.owners,
    hosted: () => host.hosted(),
    whyUnavailable: hosted => whyUnavailable(hosted, parts),
    kafkaConnections: () => listener.connectionCount,
    clock: systemClock,
  })
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
