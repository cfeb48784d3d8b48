/**
 * Topic configs as values: checks what clients send, fills in defaults, turns them into the LogConfig owner threads
 * use. The table itself is topic-config-table.ts. Dispatcher thread.
 */
import type { FlushPolicy, LogConfig } from '../contracts/log-config.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import { expectation, formatValue, parseValue, type Value } from './kinds.ts'
import { nearest } from './suggest.ts'
import { type TopicConfigRow, topicConfigTable } from './topic-config-table.ts'

const rows: ReadonlyMap<string, TopicConfigRow> = new Map(
  topicConfigTable.map(row => [row.name, row]),
)

/** Defaults of topic configs in text form, by topic config name: the table's, overridden by broker settings. */
export type TopicDefaults = ReadonlyMap<string, string>

/** setTimeout's limit; a longer interval is as good as never. */
const TIMER_MS_MAX = 2147483647

/** Kafka's limit of a stored config value. */
const TEXT_LENGTH_MAX = 32767

/**
 * Checks one config. Returns its value; throws KafkaError INVALID_CONFIG that names the key, the value and what is
 * allowed.
 */
export function parseTopicConfig(name: string, text: string | null): Value {
  const row = rows.get(name)
  if (row === undefined) throw unknownTopicConfig(name)
  const isTooLong = text !== null && text.length > TEXT_LENGTH_MAX
  const parsed = text === null || isTooLong ? null : parseValue(row.kind, text)
  if (parsed === null || !parsed.ok) {
    const shown = text === null ? 'null' : `"${text.slice(0, 100)}"`
    throw new KafkaError(
      Errors.INVALID_CONFIG,
      `Invalid value ${shown} for topic config ${name}: must be ${expectation(row.kind)}`,
    )
  }
  return parsed.value
}

/** INVALID_CONFIG that names the nearest config there is. */
export function unknownTopicConfig(name: string): KafkaError {
  const near = nearest(name, rows.keys())
  const hint = near === null ? '' : `, did you mean ${near}?`
  const shown = name.slice(0, 200)
  return new KafkaError(Errors.INVALID_CONFIG, `Unknown topic config name: ${shown}${hint}`)
}

/**
 * The value as clients are shown it: lists without blanks and booleans in small letters, numbers as they were given.
 */
export function shownTopicConfig(name: string, text: string): string {
  const value = parseTopicConfig(name, text)
  return typeof value === 'number' ? text.trim() : formatValue(rows.get(name)!.kind, value)
}

/** Checks a whole set and returns it as it came, for storing. A name given twice is INVALID_CONFIG. */
export function checkTopicConfigs(
  configs: Iterable<readonly [name: string, text: string | null]>,
): Map<string, string> {
  const checked = new Map<string, string>()
  for (const [name, text] of configs) {
    parseTopicConfig(name, text)
    if (checked.has(name))
      throw new KafkaError(Errors.INVALID_CONFIG, `Topic config ${name} is given twice`)
    checked.set(name, text as string)
  }
  return checked
}

/**
 * Rules that span several configs of one topic, over the defaults it does not set itself. Throws INVALID_CONFIG. Not
 * for topics that are there already: their defaults may have changed meanwhile.
 */
export function checkTogether(configs: ReadonlyMap<string, string>, defaults: TopicDefaults): void {
  const inForce = (name: string) =>
    parseTopicConfig(name, configs.get(name) ?? defaults.get(name) ?? null)
  const [minName, maxName] = ['min.compaction.lag.ms', 'max.compaction.lag.ms'] as const
  const minMs = inForce(minName) as number
  const maxMs = inForce(maxName) as number
  if (minMs > maxMs)
    throw new KafkaError(
      Errors.INVALID_CONFIG,
      `${minName} (${minMs}) must not exceed ${maxName} (${maxMs})`,
    )
  if (inForce('remote.storage.enable') === true)
    throw new KafkaError(
      Errors.INVALID_CONFIG,
      'remote.storage.enable: there is no tiered storage, records stay on this host',
    )
}

/** The table's defaults with the broker's own laid over them (both in text form, by topic config name). */
export function topicDefaults(overrides: ReadonlyMap<string, string> = new Map()): TopicDefaults {
  return new Map(topicConfigTable.map(row => [row.name, overrides.get(row.name) ?? row.default]))
}

/** What the owner thread of a topic's logs needs: the topic's own configs over the broker's defaults. */
export function toLogConfig(
  configs: ReadonlyMap<string, string>,
  defaults: TopicDefaults,
  isInternal = false,
): LogConfig {
  const parsed = (name: string) =>
    parseTopicConfig(name, configs.get(name) ?? defaults.get(name) ?? null)
  const numberOf = (name: string) => parsed(name) as number
  /** Kafka's ways to say never: -1, and the largest long (which is stored as the largest safe number). */
  const bounded = (name: string) => {
    const value = numberOf(name)
    return value < 0 || value >= Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : value
  }
  const cleanup = parsed('cleanup.policy') as readonly string[]
  const isCompacted = cleanup.includes('compact')
  const maxCompactionLagMs = bounded('max.compaction.lag.ms')
  return Object.freeze({
    segmentBytesMax: numberOf('segment.bytes'),
    // Only sealed segments are compacted: one that nobody fills must not keep a record longer than allowed.
    segmentAgeMsMax: Math.min(numberOf('segment.ms'), isCompacted ? maxCompactionLagMs : Infinity),
    indexBytesMax: numberOf('segment.index.bytes'),
    indexIntervalBytes: numberOf('index.interval.bytes'),
    batchBytesMax: numberOf('max.message.bytes'),
    timestampType: parsed('message.timestamp.type') as LogConfig['timestampType'],
    flushPolicy: parsed('flush.policy') as FlushPolicy,
    flushMessages: numberOf('flush.messages'),
    flushMs: Math.min(numberOf('flush.ms'), TIMER_MS_MAX),
    cleanupDelete: cleanup.includes('delete'),
    cleanupCompact: isCompacted,
    retentionMs: bounded('retention.ms'),
    retentionBytes: bounded('retention.bytes'),
    deleteRetentionMs: bounded('delete.retention.ms'),
    minCleanableRatio: numberOf('min.cleanable.dirty.ratio'),
    minCompactionLagMs: numberOf('min.compaction.lag.ms'),
    maxCompactionLagMs,
    timestampBeforeMsMax: bounded('message.timestamp.before.max.ms'),
    timestampAfterMsMax: bounded('message.timestamp.after.max.ms'),
    isInternal,
  })
}

/** The row of a config name, undefined when there is none. */
export const topicConfigRow = (name: string): TopicConfigRow | undefined => rows.get(name)
