/**
 * Settings of what one client, and all together, can make the broker hold: rows of the table of settings (settings.ts),
 * and what they become. No state.
 */
import type { ReaderLimits } from '../protocol/reader.ts'
import { int, long, type Value } from './kinds.ts'
import type { Setting } from './settings.ts'

const MIB = 1024 * 1024
const INT_MAX = 2147483647
const row = (setting: Omit<Setting, 'section' | 'effect'>): Setting => ({
  ...setting,
  section: 'limits',
  effect: 'acts',
})

const requests: Setting[] = [
  row({
    key: 'socket.request.max.bytes',
    kind: int(64 * 1024, 512 * MIB),
    default: 32 * MIB,
    kafkaDefault: '104857600',
    doc: 'Largest request frame, at most half the request arena. A connection that announces a larger one is closed.',
  }),
  row({
    key: 'request.topics.max',
    kind: int(1, 1_000_000),
    default: 10_000,
    kafkaDefault: null,
    doc: 'Elements of the outermost list of a request: topics, resources, groups. A request with more closes its connection.',
  }),
  row({
    key: 'request.partitions.max',
    kind: int(1, 1_000_000),
    default: 100_000,
    kafkaDefault: null,
    doc: 'Partitions of all topics of one request together. A request with more closes its connection.',
  }),
  row({
    key: 'request.elements.max',
    kind: int(1, 10_000_000),
    default: 250_000,
    kafkaDefault: null,
    doc: 'Elements of all lists of one request together, however deep. A request with more closes its connection.',
  }),
  row({
    key: 'request.tags.max',
    kind: int(0, 1000),
    default: 16,
    kafkaDefault: null,
    doc: 'Tagged fields of one structure of a request. A request with more closes its connection.',
  }),
  row({
    key: 'request.tag.bytes.max',
    kind: int(0, 1024 * 1024),
    default: 4096,
    kafkaDefault: null,
    doc: 'Bytes of the tagged fields of one structure of a request. A request with more closes its connection.',
  }),
  row({
    key: 'id.max.bytes',
    kind: int(36, 32_000),
    default: 255,
    kafkaDefault: null,
    doc:
      'Longest client id, group id and group instance id. A longer client id closes its connection, a longer group id is ' +
      'answered INVALID_GROUP_ID.',
  }),
  row({
    key: 'decompressed.max.bytes',
    kind: int(1024 * 1024, 1024 * MIB),
    default: 16 * MIB,
    kafkaDefault: null,
    doc:
      'What a record batch may become where the broker decompresses it: for compaction, for a search by time, and when it is ' +
      'produced to a topic whose configs need a look at every record (there INVALID_RECORD). Others are stored unread.',
  }),
  row({
    key: 'fetch.max.bytes',
    kind: int(1024, 512 * MIB),
    default: 8 * MIB,
    kafkaDefault: '57671680',
    doc: 'Most record bytes in one fetch response, whatever the client asks for. A first batch above it is still sent.',
  }),
  row({
    key: 'max.incremental.fetch.session.cache.slots',
    kind: int(0, 100_000),
    default: 1000,
    doc: 'Most fetch sessions (KIP-227): consumers of many partitions name only what changed. Others fetch without one.',
  }),
]

