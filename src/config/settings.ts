/**
 * Every broker setting. One row is the whole truth: parsing (config.ts), the zod and JSON schemas (schema.ts), the
 * commented config/odradek.yaml and docs/configuration.md are derived from it. Topic configs that have a broker-wide
 * default come in from topic-config-table.ts under Kafka's broker key. No state.
 */
import { consumerSettings } from './consumer-settings.ts'
import { groupSettings } from './group-settings.ts'
import { housekeepingSettings } from './housekeeping-settings.ts'
import {
  boolean,
  type EndpointKind,
  int,
  type Kind,
  oneOf,
  type Scalar,
  type TextKind,
} from './kinds.ts'
import { limitSettings } from './limit-settings.ts'
import { tailSettings } from './tail-settings.ts'
import { topicConfigTable } from './topic-config-table.ts'

export type Section =
  | 'listeners'
  | 'storage'
  | 'threads'
  | 'limits'
  | 'topics'
  | 'groups'
  | 'operation'

export interface Setting {
  readonly key: string
  readonly section: Section
  readonly kind: Kind
  readonly default: Scalar
  /** Kafka's own default where odradek has another one; null where the key is odradek's; undefined where equal. */
  readonly kafkaDefault?: string | null
  /** Command line flag that sets it, `--data-dir`. */
  readonly flag?: string
  readonly effect: 'acts' | 'kept'
  readonly doc: string
}

const text = (what: string, pattern = /\S/): TextKind => ({ type: 'text', what, pattern })
const endpoint = (scheme: string, optional = false): EndpointKind => ({
  type: 'endpoint',
  scheme,
  optional,
})
const MIB = 1024 * 1024
const acts = 'acts' as const
const kept = 'kept' as const

const listeners: Setting[] = [
  {
    key: 'listeners',
    section: 'listeners',
    kind: endpoint('PLAINTEXT'),
    default: '127.0.0.1:9092',
    kafkaDefault: 'PLAINTEXT://:9092',
    flag: '--kafka',
    effect: acts,
    doc:
      'Where the Kafka protocol is served. Port 0 lets the system choose. An address that other ' +
      'machines can reach needs `insecure`.',
  },
  {
    key: 'advertised.listeners',
    section: 'listeners',
    kind: endpoint('PLAINTEXT', true),
    default: '',
    flag: '--advertise',
    effect: acts,
    doc: 'Address that clients are told to dial; empty means the one listened on.',
  },
  {
    key: 'http.listener',
    section: 'listeners',
    kind: endpoint('http'),
    default: '127.0.0.1:8082',
    kafkaDefault: null,
    flag: '--http',
    effect: acts,
    doc: 'Where HTTP is served: health, metrics.',
  },
  {
    key: 'http.fast.path',
    section: 'listeners',
    kind: boolean,
    default: true,
    kafkaDefault: null,
    effect: acts,
    doc:
      'Plain produce requests over HTTP are read by a parser of our own; false: node:http and ' +
      'fastify read every request. Slower by half, the same answers.',
  },
  {
    key: 'insecure',
    section: 'listeners',
    kind: boolean,
    default: false,
    kafkaDefault: null,
    flag: '--insecure',
    effect: acts,
    doc:
      'Allows listeners on addresses that other machines can reach although there is neither ' +
      'authentication nor TLS.',
  },
]

const storage: Setting[] = [
  {
    key: 'log.dir',
    section: 'storage',
    kind: text('a path'),
    default: './data',
    kafkaDefault: '/tmp/kafka-logs',
    flag: '--data-dir',
    effect: acts,
    doc: 'The data directory, relative to the working directory. One broker at a time.',
  },
  {
    key: 'broker.id',
    section: 'storage',
    kind: int(0),
    default: 0,
    kafkaDefault: '-1',
    flag: '--broker-id',
    effect: acts,
    doc: 'Number of this broker as clients see it. Kept in the data directory, which refuses another one.',
  },
]

const threads: Setting[] = [
  {
    key: 'workers',
    section: 'threads',
    kind: int(1, 64, 'auto'),
    default: 'auto',
    kafkaDefault: null,
    flag: '--workers',
    effect: acts,
    doc: 'Owner threads, each writing the logs of its own partitions. auto: processor cores less one, at least one.',
  },
  {
    key: 'request.arena.bytes',
    section: 'threads',
    kind: int(4 * MIB, 1024 * MIB),
    default: 64 * MIB,
    kafkaDefault: null,
    effect: acts,
    doc: 'Shared memory for requests in flight; when it is full, sockets are not read.',
  },
  {
    key: 'response.arena.bytes',
    section: 'threads',
    kind: int(4 * MIB, 1024 * MIB),
    default: 64 * MIB,
    kafkaDefault: null,
    effect: acts,
    doc: 'Shared memory for fetched records on their way to sockets.',
  },
]

const topics: Setting[] = [
  {
    key: 'auto.create.topics.enable',
    section: 'topics',
    kind: boolean,
    default: true,
    effect: acts,
    doc: 'Creates a topic when a client asks for the metadata of one that does not exist.',
  },
  {
    key: 'delete.topic.enable',
    section: 'topics',
    kind: boolean,
    default: true,
    effect: acts,
    doc: 'Whether topics can be deleted.',
  },
  {
    key: 'num.partitions',
    section: 'topics',
    kind: int(1, 65_536),
    default: 1,
    effect: acts,
    doc: 'Partitions of a topic that is created without a number.',
  },
  {
    key: 'default.replication.factor',
    section: 'topics',
    kind: int(1, 1),
    default: 1,
    effect: kept,
    doc: 'There is one copy of the data on one host.',
  },
]

const operation: Setting[] = [
  {
    key: 'log.level',
    section: 'operation',
    kind: oneOf('trace', 'debug', 'info', 'warn', 'error', 'silent'),
    default: 'info',
    kafkaDefault: null,
    flag: '--log-level',
    effect: acts,
    doc: 'How much goes to stderr.',
  },
]

/** Kafka's defaults of topic configs where odradek's differ. */
const kafkaTopicDefaults: ReadonlyMap<string, string | null> = new Map([
  ['flush.messages', '9223372036854775807'],
  ['flush.ms', '9223372036854775807'],
  ['flush.policy', null],
])

const topicDefaultSettings: Setting[] = topicConfigTable
  .filter(row => row.serverKey !== null)
  .map(row => ({
    key: row.serverKey as string,
    section: 'topics' as const,
    kind: row.kind,
    default: row.default,
    kafkaDefault: kafkaTopicDefaults.get(row.name),
    effect: row.effect,
    doc: `Default of the topic config ${row.name}. ${row.doc}`,
  }))
  .sort((a, b) => (a.key < b.key ? -1 : 1))

export const settings: readonly Setting[] = [
  ...listeners,
  ...storage,
  ...housekeepingSettings,
  ...threads,
  ...limitSettings,
  ...tailSettings,
  ...topics,
  ...topicDefaultSettings,
  ...groupSettings,
  ...consumerSettings,
  ...operation,
]
