/** LeaveGroup 0-5: one member up to v2, several from v3 on, each with a reason from v5 on (KIP-800). */
import { api, array, int16, int32, nullableString, since, string, until } from '../schema.ts'

export const LeaveGroup = api({
  name: 'LeaveGroup',
  key: 13,
  versions: [0, 5],
  flexible: 4,
  request: {
    groupId: string,
    memberId: until(2, string),
    members: since(
      3,
      array({
        memberId: string,
        groupInstanceId: nullableString,
        reason: since(5, nullableString),
      }),
    ),
  },
  response: {
    throttleTimeMs: since(1, int32),
    errorCode: int16,
    members: since(
      3,
      array({ memberId: string, groupInstanceId: nullableString, errorCode: int16 }),
    ),
  },
})
