/** CreateTopics 0-7 (KIP-4, KIP-464 for -1 as the broker's default, KIP-525 for the configs in the answer). */
import {
  api,
  array,
  bool,
  int8,
  int16,
  int32,
  nullableArray,
  nullableString,
  since,
  string,
  tagged,
  uuid,
} from '../schema.ts'

export const CreateTopics = api({
  name: 'CreateTopics',
  key: 19,
  versions: [0, 7],
  flexible: 5,
  request: {
    topics: array({
      name: string,
      numPartitions: int32,
      replicationFactor: int16,
      assignments: array({ partitionIndex: int32, brokerIds: array(int32) }),
      configs: array({ name: string, value: nullableString }),
    }),
    timeoutMs: int32,
    validateOnly: since(1, bool),
  },
  response: {
    throttleTimeMs: since(2, int32),
    topics: array({
      name: string,
      topicId: since(7, uuid),
      errorCode: int16,
      errorMessage: since(1, nullableString),
      topicConfigErrorCode: since(5, tagged(0, int16)),
      numPartitions: since(5, int32, -1),
      replicationFactor: since(5, int16, -1),
      configs: since(
        5,
        nullableArray({
          name: string,
          value: nullableString,
          readOnly: bool,
          configSource: int8,
          isSensitive: bool,
        }),
        [],
      ),
    }),
  },
})
