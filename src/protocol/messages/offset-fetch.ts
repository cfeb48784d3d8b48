/** OffsetFetch 0-9: one group up to v7, several from v8 on. `topics` null, from v2 on, means all of the group. */
import {
  api,
  array,
  between,
  bool,
  int16,
  int32,
  int64,
  nullableArray,
  nullableString,
  since,
  string,
  until,
} from '../schema.ts'

export const OffsetFetch = api({
  name: 'OffsetFetch',
  key: 9,
  versions: [0, 9],
  flexible: 6,
  request: {
    groupId: until(7, string),
    topics: until(7, nullableArray({ name: string, partitionIndexes: array(int32) }, 2), []),
    groups: since(
      8,
      array({
        groupId: string,
        memberId: since(9, nullableString),
        memberEpoch: since(9, int32, -1),
        topics: nullableArray({ name: string, partitionIndexes: array(int32) }),
      }),
    ),
    requireStable: since(7, bool),
  },
  response: {
    throttleTimeMs: since(3, int32),
    topics: until(
      7,
      array({
        name: string,
        partitions: array({
          partitionIndex: int32,
          committedOffset: int64,
          committedLeaderEpoch: between(5, 7, int32, -1),
          metadata: nullableString,
          errorCode: int16,
        }),
      }),
    ),
    errorCode: between(2, 7, int16),
    groups: since(
      8,
      array({
        groupId: string,
        topics: array({
          name: string,
          partitions: array({
            partitionIndex: int32,
            committedOffset: int64,
            committedLeaderEpoch: int32,
            metadata: nullableString,
            errorCode: int16,
          }),
        }),
        errorCode: int16,
      }),
    ),
  },
})
