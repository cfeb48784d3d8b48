/** DescribeCluster 0-1 (KIP-700, KIP-919 endpoint type: 1 brokers, 2 controllers). */
import { api, array, bool, int8, int16, int32, nullableString, since, string } from '../schema.ts'

export const DescribeCluster = api({
  name: 'DescribeCluster',
  key: 60,
  versions: [0, 1],
  flexible: 0,
  request: { includeClusterAuthorizedOperations: bool, endpointType: since(1, int8, 1) },
  response: {
    throttleTimeMs: int32,
    errorCode: int16,
    errorMessage: nullableString,
    endpointType: since(1, int8, 1),
    clusterId: string,
    controllerId: int32,
    brokers: array({ brokerId: int32, host: string, port: int32, rack: nullableString }),
    clusterAuthorizedOperations: int32,
  },
})
