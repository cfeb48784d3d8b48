/**
 * Takes over a data directory that Apache Kafka wrote (`odradek start --adopt FILE`). Everything is checked before
 * anything is written, and no segment is touched: the logs are opened as after any other start. Dispatcher thread.
 *
 *   look -> check -> per log: log-marks, compaction progress -> producer ids -> topics -> odradek's mark (the caller)
 *
 * The mark in meta.properties comes last: a crash before it leaves Kafka's directory, a few files richer, and the next
 * start with --adopt does the same again.
 */
import { open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { BrokerConfig } from '../config/config.ts'
import { ConfigError } from '../config/sources.ts'
import { checkTogether, checkTopicConfigs } from '../config/topic-configs.ts'
import { FLUSHED_ENDS_FILE } from '../contracts/flushed-ends.ts'
import { encodeMarks, LOG_MARKS_FILE } from '../contracts/log-marks.ts'
import { offsetsTopicConfigs } from '../groups/offsets-topic.ts'
import { ProducerIds } from '../topics/producer-ids.ts'
import { syncDirectory } from '../topics/sync-directory.ts'
import { CONSUMER_OFFSETS, partitionDirectoryName } from '../topics/topic-names.ts'
import { FileTopicStore, type TopicRecord } from '../topics/topic-store.ts'
import { newUuid } from '../topics/uuid.ts'
import type { AdoptConfigs } from './adopt-configs.ts'
import { type FoundTopic, type KafkaDirectory, readKafkaDirectory } from './kafka-directory.ts'

/** Kafka counts its producer ids up from 0 and never gets here, so none of ours is one that a log knows. */
const FIRST_PRODUCER_ID = 2 ** 40

const NAMES_SHOWN_MAX = 10

export interface Adoption {
  readonly configs: AdoptConfigs
  readonly config: BrokerConfig
  /** Told what was taken over and what was not, a line each. */
  readonly onNote: (message: string) => void
}

/**
 * Makes `directory` (absolute, locked by the caller) odradek's but for the mark. Rejects with ConfigError, one line,
 * when a topic has no configs or impossible ones, or is not there as a whole: nothing was written then.
 */
export async function adoptDirectory(directory: string, adoption: Adoption): Promise<void> {
  const found = await readKafkaDirectory(directory)
  const records = planTopics(found, adoption)
  await dropRemains(directory, name => name === FLUSHED_ENDS_FILE || name.startsWith('journal-'))
  for (const record of records) await prepareLogs(directory, record, found)
  await ProducerIds.startAt(directory, FIRST_PRODUCER_ID)
  const store = new FileTopicStore(directory)
  await store.load()
  await store.save(records)
  for (const note of notesOn(found, records)) adoption.onNote(note)
}

/** What the topic store shall hold. */
function planTopics({ topics }: KafkaDirectory, { configs, config }: Adoption): TopicRecord[] {
  const missing = [...topics.keys()].filter(name => !configs.has(name) && name !== CONSUMER_OFFSETS)
  if (missing.length > 0)
    throw new ConfigError(
      `--adopt: the file lacks ${topicList(missing)}, Kafka's directory does not tell their configs: ` +
        `name each, as "${missing[0]}: { cleanup.policy: delete }" or "${missing[0]}: {}" for the broker's defaults`,
    )
  const unknown = [...configs.keys()].filter(name => !topics.has(name))
  if (unknown.length > 0)
    throw new ConfigError(
      `--adopt: the directory has no ${topicList(unknown)}: take it out of the file`,
    )
  const records = [...topics.values()].map(topic => planTopic(topic, { configs, config }))
  const twin = records.find((record, at) => records.findIndex(({ id }) => id === record.id) < at)
  if (twin !== undefined)
    throw new ConfigError(
      `--adopt: topic ${twin.name} and another one have the same topic id, ${twin.id}: move one of them elsewhere`,
    )
  const partitions = records.reduce((sum, record) => sum + record.partitions, 0)
  if (partitions > config.limits.partitionsMax)
    throw new ConfigError(
      `--adopt: the directory has ${partitions} partitions, the limit is ${config.limits.partitionsMax}: raise max.partitions`,
    )
  return records
}

function planTopic(
  { name, ids }: FoundTopic,
  { configs, config }: Pick<Adoption, 'configs' | 'config'>,
): TopicRecord {
  for (let index = 0; index < ids.size; index++)
    if (!ids.has(index))
      throw new ConfigError(
        `--adopt: ${partitionDirectoryName(name, index)} is missing, another broker or directory must have it: ` +
          'bring all partitions of a topic together first, or move those that are here elsewhere',
      )
  const known = new Set([...ids.values()].filter(id => id !== null))
  if (known.size > 1)
    throw new ConfigError(
      `--adopt: the partitions of topic ${name} have different topic ids (${[...known].join(', ')}): ` +
        'move those of a deleted topic elsewhere',
    )
  try {
    const own = name === CONSUMER_OFFSETS ? offsetsTopicConfigs(config) : []
    const checked = checkTopicConfigs(configs.get(name) ?? own)
    checkTogether(checked, config.topicDefaults)
    const [id = newUuid()] = known
    return { name, id, partitions: ids.size, configs: [...checked], state: 'live' }
  } catch (error) {
    throw new ConfigError(`--adopt: topic ${name}: ${(error as Error).message}`)
  }
}

/**
 * What a log needs to be opened as ours: the log start, and that offsets may be missing anywhere in it, by compaction
 * or by other leaders. Its end is not known here; the owner thread lowers the mark to it.
 */
async function prepareLogs(
  directory: string,
  { name, partitions }: TopicRecord,
  { logStarts, cleanedTo }: KafkaDirectory,
): Promise<void> {
  for (let index = 0; index < partitions; index++) {
    const logName = partitionDirectoryName(name, index)
    const path = join(directory, logName)
    await dropRemains(path, name => name.endsWith('.window'))
    const marks = { logStart: logStarts.get(logName) ?? 0, cleanedEnd: Number.MAX_SAFE_INTEGER }
    await writeDurably(join(path, LOG_MARKS_FILE), encodeMarks(marks))
    const cleaned = cleanedTo.get(logName) ?? 0
    // The name of an empty file says how far compaction has come (workers/log/compaction/progress.ts).
    const progress = `${String(cleaned).padStart(20, '0')}.compacted`
    if (cleaned > 0) await writeDurably(join(path, progress), Buffer.alloc(0))
    await syncDirectory(path)
  }
}

/** What odradek noted of a directory that was its own before Kafka had it is not true any more. */
async function dropRemains(path: string, isOurs: (name: string) => boolean): Promise<void> {
  const names = (await readdir(path)).filter(isOurs)
  for (const name of names) await rm(join(path, name))
  if (names.length > 0) await syncDirectory(path)
}

async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(`${path}.new`, 'w', 0o640)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
}

