/** DescribeLogDirs 0-4 (KIP-113, KIP-827): bytes per partition and per disk. `topics` null asks for all. */
import { api, array, bool, int16, int32, int64, nullableArray, since, string } from '../schema.ts'

export const DescribeLogDirs = api({
  name: 'DescribeLogDirs',
  key: 35,
  versions: [0, 4],
  flexible: 2,
  request: {
    topics: nullableArray({ topic: string, partitions: array(int32) }),
  },
  response: {
    throttleTimeMs: int32,
    errorCode: since(3, int16),
    results: array({
      errorCode: int16,
      logDir: string,
      topics: array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          partitionSize: int64,
          offsetLag: int64,
          isFutureKey: bool,
        }),
      }),
      totalBytes: since(4, int64, -1),
      usableBytes: since(4, int64, -1),
    }),
  },
})
