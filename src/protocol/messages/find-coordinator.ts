/** FindCoordinator 0-6: one key up to v3, several from v4 on (KIP-699). Key type 0 is a group, 1 a transactional id. */
import {
  api,
  array,
  between,
  int8,
  int16,
  int32,
  nullableString,
  since,
  string,
  until,
} from '../schema.ts'

export const FindCoordinator = api({
  name: 'FindCoordinator',
  key: 10,
  versions: [0, 6],
  flexible: 3,
  request: {
    key: until(3, string),
    keyType: since(1, int8),
    coordinatorKeys: since(4, array(string)),
  },
  response: {
    throttleTimeMs: since(1, int32),
    errorCode: until(3, int16),
    errorMessage: between(1, 3, nullableString),
    nodeId: until(3, int32),
    host: until(3, string),
    port: until(3, int32),
    coordinators: since(
      4,
      array({
        key: string,
        nodeId: int32,
        host: string,
        port: int32,
        errorCode: int16,
        errorMessage: nullableString,
      }),
    ),
  },
})
