/** DescribeCluster 0-1: this broker, which is its own controller. Dispatcher thread. */
import { Errors } from '../protocol/errors.ts'
import { DescribeCluster } from '../protocol/messages/describe-cluster.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'
import { CLUSTER_OPERATIONS, NO_OPERATIONS } from './authorized-operations.ts'

type DescribeClusterRequest = RequestOf<typeof DescribeCluster>
type DescribeClusterResponse = ResponseOf<typeof DescribeCluster>

/** KIP-919. */
const EndpointType = { BROKERS: 1, CONTROLLERS: 2 } as const

export const describeCluster: ApiRow<DescribeClusterRequest, DescribeClusterResponse> = {
  schema: DescribeCluster,
  resource: 'cluster',
  operation: 'describe',
  handle(request, _call, { nodeId, advertised, clusterId }) {
    const { endpointType } = request
    const asked = request.includeClusterAuthorizedOperations
    const answer = {
      throttleTimeMs: 0,
      errorCode: Errors.NONE as number,
      errorMessage: null as string | null,
      endpointType,
      clusterId,
      controllerId: nodeId,
      brokers: [{ brokerId: nodeId, host: advertised.host, port: advertised.port, rack: null }],
      clusterAuthorizedOperations: asked ? CLUSTER_OPERATIONS : NO_OPERATIONS,
    }
    if (endpointType === EndpointType.BROKERS) return answer
    const mismatched = endpointType === EndpointType.CONTROLLERS
    return {
      ...answer,
      errorCode: mismatched ? Errors.MISMATCHED_ENDPOINT_TYPE : Errors.UNSUPPORTED_ENDPOINT_TYPE,
      errorMessage: mismatched
        ? 'This endpoint is of a broker, there is none of controllers: use --bootstrap-server, not --bootstrap-controller'
        : `Endpoint type ${endpointType} is none of 1 (brokers) and 2 (controllers)`,
      brokers: [],
    }
  },
}
