/** Metadata 0-12. An empty list of topics means all of them in v0, none from v1 on, where null means all. */
import {
  api,
  array,
  between,
  bool,
  int16,
  int32,
  nullable,
  nullableArray,
  nullableString,
  since,
  string,
  uuid,
} from '../schema.ts'

const notAsked = -0x8000_0000

export const Metadata = api({
  name: 'Metadata',
  key: 3,
  versions: [0, 12],
  flexible: 9,
  request: {
    topics: nullableArray({ topicId: since(10, uuid), name: nullable(string, 10) }, 1),
    allowAutoTopicCreation: since(4, bool, true),
    includeClusterAuthorizedOperations: between(8, 10, bool),
    includeTopicAuthorizedOperations: since(8, bool),
  },
  response: {
    throttleTimeMs: since(3, int32),
    brokers: array({ nodeId: int32, host: string, port: int32, rack: since(1, nullableString) }),
    clusterId: since(2, nullableString),
    controllerId: since(1, int32, -1),
    topics: array({
      errorCode: int16,
      name: nullable(string, 12),
      topicId: since(10, uuid),
      isInternal: since(1, bool),
      partitions: array({
        errorCode: int16,
        partitionIndex: int32,
        leaderId: int32,
        leaderEpoch: since(7, int32, -1),
        replicaNodes: array(int32),
        isrNodes: array(int32),
        offlineReplicas: since(5, array(int32)),
      }),
      topicAuthorizedOperations: since(8, int32, notAsked),
    }),
    clusterAuthorizedOperations: between(8, 10, int32, notAsked),
  },
})
