/**
 * Every topic config of Apache Kafka 4.1, and odradek's own `flush.policy`. One row is the whole truth about a config:
 * parsing, DescribeConfigs, the broker-wide default key and the documentation are derived from it.
 *
 * `effect: 'kept'` marks configs that are checked, stored and returned but do nothing (yet, or ever on one host).
 */
import { boolean, int, type Kind, LONG_MAX, list, long, oneOf } from './kinds.ts'

export interface TopicConfigRow {
  readonly name: string
  readonly kind: Kind
  /** In text form, as on the wire. */
  readonly default: string
  /** Broker setting that gives topics their default; null when Kafka has none. */
  readonly serverKey: string | null
  readonly effect: 'acts' | 'kept'
  readonly doc: string
}

const NEVER = String(LONG_MAX)
const row = (
  name: string,
  kind: Kind,
  defaultValue: string,
  serverKey: string | null,
  effect: 'acts' | 'kept',
  doc: string,
): TopicConfigRow => ({ name, kind, default: defaultValue, serverKey, effect, doc })

export const topicConfigTable: readonly TopicConfigRow[] = [
  row(
    'cleanup.policy',
    list('delete', 'compact'),
    'delete',
    'log.cleanup.policy',
    'acts',
    'What happens to old segments: `delete` removes them by time and size, `compact` keeps the last record of each ' +
      'key; both together do both. A topic with `compact` takes no records without a key.',
  ),
  row(
    'compression.gzip.level',
    int(-1, 9),
    '-1',
    'compression.gzip.level',
    'kept',
    'Level when the broker itself compresses with gzip; batches are stored as producers sent them.',
  ),
  row(
    'compression.lz4.level',
    int(1, 17),
    '9',
    'compression.lz4.level',
    'kept',
    'Level when the broker itself compresses with lz4; batches are stored as producers sent them.',
  ),
  row(
    'compression.type',
    oneOf('uncompressed', 'zstd', 'lz4', 'snappy', 'gzip', 'producer'),
    'producer',
    'compression.type',
    'kept',
    'Codec of stored batches. odradek stores what the producer sent, as `producer` says.',
  ),
  row(
    'compression.zstd.level',
    int(-131072, 22),
    '3',
    'compression.zstd.level',
    'kept',
    'Level when the broker itself compresses with zstd; batches are stored as producers sent them.',
  ),
  row(
    'delete.retention.ms',
    long(0),
    '86400000',
    'log.cleaner.delete.retention.ms',
    'acts',
    'How long a tombstone (a record without a value) stays readable after compaction first met it.',
  ),
  row(
    'file.delete.delay.ms',
    long(0),
    '60000',
    'log.segment.delete.delay.ms',
    'kept',
    'How long a removed segment file stays on disk. odradek removes files at once.',
  ),
  row(
    'flush.messages',
    long(1),
    '500',
    'log.flush.interval.messages',
    'acts',
    'Under flush.policy=interval: flush after this many records. The default is that of the first Kafka.',
  ),
  row(
    'flush.ms',
    long(0),
    '3000',
    'log.flush.interval.ms',
    'acts',
    'Under flush.policy=interval: flush this many milliseconds after the first unflushed record.',
  ),
  row(
    'flush.policy',
    oneOf('group-commit', 'interval', 'os'),
    'group-commit',
    'log.flush.policy',
    'acts',
    'When records reach the disk. group-commit: one fdatasync in flight, the next starts at once with all that ' +
      'came meanwhile. interval: after flush.messages or flush.ms. os: left to the page cache, as Kafka does. ' +
      'Consumers see records once flushed, except under os.',
  ),
  row(
    'follower.replication.throttled.replicas',
    list(),
    '',
    null,
    'kept',
    'Replication throttle; there is no replication on one host.',
  ),
  row(
    'index.interval.bytes',
    int(0),
    '4096',
    'log.index.interval.bytes',
    'acts',
    'Bytes of log between two entries of the sparse offset index.',
  ),
  row(
    'leader.replication.throttled.replicas',
    list(),
    '',
    null,
    'kept',
    'Replication throttle; there is no replication on one host.',
  ),
  row(
    'local.retention.bytes',
    long(-2),
    '-2',
    'log.local.retention.bytes',
    'kept',
    'Tiered storage: bytes kept locally. -2 means retention.bytes.',
  ),
  row(
    'local.retention.ms',
    long(-2),
    '-2',
    'log.local.retention.ms',
    'kept',
    'Tiered storage: time kept locally. -2 means retention.ms.',
  ),
  row(
    'max.compaction.lag.ms',
    long(1),
    NEVER,
    'log.cleaner.max.compaction.lag.ms',
    'acts',
    'A record older than this makes its log due for compaction, whatever min.cleanable.dirty.ratio says.',
  ),
  row(
    'max.message.bytes',
    int(0),
    '1048588',
    'message.max.bytes',
    'acts',
    'Largest record batch that is accepted, compressed as it came, with its 12-byte prefix.',
  ),
  row(
    'message.timestamp.after.max.ms',
    long(0),
    '3600000',
    'log.message.timestamp.after.max.ms',
    'acts',
    'How far a record timestamp may lie ahead of the broker clock. Beyond it the batch is refused with ' +
      'INVALID_TIMESTAMP, by the largest timestamp its header names. Not looked at under LogAppendTime.',
  ),
  row(
    'message.timestamp.before.max.ms',
    long(0),
    NEVER,
    'log.message.timestamp.before.max.ms',
    'acts',
    'How far a record timestamp may lie behind the broker clock; older ones are refused with INVALID_TIMESTAMP. When ' +
      'it is set, every batch is decompressed and looked into. Not looked at under LogAppendTime.',
  ),
  row(
    'message.timestamp.type',
    oneOf('CreateTime', 'LogAppendTime'),
    'CreateTime',
    'log.message.timestamp.type',
    'acts',
    'Whether record timestamps are the producer\u2019s or the time of the append.',
  ),
  row(
    'min.cleanable.dirty.ratio',
    { type: 'double', min: 0, max: 1 },
    '0.5',
    'log.cleaner.min.cleanable.ratio',
    'acts',
    'Share of the log not compacted yet from which on a log is due for compaction.',
  ),
  row(
    'min.compaction.lag.ms',
    long(0),
    '0',
    'log.cleaner.min.compaction.lag.ms',
    'acts',
    'Records younger than this are not compacted. Must not exceed max.compaction.lag.ms.',
  ),
  row(
    'min.insync.replicas',
    int(1),
    '1',
    'min.insync.replicas',
    'kept',
    'Replicas that must have a record before acks=all is answered; a topic never needs more than it has, and there is one.',
  ),
  row(
    'preallocate',
    boolean,
    'false',
    'log.preallocate',
    'kept',
    'Whether segment files get their full size at creation. odradek never preallocates them.',
  ),
  row(
    'remote.log.copy.disable',
    boolean,
    'false',
    null,
    'kept',
    'Tiered storage: stop copying segments away.',
  ),
  row(
    'remote.log.delete.on.disable',
    boolean,
    'false',
    null,
    'kept',
    'Tiered storage: delete remote segments when tiering is switched off.',
  ),
  row(
    'remote.storage.enable',
    boolean,
    'false',
    null,
    'kept',
    'Tiered storage for the topic. There is none: true is refused.',
  ),
  row(
    'retention.bytes',
    long(-1),
    '-1',
    'log.retention.bytes',
    'acts',
    'Size of a partition above which its oldest sealed segments go, while the rest still holds as much; -1: no limit.',
  ),
  row(
    'retention.ms',
    long(-1),
    '604800000',
    'log.retention.ms',
    'acts',
    'Age at which a sealed segment goes, counted from the broker\u2019s time of its last append, not from record ' +
      'timestamps; -1: never.',
  ),
  row(
    'segment.bytes',
    int(1024),
    '1073741824',
    'log.segment.bytes',
    'acts',
    'Size at which a segment is sealed and the next one begun.',
  ),
  row(
    'segment.index.bytes',
    int(12),
    '10485760',
    'log.index.size.max.bytes',
    'acts',
    'Size of a full offset index; a full index rolls the segment.',
  ),
  row(
    'segment.jitter.ms',
    long(0),
    '0',
    'log.roll.jitter.ms',
    'kept',
    'Random part taken off segment.ms so that segments do not all roll at once. odradek takes none off: a segment ages ' +
      'from its first record, and nobody waits for a roll.',
  ),
  row(
    'segment.ms',
    long(1),
    '604800000',
    'log.roll.ms',
    'acts',
    'Age at which a segment is sealed even when it is not full.',
  ),
  row(
    'unclean.leader.election.enable',
    boolean,
    'false',
    'unclean.leader.election.enable',
    'kept',
    'Whether a stale replica may lead; there are no replicas.',
  ),
]
