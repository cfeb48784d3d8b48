/** Everything a request handler or an HTTP route may use. Built once by broker.ts; dispatcher thread. Types only. */
import type { AdminService } from './admin/admin-service.ts'
import type { LogDirectory } from './admin/log-directory.ts'
import type { BrokerConfig } from './config/config.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { FetchSessions } from './fetching/fetch-session.ts'
import type { CommittedOffsets } from './groups/committed-offsets.ts'
import type { GroupCoordinator } from './groups/coordinator.ts'
import type { ThreadMetrics } from './metrics.ts'
import type { OffsetTable } from './partitions/offset-table.ts'
import type { TaskPool } from './task-pool.ts'
import type { ProducerIds } from './topics/producer-ids.ts'
import type { TopicRegistry } from './topics/topic-registry.ts'

export interface Services {
  readonly config: BrokerConfig
  readonly clusterId: string
  readonly nodeId: number
  /** What clients are told to dial. Port 0 is resolved by then. */
  readonly advertised: { readonly host: string; readonly port: number }
  readonly topics: TopicRegistry
  readonly admin: AdminService
  readonly logDirectory: LogDirectory
  readonly producerIds: ProducerIds
  readonly fetchSessions: FetchSessions
  readonly groups: GroupCoordinator
  readonly committed: CommittedOffsets
  readonly offsets: OffsetTable
  readonly metrics: ThreadMetrics
  readonly dispatcher: Dispatcher
  readonly tasks: TaskPool
}
