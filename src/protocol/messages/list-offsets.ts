/** ListOffsets 0-9. Timestamps: -1 end, -2 start, -3 largest timestamp (v7), else the first record at or after it. */
import { api, array, int8, int16, int32, int64, since, string, until } from '../schema.ts'

export const ListOffsets = api({
  name: 'ListOffsets',
  key: 2,
  versions: [0, 9],
  flexible: 6,
  request: {
    replicaId: int32,
    isolationLevel: since(2, int8),
    topics: array({
      name: string,
      partitions: array({
        partitionIndex: int32,
        currentLeaderEpoch: since(4, int32, -1),
        timestamp: int64,
        maxNumOffsets: until(0, int32, 1),
      }),
    }),
  },
  response: {
    throttleTimeMs: since(2, int32),
    topics: array({
      name: string,
      partitions: array({
        partitionIndex: int32,
        errorCode: int16,
        oldStyleOffsets: until(0, array(int64)),
        timestamp: since(1, int64, -1),
        offset: since(1, int64, -1),
        leaderEpoch: since(4, int32, -1),
      }),
    }),
  },
})
