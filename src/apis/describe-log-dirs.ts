/**
 * DescribeLogDirs 0-4 (KIP-113, KIP-827): there is one log directory, with the bytes of every partition in it. Consoles
 * show their size columns from this. Dispatcher thread; owners count the bytes.
 *
 * What does not exist is left out of the answer, and so is a partition whose log is not open, as in Kafka.
 */
import type { DiskSize } from '../admin/log-directory.ts'
import type { Partition } from '../partitions/partition.ts'
import { Errors } from '../protocol/errors.ts'
import { DescribeLogDirs } from '../protocol/messages/describe-log-dirs.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'

type Request = RequestOf<typeof DescribeLogDirs>
type Response = ResponseOf<typeof DescribeLogDirs>

interface Wanted {
  readonly name: string
  readonly partitions: readonly Partition[]
}

export const describeLogDirs: ApiRow<Request, Response> = {
  schema: DescribeLogDirs,
  resource: 'cluster',
  operation: 'describe',
  async handle(request, _call, services) {
    const { logDirectory } = services
    const wanted = wantedOf(request, services)
    const [sizes, disk] = await Promise.all([
      logDirectory.describe(wanted.flatMap(({ partitions }) => partitions)),
      logDirectory.diskSize().catch((): DiskSize => ({ totalBytes: -1, usableBytes: -1 })),
    ])
    const topics = wanted.map(({ name, partitions }) => ({
      name,
      partitions: partitions.flatMap(({ index, slot }) => {
        const size = sizes.get(slot)
        if (size === undefined) return []
        const offsetLag = size.logEndOffset - size.highWatermark
        const partitionSize = size.sizeBytes
        return [{ partitionIndex: index, partitionSize, offsetLag, isFutureKey: false }]
      }),
    }))
    const result = { errorCode: Errors.NONE, logDir: logDirectory.path, topics, ...disk }
    return { throttleTimeMs: 0, errorCode: Errors.NONE, results: [result] }
  },
}

function wantedOf({ topics }: Request, services: Services): Wanted[] {
  if (topics === null) return [...services.topics.all()]
  return topics.flatMap(({ topic: name, partitions }) => {
    const topic = services.topics.get(name)
    if (topic === undefined) return []
    const indexes = [...new Set(partitions)]
    return [{ name, partitions: indexes.flatMap(index => topic.partitions[index] ?? []) }]
  })
}
