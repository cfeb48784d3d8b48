/** OffsetForLeaderEpoch 2-4 (KIP-320): where the records of a leader epoch end. */
import { api, array, int16, int32, int64, since, string } from '../schema.ts'

/** Kafka's default: a consumer that debugs, and may see beyond the high watermark. */
const debuggingReplica = -2

export const OffsetForLeaderEpoch = api({
  name: 'OffsetForLeaderEpoch',
  key: 23,
  versions: [2, 4],
  flexible: 4,
  request: {
    replicaId: since(3, int32, debuggingReplica),
    topics: array({
      topic: string,
      partitions: array({ partition: int32, currentLeaderEpoch: int32, leaderEpoch: int32 }),
    }),
  },
  response: {
    throttleTimeMs: int32,
    topics: array({
      topic: string,
      partitions: array({
        errorCode: int16,
        partition: int32,
        leaderEpoch: int32,
        endOffset: int64,
      }),
    }),
  },
})
