/** Topic configs as clients send them. */
import { expect, test } from 'vitest'
import { topicConfigTable } from '../../src/config/topic-config-table.ts'
import {
  checkTopicConfigs,
  parseTopicConfig,
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
