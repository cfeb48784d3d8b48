/** Settings of HTTP tails: rows of the table of settings (settings.ts), and what they become. No state. */
import { int, long, type Value } from './kinds.ts'
import type { Setting } from './settings.ts'

const KIB = 1024
const MIB = 1024 * 1024
const row = (setting: Omit<Setting, 'section' | 'effect' | 'kafkaDefault'>): Setting => ({
  ...setting,
  section: 'limits',
  effect: 'acts',
  kafkaDefault: null,
})

export const tailSettings: readonly Setting[] = [
  row({
    key: 'http.tails.max',
    kind: int(0, 100_000),
    default: 1000,
    doc: 'Open tails over HTTP, event streams and WebSockets together; more are answered 503.',
  }),
  row({
    key: 'http.tail.backlog.bytes',
    kind: int(64 * KIB, 64 * MIB),
    default: 256 * KIB,
    doc: 'Bytes a tail may leave unread, above which it is sent nothing more until it has read.',
  }),
  row({
    key: 'http.tails.backlog.bytes',
    kind: int(MIB, 1024 * MIB),
    default: 64 * MIB,
    doc: 'Bytes that all tails together may leave unread, above which those that do are sent nothing more.',
  }),
  row({
    key: 'http.tail.send.timeout.ms',
    kind: long(1000, 2147483647),
    default: 30_000,
    doc: 'A tail is ended with a reason when bytes have waited so long for its client to take them.',
  }),
  row({
    key: 'http.tail.heartbeat.ms',
    kind: long(100, 60_000),
    default: 15_000,
    doc:
      'A tail without records is sent a sign of life so often: a comment, or a WebSocket ping, whose pong must come before ' +
      'the next but one.',
  }),
  row({
    key: 'http.tail.reads.max',
    kind: int(1, 1000),
    default: 4,
    doc: 'Tails that are behind the end of the log and read by themselves at the same time; others wait for their turn.',
  }),
]

export interface TailConfig {
  readonly tailsMax: number
  readonly backlogBytes: number
  readonly totalBacklogBytes: number
  readonly sendTimeoutMs: number
  readonly heartbeatMs: number
  readonly readsMax: number
}

export function tailConfig(values: ReadonlyMap<string, Value>): TailConfig {
  const number = (key: string) => values.get(key) as number
  return {
    tailsMax: number('http.tails.max'),
    backlogBytes: number('http.tail.backlog.bytes'),
    totalBacklogBytes: number('http.tails.backlog.bytes'),
    sendTimeoutMs: number('http.tail.send.timeout.ms'),
    heartbeatMs: number('http.tail.heartbeat.ms'),
    readsMax: number('http.tail.reads.max'),
  }
}

/** For listeners that are built without a configuration. */
export const tailDefaults: TailConfig = tailConfig(
  new Map(tailSettings.map(({ key, default: value }) => [key, value as Value])),
)
