/**
 * Settings of the consumer instances of HTTP: rows of the table of settings (settings.ts), and what they become. Names
 * are those of Confluent's REST Proxy where it has them. No state.
 */
import { int, long, type Value } from './kinds.ts'
import type { Setting } from './settings.ts'

const MIB = 1024 * 1024
const row = (setting: Omit<Setting, 'section' | 'effect' | 'kafkaDefault'>): Setting => ({
  ...setting,
  section: 'groups',
  effect: 'acts',
  kafkaDefault: null,
})

export const consumerSettings: readonly Setting[] = [
  row({
    key: 'consumer.instance.timeout.ms',
    kind: long(1, 2147483647),
    default: 300_000,
    doc:
      'A consumer instance (HTTP) of which nothing is asked for so long leaves its group. Calls to it are answered ' +
      '410 Gone from then on.',
  }),
  row({
    key: 'consumer.request.timeout.ms',
    kind: int(0, 60_000),
    default: 1000,
    doc: 'How long a call for records waits for some, when neither it nor its consumer instance says.',
  }),
  row({
    key: 'consumer.request.max.bytes',
    kind: int(1024, 64 * MIB),
    default: 4 * MIB,
    doc: 'Keys and values in one answer of a consumer instance, whatever the call asks for. One record is always given.',
  }),
  row({
    key: 'consumer.instances.max',
    kind: int(0, 100_000),
    default: 1000,
    doc: 'Consumer instances (HTTP) of all groups. More are refused.',
  }),
  row({
    key: 'consumer.instances.per.group.max',
    kind: int(0, 100_000),
    default: 250,
    doc: 'Consumer instances (HTTP) of one group. More are refused.',
  }),
]

export interface ConsumerConfig {
  readonly idleMs: number
  readonly requestTimeoutMs: number
  readonly requestBytesMax: number
  readonly instancesMax: number
  readonly instancesPerGroupMax: number
}

export function consumerConfig(values: ReadonlyMap<string, Value>): ConsumerConfig {
  const number = (key: string) => values.get(key) as number
  return {
    idleMs: number('consumer.instance.timeout.ms'),
    requestTimeoutMs: number('consumer.request.timeout.ms'),
    requestBytesMax: number('consumer.request.max.bytes'),
    instancesMax: number('consumer.instances.max'),
    instancesPerGroupMax: number('consumer.instances.per.group.max'),
  }
}
