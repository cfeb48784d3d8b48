/** Settings of what owner threads do by themselves: rows of the table of settings (settings.ts). No state. */
import { boolean, int, long } from './kinds.ts'
import type { Setting } from './settings.ts'

const MIB = 1024 * 1024
const acts = 'acts' as const

export const housekeepingSettings: readonly Setting[] = [
  {
    key: 'log.retention.check.interval.ms',
    section: 'storage',
    kind: long(1, 2147483647),
    default: 300_000,
    effect: acts,
    doc: 'How often logs are looked through for segments that retention.ms or retention.bytes lets go.',
  },
  {
    key: 'log.cleaner.backoff.ms',
    section: 'storage',
    kind: long(1, 2147483647),
    default: 15_000,
    effect: acts,
    doc: 'How long the compaction waits before it looks again for a log worth compacting.',
  },
  {
    key: 'log.cleaner.dedupe.buffer.size',
    section: 'storage',
    kind: int(64 * 1024, 1024 * MIB),
    default: 32 * MIB,
    kafkaDefault: '134217728',
    effect: acts,
    doc: 'Key map of one compaction pass, 24 bytes a key; a log with more keys takes several passes.',
  },
  {
    key: 'log.cleaner.io.max.bytes.per.second',
    section: 'storage',
    kind: int(64 * 1024),
    default: 64 * MIB,
    kafkaDefault: '1.7976931348623157E308',
    effect: acts,
    doc: 'Bytes that compaction reads and writes in a second, at most.',
  },
  {
    key: 'log.scrub.interval.ms',
    section: 'storage',
    kind: long(0, 2147483647),
    default: 86_400_000,
    kafkaDefault: null,
    effect: acts,
    doc: 'Every stored batch has its checksum computed once in this time; 0 for never.',
  },
  {
    key: 'log.scrub.io.max.bytes.per.second',
    section: 'storage',
    kind: int(64 * 1024),
    default: 32 * MIB,
    kafkaDefault: null,
    effect: acts,
    doc: 'Bytes that the scrub reads in a second, at most.',
  },
  {
    key: 'journal.enable',
    section: 'storage',
    kind: boolean,
    default: true,
    kafkaDefault: null,
    effect: acts,
    doc:
      'Whether an owner thread with more than 16 partitions to flush writes their batches to a journal as well, so that ' +
      'one flush proves all of them. Its files are made when that is first of use.',
  },
  {
    key: 'journal.bytes',
    section: 'storage',
    kind: int(16 * MIB, 1024 * MIB),
    default: 64 * MIB,
    kafkaDefault: null,
    effect: acts,
    doc: "Size of each of the two files of an owner thread's journal.",
  },
  {
    key: 'disk.reserve.bytes',
    section: 'storage',
    kind: long(-1),
    default: -1,
    kafkaDefault: null,
    effect: acts,
    doc:
      'Free space that produced records may not touch: below it topics are read-only, from twice as much on they take ' +
      'records again. -1 is the smaller of 256 MiB and 5 % of the file system.',
  },
  {
    key: 'producer.id.expiration.ms',
    section: 'storage',
    kind: int(1),
    default: 86_400_000,
    effect: acts,
    doc: 'How long an idempotent producer may be idle before its sequence numbers are forgotten.',
  },
]
