/**
 * AlterConfigs 0-2: what is given becomes all that a topic has; what is left out goes back to its default. Dispatcher
 * thread. Clients that read, change and write back rely on DescribeConfigs telling everything.
 */
import { AlterConfigs } from '../protocol/messages/alter-configs.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'
import { alterResources } from './config-resources.ts'

type AlterConfigsRequest = RequestOf<typeof AlterConfigs>
type AlterConfigsResponse = ResponseOf<typeof AlterConfigs>

export const alterConfigs: ApiRow<AlterConfigsRequest, AlterConfigsResponse> = {
  schema: AlterConfigs,
  resource: 'topic',
  operation: 'alter-configs',
  async handle({ resources, validateOnly }, _call, services) {
    const responses = await alterResources(resources, validateOnly, services, ({ configs }) => ({
      all: configs.map(({ name, value }) => [name, value] as const),
    }))
    return { throttleTimeMs: 0, responses }
  },
}
