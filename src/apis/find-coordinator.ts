/**
 * FindCoordinator 0-6. Dispatcher thread. This broker is the coordinator of every group. For transactions there is none
 * yet: TRANSACTIONAL_ID_AUTHORIZATION_FAILED is fatal in every client, so an application learns at once what is missing
 * instead of waiting for a coordinator for ever.
 *
 * librdkafka up to 2.11.0 sends lz4, and uses groups, only with brokers whose table holds version 0 (PROTOCOL.md 1.4).
 */
import { Errors } from '../protocol/errors.ts'
import { FindCoordinator } from '../protocol/messages/find-coordinator.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'

const KeyType = { GROUP: 0, TRANSACTION: 1 } as const
const nobody = { nodeId: -1, host: '', port: -1 }

export const findCoordinator: ApiRow<
  RequestOf<typeof FindCoordinator>,
  ResponseOf<typeof FindCoordinator>
> = {
  schema: FindCoordinator,
  resource: 'group',
  operation: 'describe',
  handle({ keyType, coordinatorKeys }, call, services) {
    const found = coordinatorOf(keyType, services)
    const coordinators = call.apiVersion < 4 ? [] : coordinatorKeys.map(key => ({ ...found, key }))
    return { throttleTimeMs: 0, ...found, coordinators }
  },
}

function coordinatorOf(keyType: number, { nodeId, advertised }: Services) {
  if (keyType === KeyType.GROUP) {
    const { host, port } = advertised
    return { nodeId, host, port, errorCode: Errors.NONE as number, errorMessage: null }
  }
  if (keyType === KeyType.TRANSACTION) {
    const errorMessage = 'odradek has no transactions yet'
    return { ...nobody, errorCode: Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, errorMessage }
  }
  const errorMessage = `There is no coordinator of key type ${keyType}.`
  return { ...nobody, errorCode: Errors.INVALID_REQUEST, errorMessage }
}
