/** DescribeGroups 0-5. A group that does not exist has the state Dead and no error. */
import { api, array, bool, bytes, int16, int32, nullableString, since, string } from '../schema.ts'

export const DescribeGroups = api({
  name: 'DescribeGroups',
  key: 15,
  versions: [0, 5],
  flexible: 5,
  request: { groups: array(string), includeAuthorizedOperations: since(3, bool) },
  response: {
    throttleTimeMs: since(1, int32),
    groups: array({
      errorCode: int16,
      groupId: string,
      groupState: string,
      protocolType: string,
      protocolData: string,
      members: array({
        memberId: string,
        groupInstanceId: since(4, nullableString),
        clientId: string,
        clientHost: string,
        memberMetadata: bytes,
        memberAssignment: bytes,
      }),
      authorizedOperations: since(3, int32, -0x8000_0000),
    }),
  },
})
