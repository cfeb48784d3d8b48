/** ListGroups 0-5, with a filter of states from v4 on (KIP-518) and of types from v5 on (KIP-848). */
import { api, array, int16, int32, since, string } from '../schema.ts'

export const ListGroups = api({
  name: 'ListGroups',
  key: 16,
  versions: [0, 5],
  flexible: 3,
  request: { statesFilter: since(4, array(string)), typesFilter: since(5, array(string)) },
  response: {
    throttleTimeMs: since(1, int32),
    errorCode: int16,
    groups: array({
      groupId: string,
      protocolType: string,
      groupState: since(4, string),
      groupType: since(5, string),
    }),
  },
})
