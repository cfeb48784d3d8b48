/**
 * Removes a log's directory. It is renamed first, so that a crash half-way leaves nothing that looks like a log.
 * Owner thread only.
 */
import { dirname } from 'node:path'
import type { PartitionSpec } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'

/** File names hold 255 bytes; Kafka cuts the topic's name for the same reason. */
const TOPIC_CHARS_MAX = 200

export function removeLog(disk: Disk, spec: PartitionSpec): void {
  if (!disk.exists(spec.directory)) return
  const parent = dirname(spec.directory)
  const topic = spec.topic.slice(0, TOPIC_CHARS_MAX)
  const doomed = `${parent}/${topic}-${spec.partition}.${spec.topicId}-delete`
  if (disk.exists(doomed)) disk.removeTree(doomed)
  disk.rename(spec.directory, doomed)
  disk.removeTree(doomed)
}
