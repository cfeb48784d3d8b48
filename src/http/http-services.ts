/** What the HTTP listener needs of the broker. Built by broker.ts; dispatcher thread. Types only. */
import type { GroupSummary, GroupView } from '../admin/group-views.ts'
import type { Status } from '../admin/status.ts'
import type { TailConfig } from '../config/tail-settings.ts'
import type { OpenedPartition } from '../contracts/control.ts'
import type { Logger } from '../log.ts'
import type { ThreadMetrics } from '../metrics.ts'
import type { ReadPath } from '../net/arena-socket.ts'
import type { TaskPool } from '../task-pool.ts'
import type { AdminBackend } from './backend/admin-backend.ts'
import type { LogBackend } from './backend/log-backend.ts'
import type { ConsumerServices } from './rest/register-rest.ts'

export interface HttpServices {
  readonly config: {
    /** Port 0 lets the system choose. */
    readonly http: { readonly host: string; readonly port: number }
    /** What clients are told to dial; its host is accepted in Host headers. */
    readonly advertised?: { readonly host: string; readonly port: number } | null
  }
  /** Who answers: what clients of the Kafka port are told. */
  readonly broker: {
    readonly clusterId: string
    readonly nodeId: number
    readonly host: string
    readonly port: number
  }
  /** Version of the package, for `odradek_build_info`. */
  readonly version: string
  /** Metric sections of all threads. */
  readonly metricsMemory: SharedArrayBuffer
  /** The dispatcher's section: HTTP requests are counted here. */
  readonly metrics: ThreadMetrics
  /** Called before the metrics are read: sets gauges that are cheaper to compute then than to keep (arena use, ...). */
  refreshGauges(): void
  readiness(): Readiness
  /** How the broker is doing: the same object for all who ask within about a second. */
  status(): Promise<Status>
  /** Topics and their records. */
  readonly backend: LogBackend
  /** Changes of topics, configs and groups. */
  readonly admin: AdminBackend
  /** Brings an offline partition back; null when there is no such partition. See PartitionHost. */
  recoverPartition(topic: string, partition: number): Promise<OpenedPartition | null>
  readonly groups: {
    list(): readonly GroupSummary[]
    /** Null when there is no such group, a code of `Errors` when it cannot be told now. */
    view(groupId: string): GroupView | number | null
    /** Records that each group is behind; nothing when that would take long. */
    readonly lags: () => Iterable<readonly [groupId: string, records: number]>
  }
  /** Bounds of tails; the defaults of their settings when absent. */
  readonly tails?: TailConfig
  /** What consumer instances need; without it there are none. */
  readonly consumers?: ConsumerServices
  /** Unpacks bodies. */
  readonly tasks: Pick<TaskPool, 'run'>
  /** Of all request bodies under way, and of all answers to reads; defaults stand where they are used. */
  readonly bodyBytesMax?: number
  readonly answerBytesMax?: number
  /** Open at once; more are closed. Default 10,000. */
  readonly connectionsMax?: number
  readonly log: Logger
  /** How the hot path reads sockets; null or left out: there is none, fastify takes every request. */
  readonly fastPath?: ReadPath | null
  /** Shorter ones for tests; the defaults stand in server.ts. */
  readonly deadlines?: HttpDeadlines
}

export interface Readiness {
  /** False while starting, recovering and draining. */
  readonly serving: boolean
  /** Partitions that do not take records, as `topic-partition`. */
  readonly unavailable: readonly string[]
  /** Why, a line each: of the data directory as a whole, and of those partitions. */
  readonly reasons?: readonly string[]
}

export interface HttpDeadlines {
  /** From the first byte of a request to the end of its headers. */
  readonly headersMs: number
  /** From the first byte of a request to the end of its body. */
  readonly requestMs: number
  /** How often the two are checked. */
  readonly checkMs: number
  /** How long close() waits for answers under way. */
  readonly drainMs: number
}
