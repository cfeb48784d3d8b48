/**
 * FindCoordinator 0-6. Dispatcher thread. There are no consumer groups yet; the API is served all the same because
 * librdkafka up to 2.11.0 sends lz4 only to brokers whose table holds FindCoordinator 0 (PROTOCOL.md 1.4).
 *
 * Every key is answered GROUP_AUTHORIZATION_FAILED (TRANSACTIONAL_ID_AUTHORIZATION_FAILED for transactions): fatal in
 * every client, so an application learns at once what is missing instead of waiting for a coordinator for ever.
 */
import { Errors } from '../protocol/errors.ts'
import { FindCoordinator } from '../protocol/messages/find-coordinator.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'

const keyTypeGroup = 0
const errorMessage = 'odradek has no consumer groups and no transactions yet'
const nobody = { nodeId: -1, host: '', port: -1 }

export const findCoordinator: ApiRow<
  RequestOf<typeof FindCoordinator>,
  ResponseOf<typeof FindCoordinator>
> = {
  schema: FindCoordinator,
  resource: 'group',
  operation: 'describe',
  handle({ keyType, coordinatorKeys }, call) {
    const errorCode =
      keyType === keyTypeGroup
        ? Errors.GROUP_AUTHORIZATION_FAILED
        : Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    const refused = { ...nobody, errorCode, errorMessage }
    const coordinators =
      call.apiVersion < 4 ? [] : coordinatorKeys.map(key => ({ ...refused, key }))
    return { throttleTimeMs: 0, ...refused, coordinators }
  },
}
