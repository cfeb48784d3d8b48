/**
 * Removes a log's directory. It is renamed first, so that a crash half-way leaves nothing that looks like a log; its
 * files, of which there may be ten thousands, go in the background. Owner thread only.
 */
import { dirname } from 'node:path'
import type { PartitionPlace } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'

/** File names hold 255 bytes; Kafka cuts the topic's name for the same reason. */
const TOPIC_CHARS_MAX = 200

/**
 * May be called again where a removal was cut short. The log's name is gone at once; resolves when its files are.
 * Throws and rejects as the disk does.
 */
export function removeLog(disk: Disk, place: PartitionPlace): Promise<void> {
  const parent = dirname(place.directory)
  const topic = place.topic.slice(0, TOPIC_CHARS_MAX)
  const doomed = `${parent}/${topic}-${place.partition}.${place.topicId}-delete`
  if (disk.exists(place.directory)) {
    if (disk.exists(doomed)) disk.removeTree(doomed)
    disk.rename(place.directory, doomed)
  }
  if (!disk.exists(doomed)) return Promise.resolve()
  return new Promise((resolve, reject) => {
    disk.startRemoveTree(doomed, error => (error === null ? resolve() : reject(error)))
  })
}
