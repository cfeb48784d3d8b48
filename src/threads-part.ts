/** Builds the dispatcher, the memory that all threads share, and the owner threads. Dispatcher thread. */
import { systemClock } from './clock.ts'
import type { BrokerConfig } from './config/config.ts'
import { descriptorLimit, sealedFilesPerOwner } from './descriptors.ts'
import { Dispatcher } from './dispatcher.ts'
import type { Logger } from './log.ts'
import { ThreadMetrics } from './metrics.ts'
import { OffsetTable } from './partitions/offset-table.ts'
import type { OwnerThreadOptions } from './partitions/owner.ts'
import { OwnerTasks } from './partitions/owner-tasks.ts'
import { ThreadedPartitionHost } from './partitions/partition-host.ts'
import { RecoveryCheckpoint } from './partitions/recovery-checkpoint.ts'
import { type Progress, RecoveryScans } from './partitions/recovery-scans.ts'
import { TaskPool } from './task-pool.ts'

export interface ThreadsHooks {
  readonly onProgress?: (progress: Progress) => void
  readonly ownerThreads?: OwnerThreadOptions
  readonly retryMs?: number
}

export interface Threads {
  readonly dispatcher: Dispatcher
  readonly host: ThreadedPartitionHost
  readonly tasks: TaskPool
  readonly metrics: ThreadMetrics
  readonly metricsMemory: SharedArrayBuffer
}

/** Shared memory, the dispatcher and the owner threads; nothing is opened yet. */
export function startThreads(
  config: BrokerConfig,
  hooks: ThreadsHooks,
  log: Logger,
  dataDirectory: string,
): Threads {
  const metricsMemory = new SharedArrayBuffer(ThreadMetrics.bytesFor(config.workers + 1))
  const metrics = new ThreadMetrics(metricsMemory, 0)
  const offsetTable = new SharedArrayBuffer(OffsetTable.bytesFor(config.limits.partitionsMax, 1))
  const offsets = new OffsetTable(offsetTable, config.limits.partitionsMax, 1)
  const dispatcher = new Dispatcher({
    index: 0,
    requestArenaBytes: config.requestArenaBytes,
    responseArenaBytes: config.responseArenaBytes,
    offsets,
    metrics,
    clock: systemClock,
  })
  const tasks = new TaskPool()
  const host = new ThreadedPartitionHost({
    dataDirectory,
    ownerCount: config.workers,
    memory: {
      requestArena: dispatcher.requests.sab,
      responseArena: dispatcher.responses.arena.sab,
      dispatcherDoorbells: dispatcher.doorbells,
      dispatcherIndex: 0,
      offsetTable,
      partitionsMax: config.limits.partitionsMax,
      metrics: metricsMemory,
      settings: { ...config.housekeeping, dataDirectory },
      sealedFilesMax: sealedFilesPerOwner(descriptorLimit(), config.workers),
    },
    dispatcher,
    metrics,
    clock: systemClock,
    log,
    tasks: new OwnerTasks(tasks),
    scans: new RecoveryScans(tasks, progress => hooks.onProgress?.(progress)),
    checkpoint: new RecoveryCheckpoint(dataDirectory),
    ownerThreads: hooks.ownerThreads,
    retryMs: hooks.retryMs,
  })
  dispatcher.start()
  return { dispatcher, host, tasks, metrics, metricsMemory }
}