const connections: Setting[] = [
  row({
    key: 'max.connections',
    kind: int(1),
    default: 10_000,
    kafkaDefault: '2147483647',
    doc: 'Open connections of the Kafka listener; more are closed at once.',
  }),
  row({
    key: 'max.connections.per.ip',
    kind: int(1, INT_MAX, 'auto'),
    default: 'auto',
    kafkaDefault: '2147483647',
    doc:
      'Open connections from one address; more are closed at once. auto: no limit on a listener that only this machine can ' +
      'reach, 1000 on others.',
  }),
  row({
    key: 'max.connection.creation.rate',
    kind: int(1, INT_MAX, 'auto'),
    default: 'auto',
    kafkaDefault: '2147483647',
    doc:
      'New connections a second; more wait for their turn before they are read. auto: no limit on a listener that only ' +
      'this machine can reach, 500 on others.',
  }),
  row({
    key: 'connections.max.idle.ms',
    kind: long(1000, 2147483647),
    default: 600_000,
    doc: 'A connection that sends nothing for so long is closed.',
  }),
  row({
    key: 'connection.requests.max',
    kind: int(1, 1_000_000),
    default: 4096,
    kafkaDefault: null,
    doc: 'Unanswered requests of one connection, above which its socket is not read.',
  }),
  row({
    key: 'connection.backlog.bytes',
    kind: int(64 * 1024),
    default: 8 * MIB,
    kafkaDefault: null,
    doc: 'Response bytes a client may leave unread, above which its requests wait.',
  }),
  row({
    key: 'connections.backlog.bytes',
    kind: int(1024 * 1024),
    default: 128 * MIB,
    kafkaDefault: null,
    doc: 'Response bytes that all clients together may leave unread, above which the requests of those who do wait.',
  }),
  row({
    key: 'connection.stall.timeout.ms',
    kind: long(100, 2147483647),
    default: 30_000,
    kafkaDefault: null,
    doc: 'A client is closed that takes none of its responses, or gets no further with a request, for so long.',
  }),
  row({
    key: 'max.partitions',
    kind: int(1, 65_536),
    default: 4096,
    kafkaDefault: null,
    doc: 'Partitions of all topics together.',
  }),
  row({
    key: 'metric.labels.max',
    kind: int(1, 100_000),
    default: 1000,
    kafkaDefault: null,
    doc: 'Series of a metric whose label clients choose, as the name of a group is. Above it all others are one, `other`.',
  }),
]

export const limitSettings: readonly Setting[] = [...requests, ...connections]

export interface LimitConfig {
  readonly frameBytesMax: number
  readonly reader: ReaderLimits
  readonly decompressedBytesMax: number
  readonly fetchBytesMax: number
  /** 0: none. */
  readonly fetchSessionsMax: number
  readonly connectionsMax: number
  /** Infinity: none. */
  readonly connectionsPerIpMax: number
  readonly connectionsPerSecondMax: number
  readonly connectionIdleMs: number
  readonly connectionRequestsMax: number
  readonly connectionBacklogBytesMax: number
  readonly backlogBytesMax: number
  readonly connectionStallMs: number
  readonly partitionsMax: number
  readonly metricLabelsMax: number
}

/** @param isLocal only this machine can reach the Kafka listener */
export function limitConfig(values: ReadonlyMap<string, Value>, isLocal: boolean): LimitConfig {
  const number = (key: string) => values.get(key) as number
  const unlessAuto = (key: string, elsewhere: number) => {
    const value = values.get(key)
    if (value !== 'auto') return value as number
    return isLocal ? Number.POSITIVE_INFINITY : elsewhere
  }
  return {
    frameBytesMax: number('socket.request.max.bytes'),
    reader: {
      topicsMax: number('request.topics.max'),
      partitionsMax: number('request.partitions.max'),
      elementsMax: number('request.elements.max'),
      tagsMax: number('request.tags.max'),
      tagBytesMax: number('request.tag.bytes.max'),
      clientIdBytesMax: number('id.max.bytes'),
    },
    decompressedBytesMax: number('decompressed.max.bytes'),
    fetchBytesMax: number('fetch.max.bytes'),
    fetchSessionsMax: number('max.incremental.fetch.session.cache.slots'),
    connectionsMax: number('max.connections'),
    connectionsPerIpMax: unlessAuto('max.connections.per.ip', 1000),
    connectionsPerSecondMax: unlessAuto('max.connection.creation.rate', 500),
    connectionIdleMs: number('connections.max.idle.ms'),
    connectionRequestsMax: number('connection.requests.max'),
    connectionBacklogBytesMax: number('connection.backlog.bytes'),
    backlogBytesMax: number('connections.backlog.bytes'),
    connectionStallMs: number('connection.stall.timeout.ms'),
    partitionsMax: number('max.partitions'),
    metricLabelsMax: number('metric.labels.max'),
  }
}
