/**
 * JoinGroup 0-9. v0 has no rebalance timeout: it is the session timeout. v4 knows MEMBER_ID_REQUIRED (KIP-394), v5
 * static members (KIP-345), v9 skip_assignment (KIP-814).
 */
import {
  api,
  array,
  bool,
  bytes,
  int16,
  int32,
  nullable,
  nullableString,
  since,
  string,
} from '../schema.ts'

export const JoinGroup = api({
  name: 'JoinGroup',
  key: 11,
  versions: [0, 9],
  flexible: 6,
  request: {
    groupId: string,
    sessionTimeoutMs: int32,
    rebalanceTimeoutMs: since(1, int32, -1),
    memberId: string,
    groupInstanceId: since(5, nullableString),
    protocolType: string,
    protocols: array({ name: string, metadata: bytes }),
    reason: since(8, nullableString),
  },
  response: {
    throttleTimeMs: since(2, int32),
    errorCode: int16,
    generationId: int32,
    protocolType: since(7, nullableString),
    protocolName: nullable(string, 7),
    leader: string,
    skipAssignment: since(9, bool),
    memberId: string,
    members: array({
      memberId: string,
      groupInstanceId: since(5, nullableString),
      metadata: bytes,
    }),
  },
})
