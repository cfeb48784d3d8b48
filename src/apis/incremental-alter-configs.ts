/** IncrementalAlterConfigs 0-1: sets, deletes, appends to lists, subtracts from them. Dispatcher thread. */
import type { ConfigStep } from '../admin/admin-service.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import { IncrementalAlterConfigs } from '../protocol/messages/incremental-alter-configs.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'
import { alterResources } from './config-resources.ts'

type IncrementalRequest = RequestOf<typeof IncrementalAlterConfigs>
type IncrementalResponse = ResponseOf<typeof IncrementalAlterConfigs>
type Asked = IncrementalRequest['resources'][number]['configs'][number]

/** Index = Kafka's AlterConfigOp.OpType. */
const operations: readonly (ConfigStep['operation'] | undefined)[] = [
  'set',
  'delete',
  'append',
  'subtract',
]

export const incrementalAlterConfigs: ApiRow<IncrementalRequest, IncrementalResponse> = {
  schema: IncrementalAlterConfigs,
  resource: 'topic',
  operation: 'alter-configs',
  async handle({ resources, validateOnly }, _call, services) {
    const responses = await alterResources(resources, validateOnly, services, ({ configs }) => ({
      steps: configs.map(stepOf),
    }))
    return { throttleTimeMs: 0, responses }
  },
}

function stepOf({ name, configOperation, value }: Asked): ConfigStep {
  const operation = operations[configOperation]
  if (operation !== undefined) return { operation, name, text: value }
  throw new KafkaError(
    Errors.INVALID_REQUEST,
    `Unknown operation ${configOperation}: 0 sets, 1 deletes, 2 appends, 3 subtracts`,
  )
}
