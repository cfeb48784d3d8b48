/**
 * Composition root: start() names every part in order, close() ends them in reverse. Dispatcher thread. Touches no
 * process-wide handler: several brokers live in one process. Signals are main.ts's and the CLI's business.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AdminService } from './admin/admin-service.ts'
import { LogDirectory } from './admin/log-directory.ts'
import { apiRows } from './apis/index.ts'
import type { ThreadedBroker } from './broker-thread/threaded-broker.ts'
import { systemClock } from './clock.ts'
import { type BrokerConfig, loadConfig } from './config/config.ts'
import { type Adopt, DataDirectory } from './data-directory.ts'
import { DescriptorBudget, descriptorLimit, openDescriptors } from './descriptors.ts'
import type { Dispatcher } from './dispatcher.ts'
import { FetchSessions } from './fetching/fetch-session.ts'
import { type GroupsPart, startGroups } from './groups-part.ts'
import type { HttpListener } from './http/server.ts'
import { startHttpPart } from './http-part.ts'
import { createLogger, type Logger } from './log.ts'
import { Metric } from './metrics.ts'
import { ApiTable } from './net/api-table.ts'
import { probeDirectRead, type ReadPath } from './net/arena-socket.ts'
import { bindPort } from './net/bind-port.ts'
import { Listener } from './net/kafka-listener.ts'
import type { OwnerThreadOptions } from './partitions/owner.ts'
import type { ThreadedPartitionHost } from './partitions/partition-host.ts'
import type { Progress } from './partitions/recovery-scans.ts'
import { Watchdog } from './partitions/watchdog.ts'
import type { Services } from './services.ts'
import type { TaskPool } from './task-pool.ts'
import { startThreads, type Threads } from './threads-part.ts'
import { ProducerIds } from './topics/producer-ids.ts'
import { TopicRegistry } from './topics/topic-registry.ts'
import { FileTopicStore } from './topics/topic-store.ts'

/** Answers already owed have this long to leave at close. */
const drainMs = 10_000
const checkpointMs = 5_000
const insecureReminderMs = 3_600_000

export interface BrokerOptions {
  /** `HOST:PORT` of the Kafka protocol; default `127.0.0.1:0` (a free port). */
  readonly kafka?: string
  /** `HOST:PORT` of HTTP, or false for none; default `127.0.0.1:0`. */
  readonly http?: string | false
  /** Where the logs live. Without it: a temporary directory that `close()` removes. */
  readonly dataDirectory?: string
  /** Owner threads; default `auto`, one less than the cores. */
  readonly workers?: number | 'auto'
  /** Any other setting by its key (config/odradek.yaml), e.g. `{ 'num.partitions': 4 }`. */
  readonly set?: Readonly<Record<string, string | number | boolean>>
  /** Default `warn`. */
  readonly logLevel?: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'
  readonly onProgress?: (progress: Progress) => void
  /** True: the broker gets a thread of its own, so that a busy program does not stall it. */
  readonly thread?: boolean
}

/** A broker in this process, on whatever thread. */
export interface RunningBroker extends AsyncDisposable {
  /** `host:port` for `bootstrap.servers`. */
  readonly bootstrap: string
  /** Base URL of the HTTP listener; null when there is none. */
  readonly httpUrl: string | null
  readonly dataDirectory: string
  /** Owner threads. */
  readonly workers: number
  readonly startedInMs: number
  /** Stops accepting, answers what is under way, flushes and closes every log, marks the directory clean. */
  close(): Promise<void>
}

/** @internal what only the process entry and tests give */
export interface BrokerHooks {
  readonly http?: boolean
  readonly onProgress?: (progress: Progress) => void
  /** Called when the Kafka port answers; HTTP comes up after it. */
  readonly onKafkaReady?: () => void
  /** Takes over a directory that Apache Kafka wrote; without it that is refused. */
  readonly adopt?: Adopt
  /** Forces a read path instead of probing for one. */
  readonly readPath?: ReadPath
  /** Heap and node options of owner threads: tests run them out of heap, or preload what breaks them. */
  readonly ownerThreads?: OwnerThreadOptions
  /** Between two looks of the watchdog at the owner threads. */
  readonly watchdogMs?: number
  /** From a partition's failure to the automatic try to bring it back. */
  readonly retryMs?: number
  /** Removed at close. */
  readonly temporaryDirectory?: string
}

/** A running broker. `await using broker = await startBroker()` closes it at the end of the block. */
export class Broker implements RunningBroker {
  readonly bootstrap: string
  readonly httpUrl: string | null
  readonly dataDirectory: string
  readonly workers: number
  readonly startedInMs: number
  readonly #parts: Parts
  #closing: Promise<void> | null = null

