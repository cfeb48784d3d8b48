/**
 * What lies in a data directory that Apache Kafka wrote. Reads only; no log is opened. Dispatcher thread, at start.
 *
 *   <topic>-<partition>/partition.metadata   topic id (none before Kafka 2.8)
 *   <topic>-<partition>.<uuid>-delete/       Kafka was deleting it
 *   log-start-offset-checkpoint              where DeleteRecords and retention moved the log start to
 *   cleaner-offset-checkpoint                up to where a log is compacted
 *   __cluster_metadata-0/ and the like       Kafka's own
 */
import type { Dirent } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { CONSUMER_OFFSETS, partitionDirectoryName, topicNameError } from '../topics/topic-names.ts'

export interface FoundTopic {
  readonly name: string
  /** Topic id by partition; null where the directory does not say. */
  readonly ids: Map<number, string | null>
}

export interface KafkaDirectory {
  readonly topics: Map<string, FoundTopic>
  /** Names of directories that are left as they are. */
  readonly leftAlone: string[]
  /** Directories with records of aborted transactions. */
  readonly withAborted: string[]
  /** Offsets by directory name. */
  readonly logStarts: ReadonlyMap<string, number>
  readonly cleanedTo: ReadonlyMap<string, number>
}

/** Topics by which Kafka does its own work: what is in them means nothing to another broker. */
const KAFKA_TOPICS: ReadonlySet<string> = new Set([
  '__cluster_metadata',
  '__transaction_state',
  '__share_group_state',
  '__remote_log_metadata',
])

const CHECKPOINT_BYTES_MAX = 64 * 1024 * 1024

export async function readKafkaDirectory(path: string): Promise<KafkaDirectory> {
  const found: KafkaDirectory = {
    topics: new Map(),
    leftAlone: [],
    withAborted: [],
    logStarts: await readKafkaOffsets(join(path, 'log-start-offset-checkpoint')),
    cleanedTo: await readKafkaOffsets(join(path, 'cleaner-offset-checkpoint')),
  }
  const names = (await readdir(path, { withFileTypes: true })).filter(isDirectory)
  for (const { name } of names.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const match = /^(.+)-(0|[1-9]\d{0,4})$/.exec(name)
    if (match === null || KAFKA_TOPICS.has(match[1]) || topicNameError(match[1]) !== null) {
      found.leftAlone.push(name)
      continue
    }
    const [, topicName, index] = match
    const topic = found.topics.get(topicName) ?? { name: topicName, ids: new Map() }
    found.topics.set(topicName, topic)
    topic.ids.set(Number(index), await readTopicId(join(path, name)))
    if (await hasAborted(join(path, name))) found.withAborted.push(name)
  }
  leaveCutOffsets(found)
  return found
}

/** Groups are found by their partition's number among all: a part of the partitions is of no use. */
function leaveCutOffsets({ topics, leftAlone }: KafkaDirectory): void {
  const indexes = topics.get(CONSUMER_OFFSETS)?.ids.keys() ?? []
  const sorted = [...indexes].sort((a, b) => a - b)
  if (sorted.every((index, at) => index === at)) return
  topics.delete(CONSUMER_OFFSETS)
  for (const index of sorted) leftAlone.push(partitionDirectoryName(CONSUMER_OFFSETS, index))
}

const isDirectory = (entry: Dirent): boolean => entry.isDirectory()

/** Null where the directory does not say. */
export async function readTopicId(directory: string): Promise<string | null> {
  const text = await readFile(join(directory, 'partition.metadata'), 'latin1').catch(() => '')
  return /^topic_id: *(\S{22})\s*$/m.exec(text)?.[1] ?? null
}

/** An index of aborted transactions is empty where there was none. */
async function hasAborted(directory: string): Promise<boolean> {
  for (const name of await readdir(directory)) {
    if (name.endsWith('.txnindex') && (await stat(join(directory, name))).size > 0) return true
  }
  return false
}

/** Kafka's checkpoint format; a file that is missing or not whole says nothing. */
export async function readKafkaOffsets(path: string): Promise<Map<string, number>> {
  const offsets = new Map<string, number>()
  const size = (await stat(path).catch(() => null))?.size ?? 0
  if (size === 0 || size > CHECKPOINT_BYTES_MAX) return offsets
  const [version, count, ...lines] = (await readFile(path, 'latin1')).split('\n')
  for (const line of lines) {
    const match = /^(\S+) (\d{1,5}) (\d{1,16})$/.exec(line)
    if (match !== null) offsets.set(`${match[1]}-${match[2]}`, Number(match[3]))
  }
  return version === '0' && offsets.size === Number(count) ? offsets : new Map()
}
