/**
 * The broker's configuration: defaults, then the YAML file, ODRADEK_… variables, --set, flags; the later wins.
 * What may be set, and to what, stands in settings.ts. The result is frozen. Runs once, before any thread starts.
 */
import { availableParallelism } from 'node:os'
import type { LogConfig } from '../contracts/log-config.ts'
import type { OwnerSettings } from '../contracts/owner-boot.ts'
import { type ConsumerConfig, consumerConfig } from './consumer-settings.ts'
import { type GroupConfig, groupConfig } from './group-settings.ts'
import {
  type Endpoint,
  expectation,
  formatEndpoint,
  formatValue,
  parseValue,
  type Value,
} from './kinds.ts'
import { type LimitConfig, limitConfig } from './limit-settings.ts'
import { type Setting, settings } from './settings.ts'
import { ConfigError, type ConfigSources, type RawValue, rawValues } from './sources.ts'
import { type TailConfig, tailConfig } from './tail-settings.ts'
import { topicConfigTable } from './topic-config-table.ts'
import { type TopicDefaults, toLogConfig, topicDefaults } from './topic-configs.ts'

export { ConfigError, type ConfigFlags, type ConfigSources } from './sources.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** One setting in force, for DescribeConfigs and for "where does this value come from". */
export interface SettingInForce {
  readonly setting: Setting
  readonly text: string
  /** Null for the default, else `--set`, `ODRADEK_WORKERS`, a file name, ... */
  readonly origin: string | null
}

export interface BrokerConfig {
  /** Kafka's `listeners` */
  readonly kafka: Endpoint
  readonly http: Endpoint
  /** Small produce requests are read by a parser of our own (`http.fast.path`). */
  readonly httpFastPath: boolean
  /** Kafka's `advertised.listeners`; null = what is listened on */
  readonly advertised: Endpoint | null
  /** True when some listener is reachable from other machines (only with `insecure`). */
  readonly exposed: boolean
  readonly insecure: boolean
  /** Kafka's `log.dir`, as given */
  readonly dataDirectory: string
  readonly brokerId: number
  readonly workers: number
  readonly requestArenaBytes: number
  readonly responseArenaBytes: number
  readonly limits: LimitConfig
  readonly tails: TailConfig
  readonly autoCreateTopics: boolean
  readonly deleteTopics: boolean
  readonly numPartitions: number
  readonly groups: GroupConfig
  readonly consumers: ConsumerConfig
  readonly logLevel: LogLevel
  /** What owner threads do by themselves; the data directory is filled in once it is opened. */
  readonly housekeeping: Omit<OwnerSettings, 'dataDirectory'>
  /** Text defaults of topic configs, by topic config name. */
  readonly topicDefaults: TopicDefaults
  readonly defaultLog: LogConfig
  /** Every setting with its value and origin, in documentation order. */
  readonly inForce: readonly SettingInForce[]
}

/**
 * Reads and checks the configuration. Throws ConfigError: one line that names the key, the bad value, where it was
 * set, and what would be right.
 */
export function loadConfig(sources: ConfigSources = {}): BrokerConfig {
  const raw = rawValues(sources)
  const values = new Map<string, Value>()
  const inForce: SettingInForce[] = []
  for (const setting of settings) {
    const given = raw.get(setting.key)
    const value = checked(setting, given)
    values.set(setting.key, value)
    const text = formatValue(setting.kind, value)
    inForce.push({ setting, text, origin: given === undefined ? null : given.origin })
  }
  const config = assemble(values, inForce)
  checkTogether(config, raw)
  return Object.freeze(config)
}

function checked(setting: Setting, given: RawValue | undefined): Value {
  const parsed = parseValue(setting.kind, given === undefined ? setting.default : given.value)
  if (parsed.ok) return parsed.value
  const shown = JSON.stringify(given?.value) ?? 'nothing'
  throw new ConfigError(
    `${setting.key}: ${shown.slice(0, 200)} (from ${given?.origin}) must be ${expectation(setting.kind)}`,
  )
}

