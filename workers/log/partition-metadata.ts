/**
 * `partition.metadata`, Kafka's own: which topic id a directory belongs to, so that a re-created topic never reads the
 * records of the one before it. Owner thread only.
 *
 *     version: 0
 *     topic_id: <22 characters of base64url>
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { codedError, replaceFile } from './files.ts'

const FILE = 'partition.metadata'

/**
 * Writes the file where it is missing or was torn by a crash while the directory was made; throws when the directory
 * belongs to another topic id.
 */
export function ensurePartitionMetadata(disk: Disk, directory: string, topicId: string): void {
  const path = `${directory}/${FILE}`
  if (disk.exists(path)) {
    const text = disk.readFile(path).toString('latin1')
    const found = topicIdIn(text)
    if (found === topicId) return
    if (!isTorn(text, topicId)) {
      throw codedError(
        'EBADTOPIC',
        `${directory} belongs to topic id ${found ?? 'unknown'}, not to ${topicId}`,
      )
    }
  }
  replaceFile(disk, path, Buffer.from(textFor(topicId)))
}

/** Whether the directory, which is there, belongs to the topic, as far as its note tells. Throws as the disk does. */
export function isDirectoryOf(disk: Disk, directory: string, topicId: string): boolean {
  const path = `${directory}/${FILE}`
  if (!disk.exists(path)) return true
  const text = disk.readFile(path).toString('latin1')
  return topicIdIn(text) === topicId || isTorn(text, topicId)
}

function textFor(topicId: string): string {
  return `version: 0\ntopic_id: ${topicId}\n`
}

function topicIdIn(text: string): string | undefined {
  return /^topic_id: *(\S+)\s*$/m.exec(text)?.[1]
}

/** Cut off, or as long as it should be and zeros where nothing came. */
function isTorn(text: string, topicId: string): boolean {
  return textFor(topicId).startsWith(text.replace(/\0+$/, ''))
}
