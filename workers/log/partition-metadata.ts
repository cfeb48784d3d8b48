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
  const wanted = `version: 0\ntopic_id: ${topicId}\n`
  if (disk.exists(path)) {
    const text = disk.readFile(path).toString('latin1')
    if (text === wanted) return
    const found = /^topic_id: *(\S+)\s*$/m.exec(text)?.[1]
    if (found === topicId) return
    // Cut off, or as long as it should be and zeros where nothing came.
    const isTorn = wanted.startsWith(text.replace(/\0+$/, ''))
    if (!isTorn) {
      throw codedError(
        'EBADTOPIC',
        `${directory} belongs to topic id ${found ?? 'unknown'}, not to ${topicId}`,
      )
    }
  }
  replaceFile(disk, path, Buffer.from(wanted))
}
