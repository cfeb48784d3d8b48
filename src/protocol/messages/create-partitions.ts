/** CreatePartitions 0-3 (KIP-195). `count` is the new total. */
import { api, array, bool, int16, int32, nullableArray, nullableString, string } from '../schema.ts'

export const CreatePartitions = api({
  name: 'CreatePartitions',
  key: 37,
  versions: [0, 3],
  flexible: 2,
  request: {
    topics: array({
      name: string,
      count: int32,
      assignments: nullableArray({ brokerIds: array(int32) }),
    }),
    timeoutMs: int32,
    validateOnly: bool,
  },
  response: {
    throttleTimeMs: int32,
    results: array({ name: string, errorCode: int16, errorMessage: nullableString }),
  },
})
