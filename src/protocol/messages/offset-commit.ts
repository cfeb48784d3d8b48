/** OffsetCommit 0-9. v0 and v1 are answered as v2: the commit's own time in v1 is not used, as in Kafka since 2.1. */
import {
  api,
  array,
  between,
  int16,
  int32,
  int64,
  nullableString,
  since,
  string,
} from '../schema.ts'

export const OffsetCommit = api({
  name: 'OffsetCommit',
  key: 8,
  versions: [0, 9],
  flexible: 8,
  request: {
    groupId: string,
    generationIdOrMemberEpoch: since(1, int32, -1),
    memberId: since(1, string),
    groupInstanceId: since(7, nullableString),
    retentionTimeMs: between(2, 4, int64, -1),
    topics: array({
      name: string,
      partitions: array({
        partitionIndex: int32,
        committedOffset: int64,
        committedLeaderEpoch: since(6, int32, -1),
        commitTimestamp: between(1, 1, int64, -1),
        committedMetadata: nullableString,
      }),
    }),
  },
  response: {
    throttleTimeMs: since(3, int32),
    topics: array({
      name: string,
      partitions: array({ partitionIndex: int32, errorCode: int16 }),
    }),
  },
})
