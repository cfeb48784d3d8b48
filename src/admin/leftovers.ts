/**
 * Removes what a deletion that a crash cut short left behind. Runs at start, before any log is open: the one place
 * where the dispatcher touches partition directories.
 */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../topics/sync-directory.ts'
import { partitionDirectoryName } from '../topics/topic-names.ts'
import type { TopicRecord } from '../topics/topic-store.ts'

/**
 * Removes the directories of a topic that is marked as deleting. A directory that belongs to another topic id is
 * left alone.
 */
export async function removeTopicDirectories(
  dataDirectory: string,
  record: TopicRecord,
): Promise<void> {
  for (let index = 0; index < record.partitions; index++) {
    const directory = join(dataDirectory, partitionDirectoryName(record.name, index))
    const id = await topicIdOf(directory)
    if (id === null || id === record.id) await rm(directory, { recursive: true, force: true })
  }
  await syncDirectory(dataDirectory)
}

/** The topic id in `partition.metadata`; null when there is none (it goes first when a removal is cut short). */
async function topicIdOf(directory: string): Promise<string | null> {
  const text = await readFile(join(directory, 'partition.metadata'), 'utf8').catch(() => '')
  return /^topic_id: (\S{22})$/m.exec(text)?.[1] ?? null
}
