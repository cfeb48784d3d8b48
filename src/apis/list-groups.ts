/**
 * ListGroups 0-5: groups with members, empty ones, and those that only commit offsets; all are of the type `classic`.
 * Dispatcher thread. States and types of a filter are compared without regard to case, as in Kafka.
 */
import { Errors } from '../protocol/errors.ts'
import { ListGroups } from '../protocol/messages/list-groups.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'

const groupType = 'classic'

export const listGroups: ApiRow<RequestOf<typeof ListGroups>, ResponseOf<typeof ListGroups>> = {
  schema: ListGroups,
  resource: 'group',
  operation: 'describe',
  handle({ statesFilter, typesFilter }, _call, services) {
    const states = new Set(statesFilter.map(state => state.toLowerCase()))
    const types = new Set(typesFilter.map(type => type.toLowerCase()))
    const isWanted = types.size === 0 || types.has(groupType)
    const groups = (isWanted ? all(services) : []).filter(
      ({ groupState }) => states.size === 0 || states.has(groupState.toLowerCase()),
    )
    return { throttleTimeMs: 0, errorCode: Errors.NONE, groups }
  },
}

function all({ groups, committed }: Services) {
  const rows = groups.list().map(({ groupId, protocolType, state }) => ({
    groupId,
    protocolType,
    groupState: state as string,
    groupType,
  }))
  for (const groupId of committed.groupIds()) {
    if (groups.has(groupId)) continue
    rows.push({ groupId, protocolType: '', groupState: 'Empty', groupType })
  }
  return rows
}
