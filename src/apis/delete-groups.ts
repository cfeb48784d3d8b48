/**
 * DeleteGroups 0-2: an empty group and all its committed offsets. Dispatcher thread. Answered when their going is as
 * durable as acks=all makes it; until then nobody can join the group.
 */
import { deleteGroup } from '../admin/group-changes.ts'
import { DeleteGroups } from '../protocol/messages/delete-groups.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'

export const deleteGroups: ApiRow<
  RequestOf<typeof DeleteGroups>,
  ResponseOf<typeof DeleteGroups>
> = {
  schema: DeleteGroups,
  resource: 'group',
  operation: 'delete',
  async handle({ groupsNames }, _call, services) {
    const results = [...new Set(groupsNames)].map(async groupId => ({
      groupId,
      errorCode: await deleteGroup(groupId, services),
    }))
    return { throttleTimeMs: 0, results: await Promise.all(results) }
  },
}