function notesOn({ leftAlone, withAborted }: KafkaDirectory, records: TopicRecord[]): string[] {
  const partitions = records.reduce((sum, record) => sum + record.partitions, 0)
  const notes = [
    `took over ${records.length} topics with ${partitions} partitions from Apache Kafka`,
  ]
  if (leftAlone.length > 0)
    notes.push(
      `left as they are, for Kafka's own use or being deleted by it: ${nameList(leftAlone)}`,
    )
  if (leftAlone.some(name => name.startsWith(`${CONSUMER_OFFSETS}-`)))
    notes.push(
      `committed offsets of consumer groups are not taken over: partitions of ${CONSUMER_OFFSETS} are missing`,
    )
  if (withAborted.length > 0)
    notes.push(
      `records of aborted transactions are in ${nameList(withAborted)}: consumers will see them, whatever ` +
        'isolation level they ask for',
    )
  return notes
}

const topicList = (names: readonly string[]): string =>
  `${names.length === 1 ? 'topic' : 'topics'} ${nameList(names)}`

function nameList(names: readonly string[]): string {
  const more = names.length - NAMES_SHOWN_MAX
  const shown = names.slice(0, NAMES_SHOWN_MAX).join(', ')
  return more > 0 ? `${shown} and ${more} more` : shown
}
