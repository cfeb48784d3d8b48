/** Topic configs as clients send them. */
import { expect, test } from 'vitest'
import { topicConfigTable } from '../../src/config/topic-config-table.ts'
import {
  checkTogether,
  checkTopicConfigs,
  parseTopicConfig,
  shownTopicConfig,
  toLogConfig,
  topicDefaults,
} from '../../src/config/topic-configs.ts'
import { Errors, KafkaError } from '../../src/protocol/errors.ts'

function refusal(action: () => unknown): KafkaError {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(KafkaError)
    return error as KafkaError
  }
  return expect.unreachable('it was accepted')
}

// Kafka 4.1's TopicConfig.java, by hand: what DescribeConfigs must list.
const KAFKA_TOPIC_CONFIGS =
  `cleanup.policy compression.gzip.level compression.lz4.level compression.type
  compression.zstd.level delete.retention.ms file.delete.delay.ms flush.messages flush.ms
  follower.replication.throttled.replicas index.interval.bytes leader.replication.throttled.replicas
  local.retention.bytes local.retention.ms max.compaction.lag.ms max.message.bytes
  message.timestamp.after.max.ms message.timestamp.before.max.ms message.timestamp.type
  min.cleanable.dirty.ratio min.compaction.lag.ms min.insync.replicas preallocate remote.log.copy.disable
  remote.log.delete.on.disable remote.storage.enable retention.bytes retention.ms segment.bytes
  segment.index.bytes segment.jitter.ms segment.ms unclean.leader.election.enable`.split(/\s+/)

test('the table holds every topic config of Kafka 4.1, and flush.policy', () => {
  const names = topicConfigTable.map(({ name }) => name)
  expect(names.filter(name => name !== 'flush.policy')).toEqual(KAFKA_TOPIC_CONFIGS)
  expect(names).toContain('flush.policy')
})

test('a set of configs is kept as it came', () => {
  const given: [string, string][] = [
    ['retention.ms', '-1'],
    ['cleanup.policy', 'compact, delete'],
    ['segment.bytes', ' 1048576 '],
    ['max.compaction.lag.ms', '9223372036854775807'],
    ['min.cleanable.dirty.ratio', '.25'],
    ['preallocate', 'TRUE'],
    ['follower.replication.throttled.replicas', ''],
  ]
  expect([...checkTopicConfigs(given)]).toEqual(given)
})

test('unknown names, bad values, null and doubles are INVALID_CONFIG and say why', () => {
  const cases: [[string, string | null][], string][] = [
    [[['retention.msec', '1']], 'did you mean retention.ms?'],
    [[['__proto__', '1']], 'Unknown topic config name: __proto__'],
    [[['retention.ms', 'soon']], 'Invalid value "soon" for topic config retention.ms'],
    [[['retention.ms', '-2']], 'an integer of -1 or more'],
    [[['retention.ms', '9223372036854775808']], 'retention.ms'],
    [[['retention.ms', null]], 'Invalid value null'],
    [[['cleanup.policy', '']], 'cleanup.policy'],
    [[['cleanup.policy', 'delete,burn']], 'cleanup.policy'],
    [[['min.cleanable.dirty.ratio', '1.5']], 'a number from 0 to 1'],
    [[['flush.policy', 'Group-Commit']], 'group-commit, interval or os'],
    [[['segment.bytes', '12']], 'an integer of 1024 or more'],
    [
      [
        ['retention.ms', '1'],
        ['retention.ms', '2'],
      ],
      'given twice',
    ],
  ]
  for (const [configs, part] of cases) {
    const error = refusal(() => checkTopicConfigs(configs))
    expect(error.code).toBe(Errors.INVALID_CONFIG)
    expect(error.message).toContain(part)
  }
  const long = refusal(() => parseTopicConfig('retention.ms', 'x'.repeat(10_000)))
  expect(long.message.length).toBeLessThan(300)
})

test('rules that span several configs look at the defaults, too', () => {
  const broker = topicDefaults(new Map([['max.compaction.lag.ms', '50']]))
  const lag = (text: string) => new Map([['min.compaction.lag.ms', text]])
  checkTogether(lag('50'), broker)
  checkTogether(lag('51'), topicDefaults())
  const error = refusal(() => checkTogether(lag('51'), broker))
  expect(error.code).toBe(Errors.INVALID_CONFIG)
  expect(error.message).toBe(
    'min.compaction.lag.ms (51) must not exceed max.compaction.lag.ms (50)',
  )
  const tiered = refusal(() =>
    checkTogether(new Map([['remote.storage.enable', 'true']]), topicDefaults()),
  )
  expect(tiered.code).toBe(Errors.INVALID_CONFIG)
})

test('values are shown in one way however they were written', () => {
  const shown: [name: string, text: string, as: string][] = [
    ['cleanup.policy', ' compact ,delete', 'compact,delete'],
    ['preallocate', 'TRUE', 'true'],
    ['retention.ms', ' 5 ', '5'],
    ['retention.ms', '9007199254740993', '9007199254740993'],
    ['min.cleanable.dirty.ratio', '.25', '.25'],
    ['flush.policy', 'os', 'os'],
    ['leader.replication.throttled.replicas', '', ''],
  ]
  for (const [name, text, as] of shown) expect(shownTopicConfig(name, text), name).toBe(as)
})

test('a value has a limit of its own', () => {
  const name = 'follower.replication.throttled.replicas'
  expect(parseTopicConfig(name, 'x'.repeat(32_767))).toHaveLength(1)
  expect(refusal(() => parseTopicConfig(name, 'x'.repeat(32_768))).code).toBe(Errors.INVALID_CONFIG)
})

test('never and unlimited reach the owner threads as infinity, cleanup.policy as two switches', () => {
  const own = new Map([
    ['retention.ms', '-1'],
    ['message.timestamp.after.max.ms', '9223372036854775807'],
    ['cleanup.policy', 'delete, compact,delete'],
    ['delete.retention.ms', '7'],
  ])
  expect(toLogConfig(own, topicDefaults(), true)).toMatchObject({
    retentionMs: Number.POSITIVE_INFINITY,
    retentionBytes: Number.POSITIVE_INFINITY,
    timestampBeforeMsMax: Number.POSITIVE_INFINITY,
    timestampAfterMsMax: Number.POSITIVE_INFINITY,
    maxCompactionLagMs: Number.POSITIVE_INFINITY,
    cleanupDelete: true,
    cleanupCompact: true,
    deleteRetentionMs: 7,
    isInternal: true,
  })
  expect(toLogConfig(new Map(), topicDefaults())).toMatchObject({
    retentionMs: 604_800_000,
    timestampAfterMsMax: 3_600_000,
    cleanupDelete: true,
    cleanupCompact: false,
    isInternal: false,
  })
})

test('a log’s settings are the topic’s own over the broker’s over the table’s', () => {
  const broker = topicDefaults(
    new Map([
      ['segment.bytes', '5000'],
      ['flush.policy', 'interval'],
    ]),
  )
  const own = new Map([
    ['flush.policy', 'os'],
    ['flush.messages', '9223372036854775807'],
  ])
  expect(toLogConfig(own, broker)).toMatchObject({
    segmentBytesMax: 5000,
    flushPolicy: 'os',
    flushMessages: Number.MAX_SAFE_INTEGER,
    indexIntervalBytes: 4096,
  })
})
