/**
 * FindCoordinator 0-6. Dispatcher thread. This broker is the coordinator of every group. For transactions there is none
 * yet: TRANSACTIONAL_ID_AUTHORIZATION_FAILED is fatal in every client, so an application learns at once what is missing
 * instead of waiting for a coordinator for ever.
 *
 * librdkafka up to 2.11.0 sends lz4, and uses groups, only with brokers whose table holds version 0 (PROTOCOL.md 1.4).
 */
import { isIdTooLong } from '../groups/ids.ts'
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
  handle({ key, keyType, coordinatorKeys }, { apiVersion }, services) {
    const keys = apiVersion < 4 ? [key] : coordinatorKeys
    const found = keys.map(asked => ({ key: asked, ...coordinatorOf(keyType, asked, services) }))
    // Of no keys nothing is said; the fields of one are not sent then.
    const [first = { ...nobody, errorCode: Errors.NONE, errorMessage: null }] = found
    return { throttleTimeMs: 0, ...first, coordinators: found }
  },
}

function coordinatorOf(keyType: number, key: string, { nodeId, advertised, config }: Services) {
  if (keyType === KeyType.GROUP) {
    const { idBytesMax } = config.groups
    if (isIdTooLong(key, idBytesMax)) {
      const errorMessage = `The group id is longer than ${idBytesMax} bytes: shorten group.id, or raise id.max.bytes`
      return { ...nobody, errorCode: Errors.INVALID_GROUP_ID as number, errorMessage }
    }
    const { host, port } = advertised
    return { nodeId, host, port, errorCode: Errors.NONE as number, errorMessage: null }
  }
  if (keyType === KeyType.TRANSACTION) {
    const errorMessage = 'odradek has no transactions yet: produce without a transactional.id'
    return { ...nobody, errorCode: Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, errorMessage }
  }
  const errorMessage = `There is no coordinator of key type ${keyType}: 0 is groups`
  return { ...nobody, errorCode: Errors.INVALID_REQUEST, errorMessage }
}
