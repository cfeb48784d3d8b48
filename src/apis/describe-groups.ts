/**
 * DescribeGroups 0-5. Dispatcher thread. A group that only commits offsets is Empty; one that does not exist is Dead,
 * without an error. Metadata and assignments are told of stable groups only, as in Kafka. A group that is named
 * again and again is described once.
 */
import { Errors } from '../protocol/errors.ts'
import { DescribeGroups } from '../protocol/messages/describe-groups.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'
import { GROUP_OPERATIONS, NO_OPERATIONS } from './authorized-operations.ts'

type Response = ResponseOf<typeof DescribeGroups>
type Row = Response['groups'][number]

export const describeGroups: ApiRow<RequestOf<typeof DescribeGroups>, Response> = {
  schema: DescribeGroups,
  resource: 'group',
  operation: 'describe',
  handle({ groups, includeAuthorizedOperations }, _call, services) {
    const operations = includeAuthorizedOperations ? GROUP_OPERATIONS : NO_OPERATIONS
    return {
      throttleTimeMs: 0,
      groups: Array.from(new Set(groups), groupId => ({
        ...describe(groupId, services),
        authorizedOperations: operations,
      })),
    }
  },
}

function describe(groupId: string, services: Services): Omit<Row, 'authorizedOperations'> {
  const { groups, committed } = services
  const errorCode = committed.availability(groupId)
  if (errorCode !== Errors.NONE) {
    return {
      errorCode,
      groupId,
      groupState: '',
      protocolType: '',
      protocolData: '',
      members: [],
    }
  }
  const { state, protocolType, protocol, members } = groups.describe(groupId)
  const isSimple = !groups.has(groupId) && committed.has(groupId)
  return {
    errorCode,
    groupId,
    groupState: isSimple ? 'Empty' : state,
    protocolType,
    protocolData: protocol,
    members: members.map(({ metadata, assignment, ...member }) => ({
      ...member,
      memberMetadata: metadata,
      memberAssignment: assignment,
    })),
  }
}
