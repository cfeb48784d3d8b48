/** What the topic of groups and committed offsets is made with: as Kafka makes it, in sizes of one host. Pure. */
import type { BrokerConfig } from '../config/config.ts'

const MIB = 1024 * 1024
/** A group with many members is one record. */
const batchBytesMax = 8 * MIB

export function offsetsTopicConfigs(config: BrokerConfig): [name: string, text: string][] {
  const { requestArenaBytes, responseArenaBytes, groups, defaultLog } = config
  const arenaBytes = Math.min(requestArenaBytes, responseArenaBytes)
  const bytesMax = Math.min(batchBytesMax, groups.offsetsSegmentBytes, arenaBytes / 4)
  const configs: [name: string, text: string][] = [
    ['cleanup.policy', 'compact'],
    ['compression.type', 'producer'],
    ['segment.bytes', String(groups.offsetsSegmentBytes)],
    ['max.message.bytes', String(bytesMax)],
  ]
  // A commit is not to wait for the interval of everybody's flushes.
  if (defaultLog.flushPolicy === 'interval') configs.push(['flush.policy', 'group-commit'])
  return configs
}
