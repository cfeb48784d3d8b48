/**
 * Builds what serves consumer groups: the log they are kept in, the coordinator, the committed offsets. Dispatcher
 * thread. Groups are read before the Kafka port opens, so that nobody finds them empty.
 */
import { randomUUID } from 'node:crypto'
import type { AdminService } from './admin/admin-service.ts'
import type { BrokerConfig } from './config/config.ts'
import type { Dispatcher } from './dispatcher.ts'
import { CommittedOffsets } from './groups/committed-offsets.ts'
import { GroupCoordinator } from './groups/coordinator.ts'
import { GroupLog } from './groups/group-log.ts'
import type { TimelineEvent } from './groups/timeline.ts'
import type { GroupStore, LoadedGroups, OffsetRow } from './groups/types.ts'
import type { Logger } from './log.ts'
import { labelled, Metric, type ThreadMetrics } from './metrics.ts'
import { metricRows } from './metrics-table.ts'
import type { Progress } from './partitions/recovery-scans.ts'
import type { TopicRegistry } from './topics/topic-registry.ts'

/** What is under way to the log has this long at close. */
const drainMs = 5000

export interface GroupsPart {
  readonly store: GroupStore
  readonly groups: GroupCoordinator
  readonly committed: CommittedOffsets
  /** Members that wait are sent away; before connections are closed. */
  stopServing(): void
  /** What was committed is durable or refused; before the logs are closed. */
  close(): Promise<void>
}

export interface GroupsPartOptions {
  readonly config: BrokerConfig
  readonly dispatcher: Dispatcher
  readonly topics: TopicRegistry
  readonly admin: AdminService
  readonly log: Logger
  readonly metrics: ThreadMetrics
  readonly onProgress: (progress: Progress) => void
}

/** Resolves when all groups that can be read have been read. */
export async function startGroups(options: GroupsPartOptions): Promise<GroupsPart> {
  const { config, dispatcher, topics, admin, log, metrics, onProgress } = options
  const { clock } = dispatcher
  const warn = (message: string): void => log.warn(message)
  const store = new GroupLog({
    ...options,
    onLoaded(loaded: LoadedGroups) {
      groups.restore(loaded.groups)
      committed.restore(loaded)
    },
    onOffsets: (groupId: string, rows: readonly OffsetRow[]) => committed.apply(groupId, rows),
  })
  const limits = config.groups
  const onEvent = (event: TimelineEvent): void => countEvent(metrics, event)
  const groups = new GroupCoordinator({ clock, store, limits, newId: randomUUID, warn, onEvent })
  const hasTopic = (name: string): boolean => topics.get(name) !== undefined
  const committed = new CommittedOffsets({
    store,
    groups,
    config: limits,
    clock,
    hasTopic,
    onWarning: warn,
  })
  await store.load((doneBytes, totalBytes) =>
    onProgress({ what: 'consumer groups', doneBytes, totalBytes }),
  )
  admin.onDeleted = name => committed.topicDeleted(name)
  committed.start()
  return {
    store,
    groups,
    committed,
    stopServing: () => groups.close(),
    async close() {
      committed.close()
      await store.close(drainMs)
    },
  }
}

const memberEventIds: ReadonlyMap<string, number> = new Map(
  metricRows.groupMemberEvents.label.values.map(kind => [
    kind,
    labelled('groupMemberEvents', kind),
  ]),
)

function countEvent(metrics: ThreadMetrics, { kind, elapsedMs }: TimelineEvent): void {
  const memberEvent = memberEventIds.get(kind)
  if (memberEvent !== undefined) metrics.add(memberEvent, 1)
  else if (kind === 'rebalancing') metrics.add(Metric.groupRebalances, 1)
  else if (kind === 'stable') metrics.observe(Metric.groupRebalanceSeconds, (elapsedMs ?? 0) / 1000)
}
