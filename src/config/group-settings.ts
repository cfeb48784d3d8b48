/** Settings of consumer groups: rows of the table of settings (settings.ts), and what they become. No state. */
import { int, long, type Value } from './kinds.ts'
import type { Setting } from './settings.ts'

const MIB = 1024 * 1024
const row = (setting: Omit<Setting, 'section' | 'effect'>): Setting => ({
  ...setting,
  section: 'groups',
  effect: 'acts',
})

const sessions: Setting[] = [
  row({
    key: 'group.min.session.timeout.ms',
    kind: int(1),
    default: 6000,
    doc: 'Shortest session timeout that a member of a group may ask for.',
  }),
  row({
    key: 'group.max.session.timeout.ms',
    kind: int(1),
    default: 1_800_000,
    doc: 'Longest session timeout that a member of a group may ask for.',
  }),
  row({
    key: 'group.initial.rebalance.delay.ms',
    kind: int(0),
    default: 0,
    kafkaDefault: '3000',
    doc:
      'How long the first rebalance of an empty group waits for more members. 0: on one host members that start together ' +
      'join within milliseconds, and a rebalance more costs less than waiting.',
  }),
  row({
    key: 'group.max.size',
    kind: int(1),
    default: 1000,
    kafkaDefault: '2147483647',
    doc: 'Members of one group.',
  }),
  row({
    key: 'group.member.max.bytes',
    kind: int(1024, 4 * MIB),
    default: MIB,
    kafkaDefault: null,
    doc: 'What one member of a group may bring along: its metadata, its assignment.',
  }),
  row({
    key: 'groups.max.bytes',
    kind: int(MIB, 1024 * MIB),
    default: 128 * MIB,
    kafkaDefault: null,
    doc: 'Metadata and assignments of all members of all groups together.',
  }),
  row({
    key: 'max.groups',
    kind: int(1, 1_000_000),
    default: 1000,
    kafkaDefault: null,
    doc: 'Consumer groups, those that only commit offsets included.',
  }),
]

const offsets: Setting[] = [
  row({
    key: 'offsets.topic.num.partitions',
    kind: int(1, 50),
    default: 4,
    kafkaDefault: '50',
    doc:
      'Partitions of the topic that keeps groups and committed offsets, when it is made. Commits to one partition share ' +
      'a flush, so that few are fast; with several, a lost one takes only its groups along. There are no other brokers ' +
      'to share the groups with.',
  }),
  row({
    key: 'offsets.topic.segment.bytes',
    kind: int(64 * 1024, 1024 * MIB),
    default: 8 * MIB,
    kafkaDefault: '104857600',
    doc:
      'Segment size of that topic, when it is made. Only full segments are compacted, and all of it is read at a start: ' +
      'smaller ones start faster.',
  }),
  row({
    key: 'offsets.retention.minutes',
    kind: int(1),
    default: 10_080,
    doc:
      'How long committed offsets are kept after their group lost its last member, or after the commit where there never ' +
      'was one.',
  }),
  row({
    key: 'offsets.retention.check.interval.ms',
    kind: long(1, 2147483647),
    default: 600_000,
    doc: 'How often committed offsets are looked through for those that offsets.retention.minutes lets go.',
  }),
  row({
    key: 'offsets.commit.timeout.ms',
    kind: int(1),
    default: 5000,
    doc: 'How long a commit waits to be durable before it is answered COORDINATOR_NOT_AVAILABLE.',
  }),
  row({
    key: 'offset.metadata.max.bytes',
    kind: int(0, 10_000),
    default: 4096,
    doc: 'Longest text that may come with a committed offset.',
  }),
  row({
    key: 'offsets.cache.max.bytes',
    kind: int(MIB, 4096 * MIB),
    default: 256 * MIB,
    kafkaDefault: null,
    doc: 'Memory for committed offsets, their texts included. New ones are refused above it, known ones still move.',
  }),
]

export const groupSettings: readonly Setting[] = [...sessions, ...offsets]

export interface GroupConfig {
  readonly sessionTimeoutMsMin: number
  readonly sessionTimeoutMsMax: number
  readonly initialRebalanceDelayMs: number
  readonly membersMax: number
  readonly groupsMax: number
  readonly memberBytesMax: number
  readonly groupsBytesMax: number
  /** Longest group id and instance id. */
  readonly idBytesMax: number
  readonly offsetsPartitions: number
  readonly offsetsSegmentBytes: number
  readonly offsetsRetentionMs: number
  readonly offsetsRetentionCheckMs: number
  readonly commitTimeoutMs: number
  /** In UTF-16 units, as Kafka counts. */
  readonly offsetMetadataLengthMax: number
  readonly offsetsBytesMax: number
}

export function groupConfig(values: ReadonlyMap<string, Value>): GroupConfig {
  const number = (key: string) => values.get(key) as number
  return {
    sessionTimeoutMsMin: number('group.min.session.timeout.ms'),
    sessionTimeoutMsMax: number('group.max.session.timeout.ms'),
    initialRebalanceDelayMs: number('group.initial.rebalance.delay.ms'),
    membersMax: number('group.max.size'),
    groupsMax: number('max.groups'),
    memberBytesMax: number('group.member.max.bytes'),
    groupsBytesMax: number('groups.max.bytes'),
    idBytesMax: number('id.max.bytes'),
    offsetsPartitions: number('offsets.topic.num.partitions'),
    offsetsSegmentBytes: number('offsets.topic.segment.bytes'),
    offsetsRetentionMs: number('offsets.retention.minutes') * 60_000,
    offsetsRetentionCheckMs: number('offsets.retention.check.interval.ms'),
    commitTimeoutMs: number('offsets.commit.timeout.ms'),
    offsetMetadataLengthMax: number('offset.metadata.max.bytes'),
    offsetsBytesMax: number('offsets.cache.max.bytes'),
  }
}