function assemble(
  values: ReadonlyMap<string, Value>,
  inForce: readonly SettingInForce[],
): BrokerConfig {
  const endpoint = (key: string) => values.get(key) as Endpoint
  const number = (key: string) => values.get(key) as number
  const flag = (key: string) => values.get(key) as boolean
  const kafka = endpoint('listeners')
  const http = endpoint('http.listener')
  const workers = values.get('workers')
  const defaults = defaultsOfTopics(inForce)
  return {
    kafka,
    http,
    httpFastPath: flag('http.fast.path'),
    advertised: values.get('advertised.listeners') as Endpoint | null,
    exposed: !isLoopback(kafka.host) || !isLoopback(http.host),
    insecure: flag('insecure'),
    dataDirectory: values.get('log.dir') as string,
    brokerId: number('broker.id'),
    workers: workers === 'auto' ? Math.max(1, availableParallelism() - 1) : (workers as number),
    requestArenaBytes: number('request.arena.bytes'),
    responseArenaBytes: number('response.arena.bytes'),
    limits: limitConfig(values, isLoopback(kafka.host)),
    tails: tailConfig(values),
    autoCreateTopics: flag('auto.create.topics.enable'),
    deleteTopics: flag('delete.topic.enable'),
    numPartitions: number('num.partitions'),
    groups: groupConfig(values),
    consumers: consumerConfig(values),
    logLevel: values.get('log.level') as LogLevel,
    housekeeping: {
      retentionCheckMs: number('log.retention.check.interval.ms'),
      cleanerBackoffMs: number('log.cleaner.backoff.ms'),
      cleanerMapBytes: number('log.cleaner.dedupe.buffer.size'),
      cleanerBytesPerSecondMax: number('log.cleaner.io.max.bytes.per.second'),
      scrubIntervalMs: number('log.scrub.interval.ms'),
      scrubBytesPerSecondMax: number('log.scrub.io.max.bytes.per.second'),
      journalBytes: flag('journal.enable') ? number('journal.bytes') : 0,
      diskReserveBytes: number('disk.reserve.bytes'),
      producerIdleMsMax: number('producer.id.expiration.ms'),
      decompressedBytesMax: number('decompressed.max.bytes'),
    },
    topicDefaults: defaults,
    defaultLog: toLogConfig(new Map(), defaults),
    inForce: Object.freeze(inForce),
  }
}

function defaultsOfTopics(inForce: readonly SettingInForce[]): TopicDefaults {
  const byKey = new Map(inForce.map(({ setting, text }) => [setting.key, text]))
  const overrides = new Map<string, string>()
  for (const { name, serverKey } of topicConfigTable) {
    const text = serverKey === null ? undefined : byKey.get(serverKey)
    if (text !== undefined) overrides.set(name, text)
  }
  return topicDefaults(overrides)
}

/** Rules that span several settings. */
function checkTogether(config: BrokerConfig, raw: ReadonlyMap<string, RawValue>): void {
  refuseExposure('listeners', '--kafka', config.kafka, config.insecure)
  refuseExposure('http.listener', '--http', config.http, config.insecure)
  if (config.advertised === null && isWildcard(config.kafka.host))
    throw new ConfigError(
      `listeners: ${formatEndpoint(config.kafka)} is every address, clients need one to dial: ` +
        'give it with --advertise HOST:PORT',
    )
  if (config.advertised !== null && isWildcard(config.advertised.host))
    throw new ConfigError(
      `advertised.listeners: clients cannot dial ${config.advertised.host}: give a name or address of this machine`,
    )
  const order = (low: string, lowValue: number, high: string, highValue: number) => {
    if (lowValue <= highValue) return
    const culprit = raw.has(low) ? low : high
    throw new ConfigError(
      `${culprit}: ${low} (${lowValue}) must not exceed ${high} (${highValue}): lower the first or raise the second`,
    )
  }
  const { requestArenaBytes, responseArenaBytes, limits } = config
  const { frameBytesMax, fetchBytesMax, partitionsMax } = limits
  const batchBytesMax = config.defaultLog.batchBytesMax
  // A frame lies in one piece, and the largest must not need all of the arena to itself.
  const half = 'half of request.arena.bytes'
  order('socket.request.max.bytes', frameBytesMax, half, requestArenaBytes / 2)
  order('message.max.bytes', batchBytesMax, 'socket.request.max.bytes', frameBytesMax)
  order('fetch.max.bytes', fetchBytesMax, 'response.arena.bytes', responseArenaBytes)
  const { connectionBacklogBytesMax, backlogBytesMax } = limits
  const all = 'connections.backlog.bytes'
  order('connection.backlog.bytes', connectionBacklogBytesMax, all, backlogBytesMax)
  const { backlogBytes, totalBacklogBytes } = config.tails
  const allTails = 'http.tails.backlog.bytes'
  order('http.tail.backlog.bytes', backlogBytes, allTails, totalBacklogBytes)
  const { minCompactionLagMs, maxCompactionLagMs } = config.defaultLog
  const lag = 'log.cleaner.max.compaction.lag.ms'
  order('log.cleaner.min.compaction.lag.ms', minCompactionLagMs, lag, maxCompactionLagMs)
  const { sessionTimeoutMsMin, sessionTimeoutMsMax } = config.groups
  const [shortest, longest] = [
    'group.min.session.timeout.ms',
    'group.max.session.timeout.ms',
  ] as const
  order(shortest, sessionTimeoutMsMin, longest, sessionTimeoutMsMax)
  order('num.partitions', config.numPartitions, 'max.partitions', partitionsMax)
}

function refuseExposure(key: string, flag: string, endpoint: Endpoint, insecure: boolean): void {
  if (insecure || isLoopback(endpoint.host)) return
  throw new ConfigError(
    `${key}: ${formatEndpoint(endpoint)} can be reached from other machines and there is no authentication yet: ` +
      `use ${flag} 127.0.0.1:${endpoint.port}, or accept that with --insecure`,
  )
}

const isWildcard = (host: string) => host === '0.0.0.0' || /^(0*:)*:?0*$/.test(host)

/** Whether only this machine can reach the host. Names other than localhost count as reachable by others. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase()
  return name === 'localhost' || name === '::1' || /^(::ffff:)?127(\.\d{1,3}){3}$/.test(name)
}