  /** @internal use `startBroker` */
  constructor(parts: Parts, startedInMs: number) {
    const { host, port } = parts.services.advertised
    this.bootstrap = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
    this.httpUrl = parts.http?.url ?? null
    this.dataDirectory = parts.directory.path
    this.workers = parts.config.workers
    this.startedInMs = startedInMs
    this.#parts = parts
  }

  close(): Promise<void> {
    this.#closing ??= closeParts(this.#parts)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Kafka connections open now. */
  get connections(): number {
    return this.#parts.listener.connectionCount
  }

  /** @internal parts that tests look into or break */
  get parts(): Parts {
    return this.#parts
  }
}

/** @internal */
export interface Parts {
  readonly config: BrokerConfig
  readonly hooks: BrokerHooks
  readonly log: Logger
  readonly directory: DataDirectory
  readonly dispatcher: Dispatcher
  readonly host: ThreadedPartitionHost
  readonly tasks: TaskPool
  readonly services: Services
  readonly groupsPart: GroupsPart
  readonly listener: Listener
  readonly descriptors: DescriptorBudget
  readonly timers: NodeJS.Timeout[]
  readonly watchdog: Watchdog
  http: HttpListener | null
  serving: boolean
}

/**
 * Starts a broker in this process: on this thread, or with `thread` on one of its own.
 * @throws an Error whose message names the culprit and the cure: bad setting, port in use, directory locked, ...
 */
export function startBroker(
  options: BrokerOptions & { readonly thread: true },
): Promise<ThreadedBroker>
export function startBroker(options?: BrokerOptions & { readonly thread?: false }): Promise<Broker>
export function startBroker(options?: BrokerOptions): Promise<RunningBroker>
export async function startBroker(options: BrokerOptions = {}): Promise<RunningBroker> {
  if (options.thread === true) {
    const { startThreadedBroker } = await import('./broker-thread/threaded-broker.ts')
    return startThreadedBroker(options)
  }
  const temporaryDirectory =
    options.dataDirectory === undefined ? await mkdtemp(join(tmpdir(), 'odradek-')) : undefined
  const config = loadConfig({
    flags: {
      kafka: options.kafka ?? '127.0.0.1:0',
      http: options.http === false ? undefined : (options.http ?? '127.0.0.1:0'),
      dataDir: options.dataDirectory ?? temporaryDirectory,
      workers: options.workers,
      logLevel: options.logLevel ?? 'warn',
    },
    set: options.set,
  })
  try {
    return await startBrokerWith(config, {
      http: options.http !== false,
      onProgress: options.onProgress,
      temporaryDirectory,
    })
  } catch (error) {
    if (temporaryDirectory !== undefined) {
      await rm(temporaryDirectory, { recursive: true, force: true })
    }
    throw error
  }
}

/** @internal as `startBroker`, from a loaded configuration */
export async function startBrokerWith(
  config: BrokerConfig,
  hooks: BrokerHooks = {},
): Promise<Broker> {
  const startedMs = performance.now()
  const log = createLogger({ level: config.logLevel })
  const readPath =
    hooks.readPath === undefined ? probeDirectRead() : Promise.resolve(hooks.readPath)
  const directory = await DataDirectory.open(config.dataDirectory, config.brokerId, hooks.adopt)
  const threads = startThreads(config, hooks, log, directory.path)
  try {
    const parts = await assemble(config, hooks, log, directory, threads, await readPath)
    hooks.onKafkaReady?.()
    if (hooks.http !== false) parts.http = await startHttpPart(parts, threads.metricsMemory)
    parts.serving = true
    return new Broker(parts, Math.round(performance.now() - startedMs))
  } catch (error) {
    await threads.host.close()
    threads.dispatcher.close()
    await threads.tasks.close()
    await directory.close()
    throw error
  }
}

/** Opens all logs, reads the groups, and makes what requests are served with. */
async function openServices(
  config: BrokerConfig,
  hooks: BrokerHooks,
  log: Logger,
  directory: DataDirectory,
  threads: Threads,
): Promise<{ services: Services; groupsPart: GroupsPart }> {
  const { dispatcher, host, tasks, metrics } = threads
  const warn = (message: string): void => log.warn(message)
  const topics = new TopicRegistry()
  const store = new FileTopicStore(directory.path, warn)
  const admin = new AdminService({
    config,
    dataDirectory: directory.path,
    nodeId: directory.brokerId,
    topics,
    store,
    host,
  })
  const producerIds = await ProducerIds.open(directory.path, warn)
  await host.prepare(await directory.takeCleanMark())
  await admin.start()
  host.opened()
  const groupsPart = await startGroups({
    config,
    dispatcher,
    topics,
    admin,
    log,
    metrics,
    onProgress: progress => hooks.onProgress?.(progress),
  })
  const services: Services = {
    config,
    clusterId: directory.clusterId,
    nodeId: directory.brokerId,
    advertised: { ...(config.advertised ?? config.kafka) },
    topics,
    admin,
    logDirectory: new LogDirectory(directory.path, host.owners),
    producerIds,
    fetchSessions: new FetchSessions(systemClock, config.limits.fetchSessionsMax),
    groups: groupsPart.groups,
    committed: groupsPart.committed,
    offsets: dispatcher.offsets,
    metrics,
    dispatcher,
    tasks,
  }
  return { services, groupsPart }
}

/** Opens all logs and then the Kafka port. */
async function assemble(
  config: BrokerConfig,
  hooks: BrokerHooks,
  log: Logger,
  directory: DataDirectory,
  threads: Threads,
  readPath: ReadPath,
): Promise<Parts> {
  const { dispatcher, host, tasks, metrics } = threads
  const { services, groupsPart } = await openServices(config, hooks, log, directory, threads)
  const descriptors = new DescriptorBudget({
    limit: descriptorLimit(),
    open: openDescriptors(),
    owners: config.workers,
    partitions: host.partitionCount,
  })
  const parts: { -readonly [K in keyof Parts]: Parts[K] } = {
    config,
    hooks,
    log,
    directory,
    dispatcher,
    host,
    tasks,
    services,
    groupsPart,
    listener: null as unknown as Listener,
    descriptors,
    timers: [],
    watchdog: null as unknown as Watchdog,
    http: null,
    serving: false,
  }
  parts.listener = makeListener(parts, readPath)
  const port = await bindPort('kafka', () =>
    parts.listener.listen(config.kafka.host, config.kafka.port),
  ).catch(async error => {
    await groupsPart.close()
    throw error
  })
  const advertised: { port: number } = services.advertised
  if (advertised.port === 0) advertised.port = port
  startTimers(parts)
  const watchdogMs = hooks.watchdogMs
  parts.watchdog = new Watchdog({ owners: host.owners, log, metrics, checkMs: watchdogMs })
  return parts
}

function makeListener(parts: Parts, readPath: ReadPath): Listener {
  const { config, descriptors, dispatcher, host } = parts
  const { limits } = config
  return new Listener({
    apis: new ApiTable(apiRows()),
    dispatcher,
    services: parts.services,
    metrics: parts.services.metrics,
    clock: systemClock,
    log: parts.log,
    readPath,
    limits: {
      ...limits,
      get connectionsMax() {
        return Math.min(limits.connectionsMax, descriptors.connectionsFor(host.partitionCount))
      },
      inFlightBytesMax: config.requestArenaBytes / 2,
    },
    httpUrl: () => parts.http?.url ?? null,
  })
}

function startTimers(parts: Parts): void {
  const { config, host, log, services, timers } = parts
  const checkpoint = setInterval(() => {
    host.saveCheckpoint().catch((error: unknown) => {
      log.warn(
        { err: error },
        'recovery checkpoint was not written: the next recovery takes longer',
      )
    })
  }, checkpointMs)
  timers.push(checkpoint.unref())
  if (config.defaultLog.flushPolicy === 'os') {
    log.warn('flush.policy is os: an acknowledged record may be lost when the machine crashes')
  }
  if (!config.exposed) return
  const remind = (): void =>
    log.warn(
      'listening beyond this machine without authentication (--insecure): anybody may read, write and delete',
    )
  services.metrics.set(Metric.insecureListener, 1)
  remind()
  timers.push(setInterval(remind, insecureReminderMs).unref())
}

async function closeParts(parts: Parts): Promise<void> {
  const { directory, dispatcher, groupsPart, hooks, host, listener, tasks, timers } = parts
  parts.serving = false
  for (const timer of timers) clearInterval(timer)
  parts.watchdog.stop()
  await parts.http?.close()
  groupsPart.stopServing()
  await listener.close(drainMs)
  await groupsPart.close()
  await host.saveCheckpoint().catch(() => {})
  const clean = await host.close()
  dispatcher.close()
  await tasks.close()
  if (clean) {
    await directory.putCleanMark().catch((error: unknown) => {
      parts.log.warn({ err: error }, 'clean stop was not marked: the next start checks the logs')
    })
  }
  await directory.close()
  parts.log.flush()
  if (hooks.temporaryDirectory !== undefined) {
    await rm(hooks.temporaryDirectory, { recursive: true, force: true })
  }
}
